package tensor

import (
	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// Block is the operation a U-Net repeats, norm → SiLU → convolution, as one:
//
//	y = Conv2D(SiLU(GroupNorm(x)), W) + B + PerImage + Residual
//
// and with it, for a block whose residual connection changes the number of channels, Shortcut.S = Linear(x). With Join
// the input is Concat(x, Join), which is never stored: the decoder's blocks read what comes from below and what the
// encoder left.
//
// Per image, x is read once, normalised and activated into a zero-bordered image that stays in the cache, and
// convolved from there. Nothing in between is kept: the gradient computes the activation again from x and the saved
// statistics, which is less traffic than reading it back would be, and a third of the memory.
type Block struct {
	Norm
	Join     Tensor // [N H W Cj] or empty: the last of the Cin channels
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
	n, h, w, c := (&source{x: x, join: b.Join}).dims()
	d := b.window().sizes(op, y, b.W, n, h, w, c)
	if !b.Join.Empty() {
		checkShape(op, b.Join, n, h, w, c-x.Shape[3])
	}
	b.Norm.check(op, d.cin)
	checkShape(op, b.W, 3, 3, d.cin, d.cout)
	checkShape(op, stats, b.StatsShape(d.n)...)
	checkOptional(op, b.B, d.cout)
	checkOptional(op, b.PerImage, d.n, d.cout)
	checkOptional(op, b.Residual, y.Shape...)
	if c := b.Shortcut; !c.W.Empty() {
		_, cs := c.W.Dims2()
		checkShape(op, c.W, d.cin, cs)
		checkShape(op, c.S, n, h, w, cs)
		checkOptional(op, c.B, cs)
	}
	return d
}

// NormSiLUConv computes y and Shortcut.S, and the norm's statistics for the gradient. x [N H W Cin], y [N H W Cout],
// stats of StatsShape. packs may be nil.
func NormSiLUConv(y, stats, x Tensor, b Block, packs *Packs) {
	d := b.dims("NormSiLUConv", y, stats, x)
	c := blockCalls.take(blockCall{Block: b, d: d})
	c.s = source{x: x, join: b.Join, act: true, stats: stats, groups: b.Groups, prepare: c.prepare}
	if w := b.Shortcut.W; !w.Empty() {
		c.short = packs.packed(w, panels, panelSize(d.cin, w.Shape[1]), func(p []float32) { packPanels(p, w.Data, d.cin, w.Shape[1]) })
		defer c.short.done()
	}
	d.conv(y, &c.s, b.W, epilogue{b.B, b.PerImage, b.Residual}, packs)
	blockCalls.give(c)
}

// blockCall is one call of NormSiLUConv.
type blockCall struct {
	Block
	d     convDims
	s     source
	short packed // the shortcut's weights
}

var blockCalls frames[blockCall]

// prepare measures image i's norm and computes its shortcut.
func (c *blockCall) prepare(i int, mem *par.Scratch) {
	c.measure(c.s.stats, i, imageOf(c.s.x, i), imageOf(c.s.join, i), mem)
	if c.Shortcut.W.Empty() {
		return
	}
	s, pixels, ca, cs := imageOf(c.Shortcut.S, i), c.d.h*c.d.w, c.s.x.Shape[3], c.Shortcut.W.Shape[1]
	addRows(s, cs, imageOf(c.s.x, i), c.short.data, pixels, ca, c.d.cin, cs, c.Shortcut.B.Data, false)
	if cb := c.d.cin - ca; cb > 0 {
		addRows(s, cs, imageOf(c.s.join, i), c.short.data[ca*panelWidth:], pixels, cb, c.d.cin, cs, nil, true)
	}
}

// BlockGrad names the gradients of a Block that are wanted; each may be empty. Those of the residual is dy itself.
type BlockGrad struct {
	X           Tensor
	AddX        bool // add to X instead of overwriting it
	Join        Tensor
	AddJoin     bool
	Gamma, Beta Tensor
	W, B        Tensor
	AddW        bool // add to W instead of overwriting it
	PerImage    Tensor

	ShortcutW, ShortcutB Tensor

	Turn *Turn // to add to the gradients of parameters; may be nil
}

func (g BlockGrad) check(d convDims, x, join Tensor, c Shortcut) {
	checkOptional("NormSiLUConvGrad: X", g.X, x.Shape...)
	checkOptional("NormSiLUConvGrad: Join", g.Join, join.Shape...)
	checkOptional("NormSiLUConvGrad: Gamma", g.Gamma, d.cin)
	checkOptional("NormSiLUConvGrad: Beta", g.Beta, d.cin)
	checkOptional("NormSiLUConvGrad: W", g.W, 3, 3, d.cin, d.cout)
	checkOptional("NormSiLUConvGrad: B", g.B, d.cout)
	checkOptional("NormSiLUConvGrad: PerImage", g.PerImage, d.n, d.cout)
	checkOptional("NormSiLUConvGrad: ShortcutW", g.ShortcutW, c.W.Shape...)
	checkOptional("NormSiLUConvGrad: ShortcutB", g.ShortcutB, c.W.Shape[min(1, len(c.W.Shape)):]...)
}

// NormSiLUConvGrad adds the gradients of NormSiLUConv. Those of x and b.Join, if they are overwritten, may take their place.
// packs may be nil.
func NormSiLUConvGrad(dst BlockGrad, stats, x, dy Tensor, b Block, packs *Packs) {
	d := b.dims("NormSiLUConvGrad", dy, stats, x)
	dst.check(d, x, b.Join, b.Shortcut)
	g := blockGrads.take(blockGrad{Block: b, dst: dst, d: d, dy: dy, sums: takeWork(2 * d.n * d.cin), dyBySum: takeWork(d.n * d.cout)})
	g.s = source{x: x, join: b.Join, act: true, stats: stats, groups: b.Groups}
	g.joined = [2]blockInput{
		{x: x, dx: dst.X, add: dst.AddX, to: x.Shape[3]},
		{x: b.Join, dx: dst.Join, add: dst.AddJoin, from: x.Shape[3], to: d.cin},
	}
	if f := d.winograd(); f != nil {
		g.winograd(f, packs)
	} else {
		g.direct(packs)
	}
	for _, p := range g.inputs() {
		p.short.done()
	}
	paramGrads(dst.Gamma, dst.Beta, g.sums, dst.Turn)
	g.channelGrads()
	giveWork(g.sums)
	giveWork(g.dyBySum)
	blockGrads.give(g)
}

// blockGrad is one call of NormSiLUConvGrad.
type blockGrad struct {
	Block
	dst     BlockGrad
	d       convDims
	s       source
	dy      Tensor
	joined  [2]blockInput // see inputs
	sums    []float32     // [2 N C], see channelSumsOf
	dyBySum []float32     // [N Cout] sums over pixels of dy
}

var blockGrads frames[blockGrad]

// channelGrads adds dPerImage[n c] += Σ over pixels of dy, and dB the sum of that over images, in order.
func (g *blockGrad) channelGrads() {
	if !g.dst.PerImage.Empty() {
		simd.Axpy(g.dst.PerImage.Data, 1, g.dyBySum)
	}
	if !g.dst.B.Empty() {
		addInTurn(g.dst.B.Data, g.dyBySum, g.dst.Turn)
	}
}

// winograd adds the weight gradients, and carries dy back through convolution, activation and norm, a group of images
// at a time.
func (g *blockGrad) winograd(f *winograd, packs *Packs) {
	k := kernels{f: f, w: g.W, grad: true}
	u := k.transformed(packs)
	g.shortcut(packs)
	f.addWeightGrad(g.dst.W, !g.dst.AddW, &g.s, g.dy, g.dyBySum, back{
		u: u, then: [2]Tensor{g.dst.X, g.dst.Join}, do: g.images, unit: g.unit(),
	}, g.dst.Turn)
	u.done()
}

// direct is winograd for the direct form: the gradient of the activation goes through memory.
func (g *blockGrad) direct(packs *Packs) {
	imageSums(g.dyBySum, g.dy)
	if !g.dst.AddW {
		clear(g.dst.W.Data)
	}
	if !g.dst.W.Empty() {
		g.d.directWeightGrad(g.dst.W, &g.s, g.dy, g.dst.Turn)
	}
	g.shortcut(packs)
	size := g.d.h * g.d.w * g.d.cin
	da := Tensor{Data: takeWork(g.d.n * size), Shape: []int{g.d.n, g.d.h, g.d.w, g.d.cin}}
	g.d.directInputGrad(da, false, g.W, g.dy, packs)
	par.For(g.d.n, func(i int, mem *par.Scratch) {
		g.images(region{i, i + 1, 0, g.d.cin}, da.Data[i*size:][:size], mem)
	})
	giveWork(da.Data)
}

// unit returns the least number of channels whose gradient can be computed without the others': those of whole groups of
// the norm and whole panels of weights, of which the shortcut's begin anew with each input; all if a panel would have
// channels of both.
func (g *blockGrad) unit() int {
	if g.joined[0].to%panelWidth != 0 {
		return g.d.cin
	}
	group := g.d.cin / g.Groups
	unit := group
	for unit%panelWidth != 0 {
		unit += group
	}
	return unit
}

// images carries da, the gradient of the activation for a part of the input, back through SiLU and norm to the block's
// inputs, with the shortcut's share. It overwrites da.
func (g *blockGrad) images(r region, da []float32, mem *par.Scratch) {
	size := g.d.h * g.d.w * (r.c1 - r.c0)
	for n := r.n0; n < r.n1; n++ {
		mem.Within(func() { g.image(da[(n-r.n0)*size:][:size], n, r.c0, r.c1, mem) })
	}
}

// image is images for channels c0…c1 of image i.
func (g *blockGrad) image(da []float32, i, c0, c1 int, mem *par.Scratch) {
	c, pixels := c1-c0, g.d.h*g.d.w
	sum := channelSumsOf(g.sums, g.d.cin, i, c0, c1)
	scale, shift := g.s.norm(i)
	for _, p := range g.inputs() {
		if lo, hi := p.within(c0, c1); lo < hi {
			simd.NormSiLUGrad(da[lo-c0:], c, imageOf(p.x, i)[lo-p.from:], p.to-p.from, pixels, scale[lo:hi], shift[lo:hi], sum.du[lo-c0:hi-c0], sum.dux[lo-c0:hi-c0])
		}
	}
	ka, kb, kc := g.gradFactors(imageOf(g.s.stats, i), sum, c0, pixels, mem)
	for _, p := range g.inputs() {
		lo, hi := p.within(c0, c1)
		if p.dx.Empty() || lo >= hi {
			continue
		}
		all, dx := p.to-p.from, imageOf(p.dx, i)[lo-p.from:]
		simd.Affine3(dx, all, da[lo-c0:], c, imageOf(p.x, i)[lo-p.from:], all, pixels, ka[lo-c0:hi-c0], kb[lo-c0:hi-c0], kc[lo-c0:hi-c0], p.add)
		if p.short.data != nil {
			out := g.Shortcut.W.Shape[1]
			addRows(dx, all, imageOf(g.Shortcut.S, i), p.short.data[(lo-p.from)*out:], pixels, out, out, hi-lo, nil, true)
		}
	}
}

// blockInput is one of the tensors that a block's input is joined of: channels from…to.
type blockInput struct {
	x, dx    Tensor
	add      bool // to dx
	from, to int
	short    packed // the shortcut's weights for its input gradient
}

// within returns those of channels c0…c1 that p has.
func (p *blockInput) within(c0, c1 int) (lo, hi int) { return max(p.from, c0), min(p.to, c1) }

// inputs returns what the input is joined of: one tensor, or two.
func (g *blockGrad) inputs() []blockInput {
	if g.Join.Empty() {
		return g.joined[:1]
	}
	return g.joined[:]
}

// shortcut adds the shortcut's weight gradients and packs its weights for its input gradient.
func (g *blockGrad) shortcut(packs *Packs) {
	c := g.Shortcut
	if c.W.Empty() {
		return
	}
	out, bias := c.W.Shape[1], g.dst.ShortcutB
	for i := range g.inputs() {
		p := &g.joined[i]
		w := rowsOf(c.W, p.from, p.to)
		LinearGrad(Tensor{}, false, rowsOf(g.dst.ShortcutW, p.from, p.to), bias, p.x, w, c.S, nil, g.dst.Turn)
		bias = Tensor{} // is added once
		if !p.dx.Empty() {
			p.short = packs.packed(w, panelsGrad, panelSize(out, p.to-p.from), func(to []float32) { packTransposed(to, out, w.Data, p.to-p.from, out) })
		}
	}
}

// rowsOf returns rows r0…r1 of a matrix, which may be empty.
func rowsOf(w Tensor, r0, r1 int) Tensor {
	if w.Empty() {
		return w
	}
	cols := w.Shape[1]
	return From(w.Data[r0*cols:r1*cols], r1-r0, cols)
}
