package quality

import (
	"math"
	"testing"

	"ddpm/tensor"
)

// TestKernelDefinition compares with the double sums of the definition.
func TestKernelDefinition(t *testing.T) {
	a, b := normal(1, 13, 5, 0, 1), normal(2, 17, 5, 0.5, 1)
	k := func(x, y []float32) float64 {
		dot := 0.0
		for i := range x {
			dot += float64(x[i]) * float64(y[i])
		}
		return math.Pow(dot/5+1, 3)
	}
	mean := func(x, y tensor.Tensor, same bool) float64 {
		sum, count := 0.0, 0.0
		for i := range x.Shape[0] {
			for j := range y.Shape[0] {
				if !same || i != j {
					sum += k(row(x, i), row(y, j))
					count++
				}
			}
		}
		return sum / count
	}
	got, _ := Kernel(a, b)
	near(t, "distance", got, mean(a, a, true)+mean(b, b, true)-2*mean(a, b, false), 1e-9)
}

// TestKernelIsUnbiased draws pairs of sets of one distribution: the mean distance is 0 within its error, with either
// sign, and the error that Kernel states is about that which is seen. With sets of two distributions it is not 0.
func TestKernelIsUnbiased(t *testing.T) {
	const trials = 60
	for _, shift := range []float64{0, 0.3} {
		mean, square, stated, negative := 0.0, 0.0, 0.0, 0
		for i := range uint64(trials) {
			d, e := Kernel(normal(2*i, 60, 8, 0, 1), normal(2*i+1, 80, 8, shift, 1))
			mean += d / trials
			square += d * d / trials
			stated += e / trials
			if d < 0 {
				negative++
			}
		}
		seen := math.Sqrt(square - mean*mean)
		t.Logf("shift %g: mean %.4f, standard deviation %.4f, stated %.4f, negative %d", shift, mean, seen, stated, negative)
		if shift == 0 {
			near(t, "mean for equal distributions", mean, 0, 3*seen/math.Sqrt(trials))
			if negative < trials/4 || negative > trials*3/4 {
				t.Errorf("%d of %d distances are negative, want about half", negative, trials)
			}
		} else if mean < 10*seen/math.Sqrt(trials) {
			t.Errorf("a shift by %g is not seen: %g ± %g", shift, mean, seen/math.Sqrt(trials))
		}
		if ratio := stated / seen; ratio < 0.7 || ratio > 2 {
			t.Errorf("shift %g: the stated error is %.2f times what is seen", shift, ratio)
		}
	}
}
