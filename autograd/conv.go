package autograd

import "ddpm/tensor"

// Conv2D returns the convolution of x [N H W Cin] with w [KH KW Cin Cout] and b [Cout] or nil; see tensor.Conv2D.
func (t *Tape) Conv2D(x, w, b *Var, v tensor.Window) *Var {
	oh, ow := v.Out(x.Shape[1], x.Shape[2], w.Shape[0], w.Shape[1])
	y := t.Temp(x.Shape[0], oh, ow, w.Shape[3])
	t.MACs += len(y.Data) * len(w.Data) / w.Shape[3]
	tensor.Conv2D(y.Tensor, x.Tensor, w.Tensor, value(b), v, t.packsOf(w))
	t.keep(x, w)
	return t.record(y, func() {
		dx, add := t.grad(x)
		tensor.Conv2DGrad(dx, add, t.sumInTurn(w), t.sumInTurn(b), x.Tensor, w.Tensor, y.Grad, v, t.packsOf(w), t.turn)
	}, x, w, b)
}

// UpConv returns the 3×3 convolution of x enlarged two times; see tensor.UpConv.
func (t *Tape) UpConv(x, w, b *Var, m tensor.Method) *Var {
	n, h, wd, _ := x.Dims4()
	y := t.Temp(n, 2*h, 2*wd, w.Shape[3])
	t.MACs += len(y.Data) * len(w.Data) / w.Shape[3]
	tensor.UpConv(y.Tensor, x.Tensor, w.Tensor, value(b), m, t.packsOf(w))
	t.keep(x, w)
	return t.record(y, func() {
		dx, add := t.grad(x)
		tensor.UpConvGrad(dx, add, t.sumInTurn(w), t.sumInTurn(b), x.Tensor, w.Tensor, y.Grad, m, t.packsOf(w), t.turn)
	}, x, w, b)
}
