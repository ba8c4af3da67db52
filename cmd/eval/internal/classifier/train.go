package classifier

import (
	"ddpm/autograd"
	"ddpm/data"
	"ddpm/internal/rng"
	"ddpm/optim"
	"ddpm/tensor"
)

// The recipe: AdamW on the cross-entropy of images moved by up to a pixel, with a rate that rises in the first steps
// and then falls to 0 along a cosine. The number of images seen is four times that of MNIST, whatever the set.
const (
	batch  = 128
	seen   = 240_000
	peak   = 3e-3
	warmup = 100
	decay  = 0.05
	limit  = 1 // of the gradient's norm
)

// Steps is how many steps a training takes.
const Steps = seen / batch

// Train returns a classifier trained on a labelled set of square images, a function of set and seed alone. progress is
// called after every step.
func Train(s *data.Set, seed uint64, progress func(step int, loss float64)) *Net {
	return learn(s, seed, Steps, progress)
}

func learn(s *data.Set, seed uint64, steps int, progress func(step int, loss float64)) *Net {
	n := New(s.H, s.C, s.Classes, seed)
	p := n.Params
	adam, moments := optim.NewAdam(), optim.NewState(len(p.Values()))
	adam.WeightDecay = decay
	rate := optim.Rate{Base: peak, Warmup: min(warmup, steps/2), Total: steps}
	order, tape := data.NewStream(seed, s.Len()), autograd.New()
	index, labels := make([]int, batch), make([]int, batch)
	x := tensor.New(batch, s.H, s.W, s.C)
	for step := 1; step <= steps; step++ {
		first := uint64(step-1) * batch
		order.Indices(index, first)
		s.Batch(x, index)
		s.BatchLabels(labels, index)
		shift(x, seed, first)
		tape.Reset()
		p.ZeroGrads()
		_, logits := n.forward(tape, autograd.Const(x))
		loss, _ := tape.CrossEntropy(logits, labels)
		tape.Backward(loss)
		adam.Step(p.Values(), p.Grads(), moments, rate.At(step), optim.ClipScale(optim.Norm(p.Grads()), limit))
		progress(step, float64(loss.Data[0]))
	}
	n.standardise(s)
	return n
}

// shift moves each of the images x [N H W C], samples first, first+1, … of the training, by -1, 0 or 1 pixel each way,
// in place. The border is repeated.
func shift(x tensor.Tensor, seed, first uint64) {
	n, h, w, c := x.Dims4()
	moved := make([]float32, h*w*c)
	for i := range n {
		coin := rng.New(seed, rng.Flip, first+uint64(i), 0)
		down, right := coin.Intn(3)-1, coin.Intn(3)-1
		image := x.Data[i*h*w*c:][:h*w*c]
		for row := range h {
			for col := range w {
				from := min(max(row-down, 0), h-1)*w + min(max(col-right, 0), w-1)
				copy(moved[(row*w+col)*c:][:c], image[from*c:])
			}
		}
		copy(image, moved)
	}
}
