package layers

import (
	"ddpm/autograd"
	"ddpm/tensor"
)

// call is what one evaluation of the network hands to its blocks.
type call struct {
	*autograd.Tape
	temb   *autograd.Var // SiLU of the time embedding [N E]
	drop   tensor.Mask
	method tensor.Method
}

// linear is y = x·w + b.
type linear struct{ w, b *autograd.Var }

func newLinear(p *Params, in, out int, init Init) linear {
	return linear{p.New("weight", Matrix, init, in, out), p.New("bias", Plain, zeros, out)}
}

func (l linear) forward(c *call, x *autograd.Var) *autograd.Var { return c.Linear(x, l.w, l.b) }

// conv is a convolution with a square kernel.
type conv struct{ w, b *autograd.Var }

func newConv(p *Params, side, in, out int, init Init) conv {
	return conv{p.New("weight", Kernel, init, side, side, in, out), p.New("bias", Plain, zeros, out)}
}

func newNorm(p *Params, c, groups int, eps float64) autograd.Norm {
	return autograd.Norm{Gamma: p.New("weight", Plain, ones, c), Beta: p.New("bias", Plain, zeros, c), Groups: groups, Eps: eps}
}

// resnet is the residual block (Ho et al. 2020, appendix B), diffusers' ResnetBlock2D:
//
//	h = conv1(SiLU(norm1(x))) + time_emb_proj(SiLU(temb))
//	y = (shortcut(x) + conv2(dropout(SiLU(norm2(h))))) / scale
//
// With scaleShift the embedding gives a scale s and a shift b per channel instead, and norm2(h) becomes
// norm2(h)·(1+s) + b.
type resnet struct {
	norm1, norm2 autograd.Norm
	conv1, conv2 conv
	timeProj     linear
	shortcut     *linear // a 1×1 convolution where the number of channels changes
	scaleShift   bool
	dropSeed     uint64 // tells this block's dropout from the others'
	scale        float64
}

func newResnet(p *Params, cfg *Config, in, out int, scale float64) *resnet {
	r := &resnet{scaleShift: cfg.ResnetTimeScaleShift == "scale_shift", dropSeed: uint64(len(p.list)), scale: scale}
	projected := out
	if r.scaleShift {
		projected = 2 * out
	}
	r.norm1 = newNorm(p.In("norm1"), in, cfg.NormNumGroups, cfg.NormEps)
	r.conv1 = newConv(p.In("conv1"), 3, in, out, weights)
	r.timeProj = newLinear(p.In("time_emb_proj"), cfg.timeDim(), projected, weights)
	r.norm2 = newNorm(p.In("norm2"), out, cfg.NormNumGroups, cfg.NormEps)
	r.conv2 = newConv(p.In("conv2"), 3, out, out, nothing)
	if in != out {
		p := p.In("conv_shortcut")
		r.shortcut = &linear{p.New("weight", Pixel, weights, in, out), p.New("bias", Plain, zeros, out)}
	}
	return r
}

// forward returns y for x, or for Concat(x, join) where join is not nil; it then releases both as soon as it can.
func (r *resnet) forward(c *call, x, join *autograd.Var) *autograd.Var {
	if join != nil && r.shortcut == nil { // the residual is the joined input itself
		joined := c.Concat(x, join)
		c.Release(x, join)
		return replaced(c, joined, r.forward(c, joined, nil))
	}
	e := r.timeProj.forward(c, c.temb)
	first := autograd.Block{Norm: r.norm1, Join: join, W: r.conv1.w, B: r.conv1.b, Method: c.method}
	if !r.scaleShift {
		first.PerImage = e
	}
	h, skip := r.firstHalf(c, x, first)
	if join != nil {
		c.Release(x, join)
	}
	var y *autograd.Var
	if r.scaleShift || c.drop.P > 0 {
		y = r.secondHalf(c, h, e, skip)
	} else {
		y = c.NormSiLUConv(h, autograd.Block{Norm: r.norm2, W: r.conv2.w, B: r.conv2.b, Residual: skip, Spent: skip != x, Method: c.method})
	}
	c.Release(h, e)
	return rescaled(c, y, r.scale)
}

// firstHalf returns the block's first convolution and shortcut(x).
func (r *resnet) firstHalf(c *call, x *autograd.Var, first autograd.Block) (h, skip *autograd.Var) {
	if r.shortcut == nil {
		return c.NormSiLUConv(x, first), x
	}
	return c.NormSiLUConvShortcut(x, first, r.shortcut.w, r.shortcut.b)
}

// secondHalf is the block's second convolution where something stands between norm and SiLU, or SiLU and convolution.
func (r *resnet) secondHalf(c *call, h, e, skip *autograd.Var) *autograd.Var {
	a := c.GroupNorm(h, r.norm2)
	if r.scaleShift {
		a = replaced(c, a, c.ScaleShift(a, e))
	}
	a = replaced(c, a, c.SiLU(a))
	if c.drop.P > 0 {
		m := c.drop
		m.Seed += r.dropSeed << 32
		a = replaced(c, a, c.Dropout(a, m))
	}
	v := tensor.Same3
	v.Method = c.method
	a = replaced(c, a, c.Conv2D(a, r.conv2.w, r.conv2.b, v))
	y := replaced(c, a, c.Add(a, skip))
	if r.shortcut != nil {
		c.Release(skip)
	}
	return y
}

// replaced releases x and returns y, which takes its place.
func replaced(c *call, x, y *autograd.Var) *autograd.Var {
	c.Release(x)
	return y
}

// rescaled returns x/scale.
func rescaled(c *call, x *autograd.Var, scale float64) *autograd.Var {
	if scale == 1 {
		return x
	}
	return replaced(c, x, c.Scale(x, 1/scale))
}

// attention is the self-attention of an image's pixels with a residual connection, diffusers' Attention:
//
//	y = (x + to_out(attention(to_q(n), to_k(n), to_v(n)))) / scale,  n = group_norm(x)
type attention struct {
	norm       *autograd.Norm // none in the middle of a scale-shift network
	q, k, v, o linear
	heads      int
	whole      bool // one head of all channels
	scale      float64
}

func newAttention(p *Params, cfg *Config, c, groups int, scale float64) *attention {
	dim := c // of one head
	if cfg.AttentionHeadDim != nil {
		dim = *cfg.AttentionHeadDim
	}
	a := &attention{heads: c / dim, whole: dim == c, scale: scale}
	if groups > 0 {
		n := newNorm(p.In("group_norm"), c, groups, cfg.NormEps)
		a.norm = &n
	}
	inner := a.heads * dim
	a.q = newLinear(p.In("to_q"), c, inner, weights)
	a.k = newLinear(p.In("to_k"), c, inner, weights)
	a.v = newLinear(p.In("to_v"), c, inner, weights)
	a.o = newLinear(p.In("to_out.0"), inner, c, nothing)
	return a
}

func (a *attention) forward(c *call, x *autograd.Var) *autograd.Var {
	n := x
	if a.norm != nil {
		n = c.GroupNorm(x, *a.norm)
	}
	h := a.attend(c, n)
	if n != x {
		c.Drop(n)
	}
	return rescaled(c, replaced(c, h, a.project(c, h, x)), a.scale)
}

// attend returns what project turns into x + to_out(attention(to_q(n), to_k(n), to_v(n))). One head of all channels takes
// two linear maps of the pixels instead of four. With n [T C] an image's pixels, the scores are
//
//	(n·Wq + bq)·(n·Wk + bk)ᵀ = (n·Wq·Wkᵀ + bq·Wkᵀ)·nᵀ + terms that are the same for all keys
//
// and softmax does not see the latter, among them all that bk is part of. And as the rows of P, the softmax, sum to one,
//
//	P·(n·Wv + bv)·Wo + bo = (P·n·Wv + bv)·Wo + bo
//
// so n takes the place of keys and values, between a Pair of to_q and to_k and one of to_v and to_out.
func (a *attention) attend(c *call, n *autograd.Var) *autograd.Var {
	if a.whole {
		q := c.LinearPair(n, autograd.Pair{W1: a.q.w, B1: a.q.b, W2: a.k.w, Transposed: true})
		return replaced(c, q, c.Attention(q, n, n, 1))
	}
	q, k, v := a.q.forward(c, n), a.k.forward(c, n), a.v.forward(c, n)
	h := c.Attention(q, k, v, a.heads)
	c.Release(q, k, v)
	return h
}

// project adds what attend returned to x.
func (a *attention) project(c *call, h, x *autograd.Var) *autograd.Var {
	if a.whole {
		return c.LinearPair(h, autograd.Pair{W1: a.v.w, B1: a.v.b, W2: a.o.w, B2: a.o.b, Residual: x})
	}
	y := a.o.forward(c, h)
	return replaced(c, y, c.Add(y, x))
}
