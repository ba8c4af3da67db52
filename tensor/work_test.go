package tensor

import (
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
