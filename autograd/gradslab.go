package autograd

import (
	"fmt"
	"sync/atomic"

	"ddpm/tensor"
)

// GradSlab is the gradients of a network's parameters, end to end in one slice, so that what is done with all of them is
// one pass.
//
// From Zero on, until Backward first adds to it, a gradient's memory is idle. Backward comes to the last layers first, by
// when the gradients of the first are still idle: a tape may Borrow their memory for the results of the last layers,
// which are dead before it is needed.
type GradSlab struct {
	slab
	params   []*Var // in the order of their gradients
	borrower atomic.Pointer[Tape]
}

// NewGradSlab returns a slab of n zeros, with room for gradients.
func NewGradSlab(n int) *GradSlab { return &GradSlab{slab: newSlab(n)} }

// Place puts the gradient of the parameter v in the slab, from float number at on, behind those placed before. Of the room
// it has there, what it does not need holds zeros.
func (s *GradSlab) Place(v *Var, at, room int) {
	n := len(v.Data)
	v.Grad = tensor.Tensor{Data: s.mem[at : at+n : at+n], Shape: v.Shape}
	v.slab, v.at, v.room = s, at, room
	s.params = append(s.params, v)
}

// Zero makes all gradients zero. That touches no memory: what a gradient's holds is overwritten when Backward first adds
// to it, and cleared by All. The results of a tape that has borrowed some are lost.
func (s *GradSlab) Zero() {
	if t := s.borrower.Load(); t != nil {
		t.giveBack()
		t.lost = true
	}
	for _, v := range s.params {
		v.zero = true
	}
}

// All returns all gradients, with zeros for those that nothing was added to since Zero. It panics if results of a tape lie
// there, as between the forward pass and the end of Backward.
func (s *GradSlab) All() []float32 {
	if s.borrower.Load() != nil {
		panic("autograd: GradSlab.All: got a slab that a tape keeps results in, want one after Backward or the tape's Reset")
	}
	for _, v := range s.params {
		if v.zero {
			clear(s.mem[v.at:][:v.room])
			v.zero = false
		}
	}
	return s.mem
}

// claim is called before Backward first writes the gradient of v.
func (s *GradSlab) claim(v *Var) {
	if s.borrower.Load() != nil && !s.idle(v.at, v.room) {
		panic(fmt.Sprintf("autograd: Backward: got a gradient of shape %v while a result lies in its memory, want none before all results that Borrow let lie there are differentiated", v.Shape))
	}
	clear(s.mem[v.at:][len(v.Grad.Data):v.room])
	v.zero = false
}

// Borrow says that results computed from here on, up to the next call, may lie in the first n floats of s: Backward will
// have differentiated the last of them before it adds to a gradient that is placed there, or panic. With n = 0 it ends
// that. Nothing is borrowed by a tape for inference or for one of many shares, where there are gradients already, or if
// another tape has borrowed of s, or the tape of another slab.
func (t *Tape) Borrow(s *GradSlab, n int) {
	t.below = 0
	if t.inference || t.turn != nil || n == 0 || t.mem.lent != nil && t.mem.lent != s || !s.zeroUpTo(n) {
		return
	}
	if s.borrower.CompareAndSwap(nil, t) || s.borrower.Load() == t {
		t.mem.lent, t.below = s, n
	}
}

// zeroUpTo reports whether the gradients in the first n floats are zero since Zero, their memory idle.
func (s *GradSlab) zeroUpTo(n int) bool {
	for _, v := range s.params {
		if v.at >= n {
			break
		}
		if !v.zero {
			return false
		}
	}
	return true
}

// giveBack ends what the tape has borrowed.
func (t *Tape) giveBack() {
	if s := t.mem.lent; s != nil {
		t.mem.endLoan()
		t.below = 0
		s.borrower.Store(nil)
	}
}
