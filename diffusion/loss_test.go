package diffusion

import (
	"math"
	"testing"

	"ddpm/autograd"
	"ddpm/internal/rng"
	"ddpm/tensor"
)

// scale is a network with one parameter matrix: its output is x·w for each pixel.
type scale struct{ w *autograd.Var }

func newScale(c int) scale {
	w, grad := tensor.New(c, c), tensor.New(c, c)
	for i := range w.Data {
		w.Data[i] = float32(i%5) / 10
	}
	return scale{autograd.Param(w, grad)}
}

func (s scale) Denoise(tp *autograd.Tape, xt *autograd.Var, _ []int) *autograd.Var {
	return tp.Linear(xt, s.w, nil)
}

func images(n, h, w, c int) tensor.Tensor {
	x := tensor.New(n, h, w, c)
	stream := rng.New(5, rng.Init, 0, 0)
	stream.Uniform(x.Data, -1, 1)
	return x
}

// TestLossOfNothing checks that a network that outputs 0 has loss 1 for ε, at first a network's own loss.
func TestLossOfNothing(t *testing.T) {
	zero := newScale(3)
	clear(zero.w.Data)
	loss, _ := Objective{Schedule: Linear(1000, 1e-4, 0.02)}.Loss(autograd.New(), zero, Batch{X0: images(32, 8, 8, 3)})
	if got := float64(loss.Data[0]); math.Abs(got-1) > 5*math.Sqrt(2.0/(32*8*8*3)) {
		t.Errorf("loss %.4f, want 1 within five standard errors of a mean of squares", got)
	}
}

// TestLossOfParts checks that a step computed in parts draws the same t and ε, and has the same loss and gradient.
func TestLossOfParts(t *testing.T) {
	x0 := images(6, 2, 2, 3)
	for name, o := range map[string]Objective{
		"simple":     {Schedule: Linear(1000, 1e-4, 0.02), Seed: 3},
		"weighted v": {Schedule: Cosine(50), Prediction: V, Weighting: WeighMinSNR(5), Times: Stratified(50), Seed: 4},
	} {
		gradient := func(batches ...Batch) (loss float64, images []ImageLoss, grad []float32) {
			net, tp := newScale(3), autograd.New()
			for _, b := range batches {
				tp.Reset()
				l, part := o.Loss(tp, net, b)
				loss += float64(l.Data[0])
				images = append(images, part...)
				tp.Backward(l)
			}
			return loss, images, net.w.Grad.Data
		}
		part := func(lo, hi int) Batch {
			return Batch{X0: tensor.From(x0.Data[lo*12:hi*12], hi-lo, 2, 2, 3), Step: 9, First: uint64(lo), Total: 6}
		}
		whole, wholeImages, wholeGrad := gradient(Batch{X0: x0, Step: 9})
		parts, partImages, partGrad := gradient(part(0, 1), part(1, 4), part(4, 6))
		near(t, name+": loss", parts, whole, 1e-6)
		for i := range wholeImages {
			if partImages[i] != wholeImages[i] {
				t.Errorf("%s: image %d: %+v in parts, %+v as a whole", name, i, partImages[i], wholeImages[i])
			}
		}
		for i := range wholeGrad {
			if d := math.Abs(float64(partGrad[i] - wholeGrad[i])); d > 1e-5 { // float32 sums of numbers about 1 in another order
				t.Errorf("%s: gradient %d: %g in parts, %g as a whole", name, i, partGrad[i], wholeGrad[i])
			}
		}
		if _, other, _ := gradient(Batch{X0: x0, Step: 10}); other[0] == wholeImages[0] && other[1] == wholeImages[1] {
			t.Errorf("%s: another step draws the same", name)
		}
	}
}

// TestLossTarget checks, for every prediction and weighting, that the loss of the exact answer is 0 and that an error in
// it weighs what Weighting.of says.
func TestLossTarget(t *testing.T) {
	s := Cosine(100)
	x0 := images(4, 2, 2, 1)
	for _, p := range []Prediction{Epsilon, X0, V} {
		o := Objective{Schedule: s, Prediction: p, Weighting: WeighMinSNR(2), Seed: 1}
		for _, off := range []float64{0, 0.5} {
			loss, report := o.Loss(autograd.NewInference(), answer{s, p, x0, off}, Batch{X0: x0})
			want := 0.0
			for _, image := range report {
				want += o.Weighting.of(s, p, image.T) * off * off / 4
				if math.Abs(image.Loss-off*off) > 1e-4 {
					t.Errorf("%v off by %g: image at t = %d has loss %g", p, off, image.T, image.Loss)
				}
			}
			if got := float64(loss.Data[0]); math.Abs(got-want) > 1e-4*(1+want) {
				t.Errorf("%v off by %g: loss %g, want %g", p, off, got, want)
			}
		}
	}
}

// answer knows x0 and outputs what is asked for, plus off.
type answer struct {
	s   Schedule
	p   Prediction
	x0  tensor.Tensor
	off float64
}

func (a answer) Denoise(tp *autograd.Tape, xt *autograd.Var, t []int) *autograd.Var {
	out := tp.Temp(xt.Shape...)
	perImage(out.Tensor, func(i int, image []float32) {
		cx, co := X0.In(a.p, a.s.AlphaBar[t[i]+1])
		d := len(image)
		combine(image, cx, xt.Data[i*d:(i+1)*d], co, a.x0.Data[i*d:(i+1)*d])
		for j := range image {
			image[j] += float32(a.off)
		}
	})
	return out
}

func TestLossMisusePanics(t *testing.T) {
	s := Linear(10, 0.1, 0.2)
	x := images(2, 1, 1, 3)
	loss := func(o Objective, b Batch) func() {
		return func() { o.Loss(autograd.NewInference(), newScale(3), b) }
	}
	mustPanic(t, "no images", loss(Objective{Schedule: s}, Batch{X0: tensor.New(0, 1, 1, 3)}))
	mustPanic(t, "images past the step", loss(Objective{Schedule: s}, Batch{X0: x, First: 1, Total: 2}))
	mustPanic(t, "infinite weight", loss(Objective{Schedule: s.ZeroTerminalSNR(), Weighting: WeighSNR}, Batch{X0: x}))
	mustPanic(t, "other shape", func() { s.QStep(x, x, images(1, 1, 1, 3), 1) })
	mustPanic(t, "times", func() { s.QSample(x, x, x, []int{1}) })
	mustPanic(t, "time", func() { s.QSample(x, x, x, []int{1, 11}) })
}
