package diffusion

import (
	"math"
	"slices"
	"testing"

	"ddpm/autograd"
)

// classes is a conditional network: its output is x/2 + 0.3·label², and if wide as much again for the variance.
type classes struct {
	wide  bool
	calls *int
}

func (n classes) DenoiseClass(tp *autograd.Tape, xt *autograd.Var, _, labels []int) *autograd.Var {
	if n.calls != nil {
		*n.calls++
	}
	images, h, w, c := xt.Dims4()
	width := c
	if n.wide {
		width = 2 * c
	}
	out := tp.Temp(images, h, w, width)
	for i := range out.Data {
		pixel, channel := i/width, i%width
		label := float64(labels[pixel/(h*w)])
		out.Data[i] = float32(float64(xt.Data[pixel*c+channel%c])/2 + 0.3*label*label)
	}
	return out
}

func TestGuidanceScales(t *testing.T) {
	x := images(2, 2, 1, 3)
	labels, null := []int{1, 2}, 3
	denoise := func(net Denoiser) []float32 {
		return slices.Clone(net.Denoise(autograd.NewInference(), autograd.Const(x), []int{4, 4}).Data)
	}
	for _, wide := range []bool{false, true} {
		net := classes{wide: wide}
		guided := func(scale float64) []float32 { return denoise(Guided{net, labels, null, scale}) }
		with, without := denoise(Labelled{net, labels}), denoise(Labelled{net, []int{null, null}})
		if !slices.Equal(guided(1), with) {
			t.Errorf("wide %v: scale 1 is not the conditional network", wide)
		}
		if !slices.Equal(guided(0), without) {
			t.Errorf("wide %v: scale 0 is not the unconditional network", wide)
		}
		for i, got := range guided(3) {
			want := float64(without[i]) + 3*float64(with[i]-without[i])
			if wide && i%6 >= 3 {
				want = float64(with[i]) // the variance is not guided
			}
			if math.Abs(float64(got)-want) > 1e-5 {
				t.Errorf("wide %v: output %d is %g, want %g", wide, i, got, want)
			}
			// The paper's convention: (1+w)·with - w·without, w = scale - 1.
			if paper := 3*float64(with[i]) - 2*float64(without[i]); !(wide && i%6 >= 3) && math.Abs(float64(got)-paper) > 1e-5 {
				t.Errorf("wide %v: output %d is %g, by the paper %g", wide, i, got, paper)
			}
		}
	}
	calls := 0
	for scale, want := range map[float64]int{0: 1, 1: 1, 2: 2} {
		calls = 0
		if denoise(Guided{classes{calls: &calls}, labels, null, scale}); calls != want {
			t.Errorf("scale %g takes %d evaluations, want %d", scale, calls, want)
		}
	}
	mustPanic(t, "recording tape", func() { Guided{classes{}, labels, null, 2}.Denoise(autograd.New(), autograd.Const(x), []int{4, 4}) })
	mustPanic(t, "labels", func() { denoise(Guided{classes{}, labels[:1], null, 2}) })
	mustPanic(t, "labels", func() { denoise(Labelled{classes{}, labels[:1]}) })
}

func TestDropLabels(t *testing.T) {
	labels := make([]int, 5000)
	for i := range labels {
		labels[i] = i % 10
	}
	dropped := DropLabels(labels, 10, 0.1, 1, 2, 0)
	count := 0
	for i, label := range dropped {
		if label == 10 {
			count++
		} else if label != labels[i] {
			t.Fatalf("label %d became %d", labels[i], label)
		}
	}
	if math.Abs(float64(count)-500) > 5*math.Sqrt(5000*0.1*0.9) {
		t.Errorf("%d of 5000 labels dropped, want about 500", count)
	}
	if part := DropLabels(labels[1000:1100], 10, 0.1, 1, 2, 1000); !slices.Equal(part, dropped[1000:1100]) {
		t.Error("a part of a step drops other labels than the whole")
	}
	if slices.Equal(DropLabels(labels, 10, 0.1, 1, 3, 0), dropped) {
		t.Error("every step drops the same labels")
	}
	if !slices.Equal(DropLabels(labels, 10, 0, 1, 2, 0), labels) {
		t.Error("probability 0 drops labels")
	}
	mustPanic(t, "probability", func() { DropLabels(labels, 10, 1.5, 1, 2, 0) })
}
