package tests

import (
	"math"
	"testing"

	"ddpm/autograd"
	"ddpm/diffusion"
	"ddpm/tensor"
)

// TestInpaintingFitsWhatIsKnown paints the right of two pixels whose joint distribution is Gaussian. What is right given the
// left one, x, is the conditional mean m_2 + b/a·(x-m_1). The painted pixel only finds out about its neighbour as fast as
// both are denoised, and is off by half the way; resampling brings it there.
func TestInpaintingFitsWhatIsKnown(t *testing.T) {
	const n, left = 400, 0.9
	full := diffusion.Linear(1000, 1e-4, 0.02)
	data := gaussian{mean: [2]float64{0.1, -0.2}, a: 0.5, b: 0.35, c: 0.5}
	want := data.mean[1] + data.b/data.a*(left-data.mean[0])
	s := diffusion.Sampler{Schedule: full.Strided(must(diffusion.Trailing(1000, 50))...), Rule: diffusion.Ancestral{}}
	p := diffusion.Inpainting{Known: tensor.New(n, 1, 2, 1), Mask: tensor.New(n, 1, 2, 1), Jump: 1}
	for i := 0; i < 2*n; i += 2 {
		p.Known.Data[i], p.Mask.Data[i] = left, 1
	}
	missing := func(resamplings int) float64 {
		p.Resamplings = resamplings
		x := diffusion.Last(s.Inpaint(exact{data, full, diffusion.Epsilon}, s.Start(0, n, 1, 2, 1), p, 0))
		mean := 0.0
		for i := 0; i < 2*n; i += 2 {
			mean += float64(x.Data[i+1]) / n
		}
		return want - mean
	}
	once, often := missing(1), missing(10)
	monteCarlo := deviations * math.Sqrt(data.c/n)
	if often > 0.05+monteCarlo || often < -monteCarlo || once < often+0.1 {
		t.Errorf("the painted pixel misses %.3f of its mean when painted once, and %.3f with ten resamplings; want less than 0.05 then", once, often)
	}
}

// twoClasses is a conditional network for classes N(±1/2, 0.3·I); the data of unknown label are taken for N(0, 0.3·I).
type twoClasses struct{ schedule diffusion.Schedule }

func (n twoClasses) DenoiseClass(tp *autograd.Tape, xt *autograd.Var, t, labels []int) *autograd.Var {
	out := tp.Temp(xt.Shape...)
	for i, label := range labels {
		mean := []float64{-0.5, 0.5, 0}[label]
		one := autograd.Const(tensor.From(xt.Data[2*i:2*i+2], 1, 1, 1, 2))
		net := exact{gaussian{[2]float64{mean, mean}, 0.3, 0, 0.3}, n.schedule, diffusion.Epsilon}
		copy(out.Data[2*i:2*i+2], net.Denoise(tp, one, t[i:i+1]).Data)
	}
	return out
}

// TestGuidanceShiftsTheMean checks guidance where its effect is known: between Gaussians of one covariance, the guided ε is
// that of a Gaussian whose mean is Scale times as far from the unconditional one.
func TestGuidanceShiftsTheMean(t *testing.T) {
	const n = 500
	full := diffusion.Linear(1000, 1e-4, 0.02)
	labels := make([]int, n)
	for i := range labels {
		labels[i] = i % 2
	}
	s := diffusion.Sampler{Schedule: full.Strided(must(diffusion.Karras(full, 20, 7))...), Rule: diffusion.DPMSolver{Order: 2}}
	for _, scale := range []float64{0, 1, 2.5} {
		x := diffusion.Last(s.Steps(diffusion.Guided{Net: twoClasses{full}, Labels: labels, Null: 2, Scale: scale}, s.Start(0, n, 1, 1, 2), 0))
		class := make([]float32, 0, n)
		for i := 2; i < 2*n; i += 4 { // the first channel of every second image, label 1
			class = append(class, x.Data[i])
		}
		mean, variance, meanError, varianceError := moments(class)
		const steps = 0.02 // the error of twenty steps
		if math.Abs(mean-scale/2) > deviations*meanError+steps || math.Abs(variance-0.3) > deviations*varianceError+steps {
			t.Errorf("scale %g: mean %.3f ± %.3f and variance %.3f ± %.3f, want %.3f and 0.3", scale, mean, meanError, variance, varianceError, scale/2)
		}
	}
}
