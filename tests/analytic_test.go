package tests

import (
	"math"
	"testing"

	"ddpm/autograd"
	"ddpm/diffusion"
	"ddpm/tensor"
)

// For data whose distribution is known, the best network is too: the exact E[x_0 | x_t], and with it E[ε | x_t]. With it in a network's place, a
// sampler must draw from the data's distribution. The data here are images of one pixel with two channels.

// exact is the best network for a distribution.
type exact struct {
	data       distribution
	schedule   diffusion.Schedule // the full one, by which it knows the noise level of a time
	prediction diffusion.Prediction
}

// distribution is a distribution of x_0 in the plane.
type distribution interface {
	// image returns E[x_0 | x_t = x] at noise level ᾱ.
	image(x [2]float64, alphaBar float64) [2]float64
}

func (e exact) Denoise(tp *autograd.Tape, xt *autograd.Var, t []int) *autograd.Var {
	out := tp.Temp(xt.Shape...)
	for i, t := range t {
		ab := e.schedule.AlphaBar[t+1]
		x := [2]float64{float64(xt.Data[2*i]), float64(xt.Data[2*i+1])}
		x0 := e.data.image(x, ab)
		cx, co := diffusion.X0.In(e.prediction, ab)
		for j := range x0 {
			out.Data[2*i+j] = float32(cx*x[j] + co*x0[j])
		}
	}
	return out
}

// gaussian is N(mean, [[a b] [b c]]).
type gaussian struct {
	mean    [2]float64
	a, b, c float64
}

// image: x_t ~ N(√ᾱ·mean, C) with C = ᾱ·Cov + (1-ᾱ)·I, and E[x_0 | x_t] = mean + √ᾱ·Cov·C⁻¹·(x_t - √ᾱ·mean).
func (g gaussian) image(x [2]float64, ab float64) [2]float64 {
	a, b, c := ab*g.a+1-ab, ab*g.b, ab*g.c+1-ab
	root := math.Sqrt(ab)
	u, v := x[0]-root*g.mean[0], x[1]-root*g.mean[1]
	scale := root / (a*c - b*b)
	p, q := scale*(c*u-b*v), scale*(a*v-b*u)
	return [2]float64{g.mean[0] + g.a*p + g.b*q, g.mean[1] + g.b*p + g.c*q}
}

// mixture is a sum of round Gaussians.
type mixture []struct {
	weight   float64
	mean     [2]float64
	variance float64
}

// image: the components' own E[x_0 | x_t], weighted by the probability that x_t came from each.
func (m mixture) image(x [2]float64, ab float64) (x0 [2]float64) {
	root := math.Sqrt(ab)
	var total, nearest float64 // nearest: the largest exponent, put aside lest all underflow
	for pass := range 2 {
		for k, c := range m {
			variance := ab*c.variance + 1 - ab
			u, v := x[0]-root*c.mean[0], x[1]-root*c.mean[1]
			exponent := -(u*u + v*v) / (2 * variance)
			if pass == 0 {
				if k == 0 || exponent > nearest {
					nearest = exponent
				}
				continue
			}
			p := c.weight / variance * math.Exp(exponent-nearest)
			shrink := root * c.variance / variance
			total += p
			x0[0] += p * (c.mean[0] + shrink*u)
			x0[1] += p * (c.mean[1] + shrink*v)
		}
	}
	return [2]float64{x0[0] / total, x0[1] / total}
}

var tilted = gaussian{mean: [2]float64{0.4, -0.3}, a: 0.6, b: 0.25, c: 0.3}

var three = mixture{
	{0.5, [2]float64{-0.8, -0.5}, 0.02},
	{0.3, [2]float64{0.9, -0.4}, 0.04},
	{0.2, [2]float64{0.1, 0.9}, 0.01},
}

// affineMoments returns the exact mean and covariance (xx, xy, yy) of what a sampler makes of Gaussian data. Its steps are
// then affine: x_0 = c + A·x_T + Σ_t B_t·z_t with independent standard normal x_T and z_t, so the mean is c and the covariance
// A·Aᵀ + Σ B_t·B_tᵀ. Running one image per column of A and B_t, that column's input being 1 and all others 0, and one
// with all 0, finds them without any Monte-Carlo error.
func affineMoments(s diffusion.Sampler, net diffusion.Denoiser) (mean [2]float64, cov [3]float64) {
	T := s.Schedule.T()
	columns := 2 * (T + 1) // image 2t+j has z_t[j] = 1; 2·0+j has x_T[j] = 1
	x := tensor.New(columns+1, 1, 1, 2)
	x.Data[0], x.Data[3] = 1, 1
	s.Noise = func(t int, z tensor.Tensor) {
		clear(z.Data)
		z.Data[4*t], z.Data[4*t+3] = 1, 1
	}
	y := diffusion.Last(s.Steps(net, x, 0)).Data
	mean = [2]float64{float64(y[2*columns]), float64(y[2*columns+1])}
	for i := range columns {
		u, v := float64(y[2*i])-mean[0], float64(y[2*i+1])-mean[1]
		cov[0] += u * u
		cov[1] += u * v
		cov[2] += v * v
	}
	return mean, cov
}

// error returns how far moments are from g's, at most.
func (g gaussian) error(mean [2]float64, cov [3]float64) float64 {
	worst := 0.0
	for i, want := range []float64{g.mean[0], g.mean[1], g.a, g.b, g.c} {
		worst = max(worst, math.Abs([]float64{mean[0], mean[1], cov[0], cov[1], cov[2]}[i]-want))
	}
	return worst
}

// rule is a sampler's rule with the order of its error in the number of steps.
type rule struct {
	name  string
	rule  diffusion.Rule
	order int
}

// rules returns every rule, for a network that knows the levels of full.
func rules(full diffusion.Schedule) []rule {
	return []rule{
		{"ancestral large", diffusion.Ancestral{Variance: diffusion.FixedLarge}, 1},
		{"ancestral small", diffusion.Ancestral{Variance: diffusion.FixedSmall}, 1},
		{"DDIM", diffusion.DDIM{}, 1},
		{"DDIM half", diffusion.DDIM{Eta: 0.5}, 1},
		{"DDIM noisy", diffusion.DDIM{Eta: 1}, 1},
		{"DPM-Solver++ 1", diffusion.DPMSolver{Order: 1}, 1},
		{"DPM-Solver++ 2M", diffusion.DPMSolver{Order: 2}, 2},
		{"SDE-DPM-Solver++ 1", diffusion.DPMSolver{Order: 1, SDE: true}, 1},
		{"SDE-DPM-Solver++ 2M", diffusion.DPMSolver{Order: 2, SDE: true}, 2},
		{"Heun", diffusion.Heun{}, 2},
		{"Heun with churn", diffusion.Heun{Churn: 20, Levels: full}, 2},
	}
}

func must(times []int, err error) []int {
	if err != nil {
		panic(err)
	}
	return times
}

// TestGaussianMoments checks, for every sampler on every schedule with every spacing, that the moments come closer to the
// data's as the steps grow more: half as far for twice the steps, or better, down to what remains because the chain
// starts from N(0, I) and not from q(x_T).
func TestGaussianMoments(t *testing.T) {
	// Bounds on the error of 100 steps for a rule of first and second order; the data's variances are 0.6 and 0.3.
	// Steps that are even in t or ρ are far from even for the other, hence the width.
	bound := map[int]float64{1: 0.15, 2: 0.05}
	for name, full := range map[string]diffusion.Schedule{
		"linear": diffusion.Linear(1000, 1e-4, 0.02), "scaled linear": diffusion.ScaledLinear(1000, 1e-4, 0.02),
		"cosine": diffusion.Cosine(1000), "sigmoid": diffusion.Sigmoid(1000, 1e-4, 0.02), "Jabri": diffusion.SigmoidJabri(1000, -3, 3, 1),
	} {
		for spacing, times := range map[string]func(n int) []int{
			"leading":  func(n int) []int { return must(diffusion.Leading(1000, n, 0)) },
			"linspace": func(n int) []int { return must(diffusion.Linspace(1000, n)) },
			"trailing": func(n int) []int { return must(diffusion.Trailing(1000, n)) },
			"Karras":   func(n int) []int { return must(diffusion.Karras(full, n, 7)) },
		} {
			for _, r := range rules(full) {
				if r.name == "Heun" && spacing != "Karras" {
					continue // its steps are in σ̄, and where σ̄_T is in the thousands, one even in t spans most of the range
				}
				var errors [2]float64
				var start float64
				for i, n := range []int{50, 100} {
					s := full.Strided(times(n)...)
					start = s.Signal(s.T())
					errors[i] = tilted.error(affineMoments(diffusion.Sampler{Schedule: s, Rule: r.rule}, exact{tilted, full, diffusion.Epsilon}))
				}
				// The mean of x_T is taken for 0 instead of √ᾱ_T·0.4, of which a factor of up to 0.9 survives.
				floor := 0.4 * start
				if errors[1] > bound[r.order]+floor || errors[1] > max(0.6*errors[0], floor) {
					t.Errorf("%s on %s, %s: moments are off by %.4f in 50 steps and %.4f in 100", r.name, name, spacing, errors[0], errors[1])
				}
			}
		}
	}
}

// classify gives each point of x to the component with the nearest mean, and returns what share each gets and the mean
// of (x-mean)²: nearest means tell the components of three apart but for one point in 10⁵.
func (m mixture) classify(x tensor.Tensor) (share, variance []float64) {
	share, variance = make([]float64, len(m)), make([]float64, len(m))
	for i := 0; i < len(x.Data); i += 2 {
		nearest, best := 0, math.Inf(1)
		for k, c := range m {
			u, v := float64(x.Data[i])-c.mean[0], float64(x.Data[i+1])-c.mean[1]
			if d := u*u + v*v; d < best {
				nearest, best = k, d
			}
		}
		share[nearest]++
		variance[nearest] += best / 2
	}
	for k := range m {
		variance[k] /= share[k]
		share[k] /= float64(len(x.Data) / 2)
	}
	return share, variance
}

// TestMixture checks that every sampler, drawing its own noise, gives each component of a mixture its weight and its
// variance.
func TestMixture(t *testing.T) {
	const n = 1000
	// What the steps' finite number adds to the Monte-Carlo error: a share, and relative to a variance. The components are
	// narrow, so the first-order rules need many steps to fill them.
	bias := map[int][2]float64{1: {0.01, 0.25}, 2: {0.01, 0.1}}
	full := diffusion.Linear(1000, 1e-4, 0.02)
	for _, r := range rules(full) {
		times := must(diffusion.Trailing(1000, 200))
		if r.order == 2 {
			times = must(diffusion.Karras(full, 60, 7))
		}
		s := diffusion.Sampler{Schedule: full.Strided(times...), Rule: r.rule, Seed: 1}
		x := diffusion.Last(s.Steps(exact{three, full, diffusion.Epsilon}, s.Start(0, n, 1, 1, 2), 0))
		share, variance := three.classify(x)
		for k, c := range three {
			shareError := deviations*math.Sqrt(c.weight*(1-c.weight)/n) + bias[r.order][0]
			varianceError := deviations*c.variance*math.Sqrt(1/(n*c.weight)) + bias[r.order][1]*c.variance
			if math.Abs(share[k]-c.weight) > shareError || math.Abs(variance[k]-c.variance) > varianceError {
				t.Errorf("%s: component %d has share %.3f and variance %.4f, want %.3f ± %.3f and %.4f ± %.4f",
					r.name, k, share[k], variance[k], c.weight, shareError, c.variance, varianceError)
			}
		}
	}
}

// TestSampledMoments checks the noise that the samplers draw: samples have the moments that independent standard normal
// noise must give them, which affineMoments knows exactly.
func TestSampledMoments(t *testing.T) {
	const n = 4000
	full := diffusion.Linear(1000, 1e-4, 0.02)
	net := exact{tilted, full, diffusion.Epsilon}
	for _, r := range rules(full) {
		s := diffusion.Sampler{Schedule: full.Strided(must(diffusion.Trailing(1000, 20))...), Rule: r.rule, Seed: 2}
		wantMean, wantCov := affineMoments(s, net)
		x := diffusion.Last(s.Steps(net, s.Start(0, n, 1, 1, 2), 0))
		for j := range 2 {
			channel := make([]float32, n)
			for i := range channel {
				channel[i] = x.Data[2*i+j]
			}
			mean, variance, meanError, varianceError := moments(channel)
			if math.Abs(mean-wantMean[j]) > deviations*meanError || math.Abs(variance-wantCov[2*j]) > deviations*varianceError {
				t.Errorf("%s: channel %d has mean %.4f ± %.4f and variance %.4f ± %.4f, want %.4f and %.4f",
					r.name, j, mean, meanError, variance, varianceError, wantMean[j], wantCov[2*j])
			}
		}
	}
}
