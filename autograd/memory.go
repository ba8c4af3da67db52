package autograd

import (
	"fmt"
	"slices"

	"ddpm/tensor"
)

// The life of a result: where its memory comes from, who reads it, and when it is given back.

// Temp returns a constant of the given shape with undefined contents, whose memory belongs to the tape until Reset.
func (t *Tape) Temp(shape ...int) *Var {
	v := t.vars.take()
	v.tape, v.below = t, t.below
	v.Tensor = tensor.Tensor{Data: t.mem.take(tensor.Size(shape), v.below), Shape: slices.Clip(append(v.dims[:0], shape...))}
	return v
}

// over is Temp with the shape and, if nobody reads it any more, the memory of x, which is then empty.
func (t *Tape) over(x *Var) *Var {
	if x.kept > 0 || !t.mem.owns(x.Data) {
		return t.Temp(x.Shape...)
	}
	v := t.vars.take()
	v.tape, v.below = t, x.below
	v.Tensor = tensor.Tensor{Data: x.Data, Shape: slices.Clip(append(v.dims[:0], x.Shape...))}
	x.Data = nil
	return v
}

// Release says that the caller will not read vs again, nor use them in another operation. The tape gives their memory
// to what is computed next, but for those whose values a gradient reads. Parameters, and constants from outside, stay.
func (t *Tape) Release(vs ...*Var) {
	for _, v := range vs {
		if v.kept == 0 && v.tape == t {
			t.free(&v.Tensor)
		}
	}
}

// Drop is Release for a result that is worth computing again, one of GroupNorm, though gradients read its value: Backward
// computes it before it comes to the first operation that used it.
func (t *Tape) Drop(v *Var) {
	if v.again == nil {
		panic(fmt.Sprintf("autograd: Drop: got a result of shape %v, want one of GroupNorm", v.Shape))
	}
	if t.inference || !v.result {
		t.Release(v)
		return
	}
	t.free(&v.Tensor)
	t.nodes = append(t.nodes, node{back: func() {
		v.Data = t.mem.take(tensor.Size(v.Shape), v.below)
		v.again()
	}})
}

// keep notes that a gradient reads the values of vs, any of which may be nil or not the tape's own.
func (t *Tape) keep(vs ...*Var) {
	for _, v := range vs {
		if v != nil && v.tape == t && !t.inference {
			v.kept++
		}
	}
}

// gradOver is grad for an operation that can write the gradient of v over its value x. It does so if no other gradient
// reads that, and there is none to add to.
func (t *Tape) gradOver(v *Var) (x, g tensor.Tensor, add bool) {
	x = v.Tensor
	if v.kept == 1 && v.result && v.Grad.Empty() && t.mem.owns(v.Data) {
		v.Data, v.Grad = nil, x
		return x, x, false
	}
	g, add = t.grad(v)
	return x, g, add
}

// packsOf returns where the prepared form of weights is kept: nowhere if one was computed on the tape, whose memory will
// hold something else in time.
func (t *Tape) packsOf(weights ...*Var) *tensor.Packs {
	for _, w := range weights {
		if t.mem.owns(w.Data) {
			return nil
		}
	}
	return t.packs
}

// free gives the memory of x back to the tape and empties x, so that a late reader fails instead of reading garbage.
func (t *Tape) free(x *tensor.Tensor) {
	if !x.Empty() {
		t.mem.give(x.Data)
		x.Data = nil
	}
}
