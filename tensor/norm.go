package tensor

import (
	"fmt"
	"math"

	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// Norm is a group normalisation (Wu & He 2018): the channels of each image fall in Groups equal groups, each brought
// to mean 0 and variance 1 over its channels and pixels, then scaled by Gamma and shifted by Beta per channel:
//
//	y = Gamma·(x − mean)/√(var + Eps) + Beta,  var the biased variance.
//
// Seen per channel that is y = scale·x + shift, and so the kernels do it.
type Norm struct {
	Gamma, Beta Tensor // [C]
	Groups      int    // divides C
	Eps         float64
}

// StatsShape returns the shape of what GroupNorm saves of n images for its gradient. A row of it has mean and
// 1/√(var+Eps) of each group in turn, then the scale of each channel, then the shift of each.
func (m Norm) StatsShape(n int) []int { return []int{n, 2 * (m.Groups + m.channels())} }

func (m Norm) channels() int {
	if len(m.Gamma.Shape) != 1 {
		panic(fmt.Sprintf("tensor: StatsShape: got Gamma of shape %v, want [C]", m.Gamma.Shape))
	}
	return m.Gamma.Shape[0]
}

func (m Norm) check(op string, c int) {
	if m.Groups <= 0 || c%m.Groups != 0 {
		panic(fmt.Sprintf("tensor: %s: got %d channels, want a multiple of %d groups", op, c, m.Groups))
	}
	checkShape(op, m.Gamma, c)
	checkShape(op, m.Beta, c)
}

// GroupNorm computes y = m(x) and saves the statistics. x, y [N H W C], stats of StatsShape.
func GroupNorm(y, stats, x Tensor, m Norm) {
	sameShape("GroupNorm", y, x)
	n, _, _, c := x.Dims4()
	m.check("GroupNorm", c)
	checkShape("GroupNorm: stats", stats, m.StatsShape(n)...)
	g := normCalls.take(normCall{Norm: m, y: y, x: x, stats: stats})
	par.For(n, g.forward)
	normCalls.give(g)
}

// GroupNormGrad adds the gradients of GroupNorm, dgamma and dbeta in turn. dx is overwritten instead if add is false. turn
// may be nil.
func GroupNormGrad(dx Tensor, add bool, dgamma, dbeta, stats, x, dy Tensor, m Norm, turn *Turn) {
	sameShape("GroupNormGrad", dy, x)
	n, _, _, c := x.Dims4()
	m.check("GroupNormGrad", c)
	checkShape("GroupNormGrad: stats", stats, m.StatsShape(n)...)
	checkOptional("GroupNormGrad: dx", dx, x.Shape...)
	checkOptional("GroupNormGrad: dgamma", dgamma, c)
	checkOptional("GroupNormGrad: dbeta", dbeta, c)
	g := normCalls.take(normCall{Norm: m, y: dy, x: x, stats: stats, dx: dx, add: add, sums: takeWork(2 * n * c)})
	par.For(n, g.backward)
	paramGrads(dgamma, dbeta, g.sums, turn)
	giveWork(g.sums)
	normCalls.give(g)
}

// normCall is one call of GroupNorm or GroupNormGrad.
type normCall struct {
	Norm
	y, x, stats Tensor // y or dy
	dx          Tensor
	add         bool
	sums        []float32 // [2 N C], see channelSumsOf
}

var normCalls frames[normCall]

func (g *normCall) forward(i int, mem *par.Scratch) {
	size := perImage(g.x)
	x := g.x.Data[i*size:][:size]
	g.measure(g.stats, i, x, nil, mem)
	scale, shift := affineOf(g.stats, g.Groups, i)
	simd.Norm(g.y.Data[i*size:][:size], x, scale, shift)
}

func (g *normCall) backward(i int, mem *par.Scratch) {
	size, c := perImage(g.x), len(g.Gamma.Data)
	x, dy := g.x.Data[i*size:][:size], g.y.Data[i*size:][:size]
	s := channelSumsOf(g.sums, c, i, 0, c)
	simd.NormGrad(s.du, s.dux, x, dy)
	ka, kb, kc := g.gradFactors(imageOf(g.stats, i), s, 0, size/c, mem)
	if dx := imageOf(g.dx, i); dx != nil {
		simd.Affine3(dx, c, dy, c, x, c, size/c, ka, kb, kc, g.add)
	}
}

// affineOf returns the norm of image i as a scale and a shift per channel.
func affineOf(stats Tensor, groups, i int) (scale, shift []float32) {
	row := imageOf(stats, i)[2*groups:]
	return row[:len(row)/2], row[len(row)/2:]
}

// measure computes the statistics of image i in two passes, mean before variance, so that a large mean costs no
// precision: sums per channel in float32, over channels in float64. Its last channels may lie elsewhere, in join.
func (m Norm) measure(stats Tensor, i int, x, join []float32, mem *par.Scratch) {
	st, c := imageOf(stats, i), len(m.Gamma.Data)
	sum, mean := mem.Floats(c), mem.Floats(c)
	pixels := (len(x) + len(join)) / c
	ca := len(x) / max(1, pixels)
	width, count := c/m.Groups, float64(pixels*(c/m.Groups))

	clear(sum)
	simd.ChannelSums(sum[:ca], x)
	if join != nil {
		simd.ChannelSums(sum[ca:], join)
	}
	for g := range m.Groups {
		mu := groupSum(sum, g, width) / count
		st[2*g] = float32(mu)
		for j := g * width; j < (g+1)*width; j++ {
			mean[j] = float32(mu)
		}
	}
	clear(sum)
	simd.ChannelSquares(sum[:ca], x, mean[:ca])
	if join != nil {
		simd.ChannelSquares(sum[ca:], join, mean[ca:])
	}
	for g := range m.Groups {
		st[2*g+1] = float32(1 / math.Sqrt(groupSum(sum, g, width)/count+m.Eps))
	}
	scale, shift := affineOf(stats, m.Groups, i)
	for g := range m.Groups {
		mean, rstd := st[2*g], st[2*g+1]
		gamma, beta := m.Gamma.Data[g*width:][:width], m.Beta.Data[g*width:][:width]
		scale, shift := scale[g*width:][:width], shift[g*width:][:width]
		for j, gamma := range gamma {
			scale[j] = gamma * rstd
			shift[j] = beta[j] - mean*scale[j]
		}
	}
}

// channelSums holds one image's sums over pixels, for some of the channels: of du, the gradient of the norm's output, and
// of du·x or, after gradFactors, of du·x̂.
type channelSums struct{ du, dux []float32 }

// channelSumsOf returns channels from…to of image i's part of sums [2 N C], cleared.
func channelSumsOf(sums []float32, c, i, from, to int) channelSums {
	s := channelSums{sums[i*c:][from:to], sums[len(sums)/2+i*c:][from:to]}
	clear(s.du)
	clear(s.dux)
	return s
}

// gradFactors returns what the gradient of one image's norm for its input is made of. With x̂ = (x−mean)·r,
// r = 1/√(var+Eps), and means over the group's channels and pixels,
//
//	dx = r·(du·γ − mean(du·γ) − x̂·mean(du·γ·x̂))
//
// which is ka·du + kb·x + kc with a factor of each kind per channel. s has whole groups, from channel first on. It turns
// the sums of du·x into those of du·x̂.
func (m Norm) gradFactors(st []float32, s channelSums, first, pixels int, mem *par.Scratch) (ka, kb, kc []float32) {
	c := len(s.du)
	ka, kb, kc = mem.Floats(c), mem.Floats(c), mem.Floats(c)
	width := len(m.Gamma.Data) / m.Groups
	st = st[2*(first/width):]
	count := float64(pixels * width)
	for g := range c / width {
		mean, r := float64(st[2*g]), float64(st[2*g+1])
		gamma, du, dux := m.Gamma.Data[first+g*width:][:width], s.du[g*width:][:width], s.dux[g*width:][:width]
		var sum, sumHat float64 // of du·γ and of du·γ·x̂
		for j := range gamma {
			gamma := float64(gamma[j])
			hat := (float64(dux[j]) - mean*float64(du[j])) * r
			dux[j] = float32(hat)
			sum += gamma * float64(du[j])
			sumHat += gamma * hat
		}
		b := -r * r * sumHat / count
		shift := -b*mean - r*sum/count
		ka, kb, kc := ka[g*width:][:width], kb[g*width:][:width], kc[g*width:][:width]
		for j := range gamma {
			ka[j], kb[j], kc[j] = gamma[j]*st[2*g+1], float32(b), float32(shift)
		}
	}
	return ka, kb, kc
}

// paramGrads adds in turn dbeta += Σ du and dgamma += Σ du·x̂ over images, in order. sums [2 N C] holds each image's channelSums.
func paramGrads(dgamma, dbeta Tensor, sums []float32, turn *Turn) {
	if !dbeta.Empty() {
		addInTurn(dbeta.Data, sums[:len(sums)/2], turn)
	}
	if !dgamma.Empty() {
		addInTurn(dgamma.Data, sums[len(sums)/2:], turn)
	}
}

func groupSum(sum []float32, g, width int) float64 {
	total := 0.0
	for _, v := range sum[g*width : (g+1)*width] {
		total += float64(v)
	}
	return total
}
