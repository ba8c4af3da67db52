package tensor

import (
	"math"
	"sync/atomic"

	"ddpm/internal/par"
)

// A Turn orders what shares of a batch, computed side by side, add to the gradients of the parameters that they have in
// common: for each such gradient a share waits until the one before it has added its own. So the sums run over the images
// in order, as if one share were computed after the other.
//
// All shares must call the same gradients in the same order. A nil Turn is that of a batch computed as one: nobody waits.
type Turn struct {
	before *Turn
	steps  int64
	done   atomic.Int64 // the same, for the share after this one
	_      [40]byte     // shares lie in cache lines of their own
}

// NewTurns returns the turns of n shares, in order.
func NewTurns(n int) []*Turn {
	turns := make([]*Turn, n)
	for i := range turns {
		turns[i] = new(Turn)
		if i > 0 {
			turns[i].before = turns[i-1]
		}
	}
	return turns
}

// Begin says that nothing has been added yet. It must be called for all shares before the first of them adds.
func (t *Turn) Begin() {
	t.steps = 0
	t.done.Store(0)
}

// First reports whether no share comes before this one.
func (t *Turn) First() bool { return t == nil || t.before == nil }

// Ready reports whether it is this share's turn to add to the next gradient.
func (t *Turn) Ready() bool { return t.First() || t.before.done.Load() > t.steps }

// Wait returns when Ready.
func (t *Turn) Wait() {
	if !t.Ready() {
		par.Await(t.Ready)
	}
}

// Done says that this share has added to the gradient: it is the turn of the next.
func (t *Turn) Done() {
	if t != nil {
		t.steps++
		t.done.Store(t.steps)
	}
}

// End says that this share adds nothing more, so that after a panic too the others need not wait for it.
func (t *Turn) End() { t.done.Store(math.MaxInt64) }
