package diffusion

import (
	"math"
	"testing"

	"ddpm/tensor"
)

// TestPriorTerm compares with the paper's schedule's known value for pixels of square 1, and with numbers by hand.
func TestPriorTerm(t *testing.T) {
	s := Sampler{Schedule: Linear(1000, 1e-4, 0.02)}
	near(t, "L_T in bits", s.prior([]float32{1, -1}), 2.91e-5, 1e-3)
	half := Sampler{Schedule: Linear(1, 0.5, 0.5)} // KL(N(√½·x_0, ½) ‖ N(0, 1)) = ½·(½·x_0² - ½ + ln 2)
	near(t, "L_1 in bits", half.prior([]float32{2}), (2-0.5+math.Ln2)/2/math.Ln2, 1e-12)
}

// TestDivergence compares with a sum over a grid, of q·ln(q/p).
func TestDivergence(t *testing.T) {
	for _, c := range [][3]float64{{0, -1, -1}, {0.3, -1, 0.5}, {-2, 0.7, 0}} {
		apart, lv1, lv2 := c[0], c[1], c[2]
		log := func(x, mean, lv float64) float64 {
			return -(x-mean)*(x-mean)/2*math.Exp(-lv) - lv/2 - math.Log(2*math.Pi)/2
		}
		sum := 0.0
		for x := -20.0; x <= 20; x += 0.01 {
			q := log(x, apart, lv1)
			sum += 0.01 * math.Exp(q) * (q - log(x, 0, lv2))
		}
		if got := divergence(apart, lv1, lv2); math.Abs(got-sum) > 1e-9 {
			t.Errorf("divergence(%v) = %.12g, want %.12g", c, got, sum)
		}
	}
}

// TestLevelsAddUp checks that the probabilities of the 256 grey levels sum to 1 for any mean and width, also where the
// mean lies outside.
func TestLevelsAddUp(t *testing.T) {
	for _, mean := range []float64{0, 0.5, -1, 1.3} {
		for _, sigma := range []float64{0.002, 0.01, 0.3, 2} {
			sum := 0.0
			for k := range 256 {
				sum += math.Exp(logLevel(float64(k)/127.5-1, mean, sigma))
			}
			if math.Abs(sum-1) > 256*1e-12+1e-12 { // each level has at least 1e-12
				t.Errorf("mean %g, sigma %g: the levels sum to %.15g", mean, sigma, sum)
			}
		}
	}
	// Far out in the tail, Φ(-6) - Φ(-7) = 9.853e-10: the difference of numbers near 1 would have four digits of it.
	near(t, "tail", math.Exp(logLevel(0, -6.5/255*2, 2/255.0)), 9.853e-10, 1e-3)
	near(t, "other tail", math.Exp(logLevel(0, 6.5/255*2, 2/255.0)), 9.853e-10, 1e-3)
}

// TestBoundOrderAndSummary checks which terms come, in which order, and how they add up.
func TestBoundOrderAndSummary(t *testing.T) {
	s := Sampler{Schedule: LinearFor(25), Rule: Ancestral{}, Seed: 2}
	x0 := images(3, 2, 2, 1)
	totals := make([]float64, 3)
	next := 25
	for term, bits := range s.Bound(dummy{}, x0, 7) {
		if term != next {
			t.Fatalf("term %d comes where %d is due", term, next)
		}
		next--
		for i, v := range bits {
			totals[i] += v
		}
	}
	var b BoundSummary
	b.Add(s.Bound(dummy{}, tensor.From(x0.Data[:4], 1, 2, 2, 1), 7))
	b.Add(s.Bound(dummy{}, tensor.From(x0.Data[4:], 2, 2, 2, 1), 8))
	mean := (totals[0] + totals[1] + totals[2]) / 3
	near(t, "total", b.Total.Mean(), mean, 1e-12)
	near(t, "parts", b.Prior.Mean()+b.Rate.Mean()+b.Distortion.Mean(), mean, 1e-12)
	square := 0.0
	for _, v := range totals {
		square += (v - mean) * (v - mean)
	}
	near(t, "standard error", b.Total.StdErr(), math.Sqrt(square/2/3), 1e-9)
	sum := 0.0
	for _, step := range b.Steps {
		sum += step.Mean()
	}
	near(t, "steps", sum, mean, 1e-12)
	near(t, "L_T", b.Steps[25].Mean(), b.Prior.Mean(), 1e-12)
	near(t, "L_0", b.Steps[0].Mean(), b.Distortion.Mean(), 1e-12)
	var small BoundSummary // whose σ_1 the decoder has with both fixed variances
	s.Rule = Ancestral{FixedSmall}
	small.Add(s.Bound(dummy{}, x0, 7))
	near(t, "L_0 with a fixed small variance", small.Distortion.Mean(), b.Distortion.Mean(), 1e-12)
	if small.Rate.Mean() == b.Rate.Mean() {
		t.Error("the variance makes no difference to the rate")
	}
	if !math.IsInf((Estimate{}).StdErr(), 1) {
		t.Error("an estimate without values has a finite error")
	}
	for range s.Bound(dummy{}, x0, 0) {
		break
	}
	mustPanic(t, "rule", func() { Sampler{Schedule: s.Schedule, Rule: DDIM{}}.Bound(dummy{}, x0, 0) })
	mustPanic(t, "variance channels", func() {
		s.Rule = Ancestral{LearnedRange}
		for range s.Bound(dummy{}, x0, 0) {
		}
	})
}
