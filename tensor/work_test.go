package tensor

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ddpm/internal/par"
)

// Of sizes that take turns the largest is kept, not one of each, but none for requests that are a small part of it.
func TestWorkIsFewSlices(t *testing.T) {
	idle := work.idle
	work.idle = nil
	defer func() { work.idle = idle }()
	sizes := func() (lengths []int) {
		for _, x := range work.idle {
			lengths = append(lengths, len(x.data))
		}
		return lengths
	}
	for round := range 3 {
		for _, n := range []int{10, 100, 150, 350, 1000, 300, 150} {
			giveWork(takeWork(n))
		}
		require.Equal(t, []int{10, 150, 1000}, sizes(), "round %d", round)
	}
	a, b := takeWork(900), takeWork(900)
	giveWork(a)
	giveWork(b)
	require.Equal(t, []int{10, 150, 900, 1000}, sizes(), "two at once are two")
}

// Weights that are kept are packed once between Forgets, by all who come to need them, and nobody has them before all is done.
func TestPacksTogether(t *testing.T) {
	const pieces = 5
	w := Tensor{Data: make([]float32, 1)}
	packs := NewPacks(pieces)
	require.Nil(t, packs.packedTogether(w, panels, pieces, pieces, nil).data, "the first use keeps nothing")
	for round := float32(0); round < 3; round++ {
		var packed [pieces]atomic.Int32
		call := func() {
			got := packs.packedTogether(w, panels, pieces, pieces, func(dst []float32, i int, _ *par.Scratch) {
				if i == 0 {
					time.Sleep(10 * time.Millisecond)
				}
				dst[i] = round + 1
				packed[i].Add(1)
			})
			for i, v := range got.data {
				if v != round+1 || packed[i].Load() != 1 {
					t.Errorf("round %v: got %v for piece %d, packed %d times, want %v, once", round, v, i, packed[i].Load(), round+1)
				}
			}
		}
		var callers sync.WaitGroup
		for range 3 {
			callers.Go(call)
		}
		callers.Wait()
		call()
		packs.Forget()
	}
}

// Of slices of one length the one last used in the same place is taken.
func TestWorkComesFromItsPlace(t *testing.T) {
	idle := work.idle
	defer func() { work.idle = idle }()
	mine, other := make([]float32, 100), make([]float32, 100)
	took := func() bool {
		here := par.Here()
		work.idle = []workSlice{{data: other}, {mine, here}, {data: other}, {make([]float32, 101), here}}
		return &takeWork(90)[0] == &mine[0]
	}
	// The scheduler may move the test, and the race detector makes pools forget.
	require.Eventually(t, took, time.Second, time.Microsecond)
}
