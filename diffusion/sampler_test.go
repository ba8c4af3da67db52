package diffusion

import (
	"math"
	"slices"
	"strings"
	"testing"

	"ddpm/autograd"
	"ddpm/tensor"
)

// TestStepsYieldsEveryTime checks the order of what Steps yields, that x̂_0 belongs to the x_t beside it, that the start is
// left alone, and that a run can be stopped and started again.
func TestStepsYieldsEveryTime(t *testing.T) {
	schedule := Linear(10, 0.1, 0.2)
	s := Sampler{Schedule: schedule, Rule: Ancestral{}, Seed: 1}
	start := s.Start(0, 2, 1, 1, 3)
	kept := slices.Clone(start.Data)
	steps := s.Steps(dummy{}, start, 0)
	var times []int
	for time, state := range steps {
		times = append(times, time)
		if time == 10 && !slices.Equal(state.X.Data, kept) {
			t.Error("x_T is not the start")
		}
		for i, x := range state.X.Data {
			want := float64(x)
			if time > 0 { // dummy's ε is x·(t-1)/t
				want = (float64(x) - schedule.Noise(time)*float64(x)*float64(time-1)/float64(time)) / schedule.Signal(time)
			}
			near(t, "x̂_0", float64(state.X0.Data[i]), want, 1e-5)
		}
	}
	if !slices.Equal(times, []int{10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0}) {
		t.Errorf("yields %v", times)
	}
	first := Last(steps)
	for time := range steps {
		if time == 5 {
			break
		}
	}
	if !slices.Equal(Last(steps).Data, first.Data) || !slices.Equal(start.Data, kept) {
		t.Error("a second run gives another image, or the start was modified")
	}
}

// TestNoiseDependsOnVisit checks that a time visited twice in a run gets new noise, and that the streams of different
// times and images differ.
func TestNoiseDependsOnVisit(t *testing.T) {
	w := Sampler{Schedule: Linear(10, 0.1, 0.2), Rule: DDIM{}}.walk(dummy{}, tensor.New(2, 1, 1, 2), 0)
	seen := map[float32]bool{}
	for _, time := range []int{5, 5, 4} {
		for _, z := range w.noise(time).Data {
			seen[z] = true
		}
	}
	if len(seen) != 12 {
		t.Errorf("12 noises have %d values", len(seen))
	}
}

// TestChurn checks the level that churn raises x to, with how much noise, and where it does nothing.
func TestChurn(t *testing.T) {
	levels := Linear(1000, 1e-4, 0.02)
	s := Sampler{Schedule: levels.Strided(200, 400, 600, 800), Noise: func(_ int, z tensor.Tensor) { z.Data[0] = 1 }}
	sigma := s.Schedule.Sigma(2)
	up := levels.nearest(sigma * 1.25) // churn 1 in 4 steps
	raised, signal := levels.Sigma(up), levels.Signal(up)
	for name, c := range map[string]struct {
		rule  Heun
		noise float64 // 0: no churn
	}{
		"plain":     {Heun{Churn: 1}, 1},
		"inflated":  {Heun{Churn: 1, ChurnNoise: 1.5}, 1.5},
		"in range":  {Heun{Churn: 1, ChurnMin: sigma / 2, ChurnMax: sigma * 2}, 1},
		"below min": {Heun{Churn: 1, ChurnMin: sigma * 2}, 0},
		"above max": {Heun{Churn: 1, ChurnMax: sigma / 2}, 0},
		"off":       {Heun{}, 0},
		"too small": {Heun{Churn: 1e-9}, 0},
	} {
		c.rule.Levels = levels
		w := s.walk(dummy{}, tensor.From([]float32{0.4}, 1, 1, 1, 1), 0)
		c.rule.churn(w, 2)
		want, at := 0.4, s.Schedule.Time[2]+1
		if c.noise > 0 {
			want = signal * (0.4/s.Schedule.Signal(2) + c.noise*math.Sqrt(raised*raised-sigma*sigma))
			at = up
		}
		near(t, name+": x", float64(w.x.Data[0]), want, 1e-6)
		if l := w.at(2); l.s.Time[l.t] != at-1 {
			t.Errorf("%s: the network sees time %d, want %d", name, l.s.Time[l.t], at-1)
		}
	}
}

// wide is a network with 2C output channels: ε = x/2 and a variance value of mix.
type wide struct{ mix float32 }

func (n wide) Denoise(tp *autograd.Tape, xt *autograd.Var, _ []int) *autograd.Var {
	images, h, w, c := xt.Dims4()
	out := tp.Temp(images, h, w, 2*c)
	for i, x := range xt.Data {
		pixel, channel := i/c, i%c
		out.Data[pixel*2*c+channel] = x / 2
		out.Data[pixel*2*c+c+channel] = n.mix
	}
	return out
}

// TestLearnedRange checks that variance channels at the ends of the range give the fixed variances' images, in the
// middle others, and that other rules leave them alone.
func TestLearnedRange(t *testing.T) {
	sample := func(net Denoiser, v Variance) []float32 {
		s := Sampler{Schedule: Linear(10, 0.1, 0.2), Rule: Ancestral{v}, Seed: 1}
		return Last(s.Steps(net, s.Start(0, 2, 2, 2, 3), 0)).Data
	}
	for mix, fixed := range map[float32]Variance{-1: FixedSmall, 1: FixedLarge} {
		learned, want := sample(wide{mix}, LearnedRange), sample(wide{}, fixed)
		for i := range want {
			near(t, fixed.String(), float64(learned[i]), float64(want[i]), 1e-5)
		}
	}
	if sample(wide{0}, LearnedRange)[0] == sample(wide{1}, LearnedRange)[0] {
		t.Error("the variance channels make no difference")
	}
	if !slices.Equal(sample(wide{0}, FixedLarge), sample(wide{1}, FixedLarge)) {
		t.Error("a fixed variance looks at the variance channels")
	}
	mustPanic(t, "LearnedRange without channels", func() { sample(dummy{}, LearnedRange) })
}

// TestSamplerErrors checks that each combination that cannot work is refused with a sentence that says so.
func TestSamplerErrors(t *testing.T) {
	s := Linear(10, 0.1, 0.2)
	zero := s.ZeroTerminalSNR()
	for want, sampler := range map[string]Sampler{
		"schedule":     {Rule: DDIM{}},
		"rule":         {Schedule: s},
		"zero termin":  {Schedule: zero, Rule: DDIM{}},
		"Heun's noise": {Schedule: zero, Prediction: V, Rule: Heun{}},
		"eta is":       {Schedule: s, Rule: DDIM{Eta: 1.5}},
		"eta":          {Schedule: s, Rule: DDIM{Eta: math.NaN()}},
		"order 3":      {Schedule: s, Rule: DPMSolver{Order: 3}},
		"order 0":      {Schedule: s, Rule: DPMSolver{}},
		"Levels":       {Schedule: s, Rule: Heun{Churn: 1}},
		"churn":        {Schedule: s, Rule: Heun{Churn: -1}},
		"variance":     {Schedule: s, Rule: Ancestral{9}},
		"clip":         {Schedule: s, Rule: DDIM{}, Clip: Clip{Range: -1}},
		"choose one":   {Schedule: s, Rule: DDIM{}, Clip: Clip{Range: 1, Quantile: 0.9}},
		"prediction":   {Schedule: s, Rule: DDIM{}, Prediction: 7},
	} {
		if err := sampler.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v", want, err)
		}
		mustPanic(t, want, func() { sampler.Steps(dummy{}, tensor.New(1, 1, 1, 1), 0) })
	}
	good := Sampler{Schedule: s, Rule: DDIM{}}
	x := tensor.New(1, 1, 1, 2)
	mustPanic(t, "time 0", func() { good.StepsFrom(dummy{}, x, 0, 0) })
	mustPanic(t, "time past T", func() { good.StepsFrom(dummy{}, x, 11, 0) })
	mustPanic(t, "output of another shape", func() { Last(good.Steps(narrow{}, x, 0)) })
	mustPanic(t, "inversion with clipping", func() {
		Sampler{Schedule: s, Rule: DDIM{}, Clip: Clip{Range: 1}}.Invert(dummy{}, x, 10, 1)
	})
	mustPanic(t, "no iterations", func() { good.Invert(dummy{}, x, 10, 0) })
}

// narrow has one output channel only.
type narrow struct{}

func (narrow) Denoise(tp *autograd.Tape, xt *autograd.Var, _ []int) *autograd.Var {
	n, h, w, _ := xt.Dims4()
	return tp.Temp(n, h, w, 1)
}

// TestInvert checks that sampling leads back from what Invert finds, once its fixed points are found.
func TestInvert(t *testing.T) {
	s := Sampler{Schedule: LinearFor(100).Strided(10, 20, 30, 40, 50, 60, 70, 80), Rule: DDIM{}}
	x0 := images(2, 2, 2, 1)
	distance := func(iterations int) (worst float64) {
		back := Last(s.StepsFrom(sine{}, s.Invert(sine{}, x0, 6, iterations), 6, 0))
		for i, v := range back.Data {
			worst = max(worst, math.Abs(float64(v-x0.Data[i])))
		}
		return worst
	}
	if got := distance(40); got > 1e-5 { // float32's error, six steps each way
		t.Errorf("after inversion and sampling an image is off by %g", got)
	}
	if once := distance(1); once < 1e-3 {
		t.Errorf("one iteration is off by %g only: this network does not test the iteration", once)
	}
}

// sine is a network that is not linear: its output is sin(2x+t)/2 + x/2.
type sine struct{}

func (sine) Denoise(tp *autograd.Tape, xt *autograd.Var, t []int) *autograd.Var {
	out := tp.Temp(xt.Shape...)
	d := len(xt.Data) / len(t)
	for i, x := range xt.Data {
		out.Data[i] = float32(math.Sin(2*float64(x)+float64(t[i/d]))/2 + float64(x)/2)
	}
	return out
}
