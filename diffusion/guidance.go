package diffusion

import (
	"fmt"

	"ddpm/autograd"
	"ddpm/internal/rng"
)

// Conditional is a Denoiser that also looks at a class label for each image. One label, kept out of use for classes,
// stands for "unknown"; the network learns it by DropLabels.
type Conditional interface {
	DenoiseClass(tp *autograd.Tape, xt *autograd.Var, t, labels []int) *autograd.Var
}

// Labelled is a conditional network with the labels of a batch: a Denoiser for exactly these images. It serves training
// and sampling without guidance.
type Labelled struct {
	Net    Conditional
	Labels []int // one per image
}

// Denoise returns the network's output for the labels.
func (l Labelled) Denoise(tp *autograd.Tape, xt *autograd.Var, t []int) *autograd.Var {
	checkPerImage("Labelled", xt.Tensor, l.Labels)
	return l.Net.DenoiseClass(tp, xt, t, l.Labels)
}

// Guided is a conditional network with labels whose influence is turned up: classifier-free guidance (Ho and Salimans,
// arXiv:2207.12598). It is a Denoiser for sampling, with
//
//	ε = ε(x_t, unknown) + Scale·(ε(x_t, label) - ε(x_t, unknown))
//
// so that Scale = 0 ignores the label, 1 is the conditional network itself, and more trades variety for likeness to the
// class. This is the convention of Imagen and diffusers. The paper's own is w = Scale - 1: (1+w)·ε(label) - w·ε(unknown).
// An output of another kind than ε is linear in ε for given x_t, so the formula is the same. A learned variance is the
// conditional one. Other scales than 0 and 1 take two evaluations.
type Guided struct {
	Net    Conditional
	Labels []int // one per image
	Null   int   // the label that stands for "unknown"
	Scale  float64
}

// Denoise returns the guided output. It panics on a tape that records: guidance is not for training.
func (g Guided) Denoise(tp *autograd.Tape, xt *autograd.Var, t []int) *autograd.Var {
	checkPerImage("Guided", xt.Tensor, g.Labels)
	if tp.Recording() {
		panic("diffusion: Guided: got a recording tape, want one from NewInference; train with Labelled")
	}
	unknown := make([]int, len(g.Labels))
	for i := range unknown {
		unknown[i] = g.Null
	}
	switch g.Scale {
	case 0:
		return g.Net.DenoiseClass(tp, xt, t, unknown)
	case 1:
		return g.Net.DenoiseClass(tp, xt, t, g.Labels)
	}
	without := g.Net.DenoiseClass(tp, xt, t, unknown)
	with := g.Net.DenoiseClass(tp, xt, t, g.Labels)
	out := outputFor(xt.Tensor, with.Tensor)
	for i := range xt.Data {
		at := out.at(i)
		u, c := float64(without.Data[at]), float64(with.Data[at])
		with.Data[at] = float32(u + float64(g.Scale*(c-u)))
	}
	tp.Release(without)
	return with
}

// DropLabels returns labels with each replaced by null with probability p, for training a network that Guided can use;
// p = 0.1 is usual. As in Objective.Loss, which are dropped depends on (seed, step, place of the image in the step)
// only. It panics unless 0 ≤ p ≤ 1.
func DropLabels(labels []int, null int, p float64, seed uint64, step uint32, first uint64) []int {
	if !(p >= 0 && p <= 1) {
		panic(fmt.Sprintf("diffusion: DropLabels: got probability %g, want 0…1", p))
	}
	kept := make([]int, len(labels))
	for i, label := range labels {
		stream := rng.New(seed, rng.Label, first+uint64(i), step)
		if stream.Float64() < p {
			label = null
		}
		kept[i] = label
	}
	return kept
}
