package tests

import (
	"math"
	"testing"

	"ddpm/diffusion"
	"ddpm/tensor"
)

// float32Noise is how far two ways of computing one trajectory may be apart: some hundred roundings of numbers about 1,
// or of x̂_0 where that is large.
const float32Noise = 1e-4

// TestPredictionsAgree checks that a network gives the same images whichever of ε, x_0 and v it outputs, and that v and x_0
// also serve where the chain starts from no signal at all.
func TestPredictionsAgree(t *testing.T) {
	full := diffusion.Linear(1000, 1e-4, 0.02)
	for _, r := range rules(full) {
		sample := func(full diffusion.Schedule, p diffusion.Prediction) tensor.Tensor {
			s := diffusion.Sampler{Schedule: full.Strided(must(diffusion.Trailing(1000, 20))...), Rule: r.rule, Prediction: p, Clip: diffusion.Clip{Range: 1}}
			return diffusion.Last(s.Steps(exact{three, full, p}, s.Start(0, 8, 1, 1, 2), 0))
		}
		byEpsilon := sample(full, diffusion.Epsilon)
		wantClose(t, r.name+" by x_0", sample(full, diffusion.X0), byEpsilon)
		wantClose(t, r.name+" by v", sample(full, diffusion.V), byEpsilon)
		if _, ok := r.rule.(diffusion.Heun); !ok { // which has no finite level to start from
			zero := full.ZeroTerminalSNR()
			wantClose(t, r.name+" from zero SNR", sample(zero, diffusion.V), sample(zero, diffusion.X0))
		}
	}
}

func wantClose(t *testing.T, what string, got, want tensor.Tensor) {
	t.Helper()
	for i, v := range want.Data {
		if !(math.Abs(float64(got.Data[i]-v)) <= float32Noise) {
			t.Errorf("%s: value %d is %.6f, want %.6f", what, i, got.Data[i], v)
			return
		}
	}
}

// TestSamplersCoincide checks the identities between samplers, step by step, with clipping on.
func TestSamplersCoincide(t *testing.T) {
	full := diffusion.Linear(1000, 1e-4, 0.02)
	net := exact{three, full, diffusion.Epsilon}
	for _, c := range []struct {
		what string
		a, b diffusion.Rule
		last int // they coincide down to this t
	}{
		{"DDIM with η = 1 is ancestral with β̃", diffusion.DDIM{Eta: 1}, diffusion.Ancestral{Variance: diffusion.FixedSmall}, 0},
		{"DPM-Solver++ of order 1 is DDIM", diffusion.DPMSolver{Order: 1}, diffusion.DDIM{}, 0},
		{"its SDE form is ancestral with β̃", diffusion.DPMSolver{Order: 1, SDE: true}, diffusion.Ancestral{Variance: diffusion.FixedSmall}, 0},
		{"2M starts as DDIM", diffusion.DPMSolver{Order: 2}, diffusion.DDIM{}, 19},
	} {
		var states [2][]tensor.Tensor
		for i, rule := range []diffusion.Rule{c.a, c.b} {
			s := diffusion.Sampler{Schedule: full.Strided(must(diffusion.Linspace(1000, 20))...), Rule: rule, Clip: diffusion.Clip{Range: 1}}
			for time, state := range s.Steps(net, s.Start(0, 8, 1, 1, 2), 0) {
				if time >= c.last {
					states[i] = append(states[i], state.X.Clone())
				}
			}
		}
		for k, want := range states[1] {
			wantClose(t, c.what, states[0][k], want)
		}
	}
}

// TestImageIsItsOwn checks that an image's bits depend on its number alone: not on the batch it is in.
func TestImageIsItsOwn(t *testing.T) {
	full := diffusion.Linear(1000, 1e-4, 0.02)
	net := exact{three, full, diffusion.Epsilon}
	for _, r := range rules(full) {
		s := diffusion.Sampler{Schedule: full.Strided(must(diffusion.Trailing(1000, 10))...), Rule: r.rule, Seed: 3}
		sample := func(first uint64, n int) []float32 {
			return diffusion.Last(s.Steps(net, s.Start(first, n, 1, 1, 2), first)).Data
		}
		together := sample(5, 4)
		for i := range 4 {
			for j, v := range sample(5+uint64(i), 1) {
				if v != together[2*i+j] {
					t.Fatalf("%s: image %d alone is not what it is among others", r.name, 5+i)
				}
			}
		}
		s.Seed++
		if sample(5, 1)[0] == together[0] {
			t.Errorf("%s: another seed gives the same image", r.name)
		}
	}
}
