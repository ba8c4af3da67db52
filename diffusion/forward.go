package diffusion

import (
	"fmt"
	"math"
	"slices"

	"ddpm/tensor"
)

// QStep adds the noise of one step: it draws from q(x_t | x_{t-1}) = N(√(1-β_t)·x_{t-1}, β_t·I), DDPM eq. 2, given
// ε ~ N(0, I). The two factors are those that keep the variance at 1: (1-β_t)·1 + β_t = 1. xt, before and eps have one
// shape; xt may be before. It panics unless 1 ≤ t ≤ T.
func (s Schedule) QStep(xt, before, eps tensor.Tensor, t int) {
	s.checkTime("QStep", t)
	checkSame("QStep", xt, before, eps)
	combine(xt.Data, math.Sqrt(1-s.Beta[t]), before.Data, math.Sqrt(s.Beta[t]), eps.Data)
}

// QSample adds the noise of all steps to t at once: it draws from q(x_t | x_0) = N(√ᾱ_t·x_0, (1-ᾱ_t)·I), DDPM eq. 4,
// given ε ~ N(0, I), with an own t for each image. xt, x0 and eps [N …], t [N]; xt may be x0. It panics unless every t
// is in 0…T.
func (s Schedule) QSample(xt, x0, eps tensor.Tensor, t []int) {
	checkSame("QSample", xt, x0, eps)
	checkPerImage("QSample", xt, t)
	d := len(xt.Data) / max(len(t), 1)
	for n, t := range t {
		if t < 0 || t > s.T() {
			panic(fmt.Sprintf("diffusion: QSample: got time %d, want 0…%d", t, s.T()))
		}
		lo, hi := n*d, (n+1)*d
		combine(xt.Data[lo:hi], s.Signal(t), x0.Data[lo:hi], s.Noise(t), eps.Data[lo:hi])
	}
}

// combine sets dst = a·x + b·y in float64. The conversions of the products keep the compiler from fusing one of them
// with the addition, which some processors' compilers do, so that the bits are the same on all of them.
func combine(dst []float32, a float64, x []float32, b float64, y []float32) {
	x, y = x[:len(dst)], y[:len(dst)]
	for i := range dst {
		dst[i] = float32(float64(a*float64(x[i])) + float64(b*float64(y[i])))
	}
}

func (s Schedule) checkTime(op string, t int) {
	if t < 1 || t > s.T() {
		panic(fmt.Sprintf("diffusion: %s: got time %d, want 1…%d", op, t, s.T()))
	}
}

// checkSame panics unless all tensors have the shape of the first.
func checkSame(op string, x tensor.Tensor, others ...tensor.Tensor) {
	for _, y := range others {
		if !slices.Equal(x.Shape, y.Shape) {
			panic(fmt.Sprintf("diffusion: %s: got shape %v, want %v", op, y.Shape, x.Shape))
		}
	}
}

// checkPerImage panics unless there is one value per image of x [N …].
func checkPerImage[E any](op string, x tensor.Tensor, values []E) {
	if len(x.Shape) == 0 || len(values) != x.Shape[0] {
		panic(fmt.Sprintf("diffusion: %s: got %d values for images of shape %v, want one per image", op, len(values), x.Shape))
	}
}
