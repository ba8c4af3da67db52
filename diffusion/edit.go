package diffusion

import (
	"fmt"
	"iter"
	"math"

	"ddpm/internal/rng"
	"ddpm/tensor"
)

// Editing is sampling from another start, or with a hand on x_t on the way:
//
//   - Image to image (SDEdit, arXiv:2108.01073): StepsFrom(net, s.Noised(image, t, first), t, first). The larger t, the less is kept.
//   - Inpainting: Inpaint.
//   - Interpolation: Slerp between two images' encodings by Invert, then StepsFrom with DDIM.

// Noised returns draws of q(x_t | x_0) for the images x0 [N H W C] numbered from first, with the noise that Start would
// begin them from.
func (s Sampler) Noised(x0 tensor.Tensor, t int, first uint64) tensor.Tensor {
	s.Schedule.checkTime("Noised", t)
	xt := tensor.New(x0.Shape...)
	perImage(xt, func(i int, eps []float32) {
		stream := rng.New(s.Seed, rng.Start, first+uint64(i), 0)
		stream.Normal(eps)
	})
	combine(xt.Data, s.Schedule.Signal(t), x0.Data, s.Schedule.Noise(t), xt.Data)
	return xt
}

// Slerp returns the points that part the arcs from a to b, image by image, in f and 1-f: a for f = 0, b for f = 1. Noise is
// interpolated on arcs because Gaussian vectors of many dimensions all have about the same length, which a straight
// line would leave. a and b have one shape [N …].
func Slerp(a, b tensor.Tensor, f float64) tensor.Tensor {
	checkSame("Slerp", a, b)
	y := tensor.New(a.Shape...)
	perImage(y, func(i int, dst []float32) {
		d := len(dst)
		u, v := a.Data[i*d:(i+1)*d], b.Data[i*d:(i+1)*d]
		angle := math.Acos(max(-1, min(1, dot(u, v)/math.Sqrt(dot(u, u)*dot(v, v)))))
		if sin := math.Sin(angle); sin > 1e-6 {
			combine(dst, math.Sin((1-f)*angle)/sin, u, math.Sin(f*angle)/sin, v)
		} else { // parallel, opposite, or zero: there is no arc, or no one arc
			combine(dst, 1-f, u, f, v)
		}
	})
	return y
}

func dot(x, y []float32) float64 {
	sum := 0.0
	for i, v := range x {
		sum += float64(float64(v) * float64(y[i]))
	}
	return sum
}

// Inpainting says which parts of images are known, for Inpaint.
type Inpainting struct {
	Known tensor.Tensor // [N H W C], the images to complete
	Mask  tensor.Tensor // [N H W 1]: 1 where Known is to be kept, 0 where the network is to paint
	// Resamplings is how often each stretch of Jump steps is walked: 1 for once. RePaint has 10 and 10.
	Resamplings, Jump int
}

// Validate returns an error that says why p does not fit its own images or the sampler s, if it does not.
func (p Inpainting) Validate(s Sampler) error {
	if len(p.Known.Shape) != 4 || len(p.Mask.Shape) != 4 {
		return fmt.Errorf("diffusion: inpainting needs images [N H W C] and a mask [N H W 1], got shapes %v and %v", p.Known.Shape, p.Mask.Shape)
	}
	n, h, w, _ := p.Known.Dims4()
	if mn, mh, mw, mc := p.Mask.Dims4(); mn != n || mh != h || mw != w || mc != 1 {
		return fmt.Errorf("diffusion: the mask has shape %v for images of shape %v, want %v; give a mask of the images' size", p.Mask.Shape, p.Known.Shape, []int{n, h, w, 1})
	}
	for _, m := range p.Mask.Data {
		if !(m >= 0 && m <= 1) {
			return fmt.Errorf("diffusion: the mask holds %g, want 0 (paint) to 1 (keep)", m)
		}
	}
	if p.Resamplings < 1 || p.Resamplings > 1000 || p.Jump < 1 {
		return fmt.Errorf("diffusion: inpainting with %d resamplings of %d steps, want 1…1000 of at least 1", p.Resamplings, p.Jump)
	}
	if h, ok := s.Rule.(Heun); ok && h.Churn > 0 {
		return fmt.Errorf("diffusion: inpainting needs images at the schedule's own noise levels; set Heun's churn to 0")
	}
	return s.Validate()
}

// Inpaint samples from xT [N H W C] as Steps does, while holding the known parts to Known, noised to each t (RePaint,
// arXiv:2201.09865, algorithm 1). Where the painted parts are to fit the known ones, it helps to noise a stretch of the way
// again, by q(x_t | x_{t-1}), and walk it once more: p.Resamplings. The times that it yields then rise now and then. It
// panics if p.Validate(s) would return an error or xT has another shape than p.Known.
func (s Sampler) Inpaint(net Denoiser, xT tensor.Tensor, p Inpainting, first uint64) iter.Seq2[int, State] {
	if err := p.Validate(s); err != nil {
		panic(fmt.Sprintf("%v (in Inpaint)", err))
	}
	checkSame("Inpaint", p.Known, xT)
	return func(yield func(int, State) bool) {
		w := s.walk(net, xT, first)
		walked := make([]int, s.Schedule.T()+1) // how often the stretch that ends at t has been
		w.hold(p, s.Schedule.T())
		for t := s.Schedule.T(); t >= 1; {
			w.predict(t)
			if !yield(t, State{w.x, w.x0}) {
				return
			}
			w.step(t)
			t--
			w.hold(p, t)
			if t%p.Jump == 0 && t+p.Jump <= s.Schedule.T() && walked[t] < p.Resamplings-1 {
				walked[t]++
				for range p.Jump {
					t++
					s.Schedule.QStep(w.x, w.x, w.noise(t), t)
				}
			}
		}
		yield(0, State{w.x, w.x})
	}
}

// hold replaces the known parts of x_t by draws of q(x_t | x_0 = Known).
func (w *walk) hold(p Inpainting, t int) {
	known := p.Known
	if w.Schedule.AlphaBar[t] < 1 {
		combine(w.spare.Data, w.Schedule.Signal(t), p.Known.Data, w.Schedule.Noise(t), w.noise(t).Data)
		known = w.spare
	}
	c := len(w.x.Data) / len(p.Mask.Data)
	for i, m := range p.Mask.Data {
		lo, hi := i*c, (i+1)*c
		combine(w.x.Data[lo:hi], float64(1-m), w.x.Data[lo:hi], float64(m), known.Data[lo:hi])
	}
}
