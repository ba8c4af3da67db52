package tests

import (
	"math"
	"testing"

	"ddpm/diffusion"
	"ddpm/tensor"
)

// evenInLambda is a schedule of 513 steps that are even in λ = ln(√ᾱ/√(1-ᾱ)), from -5 at T to 5 at t = 1: the setting in
// which a solver shows its order of convergence.
func evenInLambda() diffusion.Schedule {
	const T = 513
	betas, before := make([]float64, T), 1.0
	for i := range betas {
		alphaBar := 1 / (1 + math.Exp(-2*(5-10*float64(i)/(T-1))))
		betas[i] = 1 - alphaBar/before
		before = alphaBar
	}
	s, err := diffusion.FromBetas(betas)
	if err != nil {
		panic(err)
	}
	return s
}

// slope fits error ∝ steps^-slope on a log-log scale by least squares.
func slope(steps []int, errors []float64) float64 {
	var sx, sy, sxx, sxy, n float64
	for i, e := range errors {
		x, y := math.Log(float64(steps[i])), math.Log(e)
		sx, sy, sxx, sxy, n = sx+x, sy+y, sxx+x*x, sxy+x*y, n+1
	}
	return -(n*sxy - sx*sy) / (n*sxx - sx*sx)
}

// TestOrderOfConvergence fits the order of each sampler. The deterministic ones are judged by where they lead single
// points: to x̂_0 of the exact solution of the probability-flow equation at t = 1, which for independent Gaussian channels
// is x_t = √ᾱ_t·μ + (x_T - √ᾱ_T·μ)·√(var(x_t)/var(x_T)); for the mixture, the sampler's own solution in 512 steps takes its
// place. The stochastic ones are judged by moments, against their own in 512 steps.
func TestOrderOfConvergence(t *testing.T) {
	// The fit is over 32 to 128 steps; terms of higher order, and a reference with 512 steps only, move it by this.
	const fit = 0.25
	full := evenInLambda()
	steps := []int{32, 64, 128}
	upright := gaussian{mean: [2]float64{0.4, -0.3}, a: 0.6, c: 0.05}
	strided := func(n int) diffusion.Schedule { return full.Strided(must(diffusion.Linspace(513, n+1))...) }

	for _, r := range rules(full) {
		check := func(data string, errors []float64) {
			if got := slope(steps, errors); math.Abs(got-float64(r.order)) > fit {
				t.Errorf("%s on a %s: errors %.3g in %v steps fall with order %.2f, want %d", r.name, data, errors, steps, got, r.order)
			}
		}
		if r.name == "DDIM" || r.name == "DPM-Solver++ 1" || r.name == "DPM-Solver++ 2M" || r.name == "Heun" {
			check("Gaussian", pathErrors(r.rule, exact{upright, full, diffusion.Epsilon}, strided, steps, upright.flow))
			fine := func(xT tensor.Tensor, _ diffusion.Schedule) tensor.Tensor {
				return diffusion.Last(diffusion.Sampler{Schedule: full, Rule: r.rule}.Steps(exact{three, full, diffusion.Epsilon}, xT, 0))
			}
			check("mixture", pathErrors(r.rule, exact{three, full, diffusion.Epsilon}, strided, steps, fine))
			continue
		}
		net := exact{tilted, full, diffusion.Epsilon}
		mean, cov := affineMoments(diffusion.Sampler{Schedule: full, Rule: r.rule}, net)
		limit := gaussian{mean, cov[0], cov[1], cov[2]}
		var errors []float64
		for _, n := range steps {
			errors = append(errors, limit.error(affineMoments(diffusion.Sampler{Schedule: strided(n), Rule: r.rule}, net)))
		}
		check("Gaussian", errors)
	}
}

// pathErrors returns, for each number of steps, the mean distance of a rule's x_0 from truth, over 16 points.
func pathErrors(rule diffusion.Rule, net exact, strided func(n int) diffusion.Schedule, steps []int, truth func(xT tensor.Tensor, full diffusion.Schedule) tensor.Tensor) (errors []float64) {
	xT := diffusion.Sampler{}.Start(0, 16, 1, 1, 2)
	want := truth(xT, net.schedule).Data
	for _, n := range steps {
		got := diffusion.Last(diffusion.Sampler{Schedule: strided(n), Rule: rule}.Steps(net, xT, 0)).Data
		sum := 0.0
		for i := range got {
			sum += math.Abs(float64(got[i]-want[i])) / float64(len(got))
		}
		errors = append(errors, sum)
	}
	return errors
}

// flow returns x̂_0 at t = 1 of the exact solutions of the probability-flow equation from xT, for b = 0.
func (g gaussian) flow(xT tensor.Tensor, full diffusion.Schedule) tensor.Tensor {
	x := xT.Clone()
	T := full.T()
	for i, v := range x.Data {
		mean, variance := g.mean[i%2], []float64{g.a, g.c}[i%2]
		spread := func(t int) float64 { return full.AlphaBar[t]*variance + 1 - full.AlphaBar[t] }
		// At t = 1, and from there E[x_0 | x_1] = μ + √ᾱ_1·var(x_0)/var(x_1)·(x_1 - √ᾱ_1·μ).
		off := (float64(v) - full.Signal(T)*mean) * math.Sqrt(spread(1)/spread(T))
		x.Data[i] = float32(mean + full.Signal(1)*variance/spread(1)*off)
	}
	return x
}
