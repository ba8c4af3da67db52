//go:build linux || darwin

package simd

import (
	"math/rand/v2"
	"testing"
)

// TestWinogradFence runs the transforms on operands that touch unmapped memory, so that a masked lane too many, read
// or written, is a fault.
func TestWinogradFence(t *testing.T) {
	implementations(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 12))
		for _, first := range []bool{false, true} {
			// Fenced memory is dear to make: all operands take turns in enough of it that none meets one in use.
			fences := make([][]float32, 256)
			for i := range fences {
				fences[i] = fenced(t, 1<<17, first)
			}
			next := 0
			alloc := winoAlloc(func(n int) []float32 {
				f := fences[next%len(fences)]
				next++
				if first {
					return f[:n:n]
				}
				return f[len(f)-n:]
			})
			for n := 1; n <= 34; n++ {
				for _, f := range winogradForms {
					f.agree(t, r, alloc, 1+n%2, n)
					f.packs(t, r, alloc, n, 1+n*7%34)
				}
				packAgree(t, r, alloc, n, 1+n*5%34)
			}
		}
	})
}
