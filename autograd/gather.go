package autograd

import "ddpm/tensor"

// Concat joins the channels of a and b.
func (t *Tape) Concat(a, b *Var) *Var {
	last := len(a.Shape) - 1
	shape := append(a.Shape[:last:last], a.Shape[last]+b.Shape[last])
	y := t.Temp(shape...)
	tensor.Concat(y.Tensor, a.Tensor, b.Tensor)
	return t.record(y, func() {
		da, addA := t.grad(a)
		db, addB := t.grad(b)
		tensor.ConcatGrad(da, addA, db, addB, y.Grad, a.Shape[last])
	}, a, b)
}

// Upsample repeats every pixel of x in a 2×2 block.
func (t *Tape) Upsample(x *Var) *Var {
	n, h, w, c := x.Dims4()
	y := t.Temp(n, 2*h, 2*w, c)
	tensor.Upsample(y.Tensor, x.Tensor)
	return t.record(y, func() { tensor.UpsampleGrad(t.sum(x), y.Grad) }, x)
}

// Embed returns the rows of table [K C] with the given ids, [len(ids) C].
func (t *Tape) Embed(table *Var, ids []int) *Var {
	_, c := table.Dims2()
	y := t.Temp(len(ids), c)
	tensor.Embed(y.Tensor, table.Tensor, ids)
	return t.record(y, func() { tensor.EmbedGrad(t.sum(table), y.Grad, ids) }, table)
}
