package diffusion

import (
	"fmt"
	"math"
)

// Heun is the second-order sampler of EDM (arXiv:2206.00364, algorithm 2), with two evaluations for each step but the
// last. In x̄ = x_t/√ᾱ_t, with noise level σ̄_t, the probability-flow equation is dx̄/dσ̄ = ε̂, and a step is the trapezoidal
// rule: an Euler step to t-1, then the same with the mean of the slopes at both ends. The levels that EDM visits come
// from Karras and Strided.
//
// Churn makes it stochastic: before a step, x̄ is raised from σ̄ to (1+γ)·σ̄ by new noise, γ = min(Churn/steps, √2-1), while
// ChurnMin ≤ σ̄ ≤ ChurnMax. The network knows the levels of Levels only, so the raised level is the nearest of those (as in
// EDM's own code for such networks).
type Heun struct {
	Churn              float64  // S_churn; 0 for the deterministic sampler
	ChurnMin, ChurnMax float64  // S_tmin, S_tmax; ChurnMax 0 for no upper limit
	ChurnNoise         float64  // S_noise, standard deviation of the new noise; 0 for 1
	Levels             Schedule // the schedule that the network was trained on; needed for Churn only
}

func (r Heun) validate(s Sampler) error {
	switch {
	case s.Schedule.AlphaBar[s.Schedule.T()] == 0:
		return fmt.Errorf("diffusion: Heun's noise level is infinite at zero terminal SNR; use DDIM or DPM-Solver++, or a schedule that ends above zero")
	case !(r.Churn >= 0 && r.ChurnMin >= 0 && r.ChurnMax >= 0 && r.ChurnNoise >= 0):
		return fmt.Errorf("diffusion: Heun's churn settings are %g, %g, %g, %g, want numbers of at least 0", r.Churn, r.ChurnMin, r.ChurnMax, r.ChurnNoise)
	case r.Churn > 0 && len(r.Levels.AlphaBar) < 2:
		return fmt.Errorf("diffusion: Heun's churn needs Levels, the schedule that the network was trained on")
	}
	return nil
}

func (r Heun) step(w *walk, t int) {
	from := w.at(t)
	w.raised = level{}
	to, s := t-1, w.Schedule
	// x̄ + (σ̄_to-σ̄_from)·slope, in x.
	keep := s.Signal(to) / from.s.Signal(from.t)
	move := s.Signal(to) * (s.Sigma(to) - from.s.Sigma(from.t))
	if to == 0 { // the network has not seen level 0
		combine(w.x.Data, keep, w.x.Data, move, w.eps.Data)
		return
	}
	guess, slope := w.z, w.spare
	combine(guess.Data, keep, w.x.Data, move, w.eps.Data)
	w.predictAt(w.before, slope, guess, level{s, to})
	combine(slope.Data, 0.5, w.eps.Data, 0.5, slope.Data)
	combine(w.x.Data, keep, w.x.Data, move, slope.Data)
	r.churn(w, to)
}

// churn raises x from level t to a level of more noise.
func (r Heun) churn(w *walk, t int) {
	sigma := w.Schedule.Sigma(t)
	gamma := min(r.Churn/float64(w.Schedule.T()), math.Sqrt2-1)
	if gamma == 0 || sigma < r.ChurnMin || r.ChurnMax > 0 && sigma > r.ChurnMax {
		return
	}
	up := r.Levels.nearest(sigma * (1 + gamma))
	raised := r.Levels.Sigma(up)
	if raised <= sigma {
		return // the levels are too coarse for so small a rise, or end here
	}
	noise := r.ChurnNoise
	if noise == 0 {
		noise = 1
	}
	noise *= math.Sqrt(raised*raised - sigma*sigma)
	signal := r.Levels.Signal(up)
	combine(w.x.Data, signal/w.Schedule.Signal(t), w.x.Data, signal*noise, w.noise(t).Data)
	w.raised = level{r.Levels, up}
}
