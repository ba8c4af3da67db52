// Package optim holds what turns gradients into better weights: Adam, the norm of the gradient and its clipping, the
// moving average of the weights that samples are drawn from, and schedules of the learning rate.
//
// Everything works on flat slices: a model keeps all of its weights in one, so that a training step is one pass over
// it for each thing done to it. Work is cut in fixed pieces and sums are added in their order, so results have the
// same bits for any GOMAXPROCS.
package optim

import (
	"fmt"
	"math"

	"ddpm/internal/mem"
	"ddpm/internal/simd"
)

// Adam is the optimiser of Kingma and Ba, "Adam: A method for stochastic optimization" (2015), algorithm 1, and with
// WeightDecay that of Loshchilov and Hutter, "Decoupled weight decay regularization" (2019), algorithm 2 (AdamW):
//
//	w ← w·(1 - lr·WeightDecay)
//	m ← β₁·m + (1-β₁)·g
//	v ← β₂·v + (1-β₂)·g²
//	w ← w - lr·(m/(1-β₁ᵗ)) / (√(v/(1-β₂ᵗ)) + ε)
//
// As in PyTorch's AdamW, the decay is multiplied by the learning rate.
type Adam struct {
	Beta1, Beta2 float64 // in [0, 1)
	Eps          float64
	WeightDecay  float64 // 0: plain Adam, as in the DDPM paper
}

// NewAdam returns Adam with the constants of its paper: β₁ = 0.9, β₂ = 0.999, ε = 1e-8, no weight decay. The DDPM
// paper (appendix B) leaves them so too, with a learning rate of 2e-4, or 2e-5 for images of 256×256.
func NewAdam() Adam { return Adam{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8} }

// State is what Adam remembers from step to step.
type State struct {
	M, V []float32 // running means of the gradient and of its square
	T    int       // steps taken
}

// NewState returns the state before the first step for n weights.
func NewState(n int) *State { return &State{M: mem.Floats(n), V: mem.Floats(n)} }

// Step takes one step with the gradient gradScale·g: it updates the weights w and the state, and leaves g as it is.
// A gradScale below 1 clips the gradient ([ClipScale]) or averages one summed over several batches.
//
// It panics if lengths differ or if lr or gradScale is not finite: a step with either would destroy every weight.
func (a Adam) Step(w, g []float32, s *State, lr, gradScale float64) {
	if n := len(w); len(g) != n || len(s.M) != n || len(s.V) != n {
		panic(fmt.Sprintf("optim: Step: got %d gradients and a state of %d, %d, want %d of each", len(g), len(s.M), len(s.V), n))
	}
	if !finite(lr) || !finite(gradScale) {
		panic(fmt.Sprintf("optim: Step: got lr = %v, gradScale = %v, want finite numbers", lr, gradScale))
	}
	s.T++
	t := float64(s.T)
	p := simd.AdamParams{
		Beta1:     a.Beta1,
		Beta2:     a.Beta2,
		StepSize:  lr / (1 - math.Pow(a.Beta1, t)),
		Corr2:     1 / math.Sqrt(1-math.Pow(a.Beta2, t)),
		Eps:       a.Eps,
		Decay:     lr * a.WeightDecay,
		GradScale: gradScale,
	}
	pieces(len(w), func(_, lo, hi int) {
		simd.Adam(w[lo:hi], g[lo:hi], s.M[lo:hi], s.V[lo:hi], p)
	})
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
