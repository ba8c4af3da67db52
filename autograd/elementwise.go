package autograd

import "ddpm/tensor"

// Add returns a + b, of one shape.
func (t *Tape) Add(a, b *Var) *Var {
	y := t.Temp(a.Shape...)
	tensor.Add(y.Tensor, a.Tensor, b.Tensor)
	return t.record(y, func() {
		db, add := t.grad(b)
		tensor.Accumulate(db, add, y.Grad)
		t.pass(a, y)
	}, a, b)
}

// Scale returns s·x.
func (t *Tape) Scale(x *Var, s float64) *Var {
	y := t.Temp(x.Shape...)
	tensor.Scale(y.Tensor, x.Tensor, float32(s))
	return t.record(y, func() { tensor.ScaleGrad(t.sum(x), y.Grad, float32(s)) }, x)
}

// SiLU returns x·σ(x); see tensor.SiLU.
func (t *Tape) SiLU(x *Var) *Var {
	y := t.Temp(x.Shape...)
	tensor.SiLU(y.Tensor, x.Tensor)
	t.keep(x)
	return t.record(y, func() { tensor.SiLUGrad(t.sum(x), x.Tensor, y.Grad) }, x)
}

// AddPerImage returns x + e with e [N C] added to every pixel of x [N H W C].
func (t *Tape) AddPerImage(x, e *Var) *Var {
	y := t.Temp(x.Shape...)
	tensor.AddPerImage(y.Tensor, x.Tensor, e.Tensor)
	return t.record(y, func() {
		tensor.AddPerImageGrad(t.sum(e), y.Grad)
		t.pass(x, y)
	}, x, e)
}

// ScaleShift returns x·(1+s) + b with e = [s b] [N 2C] per image and channel; see tensor.ScaleShift.
func (t *Tape) ScaleShift(x, e *Var) *Var {
	y := t.Temp(x.Shape...)
	tensor.ScaleShift(y.Tensor, x.Tensor, e.Tensor)
	t.keep(x, e)
	return t.record(y, func() {
		tensor.ScaleShiftGrad(t.sum(x), t.sum(e), x.Tensor, e.Tensor, y.Grad)
	}, x, e)
}

// Dropout returns x with the elements of the mask dropped; see tensor.Dropout. With probability 0 it is x itself.
func (t *Tape) Dropout(x *Var, m tensor.Mask) *Var {
	if m.P == 0 {
		return x
	}
	y := t.Temp(x.Shape...)
	tensor.Dropout(y.Tensor, x.Tensor, m)
	return t.record(y, func() { tensor.DropoutGrad(t.sum(x), y.Grad, m) }, x)
}
