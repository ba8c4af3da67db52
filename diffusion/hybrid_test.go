package diffusion

import (
	"math"
	"testing"

	"ddpm/autograd"
	"ddpm/tensor"
)

// TestLevelSlope compares with differences of logLevel, inside, at the ends and where the floor is.
func TestLevelSlope(t *testing.T) {
	const step = 1e-5
	for _, x := range []float64{-1, 1, 0.2} {
		for _, mean := range []float64{x - 0.01, x + 0.002, 0.5, -2} {
			for _, lv := range []float64{-10, -7, -2} {
				at := func(lv float64) float64 { return -logLevel(x, mean, math.Exp(lv/2)) }
				want := (at(lv+step) - at(lv-step)) / (2 * step)
				if got := levelSlope(x, mean, math.Exp(lv/2)); math.Abs(got-want) > 1e-6*(1+math.Abs(want)) {
					t.Errorf("x %g, mean %g, ln σ² %g: slope %g, want %g", x, mean, lv, got, want)
				}
			}
		}
	}
}

// twin is a network whose prediction and variance channels have a matrix each, side by side in w [C 2C].
func twin() scale {
	w, grad := tensor.New(3, 6), tensor.New(3, 6)
	for i := range w.Data {
		w.Data[i] = float32(i%7)/10 - 0.3
	}
	return scale{autograd.Param(w, grad)}
}

// TestHybridGradient checks the gradient that the placed target makes: for the variance channels that of the value, by
// differences; for the prediction that of L_simple, since L_vlb does not flow there.
func TestHybridGradient(t *testing.T) {
	s := Linear(4, 0.002, 0.3) // few steps, so that t = 1 is among the times and the ranges are wide
	batch := Batch{X0: images(16, 2, 2, 3), Step: 1}
	for i, v := range batch.X0.Data {
		batch.X0.Data[i] = float32(math.Round((float64(v)+1)*127.5)/127.5 - 1)
	}
	for _, p := range []Prediction{Epsilon, V} {
		o := Objective{Schedule: s, Prediction: p, Bound: 0.25, Seed: 2}
		value := func(net scale) float64 {
			_, images := o.Loss(autograd.NewInference(), net, batch)
			sum := 0.0
			for _, image := range images {
				sum += (image.Loss + o.Bound*4*image.Bits) / float64(len(images))
			}
			return sum
		}
		net, simple := twin(), newScale(3)
		for i := range simple.w.Data {
			simple.w.Data[i] = net.w.Data[i/3*6+i%3]
		}
		tp := autograd.New()
		loss, report := o.Loss(tp, net, batch)
		tp.Backward(loss)
		near(t, "loss", float64(loss.Data[0]), value(net), 1e-6)
		last := false
		for _, image := range report {
			last = last || image.T == 1
		}
		if !last {
			t.Fatal("no image was noised to t = 1")
		}
		plain := Objective{Schedule: s, Prediction: p, Seed: 2}
		tp.Reset()
		simpleLoss, _ := plain.Loss(tp, simple, batch)
		tp.Backward(simpleLoss)

		for i, got := range net.w.Grad.Data {
			row, column := i/6, i%6
			want := 0.0
			if column < 3 {
				want = float64(simple.w.Grad.Data[row*3+column])
			} else {
				const step = 1.0 / 64
				kept := net.w.Data[i]
				net.w.Data[i] = kept + step
				up := value(net)
				net.w.Data[i] = kept - step
				want = (up - value(net)) / (2 * step)
				net.w.Data[i] = kept
			}
			// Differences with this step are off by its square, and a placed target by a rounding of the output.
			if math.Abs(float64(got)-want) > 2e-3*math.Abs(want)+1e-4 {
				t.Errorf("%v: gradient of weight %d, %d is %g, want %g", p, row, column, got, want)
			}
		}
	}
}

// TestHybridOfParts checks that the hybrid loss of a step is the sum of its parts', and that Bound and Bits agree.
func TestHybridOfParts(t *testing.T) {
	s := Linear(50, 0.001, 0.2)
	x0 := images(4, 1, 1, 3)
	o := Objective{Schedule: s, Bound: 0.001, Seed: 2}
	loss := func(b Batch) (float64, []ImageLoss) {
		l, images := o.Loss(autograd.NewInference(), twin(), b)
		return float64(l.Data[0]), images
	}
	whole, images := loss(Batch{X0: x0})
	a, first := loss(Batch{X0: tensor.From(x0.Data[:3], 1, 1, 1, 3), Total: 4})
	b, rest := loss(Batch{X0: tensor.From(x0.Data[3:], 3, 1, 1, 3), First: 1, Total: 4})
	near(t, "sum of parts", a+b, whole, 1e-6)
	for i, image := range append(first, rest...) {
		if image != images[i] {
			t.Errorf("image %d: %+v in parts, %+v as a whole", i, image, images[i])
		}
	}

	bound := Sampler{Schedule: s, Rule: Ancestral{LearnedRange}}
	term := o.varianceTerm(7)
	w := bound.walk(twin(), x0, 0)
	s.QSample(w.x, x0, w.noise(7), []int{7, 7, 7, 7})
	w.predict(7)
	want, got := 0.0, 0.0
	for i := range 3 {
		nats, _ := term(float64(x0.Data[i]), float64(w.x.Data[i]), w.out.mean(i), w.out.variance(i))
		got += nats / math.Ln2 / 3
	}
	want = w.term(LearnedRange, 0, x0.Data[:3], 7)
	near(t, "L_6", got, want, 1e-4) // x̂_0 is rounded to float32 there
}

func TestHybridMisusePanics(t *testing.T) {
	s := Linear(4, 0.002, 0.3)
	batch := Batch{X0: images(1, 1, 1, 3)}
	mustPanic(t, "weighting", func() {
		Objective{Schedule: s, Bound: 1, Weighting: WeighSNR}.Loss(autograd.NewInference(), twin(), batch)
	})
	mustPanic(t, "no variance channels", func() { Objective{Schedule: s, Bound: 1}.Loss(autograd.NewInference(), newScale(3), batch) })
	mustPanic(t, "variance channels without Bound", func() { Objective{Schedule: s}.Loss(autograd.NewInference(), twin(), batch) })
}
