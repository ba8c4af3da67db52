package tensor

import (
	"fmt"

	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// MSE computes each image's mean squared error, per[n] = mean over its elements of (a−b)², and returns the mean over
// the batch, (1/N) Σ_n weight[n]·per[n], summed in order in float64. nil weights are 1. a, b [N …], per [N].
func MSE(per []float64, a, b Tensor, weight []float64) float64 {
	mseDims("MSE", a, b, weight)
	if len(per) != a.Shape[0] {
		panic(fmt.Sprintf("tensor: MSE: got room for %d images' errors, want %d", len(per), a.Shape[0]))
	}
	size := perImage(a)
	par.For(len(per), func(i int, _ *par.Scratch) {
		per[i] = simd.SquaredError(nil, a.Data[i*size:][:size], b.Data[i*size:][:size]) / float64(size)
	})
	sum := 0.0
	for i, v := range per {
		sum += weightOf(weight, i) * v
	}
	return sum / float64(len(per))
}

// MSEGrad adds the gradient of MSE: da += dy·weight[n]·2(a−b)/(N·size), and db the opposite.
func MSEGrad(da, db, a, b Tensor, weight []float64, dy float64) {
	mseDims("MSEGrad", a, b, weight)
	checkOptional("MSEGrad: da", da, a.Shape...)
	checkOptional("MSEGrad: db", db, a.Shape...)
	size, n := perImage(a), a.Shape[0]
	par.For(n, func(i int, mem *par.Scratch) {
		d := mem.Floats(size)
		simd.SquaredError(d, a.Data[i*size:][:size], b.Data[i*size:][:size])
		k := float32(dy * weightOf(weight, i) * 2 / float64(n*size))
		if !da.Empty() {
			simd.Axpy(da.Data[i*size:][:size], k, d)
		}
		if !db.Empty() {
			simd.Axpy(db.Data[i*size:][:size], -k, d)
		}
	})
}

func mseDims(op string, a, b Tensor, weight []float64) {
	sameShape(op, a, b)
	if len(a.Shape) == 0 || weight != nil && len(weight) != a.Shape[0] {
		panic(fmt.Sprintf("tensor: %s: got %d weights for shape %v, want one per image", op, len(weight), a.Shape))
	}
}

func weightOf(weight []float64, i int) float64 {
	if weight == nil {
		return 1
	}
	return weight[i]
}
