package tests

import (
	"math"
	"testing"

	"ddpm/autograd"
	"ddpm/diffusion"
	"ddpm/tensor"
)

// certain is the best network with a learned variance for independent Gaussian channels: it outputs E[ε | x_t] and, in the
// second half of its channels, the place of var(x_{t-1} | x_t) = β̃_t + c0²·var(x_0 | x_t) between β̃_t and β_t.
type certain struct{ exact }

func (c certain) Denoise(tp *autograd.Tape, xt *autograd.Var, t []int) *autograd.Var {
	eps := c.exact.Denoise(tp, xt, t)
	out := tp.Temp(len(t), 1, 1, 4)
	s, g := c.schedule, c.data.(gaussian)
	for i, t := range t {
		t++
		ab := s.AlphaBar[t]
		c0, _, small := s.Posterior(t)
		_, _, floor := s.Posterior(max(t, 2)) // β̃_2 stands in for β̃_1
		for j, variance := range []float64{g.a, g.c} {
			reverse := small + c0*c0*variance*(1-ab)/(ab*variance+1-ab)
			out.Data[4*i+j] = eps.Data[2*i+j]
			out.Data[4*i+2+j] = float32(2*math.Log(reverse/floor)/math.Log(s.Beta[t]/floor) - 1)
		}
	}
	return out
}

// TestBoundIsTight checks that the variational bound of a model that is exactly the data's reverse process is the negative
// log-likelihood itself, image by image up to the noise, and that the fixed variances, which are not exact, lose some.
func TestBoundIsTight(t *testing.T) {
	const n = 4000
	full := diffusion.LinearFor(100)
	data := gaussian{mean: [2]float64{0.2, -0.1}, a: 0.05, c: 0.02}
	x0, levels := tensor.New(n, 1, 1, 2), normals(2*n, 9).Data
	likelihood := make([]float64, n) // bits per dimension of the grey levels under the data's distribution
	for i := range x0.Data {
		j := i % 2
		sd := math.Sqrt([]float64{data.a, data.c}[j])
		x := math.Round((data.mean[j]+sd*float64(levels[i])+1)*127.5)/127.5 - 1
		x0.Data[i] = float32(x)
		phi := func(x float64) float64 { return math.Erfc((data.mean[j]-x)/(sd*math.Sqrt2)) / 2 }
		likelihood[i/2] -= math.Log2(phi(x+1/255.0)-phi(x-1/255.0)) / 2
	}
	excess := func(net diffusion.Denoiser, v diffusion.Variance) (e diffusion.Estimate) {
		s := diffusion.Sampler{Schedule: full, Rule: diffusion.Ancestral{Variance: v}, Seed: 5}
		total := make([]float64, n)
		for _, bits := range s.Bound(net, x0, 0) {
			for i, b := range bits {
				total[i] += b
			}
		}
		for i := range total {
			e.Add(total[i] - likelihood[i])
		}
		return e
	}
	// The decoder is exact for continuous data. Grey levels differ from that by a uniform error of variance Δ²/12, next to
	// its σ² = β_1 = 1e-3: (Δ²/12/σ²)²/4 nats.
	const levelError = 1e-5
	net := exact{data, full, diffusion.Epsilon}
	if e := excess(certain{net}, diffusion.LearnedRange); math.Abs(e.Mean()) > deviations*e.StdErr()+levelError || e.StdErr() > 0.02 {
		t.Errorf("the bound exceeds the negative log-likelihood by %.4f ± %.4f bits, want 0", e.Mean(), e.StdErr())
	}
	for _, v := range []diffusion.Variance{diffusion.FixedLarge, diffusion.FixedSmall} {
		if e := excess(net, v); e.Mean() < deviations*e.StdErr() {
			t.Errorf("with %v the bound exceeds the negative log-likelihood by %.4f ± %.4f bits, want more", v, e.Mean(), e.StdErr())
		}
	}
}
