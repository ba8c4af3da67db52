package tensor_test

import (
	"fmt"
	"math"
	"testing"

	"ddpm/tensor"
)

// blockGradients holds the result of a Block and its gradients, as the operations it joins compute them.
type blockGradients struct{ y, stats, dx, dgamma, dbeta, dw, db, dPerImage Tensor }

// composed computes a Block and its gradients one operation after the other, convolving as the definition has it.
func composed(x, dy Tensor, b tensor.Block) blockGradients {
	n, _, _, c := x.Dims4()
	v := tensor.Same3
	v.Method = tensor.Direct
	g := blockGradients{
		y: undefined(dy.Shape...), stats: undefined(b.StatsShape(n)...), dx: undefined(x.Shape...),
		dgamma: tensor.New(c), dbeta: tensor.New(c), dw: tensor.New(b.W.Shape...),
		db: tensor.New(b.W.Shape[3]), dPerImage: tensor.New(n, b.W.Shape[3]),
	}
	normed, activated := undefined(x.Shape...), undefined(x.Shape...)
	tensor.GroupNorm(normed, g.stats, x, b.Norm)
	tensor.SiLU(activated, normed)
	tensor.Conv2D(g.y, activated, b.W, b.B, v, nil)
	if !b.PerImage.Empty() {
		tensor.AddPerImage(g.y, g.y, b.PerImage)
	}
	if !b.Residual.Empty() {
		tensor.Add(g.y, g.y, b.Residual)
	}
	da, du := undefined(x.Shape...), tensor.New(x.Shape...)
	tensor.AddPerImageGrad(g.dPerImage, dy)
	tensor.Conv2DGrad(da, false, g.dw, g.db, activated, b.W, dy, v, nil, nil)
	tensor.SiLUGrad(du, normed, da)
	tensor.GroupNormGrad(g.dx, false, g.dgamma, g.dbeta, g.stats, x, du, b.Norm, nil)
	return g
}

// blockSize is the size of a Block's tensors.
type blockSize struct{ n, h, w, cin, cout, groups int }

// random returns a block of this size, its input, and a gradient of its result.
func (s blockSize) random() (b tensor.Block, x, dy Tensor) {
	b = tensor.Block{
		Norm:     tensor.Norm{Gamma: random(3, s.cin), Beta: random(4, s.cin), Groups: s.groups, Eps: 1e-5},
		W:        random(5, 3, 3, s.cin, s.cout),
		B:        random(6, s.cout),
		PerImage: random(7, s.n, s.cout),
		Residual: random(8, s.n, s.h, s.w, s.cout),
	}
	return b, random(1, s.n, s.h, s.w, s.cin), random(2, s.n, s.h, s.w, s.cout)
}

func TestNormSiLUConvIsItsParts(t *testing.T) {
	for _, s := range []blockSize{
		{2, 5, 3, 6, 5, 3}, {1, 2, 3, 33, 1, 11}, {17, 3, 2, 5, 33, 1}, {33, 2, 2, 32, 32, 8}, {3, 7, 7, 64, 64, 8},
		{1, 8, 8, 96, 64, 32}, {2, 17, 19, 32, 3, 4}, {34, 4, 5, 3, 6, 3}, {9, 3, 4, 192, 100, 8},
		{3, 17, 19, 5, 32, 5}, {18, 4, 4, 30, 3, 5}, {130, 2, 3, 5, 3, 5}, // the input gradient in several blocks of tiles, and larger than their V
	} {
		full, x, dy := s.random()
		for options := range 8 {
			b := full
			if options&1 == 0 {
				b.B = Tensor{}
			}
			if options&2 == 0 {
				b.PerImage = Tensor{}
			}
			if options&4 == 0 {
				b.Residual = Tensor{}
			}
			want := composed(x, dy, b)
			for _, m := range methods {
				what := fmt.Sprintf("%+v, options %03b, %s", s, options, m.name)
				b.Method = m.method
				checkBlock(t, what, s, b, x, dy, want, m.tolerance)
			}
		}
	}
}

func checkBlock(t *testing.T, what string, s blockSize, b tensor.Block, x, dy Tensor, want blockGradients, tolerance float64) {
	t.Helper()
	stats := undefined(b.StatsShape(s.n)...)
	packs := tensor.NewPacks(math.MaxInt)
	y := undefined(dy.Shape...)
	tensor.NormSiLUConv(y, stats, x, b, nil)
	for range 3 {
		again := undefined(dy.Shape...)
		tensor.NormSiLUConv(again, stats, x, b, packs)
		identical(t, what+": y with Packs", again.Data, y.Data)
	}
	near(t, what+": stats", stats, float64s(want.stats), 1, 0)
	// γ and with it the activation reach 3, and the sums both sides round are three times as large as of units.
	depth := 3 * tolerance * math.Sqrt(float64(9*s.cin))
	near(t, what+": y", y, float64s(want.y), 1, depth)

	g := tensor.BlockGrad{
		X: undefined(x.Shape...), Gamma: tensor.New(s.cin), Beta: tensor.New(s.cin),
		W: undefined(b.W.Shape...), B: tensor.New(s.cout), PerImage: tensor.New(s.n, s.cout),
	}
	rows := math.Sqrt(float64(s.n * s.h * s.w))
	depthDX := 9 * tolerance * math.Sqrt(float64(9*s.cout)) // times γ, and 1/σ of small groups
	over := tensor.BlockGrad{X: x.Clone(), W: undefined(b.W.Shape...)}
	tensor.NormSiLUConvGrad(over, stats, over.X, dy, b, nil)
	for k, factor := range []float64{1, 2} {
		g.AddX, g.AddW = k > 0, k > 0
		tensor.NormSiLUConvGrad(g, stats, x, dy, b, nil)
		if k == 0 {
			identical(t, what+": dx over x", over.X.Data, g.X.Data)
			identical(t, what+": dw, dx over x", over.W.Data, g.W.Data)
		}
		near(t, what+": dx", g.X, float64s(want.dx), factor, depthDX)
		near(t, what+": dgamma", g.Gamma, float64s(want.dgamma), factor, depthDX*rows)
		near(t, what+": dbeta", g.Beta, float64s(want.dbeta), factor, depthDX*rows)
		near(t, what+": dw", g.W, float64s(want.dw), factor, 3*tolerance*rows)
		near(t, what+": db", g.B, float64s(want.db), factor, directTolerance*rows)
		near(t, what+": dPerImage", g.PerImage, float64s(want.dPerImage), factor, directTolerance*rows)
	}
}

// The border is of the activated image: where SiLU(β) is not 0, activating a border of zeros would show at the edge.
func TestNormSiLUConvBordersWithZeros(t *testing.T) {
	b := tensor.Block{
		Norm: tensor.Norm{Gamma: tensor.From([]float32{0}, 1), Beta: tensor.From([]float32{40}, 1), Groups: 1, Eps: 1e-5},
		W:    tensor.From([]float32{1, 1, 1, 1, 1, 1, 1, 1, 1}, 3, 3, 1, 1),
	}
	x := random(1, 1, 3, 3, 1)
	for _, m := range methods {
		b.Method = m.method
		y := undefined(1, 3, 3, 1)
		tensor.NormSiLUConv(y, undefined(b.StatsShape(1)...), x, b, nil)
		near(t, m.name, y, []float64{160, 240, 160, 240, 360, 240, 160, 240, 160}, 1, 360*unitTolerance)
	}
}

// A joined input is its concatenation, to the bit: in statistics, results and gradients, overwritten and added to.
func TestJoinIsConcat(t *testing.T) {
	for _, s := range []struct {
		blockSize
		first int // channels of x
	}{
		{blockSize{2, 5, 3, 6, 5, 3}, 1}, {blockSize{1, 8, 8, 96, 64, 8}, 64}, {blockSize{17, 4, 4, 70, 33, 7}, 37}, {blockSize{3, 9, 7, 64, 32, 4}, 40},
	} {
		b, whole, dy := s.random()
		b.Shortcut.W, b.Shortcut.B = random(9, s.cin, 3), random(10, 3)
		ds := random(11, s.n, s.h, s.w, 3)
		x, join := undefined(s.n, s.h, s.w, s.first), undefined(s.n, s.h, s.w, s.cin-s.first)
		tensor.ConcatGrad(x, false, join, false, whole, s.first)
		for _, m := range methods {
			b.Method = m.method
			run := func(x, join Tensor, over bool) (stats, y, shortcut Tensor, g tensor.BlockGrad) {
				stats, y, shortcut = undefined(b.StatsShape(s.n)...), undefined(dy.Shape...), undefined(ds.Shape...)
				b := b
				b.Join, b.Shortcut.S = join, shortcut
				tensor.NormSiLUConv(y, stats, x, b, nil)
				b.Shortcut.S = ds
				g = tensor.BlockGrad{
					X: undefined(x.Shape...), Gamma: tensor.New(s.cin), Beta: tensor.New(s.cin), W: tensor.New(b.W.Shape...),
					B: tensor.New(s.cout), PerImage: tensor.New(s.n, s.cout),
					ShortcutW: tensor.New(s.cin, 3), ShortcutB: tensor.New(3),
				}
				if !join.Empty() {
					g.Join = undefined(join.Shape...)
				}
				if over {
					g.X, g.Join = x, join
				}
				tensor.NormSiLUConvGrad(g, stats, x, dy, b, nil)
				return stats, y, shortcut, g
			}
			stats, y, shortcut, g := run(whole, Tensor{}, false)
			stats2, y2, shortcut2, g2 := run(x, join, false)
			_, _, _, g3 := run(x.Clone(), join.Clone(), true)
			dx := undefined(whole.Shape...)
			tensor.Concat(dx, g2.X, g2.Join)
			for _, pair := range []struct {
				name      string
				got, want Tensor
			}{
				{"stats", stats2, stats}, {"y", y2, y}, {"shortcut", shortcut2, shortcut}, {"dx", dx, g.X},
				{"dgamma", g2.Gamma, g.Gamma}, {"dbeta", g2.Beta, g.Beta}, {"dw", g2.W, g.W}, {"db", g2.B, g.B},
				{"dPerImage", g2.PerImage, g.PerImage}, {"dShortcutW", g2.ShortcutW, g.ShortcutW}, {"dShortcutB", g2.ShortcutB, g.ShortcutB},
				{"dx over x", g3.X, g2.X}, {"dJoin over Join", g3.Join, g2.Join}, {"dw, dx over x", g3.W, g2.W},
				{"dShortcutW, dx over x", g3.ShortcutW, g2.ShortcutW}, {"dgamma, dx over x", g3.Gamma, g2.Gamma},
			} {
				identical(t, fmt.Sprintf("%+v, %s: %s", s, m.name, pair.name), pair.got.Data, pair.want.Data)
			}
			b := b
			b.Shortcut.S = ds
			sum := tensor.BlockGrad{X: dx.Clone(), AddX: true}
			tensor.NormSiLUConvGrad(sum, stats, whole, dy, b, nil)
			b.Join = join
			only := tensor.BlockGrad{Join: g2.Join.Clone(), AddJoin: true}
			tensor.NormSiLUConvGrad(only, stats, x, dy, b, nil)
			want := undefined(join.Shape...)
			tensor.ConcatGrad(Tensor{}, false, want, false, sum.X, s.first)
			identical(t, fmt.Sprintf("%+v, %s: gradient of Join, added to", s, m.name), only.Join.Data, want.Data)
		}
	}
}
