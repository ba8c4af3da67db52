package autograd

import "ddpm/tensor"

// Norm is a group normalisation with its parameters; see tensor.Norm.
type Norm struct {
	Gamma, Beta *Var // [C]
	Groups      int
	Eps         float64
}

func (m Norm) values() tensor.Norm {
	return tensor.Norm{Gamma: m.Gamma.Tensor, Beta: m.Beta.Tensor, Groups: m.Groups, Eps: m.Eps}
}

// GroupNorm returns the normalised x; see tensor.GroupNorm.
func (t *Tape) GroupNorm(x *Var, m Norm) *Var {
	y := t.Temp(x.Shape...)
	stats := t.Temp(m.values().StatsShape(x.Shape[0])...)
	y.again = func() { tensor.GroupNorm(y.Tensor, stats.Tensor, x.Tensor, m.values()) }
	y.again()
	t.keep(x, stats, m.Gamma)
	t.Release(stats)
	return t.record(y, func() {
		dx, add := t.grad(x)
		tensor.GroupNormGrad(dx, add, t.sumInTurn(m.Gamma), t.sumInTurn(m.Beta), stats.Tensor, x.Tensor, y.Grad, m.values(), t.turn)
		t.free(&stats.Tensor)
	}, x, m.Gamma, m.Beta)
}

// Block is norm → SiLU → 3×3 convolution as one operation; see tensor.Block. Join, B, PerImage and Residual may be nil.
type Block struct {
	Norm
	Join               *Var
	W, B               *Var
	PerImage, Residual *Var
	Spent              bool // the residual is not used again: the result may take its memory
	Method             tensor.Method
}

func (b Block) values() tensor.Block {
	return tensor.Block{
		Norm: b.Norm.values(), Join: value(b.Join), W: b.W.Tensor, B: value(b.B),
		PerImage: value(b.PerImage), Residual: value(b.Residual), Method: b.Method,
	}
}

// NormSiLUConv returns Residual + conv3×3(SiLU(GroupNorm(x))) + B + PerImage; for x read Concat(x, Join).
func (t *Tape) NormSiLUConv(x *Var, b Block) *Var {
	y, _ := t.block(x, b, nil, nil)
	return y
}

// NormSiLUConvShortcut is NormSiLUConv with a second result, s = Linear(x, w, bias), which is computed with it while x
// is in the cache. Both results must lead to the loss.
func (t *Tape) NormSiLUConvShortcut(x *Var, b Block, w, bias *Var) (y, s *Var) {
	return t.block(x, b, w, bias)
}

func (t *Tape) block(x *Var, b Block, w, bias *Var) (y, s *Var) {
	n, h, wd, _ := x.Dims4()
	v := b.values()
	if b.Spent {
		y = t.over(b.Residual)
	} else {
		y = t.Temp(n, h, wd, b.W.Shape[3])
	}
	stats := t.Temp(b.Norm.values().StatsShape(n)...)
	t.MACs += len(y.Data) * len(b.W.Data) / b.W.Shape[3]
	if w != nil {
		s = t.Temp(n, h, wd, w.Shape[1])
		t.MACs += len(s.Data) * w.Shape[0]
		v.Shortcut = tensor.Shortcut{W: w.Tensor, B: value(bias), S: s.Tensor}
	}
	tensor.NormSiLUConv(y.Tensor, stats.Tensor, x.Tensor, v, t.packsOf(b.W))
	t.keep(x, b.Join, stats, b.Gamma, b.Beta, b.W, w)
	t.Release(stats)
	t.record(y, func() { t.blockGrad(x, y, s, stats, b, w, bias) }, x, b.Join, b.Gamma, b.Beta, b.W, b.B, b.PerImage, b.Residual, w, bias)
	if s != nil {
		s.result = y.result
	}
	return y, s
}

func (t *Tape) blockGrad(x, y, s, stats *Var, b Block, w, bias *Var) {
	if s != nil {
		t.free(&s.Tensor)
	}
	v := b.values()
	from, dx, add := t.gradOver(x)
	dst := tensor.BlockGrad{
		X: dx, AddX: add,
		Gamma: t.sumInTurn(b.Gamma), Beta: t.sumInTurn(b.Beta),
		B: t.sumInTurn(b.B), PerImage: t.sum(b.PerImage),
		Turn: t.turn,
	}
	dst.W, dst.AddW = t.gradInTurn(b.W)
	dst.Join, dst.AddJoin = t.grad(b.Join)
	if s != nil {
		if s.Grad.Empty() {
			panic("autograd: Backward: got a NormSiLUConvShortcut whose second result does not lead to the loss, want both to")
		}
		v.Shortcut = tensor.Shortcut{W: w.Tensor, B: value(bias), S: s.Grad}
		dst.ShortcutW, dst.ShortcutB = t.sumInTurn(w), t.sumInTurn(bias)
	}
	tensor.NormSiLUConvGrad(dst, stats.Tensor, from, y.Grad, v, t.packsOf(b.W))
	t.pass(b.Residual, y)
	t.free(&stats.Tensor)
	if s != nil {
		t.free(&s.Grad)
	}
}
