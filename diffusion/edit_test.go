package diffusion

import (
	"math"
	"slices"
	"strings"
	"testing"

	"ddpm/tensor"
)

// TestNoised checks that image-to-image starts from the image and the noise of Start, image by image.
func TestNoised(t *testing.T) {
	s := Sampler{Schedule: LinearFor(100), Rule: DDIM{}, Seed: 3}
	x0 := images(3, 2, 2, 1)
	xt, noise := s.Noised(x0, 40, 5), s.Start(5, 3, 2, 2, 1)
	for i, v := range xt.Data {
		near(t, "x_t", float64(v), s.Schedule.Signal(40)*float64(x0.Data[i])+s.Schedule.Noise(40)*float64(noise.Data[i]), 1e-5)
	}
	last := s.Noised(tensor.From(x0.Data[8:], 1, 2, 2, 1), 40, 7)
	if !slices.Equal(last.Data, xt.Data[8:]) {
		t.Error("an image alone gets other noise than in a batch")
	}
	mustPanic(t, "time", func() { s.Noised(x0, 101, 0) })
}

func TestSlerp(t *testing.T) {
	a := tensor.From([]float32{3, 0, 1, 1, 0, 0}, 3, 2)
	b := tensor.From([]float32{0, 3, 2, 2, 0, 0}, 3, 2)
	diagonal := float32(3 / math.Sqrt2)
	for f, want := range map[float64][]float32{
		0: {3, 0, 1, 1, 0, 0}, 1: {0, 3, 2, 2, 0, 0},
		0.5: {diagonal, diagonal, 1.5, 1.5, 0, 0}, // an arc; parallel; nothing
	} {
		for i, got := range Slerp(a, b, f).Data {
			if math.Abs(float64(got-want[i])) > 1e-6 {
				t.Errorf("Slerp(%g): value %d is %g, want %g", f, i, got, want[i])
			}
		}
	}
	for i, got := range Slerp(a, tensor.From([]float32{-3, 0, 1, 1, 0, 0}, 3, 2), 0.25).Data[:2] {
		if want := []float32{1.5, 0}[i]; math.Abs(float64(got-want)) > 1e-6 { // opposite: straight through
			t.Errorf("between opposites: %g, want %g", got, want)
		}
	}
}

// TestInterpolation checks that the ends of an interpolation in DDIM's encodings are the two images.
func TestInterpolation(t *testing.T) {
	s := Sampler{Schedule: LinearFor(100).Strided(10, 20, 30, 40, 50), Rule: DDIM{}}
	a, b := images(1, 2, 2, 1), tensor.From([]float32{0.5, -0.5, 0.9, 0.2}, 1, 2, 2, 1)
	za, zb := s.Invert(sine{}, a, 5, 40), s.Invert(sine{}, b, 5, 40)
	for f, want := range map[float64]tensor.Tensor{0: a, 1: b} {
		for i, v := range Last(s.Steps(sine{}, Slerp(za, zb, f), 0)).Data {
			near(t, "end", float64(v), float64(want.Data[i]), 1e-4)
		}
	}
}

// TestInpaint checks the walk of RePaint and that what is known stays, exactly.
func TestInpaint(t *testing.T) {
	known := images(2, 2, 2, 3)
	mask := tensor.From([]float32{1, 0, 0, 1, 0, 1, 0.5, 0}, 2, 2, 2, 1)
	for name, c := range map[string]struct {
		resamplings, jump int
		want              []int
	}{
		"once":              {1, 2, []int{6, 5, 4, 3, 2, 1, 0}},
		"thrice, 3 at once": {3, 3, []int{6, 5, 4, 6, 5, 4, 6, 5, 4, 3, 2, 1, 3, 2, 1, 3, 2, 1, 0}},
		"jump past T":       {2, 7, []int{6, 5, 4, 3, 2, 1, 0}},
	} {
		for _, rule := range []Rule{Ancestral{}, DDIM{}, DPMSolver{Order: 2}, Heun{}} {
			s := Sampler{Schedule: Linear(6, 0.1, 0.3), Rule: rule, Seed: 1}
			xT := s.Start(0, 2, 2, 2, 3)
			p := Inpainting{known, mask, c.resamplings, c.jump}
			var times []int
			var x tensor.Tensor
			for time, state := range s.Inpaint(dummy{}, xT, p, 0) {
				times = append(times, time)
				x = state.X
			}
			if !slices.Equal(times, c.want) {
				t.Errorf("%s: walks %v, want %v", name, times, c.want)
			}
			for i, v := range x.Data {
				if mask.Data[i/3] == 1 && v != known.Data[i] {
					t.Errorf("%s: known value %d is %g, want %g", name, i, v, known.Data[i])
				}
				if mask.Data[i/3] == 0 && v == known.Data[i] {
					t.Errorf("%s: value %d was not painted", name, i)
				}
			}
			one := func(x tensor.Tensor) tensor.Tensor {
				return tensor.From(x.Data[len(x.Data)/2:], append([]int{1}, x.Shape[1:]...)...)
			}
			alone := Last(s.Inpaint(dummy{}, one(xT), Inpainting{one(known), one(mask), c.resamplings, c.jump}, 1))
			if !slices.Equal(alone.Data, x.Data[12:]) {
				t.Errorf("%s: an image alone is not what it is in a batch", name)
			}
		}
	}
}

// TestInpaintNoisesAgain follows one jump of RePaint with known noise and nothing held: from x_5, DDIM leads to x_4, and
// two steps of noise from there to x_6.
func TestInpaintNoisesAgain(t *testing.T) {
	schedule := Linear(6, 0.1, 0.3)
	s := Sampler{Schedule: schedule, Rule: DDIM{}, Noise: func(t int, z tensor.Tensor) {
		for i := range z.Data {
			z.Data[i] = float32(t) / 10
		}
	}}
	p := Inpainting{Known: tensor.New(1, 1, 1, 1), Mask: tensor.New(1, 1, 1, 1), Resamplings: 2, Jump: 2}
	want := math.NaN()
	for time, state := range s.Inpaint(dummy{}, tensor.From([]float32{0.7}, 1, 1, 1, 1), p, 0) {
		x, x0 := float64(state.X.Data[0]), float64(state.X0.Data[0])
		if time == 6 && !math.IsNaN(want) {
			near(t, "x_6 again", x, want, 1e-6)
			return
		}
		if time == 5 {
			eps := (x - schedule.Signal(5)*x0) / schedule.Noise(5)
			want = schedule.Signal(4)*x0 + schedule.Noise(4)*eps
			for up := 5; up <= 6; up++ {
				want = math.Sqrt(1-schedule.Beta[up])*want + math.Sqrt(schedule.Beta[up])*float64(up)/10
			}
		}
	}
	t.Error("t = 6 is not visited twice")
}

func TestInpaintErrors(t *testing.T) {
	s := Sampler{Schedule: Linear(6, 0.1, 0.3), Rule: DDIM{}}
	known, mask := images(1, 2, 2, 3), tensor.New(1, 2, 2, 1)
	churned := s
	churned.Rule = Heun{Churn: 1, Levels: s.Schedule}
	for want, c := range map[string]struct {
		s Sampler
		p Inpainting
	}{
		"mask has shape": {s, Inpainting{known, tensor.New(1, 2, 3, 1), 1, 1}},
		"got shapes":     {s, Inpainting{known, tensor.New(4), 1, 1}},
		"holds 2":        {s, Inpainting{known, tensor.From([]float32{0, 2, 0, 1}, 1, 2, 2, 1), 1, 1}},
		"resamplings":    {s, Inpainting{known, mask, 0, 1}},
		"churn":          {churned, Inpainting{known, mask, 1, 1}},
		"schedule":       {Sampler{}, Inpainting{known, mask, 1, 1}},
	} {
		if err := c.p.Validate(c.s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v", want, err)
		}
		mustPanic(t, want, func() { c.s.Inpaint(dummy{}, known, c.p, 0) })
	}
	mustPanic(t, "start of another shape", func() { s.Inpaint(dummy{}, images(1, 2, 2, 1), Inpainting{known, mask, 1, 1}, 0) })
}
