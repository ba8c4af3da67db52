// Package autograd is reverse-mode automatic differentiation on an explicit tape.
//
// An operation is a method on the Tape: it computes its result at once, then records a closure that, given the
// gradient of the result, adds the gradients of the operands. Execution order is a topological order, so Backward is a
// loop over the closures from the last to the first. What a gradient needs from the forward pass is what its closure
// captures. The arithmetic itself is in package tensor, where each operation stands directly above its gradient; the
// files here pair the two.
package autograd

import (
	"fmt"
	"math"

	"ddpm/tensor"
)

// Var is a tensor that may have a gradient. Grad is ∂loss/∂Var: of the same shape for a parameter, empty for a
// constant, and for the result of an operation present only while Backward needs it.
type Var struct {
	tensor.Tensor
	Grad tensor.Tensor

	tape   *Tape  // that computed it; nil for a parameter and for a constant from outside
	result bool   // of a recorded operation: its gradient is made when first added to
	kept   int    // how many recorded gradients read the value, if the tape computed it
	again  func() // computes the value again; nil where Drop is not for
	dims   [4]int // what Shape is a slice of, if the tape made it
	below  int    // of a result: it and its gradient may lie in so much of a borrowed slab

	// Of a parameter whose gradient lies in a slab:
	slab     *GradSlab
	at, room int
	zero     bool // the gradient is zero, whatever its memory holds
}

// Const returns a Var without a gradient.
func Const(x tensor.Tensor) *Var { return &Var{Tensor: x} }

// Param returns a Var whose gradient accumulates in grad until the caller zeroes it.
func Param(x, grad tensor.Tensor) *Var {
	if len(x.Data) != len(grad.Data) {
		panic(fmt.Sprintf("autograd: Param: got a gradient of shape %v, want %v", grad.Shape, x.Shape))
	}
	return &Var{Tensor: x, Grad: grad}
}

// Differentiable reports whether a gradient flows into v.
func (v *Var) Differentiable() bool { return v.result || !v.Grad.Empty() }

// A Tape records operations and owns the memory of their results. It is not safe for concurrent use.
type Tape struct {
	// MACs counts the multiply-adds of the matrix products and convolutions computed since the last Reset, as their
	// definitions have it, whatever way they were computed. Backward, about twice as many, is not counted.
	MACs int

	nodes     []node
	vars      pool
	mem       arena
	below     int // results may lie in so much of what is borrowed
	inference bool
	lost      bool          // results lay in a GradSlab that was zeroed
	packs     *tensor.Packs // weights in the layouts of the kernels; nil until a recording tape is first rewound
	apart     []*Tape       // of shares, see Apart
	turns                   // if it is one of a share
}

type node struct {
	out  *Var // nil: back only prepares for the nodes before
	back func()
}

// New returns a tape that records: the tape for training.
func New() *Tape { return &Tape{} }

// NewInference returns a tape that only computes. Release gives memory back at once, and weights stay prepared for the
// kernels as long as the tape lives, so parameters must not change during its life.
func NewInference() *Tape { return &Tape{inference: true, packs: tensor.NewPacks(math.MaxInt)} }

// Recording reports whether the tape records operations for Backward.
func (t *Tape) Recording() bool { return !t.inference }

// Reset forgets the step and takes back its memory: everything the tape returned is dead.
func (t *Tape) Reset() {
	t.forget()
	t.MACs = 0
	if !t.inference && t.packs != nil {
		t.packs.Forget()
	}
}

// Rewind is Reset between the parts of one training step, for which no parameter changes: a batch computed in parts
// of a few images stays in the caches and needs little memory, and its gradients add up to the same bits (see
// tensor.GradChunk). From the first Rewind on, the tape keeps weights prepared for the kernels until the next Reset,
// unless they are more than packLimit: parts are to need little memory.
func (t *Tape) Rewind() {
	t.forget()
	if t.packs == nil {
		t.packs = tensor.NewPacks(packLimit)
	}
}

// packLimit is the number of float32 that a recording tape keeps of prepared weights, 256 MiB: a network of eight million
// weights needs eight for each.
const packLimit = 1 << 26

func (t *Tape) forget() {
	for _, s := range t.apart {
		s.forget()
	}
	t.giveBack()
	t.lost = false
	clear(t.nodes)
	t.nodes = t.nodes[:0]
	t.vars.used = 0
	t.mem.reset()
}

// Backward adds ∂loss/∂p to the gradient of every parameter p that loss depends on. Afterwards only the loss and the
// parameters' gradients can be read: the tape takes back each result, and its gradient, once the operation that made
// it has been differentiated. It panics if loss is not one number, or a recorded result does not lead to it.
func (t *Tape) Backward(loss *Var) {
	if t.inference {
		panic("autograd: Backward: got an inference tape, want one from New")
	}
	if len(loss.Data) != 1 || !loss.result {
		panic(fmt.Sprintf("autograd: Backward: got a loss of shape %v, want one number computed on this tape", loss.Shape))
	}
	if t.lost {
		panic("autograd: Backward: got results that GradSlab.Zero has overwritten, want Zero before the forward pass")
	}
	grad, _ := t.grad(loss)
	grad.Data[0] = 1
	t.back(0, loss)
	t.giveBack()
}

// back differentiates what was recorded from node start on, last to first, and forgets it. The value of last is not given
// back.
func (t *Tape) back(start int, last *Var) {
	for i := len(t.nodes) - 1; i >= start; i-- {
		n := t.nodes[i]
		if n.out == nil {
			n.back()
			t.whole.Done()
			continue
		}
		if n.out.Grad.Empty() {
			panic(fmt.Sprintf("autograd: Backward: a result of shape %v has no gradient: the loss does not depend on it", n.out.Shape))
		}
		if n.out != last { // whatever read the value has been differentiated
			t.free(&n.out.Tensor)
		}
		n.back()
		t.whole.Done()
		t.free(&n.out.Grad)
	}
	clear(t.nodes[start:])
	t.nodes = t.nodes[:start]
}

// record notes that out is the result of an operation with gradient back, if any operand is differentiable. Those that
// back reads are given to keep besides; the value of out is gone by then.
func (t *Tape) record(out *Var, back func(), operands ...*Var) *Var {
	if t.inference {
		return out
	}
	for _, v := range operands {
		if v != nil && v.Differentiable() {
			if v.result && v.tape != t {
				panic(fmt.Sprintf("autograd: Tape: got an operand of shape %v that another tape has recorded, want one of this tape, a parameter or a Const", v.Shape))
			}
			if !v.result {
				t.use(v)
			}
			out.result = true
		}
	}
	if out.result {
		t.nodes = append(t.nodes, node{out, back})
	}
	return out
}

// grad returns the gradient of v to add to, and whether it already holds something: if not, its contents are undefined
// and must be overwritten. It is empty for constants and for nil, where no gradient is wanted. For a parameter's a share
// waits until those before it are done with the operation.
func (t *Tape) grad(v *Var) (g tensor.Tensor, add bool) {
	if v != nil && !v.result && !v.Grad.Empty() {
		t.whole.Wait()
	}
	return t.gradInTurn(v)
}

// gradInTurn is grad for an operation that waits for its turn.
func (t *Tape) gradInTurn(v *Var) (g tensor.Tensor, add bool) {
	if v == nil || v.Grad.Empty() && !v.result {
		return tensor.Tensor{}, false
	}
	if !v.result && !t.turn.First() {
		return v.Grad, true // the first share has begun it
	}
	switch {
	case v.Grad.Empty():
		v.Grad = tensor.Tensor{Data: t.mem.take(tensor.Size(v.Shape), v.below), Shape: v.Shape} // the value may be gone
	case v.zero:
		v.slab.claim(v)
	default:
		return v.Grad, true
	}
	return v.Grad, false
}

// sum returns the gradient of v to add to: what grad returns, zeroed if it was new.
func (t *Tape) sum(v *Var) tensor.Tensor {
	g, add := t.grad(v)
	if !add {
		clear(g.Data)
	}
	return g
}

// sumInTurn is sum for an operation that waits for its turn.
func (t *Tape) sumInTurn(v *Var) tensor.Tensor {
	g, add := t.gradInTurn(v)
	if !add {
		clear(g.Data)
	}
	return g
}

// pass adds the gradient of y to that of x, where ∂y/∂x = 1. If x has none yet it takes over the memory, so pass must
// be the last use of y's gradient.
func (t *Tape) pass(x, y *Var) {
	switch {
	case x == nil || !x.Differentiable():
	case x.Grad.Empty() && x.below == y.below: // of one life, if the memory is borrowed
		x.Grad = tensor.Tensor{Data: y.Grad.Data, Shape: x.Shape}
		y.Grad = tensor.Tensor{}
	default:
		dx, add := t.grad(x)
		tensor.Accumulate(dx, add, y.Grad)
	}
}
