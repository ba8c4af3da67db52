package diffusion

import (
	"fmt"
	"iter"

	"ddpm/autograd"
	"ddpm/internal/par"
	"ddpm/internal/rng"
	"ddpm/tensor"
)

// Sampler draws images: it starts from noise x_T and lets Rule lead from each x_t to x_{t-1}. Image number i of a run
// is a function of (network, Sampler, i) alone, whatever batch it is computed in.
type Sampler struct {
	Schedule   Schedule   // the noise levels to visit; Strided for fewer steps
	Prediction Prediction // what the network's output means
	Rule       Rule       // how to step: Ancestral, DDIM, DPMSolver or Heun
	Clip       Clip       // bounds on x̂_0
	Seed       uint64     // of x_T and of the noise added on the way

	// Noise, if not nil, sets z [N H W C] to the noise of the step from t in place of Seed: to replay recorded noise.
	Noise func(t int, z tensor.Tensor)
}

// Rule is a way from x_t to x_{t-1}, given a network: Ancestral, DDIM, DPMSolver or Heun.
type Rule interface {
	validate(s Sampler) error
	step(w *walk, t int)
}

// State is where a sampler stands at a time t. The tensors [N H W C] belong to the sampler, which overwrites them in its
// next step: clone what is to be kept.
type State struct {
	X  tensor.Tensor // x_t
	X0 tensor.Tensor // x̂_0, the image that the network sees in x_t, after clipping; at t = 0 x_0 itself
}

// Validate returns an error that says which settings of s do not go together, if any.
func (s Sampler) Validate() error {
	if len(s.Schedule.AlphaBar) < 2 || s.Rule == nil {
		return fmt.Errorf("diffusion: a sampler needs a schedule and a rule")
	}
	if s.Prediction > V {
		return fmt.Errorf("diffusion: prediction is %v, want one of %q", s.Prediction, []string(predictions))
	}
	if s.Prediction == Epsilon && s.Schedule.AlphaBar[s.Schedule.T()] == 0 {
		return fmt.Errorf("diffusion: an epsilon prediction says nothing of the image at zero terminal SNR; use a network trained for v or x0, or a schedule that ends above zero")
	}
	if err := s.Clip.Validate(); err != nil {
		return err
	}
	return s.Rule.validate(s)
}

// Start returns x_T ~ N(0, I) for the n images numbered from first, [n h w c].
func (s Sampler) Start(first uint64, n, h, w, c int) tensor.Tensor {
	x := tensor.New(n, h, w, c)
	perImage(x, func(i int, image []float32) {
		stream := rng.New(s.Seed, rng.Start, first+uint64(i), 0)
		stream.Normal(image)
	})
	return x
}

// Steps samples from xT [N H W C], whose images are numbered from first: it yields (T, x_T), then each t down to
// (0, x_0), and can be left at any time. xT is not modified. It panics if Validate would return an error.
func (s Sampler) Steps(net Denoiser, xT tensor.Tensor, first uint64) iter.Seq2[int, State] {
	return s.StepsFrom(net, xT, s.Schedule.T(), first)
}

// StepsFrom samples as Steps does, from xt at a time from in 1…T.
func (s Sampler) StepsFrom(net Denoiser, xt tensor.Tensor, from int, first uint64) iter.Seq2[int, State] {
	s.mustBeValid("StepsFrom")
	s.Schedule.checkTime("StepsFrom", from)
	return func(yield func(int, State) bool) {
		w := s.walk(net, xt, first)
		for t := from; t >= 1; t-- {
			w.predict(t)
			if !yield(t, State{w.x, w.x0}) {
				return
			}
			w.step(t)
		}
		yield(0, State{w.x, w.x})
	}
}

// Last runs steps to the end and returns x_0.
func Last(steps iter.Seq2[int, State]) tensor.Tensor {
	var x tensor.Tensor
	for _, state := range steps {
		x = state.X
	}
	return x
}

func (s Sampler) mustBeValid(op string) {
	if err := s.Validate(); err != nil {
		panic(fmt.Sprintf("%v (in %s)", err, op))
	}
}

// walk is one run of a sampler over a batch: what the rules read and write.
type walk struct {
	Sampler
	net   Denoiser
	tape  *autograd.Tape
	first uint64 // number of the first image
	draws []int  // per t, how often noise has been drawn: a time visited twice gets new noise

	x       tensor.Tensor // x_t, which a rule's step turns into x_{t-1}
	x0, eps tensor.Tensor // the prediction at x_t: x̂_0, ε̂
	out     output        // the network's output it was made of
	before  tensor.Tensor // x̂_0 of the step before, if that was the step from beforeT
	beforeT int

	raised   level // where x is, if not at level t of the schedule: Heun's churn
	z, spare tensor.Tensor
}

// level is a noise level that the network knows: time t of s. The zero level is none.
type level struct {
	s Schedule
	t int
}

func (s Sampler) walk(net Denoiser, x tensor.Tensor, first uint64) *walk {
	like := func() tensor.Tensor { return tensor.New(x.Shape...) }
	return &walk{
		Sampler: s, net: net, tape: autograd.NewInference(), first: first, draws: make([]int, s.Schedule.T()+1),
		x: x.Clone(), x0: like(), eps: like(), before: like(), z: like(), spare: like(),
	}
}

// step moves from x_t to x_{t-1} and remembers the prediction it was made from.
func (w *walk) step(t int) {
	w.Rule.step(w, t)
	w.before, w.x0 = w.x0, w.before
	w.beforeT = t
}

// at returns the level of x.
func (w *walk) at(t int) level {
	if w.raised.t > 0 {
		return w.raised
	}
	return level{w.Schedule, t}
}

// predict sets x0, eps and out to what the network sees in x_t.
func (w *walk) predict(t int) { w.out = w.predictAt(w.x0, w.eps, w.x, w.at(t)) }

// predictAt sets x0 and eps to what the network sees in x, taken to be at level l, and returns the network's output.
func (w *walk) predictAt(x0, eps, x tensor.Tensor, l level) output {
	w.tape.Reset()
	out := evaluate(w.tape, w.net, l.s, x, l.t)
	ab := l.s.AlphaBar[l.t]
	cx, co := w.Prediction.In(X0, ab)
	ex, eo := w.Prediction.In(Epsilon, ab)
	for i, v := range x.Data {
		o := out.mean(i)
		x0.Data[i] = float32(float64(cx*float64(v)) + float64(co*o))
		eps.Data[i] = float32(float64(ex*float64(v)) + float64(eo*o))
	}
	rx, r0 := X0.In(Epsilon, ab)
	perImage(x0, func(i int, image []float32) {
		if w.Clip.apply(image) && !w.Clip.X0Only {
			d := len(image)
			combine(eps.Data[i*d:(i+1)*d], rx, x.Data[i*d:(i+1)*d], r0, image)
		}
	})
	return out
}

// noise returns z ~ N(0, I) for the step from t.
func (w *walk) noise(t int) tensor.Tensor {
	if w.Noise != nil {
		w.Noise(t, w.z)
		return w.z
	}
	visit := w.draws[t]
	w.draws[t]++
	perImage(w.z, func(i int, image []float32) {
		stream := rng.New(w.Seed, rng.SamplerNoise, w.first+uint64(i), uint32(visit*MaxSteps+t))
		stream.Normal(image)
	})
	return w.z
}

// perImage calls f with each image of x [N …], on all processors: f must not touch what it does for another image.
func perImage(x tensor.Tensor, f func(i int, image []float32)) {
	n := x.Shape[0]
	par.For(n, func(i int, _ *par.Scratch) {
		d := len(x.Data) / n
		f(i, x.Data[i*d:(i+1)*d])
	})
}
