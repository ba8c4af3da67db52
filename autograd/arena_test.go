package autograd

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is in use never overlaps, what was given back is used again, and steps that ask for the same are given the same.
func TestArena(t *testing.T) {
	var a arena
	var first []*float32
	for step := range 3 {
		r := rand.New(rand.NewPCG(1, 2))
		var held [][]float32
		var places []*float32
		most := 0
		for i := range 1000 {
			if len(held) > 0 && r.IntN(100) < 48 {
				k := r.IntN(len(held))
				x := held[k]
				require.False(t, slices.ContainsFunc(x, func(v float32) bool { return v != x[0] }), "written by another")
				require.True(t, a.owns(x))
				a.give(x)
				require.False(t, a.owns(x))
				held[k] = held[len(held)-1]
				held = held[:len(held)-1]
				continue
			}
			x := a.take(1+r.IntN(1000)*r.IntN(20), 0)
			require.Equal(t, len(x), cap(x))
			for j := range x {
				x[j] = float32(i)
			}
			held, places = append(held, x), append(places, &x[0])
			inUse := 0
			for _, x := range held {
				inUse += 4 * len(x)
			}
			most = max(most, inUse)
		}
		if step == 0 {
			first = places
		}
		require.Equal(t, first, places)
		t.Logf("%d slabs, %d bytes for at most %d in use", len(a.slabs), a.bytes(), most)
		require.Less(t, a.bytes(), most*6/5)
		a.reset()
	}
	slabs := len(a.slabs)
	for _, s := range a.slabs {
		a.take(len(s.mem), 0)
	}
	require.Len(t, a.slabs, slabs, "a reset takes back all of a slab, used or not")
	require.Empty(t, a.take(0, 0))
	require.False(t, a.owns(nil))
	theirs := make([]float32, 8)
	a.give(theirs)
	require.NotSame(t, &theirs[0], &a.take(8, 0)[0])
}
