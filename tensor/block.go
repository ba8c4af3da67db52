package tensor

import (
	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// Block is the operation a U-Net repeats, norm → SiLU → convolution, as one:
//
//	y = Conv2D(SiLU(GroupNorm(x)), W) + B + PerImage + Residual
//
// Per image, x is read once, normalised and activated into a zero-bordered image that stays in the cache, and
// convolved from there. Nothing in between is kept: the gradient computes the activation again from x and the saved
// statistics, which is less traffic than reading it back would be, and a third of the memory.
type Block struct {
	Norm
	W        Tensor // [3 3 Cin Cout]
	B        Tensor // [Cout] or empty
	PerImage Tensor // [N Cout] or empty: the time embedding
	Residual Tensor // [N H W Cout] or empty
	Method   Method
}

func (b Block) window() Window {
	v := Same3
	v.Method = b.Method
	return v
}

// dims checks the shapes of a block and returns the convolution's sizes.
func (b Block) dims(op string, y, stats, x Tensor) convDims {
	d := b.window().dims(op, y, x, b.W)
	b.Norm.check(op, d.cin)
	checkShape(op, b.W, 3, 3, d.cin, d.cout)
	checkShape(op, stats, b.StatsShape(d.n)...)
	checkOptional(op, b.B, d.cout)
	checkOptional(op, b.PerImage, d.n, d.cout)
	checkOptional(op, b.Residual, y.Shape...)
	return d
}

// NormSiLUConv computes y, and the norm's statistics for the gradient. x [N H W Cin], y [N H W Cout],
// stats [N Groups 2]. packs may be nil.
func NormSiLUConv(y, stats, x Tensor, b Block, packs *Packs) {
	d := b.dims("NormSiLUConv", y, stats, x)
	s := source{x: x, act: true, scale: takeWork(d.n * d.cin), shift: takeWork(d.n * d.cin)}
	size := perImage(x)
	par.For(d.n, func(i int, mem *par.Scratch) {
		st := b.stats(stats, i)
		b.measure(st, x.Data[i*size:][:size], mem)
		b.affineInto(s.scale[i*d.cin:][:d.cin], s.shift[i*d.cin:][:d.cin], st)
	})
	d.conv(y, s, b.W, epilogue{b.B, b.PerImage, b.Residual}, packs)
	giveWork(s.scale)
	giveWork(s.shift)
}

// BlockGrad names the gradients of a Block that are wanted; each may be empty. Those of the residual is dy itself.
type BlockGrad struct {
	X           Tensor
	AddX        bool // add to X instead of overwriting it
	Gamma, Beta Tensor
	W, B        Tensor
	PerImage    Tensor
}

func (g BlockGrad) check(d convDims) {
	checkOptional("NormSiLUConvGrad: X", g.X, d.n, d.h, d.w, d.cin)
	checkOptional("NormSiLUConvGrad: Gamma", g.Gamma, d.cin)
	checkOptional("NormSiLUConvGrad: Beta", g.Beta, d.cin)
	checkOptional("NormSiLUConvGrad: W", g.W, 3, 3, d.cin, d.cout)
	checkOptional("NormSiLUConvGrad: B", g.B, d.cout)
	checkOptional("NormSiLUConvGrad: PerImage", g.PerImage, d.n, d.cout)
}

// NormSiLUConvGrad adds the gradients of NormSiLUConv. packs may be nil.
func NormSiLUConvGrad(dst BlockGrad, stats, x, dy Tensor, b Block, packs *Packs) {
	d := b.dims("NormSiLUConvGrad", dy, stats, x)
	dst.check(d)
	s := source{x: x, act: true, scale: takeWork(d.n * d.cin), shift: takeWork(d.n * d.cin)}
	par.For(d.n, func(i int, _ *par.Scratch) {
		b.affineInto(s.scale[i*d.cin:][:d.cin], s.shift[i*d.cin:][:d.cin], b.stats(stats, i))
	})
	sums := takeWork(2 * d.n * d.cin)
	clear(sums)
	b.channelGrads(dst, dy)
	if f := d.winograd(); f != nil {
		b.winogradGrad(f, dst, &s, stats, dy, sums, packs)
	} else {
		if !dst.W.Empty() {
			d.directWeightGrad(dst.W, &s, dy)
		}
		b.directNormGrad(dst, &s, stats, dy, sums, packs)
	}
	b.paramGrads(dst.Gamma, dst.Beta, stats, sums)
	giveWork(sums)
	giveWork(s.scale)
	giveWork(s.shift)
}

// channelGrads adds dPerImage[n c] += Σ over pixels of dy, and dB the sum of that over images.
func (b Block) channelGrads(dst BlockGrad, dy Tensor) {
	n, c := dy.Shape[0], dy.Shape[3]
	size := perImage(dy)
	part := takeWork(n * c)
	clear(part)
	par.For(n, func(i int, _ *par.Scratch) { simd.ChannelSums(part[i*c:][:c], dy.Data[i*size:][:size]) })
	if !dst.PerImage.Empty() {
		simd.Axpy(dst.PerImage.Data, 1, part)
	}
	for i := 0; i < n && !dst.B.Empty(); i++ {
		simd.Axpy(dst.B.Data, 1, part[i*c:][:c])
	}
	giveWork(part)
}

// winogradGrad adds the weight gradient, and carries dy back through convolution, activation and norm.
func (b Block) winogradGrad(f *winograd, dst BlockGrad, s *source, stats, dy Tensor, sums []float32, packs *Packs) {
	n, h, w, cin := s.x.Dims4()
	t := f.tiling(n, h, w, dy.Shape[3], cin) // of the input gradient: a convolution of dy
	u, done := f.packedGrad(b.W, packs)
	defer done()
	size := h * w * cin
	grads := source{x: dy}
	back := func(n0, n1 int, mem *par.Scratch) {
		da := mem.Floats((n1 - n0) * size)
		t.run(tiledPiece{n0, n1, 0, t.th, 0, t.panels()}, &grads, u, mem, func(k int) target {
			return target{y: da[(k-n0)*size:][:size]}
		})
		for k := n0; k < n1; k++ {
			mem.Within(func() { b.imageGrad(dst, s, stats, da[(k-n0)*size:][:size], k, sums, mem) })
		}
	}
	if dst.W.Empty() {
		t.eachGroup(back)
		return
	}
	f.addWeightGrad(dst.W, s, dy, back)
}

// directNormGrad carries dy back with the direct form: the gradient of the activation goes through memory.
func (b Block) directNormGrad(dst BlockGrad, s *source, stats, dy Tensor, sums []float32, packs *Packs) {
	d := b.window().dims("NormSiLUConvGrad", dy, s.x, b.W)
	size := perImage(s.x)
	da := Tensor{Data: takeWork(len(s.x.Data)), Shape: s.x.Shape}
	d.directInputGrad(da, false, b.W, dy, packs)
	par.For(d.n, func(i int, mem *par.Scratch) {
		b.imageGrad(dst, s, stats, da.Data[i*size:][:size], i, sums, mem)
	})
	giveWork(da.Data)
}

// imageGrad carries da, the gradient of image i's activation, back through SiLU and norm. It overwrites da.
func (b Block) imageGrad(dst BlockGrad, s *source, stats Tensor, da []float32, i int, sums []float32, mem *par.Scratch) {
	c := s.x.Shape[3]
	x := s.x.Data[i*len(da):][:len(da)]
	sum := channelSums{sums[2*i*c:][:c], sums[(2*i+1)*c:][:c]}
	simd.NormSiLUGrad(da, x, da, s.scale[i*c:][:c], s.shift[i*c:][:c], sum.du, sum.dux)
	b.backward(dst.X, dst.AddX, i, da, x, b.stats(stats, i), sum, mem)
}
