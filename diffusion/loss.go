package diffusion

import (
	"fmt"

	"ddpm/autograd"
	"ddpm/internal/rng"
	"ddpm/tensor"
)

// Objective is what training minimises. With Schedule and Seed alone it is the paper's L_simple (DDPM eq. 14),
//
//	E_{t, x_0, ε} ‖ε - ε_θ(√ᾱ_t·x_0 + √(1-ᾱ_t)·ε, t)‖²,  t uniform in 1…T,  ε ~ N(0, I),
//
// as a mean over pixels, so that a network that outputs 0 has a loss of 1.
type Objective struct {
	Schedule   Schedule
	Prediction Prediction // what the network's output is to be
	Weighting  Weighting  // of each t; nil for 1
	Times      Times      // how t is drawn; nil for Uniform
	Bound      float64    // λ of the hybrid loss L_simple + λ·L_vlb, for a network with variance channels (0.001 in its paper); 0 for none
	Seed       uint64     // of t and ε
}

// Batch is the part of a training step's images that is computed at once.
type Batch struct {
	X0    tensor.Tensor // [N H W C]
	Step  uint32        // number of the training step
	First uint64        // place of the first image among all the step's images
	Total int           // how many images the step has in all; 0 for N
}

// ImageLoss is what one image of a batch contributed.
type ImageLoss struct {
	T    int     // the time it was noised to
	Loss float64 // mean squared error over its pixels, not weighted
	Bits float64 // its L_{t-1} of the variational bound in bits per dimension; with Bound only
}

// Loss computes the objective on a batch: a number on the tape for Backward, and what each image contributed. The sum
// of the losses of a step's parts is the loss of the whole step. t and ε of an image depend on (Seed, Step, place in
// the step) only, so neither the way a step is parted nor a resume changes them.
func (o Objective) Loss(tp *autograd.Tape, net Denoiser, b Batch) (*autograd.Var, []ImageLoss) {
	n, _, _, c := b.X0.Dims4()
	total := b.Total
	if total == 0 {
		total = n
	}
	o.check(b, n, total)
	images, weights, times := o.drawTimes(b, total)
	xt, target := tp.Temp(b.X0.Shape...), tp.Temp(b.X0.Shape...)
	o.noise(xt.Tensor, target.Tensor, b, images)
	out := net.Denoise(tp, xt, times)
	if o.Bound > 0 {
		return o.hybrid(tp, out, b.X0, xt.Tensor, target.Tensor, weights, images), images
	}
	if got := outputFor(b.X0, out.Tensor); got.learned() {
		panic(fmt.Sprintf("diffusion: Loss: got %d output channels for images of %d, want as many, or Bound to train the variance", got.width, c))
	}
	loss, per := tp.MSE(out, target, weights)
	for i := range images {
		images[i].Loss = per[i]
	}
	return loss, images
}

// drawTimes draws t for each image and returns it with its weight in the loss and the time the network sees.
func (o Objective) drawTimes(b Batch, total int) (images []ImageLoss, weights []float64, times []int) {
	draw := o.Times
	if draw == nil {
		draw = Uniform(o.Schedule.T())
	}
	n := b.X0.Shape[0]
	images, weights, times = make([]ImageLoss, n), make([]float64, n), make([]int, n)
	for i := range n {
		place := b.First + uint64(i)
		stream := rng.New(o.Seed, rng.Timestep, place, b.Step)
		t, weight := draw(stream.Float64(), int(place), total)
		if o.Weighting != nil {
			weight *= o.Weighting.of(o.Schedule, o.Prediction, t)
		}
		// MSE divides by the images it sees; the step's loss divides by all of them.
		images[i].T, weights[i], times[i] = t, weight*float64(n)/float64(total), o.Schedule.Time[t]
	}
	return images, weights, times
}

// noise draws ε, and sets xt to the noisy images and target to what the network is to make of them.
func (o Objective) noise(xt, target tensor.Tensor, b Batch, images []ImageLoss) {
	perImage(target, func(i int, eps []float32) {
		stream := rng.New(o.Seed, rng.Noise, b.First+uint64(i), b.Step)
		stream.Normal(eps)
	})
	t := make([]int, len(images))
	for i := range images {
		t[i] = images[i].T
	}
	o.Schedule.QSample(xt, b.X0, target, t)
	perImage(target, func(i int, eps []float32) {
		c0, ce := o.Prediction.Target(o.Schedule.AlphaBar[t[i]])
		combine(eps, c0, b.X0.Data[i*len(eps):(i+1)*len(eps)], ce, eps)
	})
}

func (o Objective) check(b Batch, n, total int) {
	if n == 0 || b.First+uint64(n) > uint64(total) {
		panic(fmt.Sprintf("diffusion: Loss: got images %d…%d of a step of %d, want some within it", b.First, b.First+uint64(n), total))
	}
	if o.Prediction == Epsilon && o.Weighting != nil && o.Schedule.AlphaBar[o.Schedule.T()] == 0 {
		panic("diffusion: Loss: got a weighted epsilon prediction at zero terminal SNR, want a V or X0 prediction")
	}
}
