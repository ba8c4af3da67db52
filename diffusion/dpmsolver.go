package diffusion

import (
	"fmt"
	"math"
)

// DPMSolver is DPM-Solver++ in its multistep form (Lu et al., arXiv:2211.01095, algorithm 2): the probability-flow
// equation in the time λ = ln(√ᾱ/√(1-ᾱ)) is linear but for x̂_0, and is solved exactly with x̂_0 held fixed (Order 1, which is
// DDIM) or extrapolated linearly from the two latest predictions (Order 2, "2M", still one evaluation a step):
//
//	x_{t-1} = σ_{t-1}/σ_t·x_t - √ᾱ_{t-1}·(e^{-h}-1)·D,  h = λ_{t-1}-λ_t
//	D = x̂_0(t)                                    Order 1, the first step, and the step to the clean image
//	D = x̂_0(t) + h/(2·h')·(x̂_0(t)-x̂_0(t+1))        Order 2; h' is the h of the step before
//
// where σ_t = √(1-ᾱ_t). With SDE it solves the reverse stochastic equation, with new noise at every step:
//
//	x_{t-1} = σ_{t-1}/σ_t·e^{-h}·x_t + √ᾱ_{t-1}·(1-e^{-2h})·D + σ_{t-1}·√(1-e^{-2h})·z
type DPMSolver struct {
	Order     int  // 1 or 2
	SDE       bool // stochastic
	Heun      bool // weigh the slope of x̂_0 by its exact integral, 1/(1-e^{-h}) - 1/h (2h for SDE), instead of ½; the paper's appendix B and diffusers' solver_type "heun"
	EulerLast bool // take the last step at order 1 even where it does not end at the clean image; diffusers does so below 15 steps
}

func (d DPMSolver) validate(s Sampler) error {
	if d.Order != 1 && d.Order != 2 {
		return fmt.Errorf("diffusion: DPM-Solver++ has order %d, want 1 or 2", d.Order)
	}
	return nil
}

func (d DPMSolver) step(w *walk, t int) {
	s, x := w.Schedule, w.x.Data
	h := s.LogSNR(t-1) - s.LogSNR(t)
	decay := h // the factor of x̂_0 is 1 - e^{-decay}
	if d.SDE {
		decay = 2 * h
	}
	estimate := w.x0.Data // D
	if d.Order == 2 && w.beforeT == t+1 && !math.IsInf(h, 1) && !(d.EulerLast && t == 1) {
		weight := 0.5
		if d.Heun {
			weight = -1/math.Expm1(-decay) - 1/decay
		}
		// From ᾱ = 0 the step before had h' = ∞, which leaves D = x̂_0. ε̂ is not needed here: its place holds D.
		r := weight * h / (s.LogSNR(t) - s.LogSNR(t+1))
		estimate = w.eps.Data
		combine(estimate, 1+r, w.x0.Data, -r, w.before.Data)
	}
	keep, gain := s.Noise(t-1)/s.Noise(t), -math.Expm1(-decay)
	if d.SDE {
		keep *= math.Exp(-h)
	}
	combine(x, keep, x, s.Signal(t-1)*gain, estimate)
	if sigma := s.Noise(t-1) * math.Sqrt(gain); d.SDE && sigma > 0 {
		combine(x, 1, x, sigma, w.noise(t).Data)
	}
}
