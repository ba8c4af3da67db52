package diffusion

import (
	"fmt"
	"math"
)

// Ancestral is the sampler of DDPM (algorithm 2): x_{t-1} is drawn from p(x_{t-1} | x_t) = N(μ_t, σ_t²·I), whose mean is
// that of the posterior q(x_{t-1} | x_t, x̂_0). Without clipping this is the paper's
//
//	μ_t = 1/√α_t·(x_t - β_t/√(1-ᾱ_t)·ε_θ(x_t, t))    eq. 11
//
// Written with x̂_0 the formula also serves the other predictions, and lets x̂_0 be clipped.
type Ancestral struct {
	Variance Variance // σ_t²
}

func (a Ancestral) validate(s Sampler) error {
	if a.Variance > LearnedRange {
		return fmt.Errorf("diffusion: variance is %v, want one of %q", a.Variance, []string(variances))
	}
	return nil
}

func (a Ancestral) step(w *walk, t int) {
	c0, ct, _ := w.Schedule.Posterior(t)
	x := w.x.Data
	combine(x, c0, w.x0.Data, ct, x)
	if t == 1 {
		return // algorithm 2, line 3: the last step adds no noise
	}
	if a.Variance == LearnedRange && !w.out.learned() {
		panic("diffusion: Ancestral: got a network without variance channels, want 2C output channels for LearnedRange")
	}
	z := w.noise(t).Data
	small, large := w.Schedule.logRange(t)
	sigma := math.Exp(a.Variance.log(small, large, 0) / 2)
	for i := range x {
		if a.Variance == LearnedRange {
			sigma = math.Exp(a.Variance.log(small, large, w.out.variance(i)) / 2)
		}
		x[i] = float32(float64(x[i]) + float64(sigma*float64(z[i])))
	}
}
