package autograd

import (
	"fmt"

	"ddpm/internal/par"
	"ddpm/tensor"
)

// turns are when the tape of a share may add to gradients that it has in common with others: within an operation that
// orders what it adds itself, and for other operations as a whole.
type turns struct {
	turn, whole *tensor.Turn
	used        map[*Var]bool // parameters that the share reads
	again       bool          // some more than once
}

// use notes that an operation reads the parameter v.
func (t *turns) use(v *Var) {
	if t.turn != nil {
		t.again = t.again || t.used[v]
		t.used[v] = true
	}
}

// A share is what one worker computes of a batch, on a tape of its own.
type share struct {
	*Tape
	n0, n1 int  // its images
	start  int  // how many nodes were recorded before
	y      *Var // its result
}

// Apart returns f's result [N …] for the images x [N …], a constant: f computes it for images n0…n1, x, on tape t. What it
// computes for an image must not depend on the others, and of what was computed before it may use constants only. It must
// record the same operations for any images.
//
// If the images can be shared out evenly, f is called for one share on each processor, all at once: so what is computed of
// an image stays in the caches of one core, from the first operation to the last and back, and cores wait for each other
// at the ends alone. For training, shares are multiples of tensor.GradChunk images. The result has the same bits as without
// shares, and so have the gradients of parameters that are the weights, biases and rows of operations themselves. That of
// one from which f computes something first is rounded in another order: it is a sum over shares.
func (t *Tape) Apart(x *Var, f func(t *Tape, x *Var, n0, n1 int) *Var) *Var {
	n := x.Shape[0]
	shares := t.shareOut(x)
	if len(shares) == 0 {
		return f(t, x, 0, n)
	}
	t.keep(x)
	par.Apart(len(shares), func(i int) {
		s := &shares[i]
		s.y = f(s.Tape, Const(x.images(s.n0, s.n1)), s.n0, s.n1)
	})
	y := t.joined(shares)
	if y.result {
		sameOperations(shares)
		t.nodes = append(t.nodes, node{y, func() { backward(shares, y) }})
	}
	return y
}

// evenly is how many units of images each worker must get for it not to matter that some get one more than others.
const evenly = 16

// shareOut returns equal shares of x for all workers, none if that cannot be.
func (t *Tape) shareOut(x *Var) []share {
	n, workers, unit := x.Shape[0], par.Workers(), 1
	if !t.inference {
		unit = tensor.GradChunk
	}
	units := (n + unit - 1) / unit
	if workers == 1 || x.Differentiable() || units < workers || units%workers != 0 && units < evenly*workers {
		return nil
	}
	if len(t.apart) != workers {
		t.apart = newTapes(workers, t.inference)
	}
	t.packs.Shares(workers)
	shares := make([]share, workers)
	for i, tape := range t.apart {
		tape.packs, tape.again = t.packs, false
		clear(tape.used)
		shares[i] = share{
			Tape: tape, start: len(tape.nodes),
			n0: i * units / workers * unit, n1: min((i+1)*units/workers*unit, n),
		}
	}
	return shares
}

// newTapes returns tapes for count shares.
func newTapes(count int, inference bool) []*Tape {
	tapes, turn, whole := make([]*Tape, count), tensor.NewTurns(count), tensor.NewTurns(count)
	for i := range tapes {
		tapes[i] = &Tape{inference: inference, turns: turns{turn: turn[i], whole: whole[i], used: map[*Var]bool{}}}
	}
	return tapes
}

// images returns images n0…n1.
func (v *Var) images(n0, n1 int) tensor.Tensor {
	size := len(v.Data) / v.Shape[0]
	shape := append([]int{n1 - n0}, v.Shape[1:]...)
	return tensor.From(v.Data[n0*size:n1*size], shape...)
}

// joined returns the results of the shares as one.
func (t *Tape) joined(shares []share) *Var {
	n := shares[len(shares)-1].n1
	y := t.Temp(append([]int{n}, shares[0].y.Shape[1:]...)...)
	size := len(y.Data) / n
	for _, s := range shares {
		if len(s.y.Data) != (s.n1-s.n0)*size {
			panic(fmt.Sprintf("autograd: Apart: got a result of shape %v for images %d…%d, want one that begins with %d", s.y.Shape, s.n0, s.n1, s.n1-s.n0))
		}
		copy(y.Data[s.n0*size:], s.y.Data)
		y.result = y.result || s.y.result
		t.MACs += s.MACs
		s.MACs = 0
		s.Release(s.y)
	}
	return y
}

// sameOperations panics unless all shares have recorded equally many.
func sameOperations(shares []share) {
	first := len(shares[0].nodes) - shares[0].start
	for _, s := range shares {
		if got := len(s.nodes) - s.start; got != first {
			panic(fmt.Sprintf("autograd: Apart: got %d operations for images %d…%d and %d for images %d…%d, want the same", first, shares[0].n0, shares[0].n1, got, s.n0, s.n1))
		}
	}
}

// backward carries the gradient of y, which the shares' results were joined to, back through what each has recorded.
func backward(shares []share, y *Var) {
	size := len(y.Grad.Data) / y.Shape[0]
	for _, s := range shares {
		s.turn.Begin()
		s.whole.Begin()
		s.y.Grad = tensor.Tensor{Data: y.Grad.Data[s.n0*size : s.n1*size], Shape: s.y.Shape}
	}
	if shares[0].again {
		together(shares)
		return
	}
	par.Apart(len(shares), func(i int) {
		s := shares[i]
		defer s.turn.End()
		defer s.whole.End()
		s.back(s.start, nil)
	})
}

// together is backward for operations that read a parameter more than once: the gradient of each operation is added for
// all shares before that of the one before it.
func together(shares []share) {
	for i := len(shares[0].nodes) - shares[0].start - 1; i >= 0; i-- {
		for _, s := range shares {
			s.back(s.start+i, nil)
		}
	}
}
