package optim

import "ddpm/internal/par"

// pieceLen is how many elements one piece of work has: at 256 KiB for each slice, large enough to make starting it
// cheap, small enough to share the weights of the smallest useful model among several processors. Sums depend on it
// in their last bits, so it is the same everywhere.
const pieceLen = 1 << 16

// pieces calls f(i, lo, hi) in parallel for every piece i = 0, 1, … of n elements, which spans elements lo to hi-1.
func pieces(n int, f func(i, lo, hi int)) {
	par.For(pieceCount(n), func(i int, _ *par.Scratch) {
		lo := i * pieceLen
		f(i, lo, min(lo+pieceLen, n))
	})
}

func pieceCount(n int) int { return (n + pieceLen - 1) / pieceLen }
