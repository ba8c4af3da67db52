// Package diffusion is the mathematics of denoising diffusion probabilistic models: noise schedules, the forward
// process and its posterior, training losses, samplers, likelihood, guidance and editing. It knows nothing of the
// network but the Denoiser interface.
//
// The notation is that of Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models" (arXiv:2006.11239), DDPM
// below. Time runs from t = 0, the clean image, to t = T, noise:
//
//	q(x_t | x_{t-1}) = N(√(1-β_t)·x_{t-1}, β_t·I)       one step of noise, eq. 2
//	q(x_t | x_0)     = N(√ᾱ_t·x_0, (1-ᾱ_t)·I)           all steps at once, eq. 4
//	α_t = 1-β_t,  ᾱ_t = α_1·α_2·…·α_t,  ᾱ_0 = 1
//
// Coefficients and sums are float64, images float32. Images are scaled to [-1, 1].
package diffusion

import (
	"fmt"
	"math"
	"slices"
)

// Schedule says how much noise each step adds. Its slices are indexed 0…T as in the paper; index 0 is the clean image:
// Beta[0] = 0, Alpha[0] = 1, AlphaBar[0] = 1. A schedule is not modified once made.
type Schedule struct {
	Beta     []float64 // β_t, the variance of the noise that step t adds
	Alpha    []float64 // α_t = 1-β_t
	AlphaBar []float64 // ᾱ_t, how much of the image's variance is left at t
	Time     []int     // the time step the network sees at t: t-1 in a full chain, as published networks count; -1 at 0
}

// MaxSteps is the largest T, chosen so that t fits the random streams' index with room for repeated visits to one t.
const MaxSteps = 1 << 20

// T returns the number of steps.
func (s Schedule) T() int { return len(s.AlphaBar) - 1 }

// Signal returns √ᾱ_t, the factor of x_0 in x_t.
func (s Schedule) Signal(t int) float64 { return math.Sqrt(s.AlphaBar[t]) }

// Noise returns √(1-ᾱ_t), the factor of ε in x_t.
func (s Schedule) Noise(t int) float64 { return math.Sqrt(1 - s.AlphaBar[t]) }

// SNR returns the signal-to-noise ratio ᾱ_t/(1-ᾱ_t) (Kingma et al., arXiv:2107.00630, eq. 5): +Inf at t = 0.
func (s Schedule) SNR(t int) float64 { return s.AlphaBar[t] / (1 - s.AlphaBar[t]) }

// Sigma returns σ̄_t = √((1-ᾱ_t)/ᾱ_t), the noise per unit of signal: x_t/√ᾱ_t = x_0 + σ̄_t·ε. It is the noise level of
// Karras et al. (arXiv:2206.00364, "EDM" below).
func (s Schedule) Sigma(t int) float64 { return math.Sqrt((1 - s.AlphaBar[t]) / s.AlphaBar[t]) }

// LogSNR returns λ_t = ln(√ᾱ_t/√(1-ᾱ_t)), half the logarithm of the signal-to-noise ratio, the clock of DPM-Solver
// (Lu et al., arXiv:2206.00927, §3).
func (s Schedule) LogSNR(t int) float64 { return -math.Log(s.Sigma(t)) }

// Linear returns the paper's schedule: β rises linearly from first at t = 1 to last at t = T; DDPM §4 has T = 1000,
// first = 1e-4, last = 0.02. A shorter chain with the same ends never reaches noise: see LinearFor. It panics unless
// 1 ≤ steps ≤ MaxSteps and 0 < first ≤ last < 1.
func Linear(steps int, first, last float64) Schedule {
	checkEnds("Linear", steps, first, last)
	return fromBetas(linspace(first, last, steps))
}

// LinearFor returns the linear schedule of DDPM for any number of steps, with both ends multiplied by 1000/steps, so
// that ᾱ_T is nearly the same for all (as in improved-diffusion). It panics unless 20 < steps ≤ MaxSteps: with fewer,
// the last β would be 1 or more.
func LinearFor(steps int) Schedule {
	if steps <= 20 || steps > MaxSteps {
		panic(fmt.Sprintf("diffusion: LinearFor: got %d steps, want 21…%d", steps, MaxSteps))
	}
	scale := 1000 / float64(steps)
	return Linear(steps, scale*1e-4, scale*0.02)
}

// ScaledLinear returns the schedule whose √β rises linearly: Ho's "quad", diffusers' "scaled_linear". It panics as
// Linear does.
func ScaledLinear(steps int, first, last float64) Schedule {
	checkEnds("ScaledLinear", steps, first, last)
	betas := linspace(math.Sqrt(first), math.Sqrt(last), steps)
	for i, root := range betas {
		betas[i] = root * root
	}
	return fromBetas(betas)
}

// Cosine returns the schedule of Nichol and Dhariwal (arXiv:2102.09672, eq. 17): ᾱ_t = f(t)/f(0) with
// f(t) = cos²((t/T+0.008)/1.008·π/2), and β no more than 0.999. It panics unless 1 ≤ steps ≤ MaxSteps.
func Cosine(steps int) Schedule {
	checkSteps("Cosine", steps)
	return fromCurve(steps, func(u float64) float64 {
		c := math.Cos((u + 0.008) / 1.008 * math.Pi / 2)
		return c * c
	})
}

// Sigmoid returns the schedule that diffusers calls "sigmoid" (from GeoDiff): β follows the logistic function from -6
// to 6, scaled to first…last. For the other schedule of this name see SigmoidJabri. It panics as Linear does.
func Sigmoid(steps int, first, last float64) Schedule {
	checkEnds("Sigmoid", steps, first, last)
	betas := linspace(-6, 6, steps)
	for i, u := range betas {
		betas[i] = logistic(u)*(last-first) + first
	}
	return fromBetas(betas)
}

// SigmoidJabri returns the sigmoid schedule of Jabri et al. (arXiv:2212.11972, appendix B): ᾱ, not β, follows a
// logistic function, over the arguments start…end divided by tau, scaled to fall from 1 to 0; β is no more than 0.999.
// The paper has start = -3, end = 3, tau = 1. It panics unless 1 ≤ steps ≤ MaxSteps, start < end and tau > 0.
func SigmoidJabri(steps int, start, end, tau float64) Schedule {
	checkSteps("SigmoidJabri", steps)
	if !(start < end && tau > 0) {
		panic(fmt.Sprintf("diffusion: SigmoidJabri: got start %g, end %g, tau %g, want start < end and tau > 0", start, end, tau))
	}
	last := logistic(end / tau)
	return fromCurve(steps, func(u float64) float64 { return last - logistic((u*(end-start)+start)/tau) })
}

// FromBetas returns the schedule with the given β_1…β_T, which may come from a file. Only β_T may be 1. It returns an
// error if there are none or too many, or if one lies outside (0, 1).
func FromBetas(betas []float64) (Schedule, error) {
	if len(betas) < 1 || len(betas) > MaxSteps {
		return Schedule{}, fmt.Errorf("diffusion: got %d betas, want 1…%d", len(betas), MaxSteps)
	}
	for i, b := range betas {
		if !(b > 0 && (b < 1 || b == 1 && i == len(betas)-1)) {
			return Schedule{}, fmt.Errorf("diffusion: beta %d of %d is %g, want a number between 0 and 1", i+1, len(betas), b)
		}
	}
	return fromBetas(betas), nil
}

// ZeroTerminalSNR returns s with √ᾱ_t shifted and stretched so that ᾱ_T = 0 and ᾱ_1 stays: the last step then holds no
// trace of the image, as sampling from pure noise assumes (Lin et al., arXiv:2305.08891, algorithm 1). A network that
// predicts ε says nothing about x_0 there: use X0 or V. It panics if s has one step or AlphaBar[0] is not 1.
func (s Schedule) ZeroTerminalSNR() Schedule {
	steps := s.T()
	if steps < 2 || s.AlphaBar[0] != 1 {
		panic(fmt.Sprintf("diffusion: ZeroTerminalSNR: got %d steps from AlphaBar[0] = %g, want at least 2 from 1", steps, s.AlphaBar[0]))
	}
	first, last := s.Signal(1), s.Signal(steps)
	alphaBar := slices.Clone(s.AlphaBar)
	for t := 1; t <= steps; t++ {
		root := (s.Signal(t) - last) * first / (first - last)
		alphaBar[t] = root * root
	}
	return fromAlphaBar(alphaBar, s.Time)
}

// Strided returns the schedule that visits only the given times of s, rising: step k of the new chain goes from
// times[k-1] to times[k-2] (to 0 if k = 1). ᾱ and the network's time are those of s, and β is re-derived,
// β_k = 1 - ᾱ_k/ᾱ_{k-1} (arXiv:2102.09672, eq. 19), so every formula and sampler holds for it unchanged. It panics
// unless 1 ≤ times[0] < times[1] < … ≤ T.
func (s Schedule) Strided(times ...int) Schedule {
	if len(times) == 0 {
		panic("diffusion: Strided: got no times, want at least one")
	}
	alphaBar, network := []float64{s.AlphaBar[0]}, []int{s.Time[0]}
	previous := 0
	for _, t := range times {
		if t <= previous || t > s.T() {
			panic(fmt.Sprintf("diffusion: Strided: got time %d after %d, want rising times in 1…%d", t, previous, s.T()))
		}
		alphaBar, network = append(alphaBar, s.AlphaBar[t]), append(network, s.Time[t])
		previous = t
	}
	return fromAlphaBar(alphaBar, network)
}

// EndingAt returns s with AlphaBar[0] replaced: sampling then ends at an image that still holds a little noise, which
// diffusers calls set_alpha_to_one=false and final_sigmas_type="sigma_min". It panics unless AlphaBar[1] ≤ alphaBar ≤ 1.
func (s Schedule) EndingAt(alphaBar float64) Schedule {
	if !(alphaBar >= s.AlphaBar[1] && alphaBar <= 1) {
		panic(fmt.Sprintf("diffusion: EndingAt: got %g, want between AlphaBar[1] = %g and 1", alphaBar, s.AlphaBar[1]))
	}
	end := slices.Clone(s.AlphaBar)
	end[0] = alphaBar
	return fromAlphaBar(end, s.Time)
}

// fromBetas builds the full chain of β_1…β_T.
func fromBetas(betas []float64) Schedule {
	n := len(betas) + 1
	s := Schedule{make([]float64, n), make([]float64, n), make([]float64, n), make([]int, n)}
	s.Alpha[0], s.AlphaBar[0], s.Time[0] = 1, 1, -1
	for i, b := range betas {
		t := i + 1
		s.Beta[t], s.Alpha[t] = b, 1-b
		s.AlphaBar[t] = s.AlphaBar[t-1] * s.Alpha[t]
		s.Time[t] = t - 1
	}
	return s
}

// fromAlphaBar derives α_t = ᾱ_t/ᾱ_{t-1} and β_t = 1-α_t.
func fromAlphaBar(alphaBar []float64, time []int) Schedule {
	s := Schedule{make([]float64, len(alphaBar)), make([]float64, len(alphaBar)), alphaBar, time}
	s.Alpha[0] = 1
	for t := 1; t < len(alphaBar); t++ {
		s.Alpha[t] = alphaBar[t] / alphaBar[t-1]
		s.Beta[t] = 1 - s.Alpha[t]
	}
	return s
}

// fromCurve builds the chain with ᾱ_t = f(t/T)/f(0), except that no β exceeds 0.999, which keeps ᾱ_T above 0.
func fromCurve(steps int, f func(u float64) float64) Schedule {
	betas := make([]float64, steps)
	for i := range betas {
		before, after := f(float64(i)/float64(steps)), f(float64(i+1)/float64(steps))
		betas[i] = min(1-after/before, 0.999)
	}
	return fromBetas(betas)
}

// linspace returns n evenly spaced numbers from first to last, both included.
func linspace(first, last float64, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = first + float64(i)*(last-first)/float64(max(n-1, 1))
	}
	if n > 1 {
		x[n-1] = last
	}
	return x
}

func logistic(u float64) float64 { return 1 / (1 + math.Exp(-u)) }

func checkSteps(op string, steps int) {
	if steps < 1 || steps > MaxSteps {
		panic(fmt.Sprintf("diffusion: %s: got %d steps, want 1…%d", op, steps, MaxSteps))
	}
}

func checkEnds(op string, steps int, first, last float64) {
	checkSteps(op, steps)
	if !(0 < first && first <= last && last < 1) {
		panic(fmt.Sprintf("diffusion: %s: got betas from %g to %g, want 0 < first ≤ last < 1", op, first, last))
	}
}
