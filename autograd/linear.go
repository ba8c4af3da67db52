package autograd

import "ddpm/tensor"

// Linear returns x·w + b for every row of x [… In], with w [In Out] and b [Out] or nil.
func (t *Tape) Linear(x, w, b *Var) *Var {
	last := len(x.Shape) - 1
	y := t.Temp(append(x.Shape[:last:last], w.Shape[1])...)
	t.MACs += len(y.Data) * w.Shape[0]
	tensor.Linear(y.Tensor, x.Tensor, w.Tensor, value(b), t.packsOf(w))
	t.keep(x, w)
	return t.record(y, func() {
		dx, add := t.grad(x)
		tensor.LinearGrad(dx, add, t.sumInTurn(w), t.sumInTurn(b), x.Tensor, w.Tensor, y.Grad, t.packsOf(w), t.turn)
	}, x, w, b)
}

// Pair is the operands of a LinearPair beside x: weights W1 and W2, and what may be nil, biases B1 and B2 and a residual.
// If Transposed is set, W2 takes part as its transpose.
type Pair struct {
	W1, B1, W2, B2 *Var
	Transposed     bool
	Residual       *Var
}

// LinearPair returns (x·W1 + B1)·W2 + B2 + Residual for every row of x [… In]; see tensor.Pair.
func (t *Tape) LinearPair(x *Var, p Pair) *Var {
	out := p.W2.Shape[1]
	if p.Transposed {
		out = p.W2.Shape[0]
	}
	last := len(x.Shape) - 1
	y := t.Temp(append(x.Shape[:last:last], out)...)
	t.MACs += len(x.Data) / x.Shape[last] * (len(p.W1.Data) + len(p.W2.Data))
	tensor.LinearPair(y.Tensor, x.Tensor, p.tensors(), t.packsOf(p.W1, p.W2))
	t.keep(x, p.W1, p.B1, p.W2)
	return t.record(y, func() {
		dx, add := t.grad(x)
		dst := tensor.PairGrad{W1: t.sumInTurn(p.W1), B1: t.sumInTurn(p.B1), W2: t.sumInTurn(p.W2), B2: t.sumInTurn(p.B2), Turn: t.turn}
		tensor.LinearPairGrad(dx, add, dst, x.Tensor, p.tensors(), y.Grad, t.packsOf(p.W1, p.W2))
		t.pass(p.Residual, y)
	}, x, p.W1, p.B1, p.W2, p.B2, p.Residual)
}

func (p Pair) tensors() tensor.Pair {
	return tensor.Pair{
		W1: p.W1.Tensor, B1: value(p.B1), W2: p.W2.Tensor, B2: value(p.B2), Transposed: p.Transposed, Residual: value(p.Residual),
	}
}

// value returns the tensor of v, empty for nil.
func value(v *Var) tensor.Tensor {
	if v == nil {
		return tensor.Tensor{}
	}
	return v.Tensor
}
