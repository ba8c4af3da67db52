package diffusion

import (
	"fmt"
	"math"

	"ddpm/tensor"
)

// DDIM is the sampler of Song, Meng and Ermon (arXiv:2010.02502, eq. 12): x̂_0 is noised again to t-1, in part with the
// noise ε̂ that was found in x_t and in part with new noise z,
//
//	x_{t-1} = √ᾱ_{t-1}·x̂_0 + √(1-ᾱ_{t-1}-σ_t²)·ε̂ + σ_t·z,  σ_t² = η²·β̃_t    (eq. 16)
//
// With Eta = 0 it is deterministic, a first-order solver of the probability-flow equation; with Eta = 1 it is Ancestral
// with FixedSmall.
type DDIM struct {
	Eta float64 // η, 0…1
}

func (d DDIM) validate(s Sampler) error {
	if !(d.Eta >= 0 && d.Eta <= 1) {
		return fmt.Errorf("diffusion: DDIM's eta is %g, want 0 (deterministic) to 1 (as noisy as ancestral sampling)", d.Eta)
	}
	return nil
}

func (d DDIM) step(w *walk, t int) {
	_, _, variance := w.Schedule.Posterior(t)
	before := w.Schedule.AlphaBar[t-1]
	sigma := d.Eta * math.Sqrt(variance)
	x := w.x.Data
	combine(x, math.Sqrt(before), w.x0.Data, math.Sqrt(max(0, 1-before-sigma*sigma)), w.eps.Data)
	if sigma > 0 {
		combine(x, 1, x, sigma, w.noise(t).Data)
	}
}

// Invert runs deterministic DDIM backwards: it returns the x_to [N H W C] from which sampling leads back to the images
// x0, an encoding of them. s.Rule is not used. A step back from x_{t-1} needs the ε̂ of the x_t it is to find, so each is
// a fixed point, which Invert iterates. The first iteration is the usual DDIM inversion (arXiv:2010.02502, §4.3), which takes
// ε̂ at x_{t-1}; more iterations come closer to the exact inverse. It panics unless 1 ≤ to ≤ T and iterations ≥ 1, and if
// s.Clip is on, since clipping has no inverse.
func (s Sampler) Invert(net Denoiser, x0 tensor.Tensor, to, iterations int) tensor.Tensor {
	s.Rule = DDIM{}
	s.mustBeValid("Invert")
	s.Schedule.checkTime("Invert", to)
	if iterations < 1 || s.Clip != (Clip{}) {
		panic(fmt.Sprintf("diffusion: Invert: got %d iterations with %+v, want at least 1, and no clipping", iterations, s.Clip))
	}
	w := s.walk(net, x0, 0)
	from := x0.Clone() // x_{t-1}; w.x is the guess at x_t
	for t := 1; t <= to; t++ {
		// x_{t-1} = a·x̂_0 + b·ε̂ and x_t = √ᾱ_t·x̂_0 + √(1-ᾱ_t)·ε̂, solved for x_t given x_{t-1} and ε̂.
		scale := s.Schedule.Signal(t) / s.Schedule.Signal(t-1)
		noise := s.Schedule.Noise(t) - scale*s.Schedule.Noise(t-1)
		for range iterations {
			w.predict(t)
			combine(w.x.Data, scale, from.Data, noise, w.eps.Data)
		}
		copy(from.Data, w.x.Data)
	}
	return w.x
}
