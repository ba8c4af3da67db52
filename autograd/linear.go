package autograd

import "ddpm/tensor"

// Linear returns x·w + b for every row of x [… In], with w [In Out] and b [Out] or nil.
func (t *Tape) Linear(x, w, b *Var) *Var {
	last := len(x.Shape) - 1
	y := t.Temp(append(x.Shape[:last:last], w.Shape[1])...)
	t.MACs += len(y.Data) * w.Shape[0]
	tensor.Linear(y.Tensor, x.Tensor, w.Tensor, value(b), t.packsOf(w))
	return t.record(y, func() {
		dx, add := t.grad(x)
		tensor.LinearGrad(dx, add, t.sum(w), t.sum(b), x.Tensor, w.Tensor, y.Grad, t.packsOf(w))
	}, x, w, b)
}

// value returns the tensor of v, empty for nil.
func value(v *Var) tensor.Tensor {
	if v == nil {
		return tensor.Tensor{}
	}
	return v.Tensor
}
