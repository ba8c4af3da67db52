package tensor

import (
	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// Block is the operation a U-Net repeats, norm → SiLU → convolution, as one:
//
//	y = Conv2D(SiLU(GroupNorm(x)), W) + B + PerImage + Residual
//
// and with it, for a block whose residual connection changes the number of channels, Shortcut.S = Linear(x).
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
	Shortcut Shortcut
	Method   Method
}

// Shortcut is a 1×1 convolution S = x·W + B of a block's input, computed while that is in the cache.
type Shortcut struct {
	W Tensor // [Cin Cs]; empty for no shortcut
	B Tensor // [Cs] or empty
	S Tensor // [N H W Cs]: the result, or for the gradient dS
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
	if c := b.Shortcut; !c.W.Empty() {
		linearDims(op, c.S, x, c.W, c.B)
	}
	return d
}

// NormSiLUConv computes y and Shortcut.S, and the norm's statistics for the gradient. x [N H W Cin], y [N H W Cout],
// stats [N Groups 2]. packs may be nil.
func NormSiLUConv(y, stats, x Tensor, b Block, packs *Packs) {
	d := b.dims("NormSiLUConv", y, stats, x)
	c := blockCalls.take(blockCall{Block: b, d: d, stats: stats})
	c.s = source{x: x, act: true, scale: takeWork(d.n * d.cin), shift: takeWork(d.n * d.cin), prepare: c.prepare}
	if w := b.Shortcut.W; !w.Empty() {
		c.short = packs.packed(w, panels, panelSize(d.cin, w.Shape[1]), func(p []float32) { packPanels(p, w.Data, d.cin, w.Shape[1]) })
		defer c.short.done()
		c.s.also = c.shortcut
	}
	d.conv(y, &c.s, b.W, epilogue{b.B, b.PerImage, b.Residual}, packs)
	giveWork(c.s.scale)
	giveWork(c.s.shift)
	blockCalls.give(c)
}

// blockCall is one call of NormSiLUConv.
type blockCall struct {
	Block
	d     convDims
	s     source
	stats Tensor
	short packed // the shortcut's weights
}

var blockCalls frames[blockCall]

// prepare measures image i's norm.
func (c *blockCall) prepare(i int, mem *par.Scratch) {
	size, cin := perImage(c.s.x), c.d.cin
	st := c.Block.stats(c.stats, i)
	c.measure(st, c.s.x.Data[i*size:][:size], mem)
	c.affineInto(c.s.scale[i*cin:][:cin], c.s.shift[i*cin:][:cin], st)
}

// shortcut computes Shortcut.S for images n0…n1.
func (c *blockCall) shortcut(n0, n1 int) {
	pixels, cin, cs := c.d.h*c.d.w, c.d.cin, c.Shortcut.W.Shape[1]
	to, from := c.Shortcut.S.Data[n0*pixels*cs:], c.s.x.Data[n0*pixels*cin:]
	addRows(to, from, c.short.data, (n1-n0)*pixels, cin, cs, c.Shortcut.B.Data, false)
}

// BlockGrad names the gradients of a Block that are wanted; each may be empty. Those of the residual is dy itself.
type BlockGrad struct {
	X           Tensor
	AddX        bool // add to X instead of overwriting it
	Gamma, Beta Tensor
	W, B        Tensor
	PerImage    Tensor

	ShortcutW, ShortcutB Tensor
}

func (g BlockGrad) check(d convDims, c Shortcut) {
	checkOptional("NormSiLUConvGrad: X", g.X, d.n, d.h, d.w, d.cin)
	checkOptional("NormSiLUConvGrad: Gamma", g.Gamma, d.cin)
	checkOptional("NormSiLUConvGrad: Beta", g.Beta, d.cin)
	checkOptional("NormSiLUConvGrad: W", g.W, 3, 3, d.cin, d.cout)
	checkOptional("NormSiLUConvGrad: B", g.B, d.cout)
	checkOptional("NormSiLUConvGrad: PerImage", g.PerImage, d.n, d.cout)
	checkOptional("NormSiLUConvGrad: ShortcutW", g.ShortcutW, c.W.Shape...)
	checkOptional("NormSiLUConvGrad: ShortcutB", g.ShortcutB, c.W.Shape[min(1, len(c.W.Shape)):]...)
}

// NormSiLUConvGrad adds the gradients of NormSiLUConv. packs may be nil.
func NormSiLUConvGrad(dst BlockGrad, stats, x, dy Tensor, b Block, packs *Packs) {
	d := b.dims("NormSiLUConvGrad", dy, stats, x)
	dst.check(d, b.Shortcut)
	g := blockGrads.take(blockGrad{Block: b, dst: dst, d: d, stats: stats, dy: dy, sums: takeWork(2 * d.n * d.cin), dyBySum: takeWork(d.n * d.cout)})
	g.s = source{x: x, act: true, scale: takeWork(d.n * d.cin), shift: takeWork(d.n * d.cin)}
	par.For(d.n, g.prepare)
	if f := d.winograd(); f != nil {
		g.winograd(f, packs)
	} else {
		g.direct(packs)
	}
	b.paramGrads(dst.Gamma, dst.Beta, stats, g.sums)
	g.channelGrads()
	giveWork(g.sums)
	giveWork(g.dyBySum)
	giveWork(g.s.scale)
	giveWork(g.s.shift)
	blockGrads.give(g)
}

// blockGrad is one call of NormSiLUConvGrad.
type blockGrad struct {
	Block
	dst     BlockGrad
	d       convDims
	s       source
	stats   Tensor
	dy      Tensor
	sums    []float32 // channelSums of every image
	dyBySum []float32 // [N Cout] sums over pixels of dy
	short   packed    // the shortcut's weights, if it has an input gradient

	// Of the input gradient in Winograd's form, a convolution of dy:
	t tiling
	u packed // the transformed kernels
}

var blockGrads frames[blockGrad]

// prepare makes image i's norm a scale and a shift again, and clears its sums.
func (g *blockGrad) prepare(i int, _ *par.Scratch) {
	cin, cout := g.d.cin, g.d.cout
	g.affineInto(g.s.scale[i*cin:][:cin], g.s.shift[i*cin:][:cin], g.Block.stats(g.stats, i))
	clear(g.sums[2*i*cin:][:2*cin])
	clear(g.dyBySum[i*cout:][:cout])
}

// channelGrads adds dPerImage[n c] += Σ over pixels of dy, and dB the sum of that over images, in order.
func (g *blockGrad) channelGrads() {
	if !g.dst.PerImage.Empty() {
		simd.Axpy(g.dst.PerImage.Data, 1, g.dyBySum)
	}
	for i := 0; i < g.d.n && !g.dst.B.Empty(); i++ {
		simd.Axpy(g.dst.B.Data, 1, g.dyBySum[i*g.d.cout:][:g.d.cout])
	}
}

// winograd adds the weight gradients, and carries dy back through convolution, activation and norm, a group of images
// at a time.
func (g *blockGrad) winograd(f *winograd, packs *Packs) {
	g.t = f.tiling(g.d.n, g.d.h, g.d.w, g.d.cout, g.d.cin)
	g.u = f.packedGrad(g.W, packs)
	g.shortcut(packs)
	f.addWeightGrad(g.dst.W, &g.s, g.dy, g.back)
	g.short.done()
	g.u.done()
}

// back carries dy of images n0…n1 back to the block's input.
func (g *blockGrad) back(n0, n1 int, mem *par.Scratch) {
	size := g.d.h * g.d.w * g.d.cin
	da := mem.Floats((n1 - n0) * size)
	g.t.run(tiledPiece{n0, n1, 0, g.t.th, 0, g.t.panels()}, &source{x: g.dy}, g.u.data, mem, func(k int) target {
		return target{y: da[(k-n0)*size:][:size]}
	})
	for k := n0; k < n1; k++ {
		mem.Within(func() { g.image(da[(k-n0)*size:][:size], k, mem) })
	}
	g.shortcutInput(n0, n1)
}

// direct is winograd for the direct form: the gradient of the activation goes through memory.
func (g *blockGrad) direct(packs *Packs) {
	if !g.dst.W.Empty() {
		g.d.directWeightGrad(g.dst.W, &g.s, g.dy)
	}
	g.shortcut(packs)
	size := perImage(g.s.x)
	da := Tensor{Data: takeWork(len(g.s.x.Data)), Shape: g.s.x.Shape}
	g.d.directInputGrad(da, false, g.W, g.dy, packs)
	par.For(g.d.n, func(i int, mem *par.Scratch) {
		g.image(da.Data[i*size:][:size], i, mem)
		g.shortcutInput(i, i+1)
	})
	g.short.done()
	giveWork(da.Data)
}

// image carries da, the gradient of image i's activation, back through SiLU and norm. It overwrites da.
func (g *blockGrad) image(da []float32, i int, mem *par.Scratch) {
	c := g.d.cin
	x := g.s.x.Data[i*len(da):][:len(da)]
	sum := channelSums{g.sums[2*i*c:][:c], g.sums[(2*i+1)*c:][:c]}
	simd.NormSiLUGrad(da, x, da, g.s.scale[i*c:][:c], g.s.shift[i*c:][:c], sum.du, sum.dux)
	g.backward(g.dst.X, g.dst.AddX, i, da, x, g.Block.stats(g.stats, i), sum, mem)
	size := perImage(g.dy)
	simd.ChannelSums(g.dyBySum[i*g.d.cout:][:g.d.cout], g.dy.Data[i*size:][:size])
}

// shortcut adds the shortcut's weight gradients and packs its weights for shortcutInput.
func (g *blockGrad) shortcut(packs *Packs) {
	w := g.Shortcut.W
	if w.Empty() {
		return
	}
	LinearGrad(Tensor{}, false, g.dst.ShortcutW, g.dst.ShortcutB, g.s.x, w, g.Shortcut.S, nil)
	if !g.dst.X.Empty() {
		in, out := w.Dims2()
		g.short = packs.packed(w, panelsGrad, panelSize(out, in), func(p []float32) { packTransposed(p, w.Data, in, out) })
	}
}

// shortcutInput adds the shortcut's input gradient, if there is one, to dX for images n0…n1.
func (g *blockGrad) shortcutInput(n0, n1 int) {
	if g.short.data == nil {
		return
	}
	in, out := g.Shortcut.W.Dims2()
	pixels := g.d.h * g.d.w
	addRows(g.dst.X.Data[n0*pixels*in:], g.Shortcut.S.Data[n0*pixels*out:], g.short.data, (n1-n0)*pixels, out, in, nil, true)
}
