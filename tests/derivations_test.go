package tests

import (
	"fmt"
	"math"
	"testing"

	"ddpm/autograd"
	"ddpm/diffusion"
	"ddpm/internal/rng"
	"ddpm/tensor"
)

// The derivations of DDPM, step by step, as programs:
//
//  1. one step of noise keeps the variance at 1,
//  2. many steps of noise are one jump,
//  3. Bayes' rule turns a step round when x_0 is known, and in terms of ε its mean is the one that the sampler uses.
//
// Where a claim is about distributions it is tested by simulation too. The seeds are fixed, so the outcome is; deviations
// are the number of standard errors that a simulated moment may be off, which one in 10⁶ exceeds by chance.
const deviations = 5

// rounding is a bound on what float64 loses in a product of a thousand factors.
const rounding = 1e-12

func normals(n int, seed uint64) tensor.Tensor {
	x := tensor.New(n, 1)
	stream := rng.New(seed, rng.Noise, 0, 0)
	stream.Normal(x.Data)
	return x
}

// moments returns mean and variance of x, and the standard error of each.
func moments(x []float32) (mean, variance, meanError, varianceError float64) {
	n := float64(len(x))
	for _, v := range x {
		mean += float64(v) / n
	}
	fourth := 0.0
	for _, v := range x {
		d := float64(v) - mean
		variance += d * d / n
		fourth += d * d * d * d / n
	}
	return mean, variance, math.Sqrt(variance / n), math.Sqrt(max(fourth-variance*variance, 0) / n)
}

// TestVarianceStaysOne is derivation 1: var(√(1-β)·x + √β·ε) = (1-β)·var(x) + β = 1 if var(x) = 1, whatever the
// distribution of x. The simulation starts from x_0 = ±1, as far from a Gaussian as variance 1 allows.
func TestVarianceStaysOne(t *testing.T) {
	s := diffusion.LinearFor(50)
	const n = 20_000
	x := tensor.New(n, 1)
	for i := range x.Data {
		x.Data[i] = float32(1 - 2*(i%2))
	}
	exact := 1.0
	for time := 1; time <= s.T(); time++ {
		a, b := math.Sqrt(1-s.Beta[time]), math.Sqrt(s.Beta[time])
		exact = a*a*exact + b*b
		if math.Abs(exact-1) > rounding {
			t.Fatalf("t = %d: variance %.15g, want 1", time, exact)
		}
		s.QStep(x, x, normals(n, uint64(time)), time)
		mean, variance, meanError, varianceError := moments(x.Data)
		if math.Abs(mean) > deviations*meanError || math.Abs(variance-1) > deviations*(varianceError+1/math.Sqrt(n)) {
			t.Errorf("t = %d: simulated mean %.4f ± %.4f, variance %.4f ± %.4f; want 0 and 1", time, mean, meanError, variance, varianceError)
		}
	}
	_, _, _, gauss := moments(x.Data)
	if want := math.Sqrt(2.0 / n); math.Abs(gauss-want) > 0.1*want {
		t.Errorf("the fourth moment does not end as a Gaussian's: standard error of the variance %.5f, want %.5f", gauss, want)
	}
}

// TestTwoStepsOfNoise is the heart of derivation 2: the noises of two steps are independent, so their variances add,
// α_t·(1-α_{t-1}) + (1-α_t) = 1-α_t·α_{t-1}.
func TestTwoStepsOfNoise(t *testing.T) {
	s := diffusion.Linear(1000, 1e-4, 0.02)
	for time := 2; time <= s.T(); time++ {
		a, before := s.Alpha[time], s.Alpha[time-1]
		if got, want := a*(1-before)+(1-a), 1-a*before; math.Abs(got-want) > rounding*want {
			t.Fatalf("t = %d: %.17g, want %.17g", time, got, want)
		}
	}
}

// TestStepsComposeToOneJump is derivation 2: following q(x_t | x_{t-1}) from x_0 gives q(x_t | x_0) =
// N(√ᾱ_t·x_0, 1-ᾱ_t), exactly in the coefficients, and in simulation.
func TestStepsComposeToOneJump(t *testing.T) {
	for name, s := range map[string]diffusion.Schedule{
		"linear":   diffusion.Linear(1000, 1e-4, 0.02),
		"cosine":   diffusion.Cosine(1000),
		"strided":  diffusion.Linear(1000, 1e-4, 0.02).Strided(1, 10, 100, 500, 999),
		"zero SNR": diffusion.Linear(1000, 1e-4, 0.02).ZeroTerminalSNR(),
	} {
		signal, noise := 1.0, 0.0 // x_t = signal·x_0 + √noise·ε
		for time := 1; time <= s.T(); time++ {
			signal *= math.Sqrt(1 - s.Beta[time])
			noise = (1-s.Beta[time])*noise + s.Beta[time]
			if math.Abs(signal-s.Signal(time)) > rounding || math.Abs(noise-s.Noise(time)*s.Noise(time)) > rounding {
				t.Fatalf("%s, t = %d: factor %.15g and variance %.15g, want %.15g and %.15g", name, time, signal, noise, s.Signal(time), s.Noise(time)*s.Noise(time))
			}
		}
	}

	s := diffusion.LinearFor(50)
	const n, x0 = 20_000, 0.7
	stepped, jumped, start := tensor.New(n, 1), tensor.New(n, 1), tensor.New(n, 1)
	times := make([]int, n)
	for i := range start.Data {
		start.Data[i] = x0
	}
	copy(stepped.Data, start.Data)
	for time := 1; time <= s.T(); time++ {
		s.QStep(stepped, stepped, normals(n, uint64(time)), time)
		if time%10 != 0 {
			continue
		}
		for i := range times {
			times[i] = time
		}
		s.QSample(jumped, start, normals(n, uint64(1000+time)), times)
		for kind, x := range map[string]tensor.Tensor{"steps": stepped, "jump": jumped} {
			mean, variance, meanError, varianceError := moments(x.Data)
			wantMean, wantVariance := x0*s.Signal(time), 1-s.AlphaBar[time]
			if math.Abs(mean-wantMean) > deviations*meanError || math.Abs(variance-wantVariance) > deviations*varianceError {
				t.Errorf("t = %d by %s: mean %.4f ± %.4f, variance %.4f ± %.4f; want %.4f and %.4f",
					time, kind, mean, meanError, variance, varianceError, wantMean, wantVariance)
			}
		}
	}
}

func density(x, mean, variance float64) float64 {
	return math.Exp(-(x-mean)*(x-mean)/(2*variance)) / math.Sqrt(2*math.Pi*variance)
}

// TestBayesRuleOnAGrid is derivation 3: q(x_{t-1} | x_t, x_0) = q(x_t | x_{t-1})·q(x_{t-1} | x_0)/q(x_t | x_0). The right
// side is evaluated on a grid of x_{t-1}, with nothing known but the two forward densities; it must integrate to 1 and
// have the mean and the variance of the closed form.
func TestBayesRuleOnAGrid(t *testing.T) {
	full := diffusion.Linear(1000, 1e-4, 0.02)
	for name, s := range map[string]diffusion.Schedule{"full": full, "strided": full.Strided(1, 50, 300, 700, 1000)} {
		for _, time := range []int{2, 3, s.T() / 2, s.T()} {
			for _, x0 := range []float64{-1, 0.3} {
				for _, xt := range []float64{-1.5, 0, 0.8} {
					c0, ct, wantVariance := s.Posterior(time)
					wantMean := c0*x0 + ct*xt
					// A grid of ±12 standard deviations in steps of a 50th: the trapezoidal rule is exact to
					// rounding for a Gaussian that is so well resolved.
					sd := math.Sqrt(wantVariance)
					var mass, mean, square float64
					for k := -600; k <= 600; k++ {
						x := wantMean + sd*float64(k)/50
						p := density(xt, math.Sqrt(s.Alpha[time])*x, s.Beta[time]) *
							density(x, s.Signal(time-1)*x0, 1-s.AlphaBar[time-1]) /
							density(xt, s.Signal(time)*x0, 1-s.AlphaBar[time]) * sd / 50
						mass += p
						mean += p * x
						square += p * (x - wantMean) * (x - wantMean)
					}
					const grid = 1e-9 // the densities lose seven digits where x_t is far out in q(x_t | x_0)
					if math.Abs(mass-1) > grid || math.Abs(mean-wantMean) > grid || math.Abs(square-wantVariance) > grid*wantVariance {
						t.Errorf("%s, t = %d, x_0 = %g, x_t = %g: mass %.12g, mean %.12g, variance %.12g; want 1, %.12g, %.12g",
							name, time, x0, xt, mass, mean, square, wantMean, wantVariance)
					}
				}
			}
		}
	}
}

// TestLastStepIsCertain checks that, given x_0, nothing is left to draw at t = 1.
func TestLastStepIsCertain(t *testing.T) {
	for _, s := range []diffusion.Schedule{diffusion.Linear(1000, 1e-4, 0.02), diffusion.Cosine(10)} {
		if c0, ct, variance := s.Posterior(1); math.Abs(c0-1) > rounding || ct != 0 || variance != 0 {
			t.Errorf("q(x_0 | x_1, x_0) = N(%g·x_0 + %g·x_1, %g), want x_0", c0, ct, variance)
		}
	}
}

// TestMeanInTermsOfNoise is the end of derivation 3: with x_0 = (x_t - √(1-ᾱ_t)·ε)/√ᾱ_t put in, the posterior's mean is
// 1/√α_t·(x_t - (1-α_t)/√(1-ᾱ_t)·ε).
func TestMeanInTermsOfNoise(t *testing.T) {
	for _, s := range []diffusion.Schedule{diffusion.Linear(1000, 1e-4, 0.02), diffusion.LinearFor(50), diffusion.Cosine(100)} {
		for time := 1; time <= s.T(); time++ {
			for _, xt := range []float64{-2, 0.1, 1} {
				for _, eps := range []float64{-1, 0.4} {
					x0 := (xt - s.Noise(time)*eps) / s.Signal(time)
					c0, ct, _ := s.Posterior(time)
					got := c0*x0 + ct*xt
					want := (xt - (1-s.Alpha[time])/s.Noise(time)*eps) / math.Sqrt(s.Alpha[time])
					// x_0 may be thousands where ᾱ_t is tiny, and loses as many digits.
					if math.Abs(got-want) > rounding*max(1, math.Abs(x0)) {
						t.Fatalf("t = %d of %d: %.15g, want %.15g", time, s.T(), got, want)
					}
				}
			}
		}
	}
}

// bend is a network without parameters: 0.8·x + 0.2·sin(x+t), near enough to a denoiser's for x to stay small.
type bend struct{}

func (bend) at(x float32, t int) float32 {
	return float32(0.8*float64(x) + 0.2*math.Sin(float64(x)+float64(t)))
}

func (b bend) Denoise(tp *autograd.Tape, xt *autograd.Var, t []int) *autograd.Var {
	out := tp.Temp(xt.Shape...)
	d := len(xt.Data) / len(t)
	for i, x := range xt.Data {
		out.Data[i] = b.at(x, t[i/d])
	}
	return out
}

// TestSamplerIsAlgorithm2 holds the sampler to algorithm 2 written out in one loop, with t counted from 0 as programs
// mostly do, for both choices of σ.
func TestSamplerIsAlgorithm2(t *testing.T) {
	const T, n = 50, 12
	s := diffusion.LinearFor(T)
	noise := normals(T*n, 7).Data
	for variance, sigma := range map[diffusion.Variance]func(beta, abar, abarBefore float64) float64{
		diffusion.FixedLarge: func(beta, _, _ float64) float64 { return math.Sqrt(beta) },
		diffusion.FixedSmall: func(beta, abar, before float64) float64 { return math.Sqrt((1 - before) / (1 - abar) * beta) },
	} {
		sampler := diffusion.Sampler{
			Schedule: s, Rule: diffusion.Ancestral{Variance: variance},
			Noise: func(t int, z tensor.Tensor) { copy(z.Data, noise[(t-1)*n:]) },
		}
		xT := tensor.From(normals(n, 8).Data, 1, 2, 2, 3)
		got := diffusion.Last(sampler.Steps(bend{}, xT, 0))

		x := make([]float64, n)
		for i := range x {
			x[i] = float64(xT.Data[i])
		}
		for t := T - 1; t >= 0; t-- {
			at, abt, bt, before := s.Alpha[t+1], s.AlphaBar[t+1], s.Beta[t+1], s.AlphaBar[t]
			coef1 := 1 / math.Sqrt(at)
			coef2 := (1 - at) / math.Sqrt(1-abt)
			for i := range x {
				x[i] = coef1 * (x[i] - coef2*float64(bend{}.at(float32(x[i]), t)))
				if t > 0 {
					x[i] += sigma(bt, abt, before) * float64(noise[t*n+i])
				}
			}
		}
		for i := range x {
			// The sampler keeps x in float32: 50 roundings, each of which later steps may enlarge a little.
			if math.Abs(x[i]-float64(got.Data[i])) > 5e-5 {
				t.Errorf("%v: value %d is %.7f, want %.7f", variance, i, got.Data[i], x[i])
			}
		}
	}
}

// TestLossIsAlgorithm1 holds the loss to algorithm 1 written out: the mean of (ε - ε_θ(√ᾱ_t·x_0 + √(1-ᾱ_t)·ε, t))².
func TestLossIsAlgorithm1(t *testing.T) {
	const n, d = 5, 6
	s := diffusion.Linear(1000, 1e-4, 0.02)
	x0 := tensor.From(normals(n*d, 3).Data, n, 1, 2, 3)
	objective := diffusion.Objective{Schedule: s, Seed: 11}
	loss, images := objective.Loss(autograd.NewInference(), bend{}, diffusion.Batch{X0: x0, Step: 4})

	total := 0.0
	for i := range n {
		steps, noise := rng.New(11, rng.Timestep, uint64(i), 4), rng.New(11, rng.Noise, uint64(i), 4)
		t0 := int(steps.Float64() * 1000) // counted from 0
		if images[i].T != t0+1 {
			t.Fatalf("image %d was noised to t = %d, want %d", i, images[i].T, t0+1)
		}
		eps := make([]float32, d)
		noise.Normal(eps)
		own := 0.0
		for j := range d {
			abar := s.AlphaBar[t0+1]
			xt := math.Sqrt(abar)*float64(x0.Data[i*d+j]) + math.Sqrt(1-abar)*float64(eps[j])
			e := float64(eps[j]) - float64(bend{}.at(float32(xt), t0))
			own += e * e / d
		}
		if math.Abs(images[i].Loss-own) > 1e-6 { // float32's error on numbers about 1
			t.Errorf("image %d: loss %.8f, want %.8f", i, images[i].Loss, own)
		}
		total += own / n
	}
	if math.Abs(float64(loss.Data[0])-total) > 1e-6 {
		t.Errorf("loss %.8f, want %.8f", loss.Data[0], total)
	}
}

// Example_posterior shows derivation 3 at work in one step of the paper's schedule.
func Example_posterior() {
	s := diffusion.Linear(1000, 1e-4, 0.02)
	c0, ct, variance := s.Posterior(500)
	fmt.Printf("q(x_499 | x_500, x_0) = N(%.4f·x_0 + %.4f·x_500, %.5f)\n", c0, ct, variance)
	// Output: q(x_499 | x_500, x_0) = N(0.0031·x_0 + 0.9941·x_500, 0.01003)
}
