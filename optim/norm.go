package optim

import (
	"math"
	"sync/atomic"

	"ddpm/internal/simd"
)

// Norm returns the Euclidean norm √Σg² of a whole gradient, summed in float64, where no square overflows. It is NaN or
// infinite exactly if an element is: then the step is to be skipped.
func Norm(g []float32) float64 {
	sums := make([]float64, pieceCount(len(g)))
	pieces(len(g), func(i, lo, hi int) { sums[i] = simd.SumSquares(g[lo:hi]) })
	total := 0.0
	for _, s := range sums {
		total += s
	}
	return math.Sqrt(total)
}

// ClipScale returns the factor min(1, limit/(norm+1e-6)) that brings a gradient of the given norm down to the limit
// and leaves a smaller one alone: the convention of torch.nn.utils.clip_grad_norm_. Hand it to [Adam.Step].
//
// Ho's DDPM code clips to 1. Pascanu, Mikolov and Bengio (2013) introduced it, as algorithm 1.
func ClipScale(norm, limit float64) float64 { return min(1, limit/(norm+1e-6)) }

// Finite reports whether x holds neither NaN nor an infinity.
func Finite(x []float32) bool {
	var bad atomic.Bool
	pieces(len(x), func(_, lo, hi int) {
		if !simd.AllFinite(x[lo:hi]) {
			bad.Store(true)
		}
	})
	return !bad.Load()
}
