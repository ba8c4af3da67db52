//go:build linux || darwin

package simd

import (
	"math/rand/v2"
	"testing"
)

// TestVectorFence runs each primitive on memory that begins or ends where
// unmapped memory does: a masked lane that is touched all the same is a fault.
func TestVectorFence(t *testing.T) {
	const most = 4 // slices of a case
	implementations(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		fill := func(n int, first bool) (s [][]float32) {
			for range most {
				s = append(s, fenced(t, n, first))
				copy(s[len(s)-1], vecValues(r, n, false))
			}
			return s
		}
		for _, first := range []bool{false, true} {
			for n := 1; n <= 70; n++ {
				s := fill(n, first)
				for _, c := range elementCases {
					c.call(s[:c.slices], nil)
				}
			}
			for channels := 1; channels <= 50; channels++ {
				s, rows := fill(3*channels, first), fill(channels, first)
				for _, c := range channelCases {
					c.call(s[:c.slices], rows[:c.rows])
				}
			}
		}
	})
}
