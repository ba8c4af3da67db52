package diffusion

import (
	"math"
	"testing"
)

// TestPosteriorOfStride compares with the variances that diffusers' DDIM test prints for steps that leave out times.
func TestPosteriorOfStride(t *testing.T) {
	s := Linear(1000, 1e-4, 0.02)
	for times, want := range map[[2]int]float64{{401, 421}: 0.14771, {961, 981}: 0.32460} {
		_, _, got := s.Strided(times[0], times[1]).Posterior(2)
		near(t, "variance", got, want, 1e-4) // printed with five decimals, cut off
	}
}

// TestVarianceRange checks the ends and the middle of the range, and what stands for β̃_1 = 0.
func TestVarianceRange(t *testing.T) {
	s := Linear(1000, 1e-4, 0.02)
	_, _, second := s.Posterior(2)
	for _, time := range []int{1, 2, 500, 1000} {
		small, large := s.logRange(time)
		_, _, want := s.Posterior(max(time, 2))
		near(t, "exp(small)", math.Exp(small), want, 1e-12)
		near(t, "exp(large)", math.Exp(large), s.Beta[time], 1e-12)
		for v, want := range map[Variance]float64{FixedSmall: small, FixedLarge: large} {
			if got := v.log(small, large, 0.3); got != want {
				t.Errorf("%v at %d: %g, want %g", v, time, got, want)
			}
		}
		for out, want := range map[float64]float64{-1: small, 1: large, 0: (small + large) / 2} {
			near(t, "learned", LearnedRange.log(small, large, out), want, 1e-12)
		}
	}
	if small, _ := s.logRange(1); math.Abs(math.Exp(small)-second) > 1e-15 {
		t.Errorf("β̃_1 is replaced by %g, want β̃_2 = %g", math.Exp(small), second)
	}
	if small, large := Linear(1, 0.5, 0.5).logRange(1); small != large || small != math.Log(0.5) {
		t.Errorf("with one step the range is %g…%g", small, large)
	}
}
