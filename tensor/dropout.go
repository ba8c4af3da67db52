package tensor

import (
	"fmt"

	"ddpm/internal/par"
	"ddpm/internal/rng"
)

// Mask says which elements a Dropout zeroes: each with probability P, by the random stream (Seed, rng.Dropout,
// First+i, Step) for image i of the batch. So it needs no memory, and does not depend on how a batch is split.
type Mask struct {
	P     float64 // 0 ≤ P < 1
	Seed  uint64  // a different one for every dropout layer
	First uint64  // the number of the batch's first image within the step
	Step  uint32
}

// Dropout computes y = x/(1−P) where an element is kept and 0 where it is dropped (Srivastava et al. 2014, in the
// form that needs no change when sampling). x, y [N …]. y may be x. It panics if P is outside [0, 1).
func Dropout(y, x Tensor, m Mask) {
	sameShape("Dropout", y, x)
	m.each(y, func(i int, keep float32) { y.Data[i] = keep * x.Data[i] })
}

// DropoutGrad adds the gradient of Dropout: dx += dy/(1−P) where an element was kept.
func DropoutGrad(dx, dy Tensor, m Mask) {
	if dx.Empty() {
		return
	}
	sameShape("DropoutGrad", dx, dy)
	m.each(dx, func(i int, keep float32) { dx.Data[i] += keep * dy.Data[i] })
}

// each calls f with the index of every element of x and its factor, 0 or 1/(1−P).
func (m Mask) each(x Tensor, f func(i int, keep float32)) {
	if !(m.P >= 0 && m.P < 1) {
		panic(fmt.Sprintf("tensor: Dropout: got probability %v, want 0 ≤ p < 1", m.P))
	}
	size, scale := perImage(x), float32(1/(1-m.P))
	drop := uint64(m.P * (1 << 32)) // of the 2³² values of a random word
	par.For(x.Shape[0], func(n int, _ *par.Scratch) {
		s := rng.New(m.Seed, rng.Dropout, m.First+uint64(n), m.Step)
		for i := n * size; i < (n+1)*size; i++ {
			keep := scale
			if uint64(s.Uint32()) < drop {
				keep = 0
			}
			f(i, keep)
		}
	})
}
