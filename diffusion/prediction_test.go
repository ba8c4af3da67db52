package diffusion

import (
	"math"
	"testing"
)

// TestPredictionsConvert makes each kind of output from a known image and noise, and recovers every other kind from it.
func TestPredictionsConvert(t *testing.T) {
	kinds := []Prediction{Epsilon, X0, V}
	for _, ab := range []float64{0.9999, 0.5, 4e-5} {
		for _, x0 := range []float64{-1, 0.25} {
			for _, eps := range []float64{-0.7, 2} {
				xt := math.Sqrt(ab)*x0 + math.Sqrt(1-ab)*eps
				value := map[Prediction]float64{Epsilon: eps, X0: x0, V: math.Sqrt(ab)*eps - math.Sqrt(1-ab)*x0}
				for _, p := range kinds {
					c0, ce := p.Target(ab)
					if got := c0*x0 + ce*eps; got != value[p] {
						t.Errorf("%v at ᾱ = %g: target %g, want %g", p, ab, got, value[p])
					}
					for _, q := range kinds {
						cx, co := p.In(q, ab)
						// x_0 from ε at ᾱ = 4e-5 is a difference of numbers 160 times as large.
						if got := cx*xt + co*value[p]; math.Abs(got-value[q]) > 1e-12 {
							t.Errorf("%v in %v at ᾱ = %g: %.15g, want %.15g", q, p, ab, got, value[q])
						}
					}
				}
			}
		}
	}
	for _, p := range kinds {
		if cx, co := V.In(p, 0); math.IsNaN(cx+co) || math.IsInf(cx+co, 0) {
			t.Errorf("%v in v at ᾱ = 0 has factors %g and %g", p, cx, co)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]Prediction{"epsilon": Epsilon, "sample": X0, "v_prediction": V} {
		if got, err := ParsePrediction(name); got != want || err != nil || want.String() != name {
			t.Errorf("ParsePrediction(%q) = %v, %v", name, got, err)
		}
	}
	for name, want := range map[string]Variance{"fixed_large": FixedLarge, "fixed_small": FixedSmall, "learned_range": LearnedRange} {
		if got, err := ParseVariance(name); got != want || err != nil || want.String() != name {
			t.Errorf("ParseVariance(%q) = %v, %v", name, got, err)
		}
	}
	if _, err := ParsePrediction("noise"); err == nil {
		t.Error("ParsePrediction accepts an unknown name")
	}
	if got := Variance(9).String(); got != "unknown(9)" {
		t.Errorf("Variance(9) is called %s", got)
	}
}
