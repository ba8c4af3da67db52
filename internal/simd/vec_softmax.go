package simd

import "math"

// Softmax sets y = softmax(scale·x), where softmax(t)_i = exp(t_i)/Σ_j exp(t_j).
// The largest t is subtracted first, so that nothing overflows. Entries of -Inf
// are masked out; a row with nothing else, or with NaN or +Inf, is NaN throughout.
func Softmax(y, x []float32, scale float32) {
	sameLen("Softmax", y, x)
	switch {
	case useAVX512:
		softmaxAVX512(y, x, scale)
	case useAVX2:
		softmaxAVX2(y, x, scale)
	default:
		softmaxGo(y, x, scale)
	}
}

func softmaxGo(y, x []float32, scale float32) {
	peak := float32(math.Inf(-1))
	for _, x := range x {
		if t := scale * x; t > peak {
			peak = t
		}
	}
	var sum [lanes]float32
	for i, x := range x {
		y[i] = exp(float32(scale*x) - peak)
		sum[i%lanes] += y[i]
	}
	inverse := 1 / fold(&sum)
	for i := range y {
		y[i] *= inverse
	}
}

// SoftmaxGrad sets dx to the gradient at x, of dy at y = softmax(scale·x):
//
//	dx = scale·y·(dy - Σ y·dy)
func SoftmaxGrad(dx, y, dy []float32, scale float32) {
	sameLen("SoftmaxGrad", dx, y, dy)
	switch {
	case useAVX512:
		softmaxGradAVX512(dx, y, dy, scale)
	case useAVX2:
		softmaxGradAVX2(dx, y, dy, scale)
	default:
		softmaxGradGo(dx, y, dy, scale)
	}
}

func softmaxGradGo(dx, y, dy []float32, scale float32) {
	var sum [lanes]float32
	for i, y := range y {
		sum[i%lanes] += float32(y * dy[i])
	}
	mean := fold(&sum) // of dy, weighted by y
	for i, y := range y {
		dx[i] = scale * float32(y*(dy[i]-mean))
	}
}
