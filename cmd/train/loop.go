package main

import (
	"context"
	"math"
	"runtime"

	"ddpm/cmd/internal/exit"
	"ddpm/data"
	"ddpm/diffusion"
	"ddpm/layers"
	"ddpm/optim"
	"ddpm/tensor"
)

// train is algorithm 1 of DDPM:
//
//	repeat
//	  x_0 ~ q(x_0);  t ~ Uniform({1, …, T});  ε ~ N(0, I)
//	  take a gradient step on ∇_θ ‖ε − ε_θ(√ᾱ_t·x_0 + √(1−ᾱ_t)·ε, t)‖²
//	until converged
//
// All that is drawn at random is a function of (seed, step), so a run that was stopped goes on as if it had not been.
func (r *run) train(ctx context.Context) error {
	p := r.net.Params
	adam, rate := optim.NewAdam(), r.rate()
	adam.WeightDecay = r.Decay
	for !r.over(ctx) {
		r.Step++
		loss := r.gradient(r.Step)
		norm := optim.Norm(p.Grads())
		lr := rate.At(r.moments.T + 1)
		if finite(loss.mean) && finite(norm) {
			adam.Step(p.Values(), p.Grads(), r.moments, lr, optim.ClipScale(norm, r.clip()))
			for _, a := range r.averages {
				a.Update(a.weights, p.Values(), r.moments.T)
			}
			r.remember(loss)
			r.InARow = 0
		} else if err := r.skip(); err != nil {
			return err
		}
		r.report.step(r, loss, norm, lr)
		if err := r.keep(); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// over reports whether the run has gone as far as it was to go.
func (r *run) over(ctx context.Context) bool {
	return ctx.Err() != nil || r.Steps > 0 && r.Step >= r.Steps || r.For > 0 && r.spent() >= r.For || r.Step >= maxSteps
}

// stepLoss is the loss of a training step.
type stepLoss struct {
	mean   float64
	images []diffusion.ImageLoss
}

// gradient sets the parameters' gradients to that of a step's loss, one part of its images after the other.
func (r *run) gradient(step int) (loss stepLoss) {
	r.net.Params.ZeroGrads()
	r.tape.Reset()
	if r.losses != nil {
		r.objective.Times = r.losses.Times()
	}
	part := r.part()
	for first := 0; first < r.Batch; first += part {
		if part < r.Batch {
			r.tape.Rewind()
		}
		x0 := r.tape.Temp(min(part, r.Batch-first), r.set.H, r.set.W, r.set.C).Tensor
		labels := r.images(x0, uint64(step-1)*uint64(r.Batch)+uint64(first))
		if labels != nil {
			labels = diffusion.DropLabels(labels, r.net.Classes()-1, r.LabelDrop, r.Seed, uint32(step), uint64(first))
		}
		net := r.net.Given(layers.Condition{
			Labels: labels, Train: true,
			Dropout: tensor.Mask{Seed: r.Seed, Step: uint32(step), First: uint64(first)},
		})
		l, images := r.objective.Loss(r.tape, net, diffusion.Batch{X0: x0, Step: uint32(step), First: uint64(first), Total: r.Batch})
		r.tape.Backward(l)
		loss.mean += float64(l.Data[0])
		loss.images = append(loss.images, images...)
	}
	return loss
}

// cached is the size in bytes of a layer's output, at the image's own size and the first level's width, that a part of a
// step keeps to on each processor. Of the preset mnist's 128 images it makes parts of 64 on two cores.
const cached = 4 << 20

// part returns how many images of a step are computed at once: such that every processor has the same share of them, if it
// can be. Weight gradients are summed over tensor.GradChunk images at a time, so as a multiple of that it does not show in
// the results.
func (r *run) part() int {
	if r.Accumulate > 0 {
		return r.Batch / r.Accumulate
	}
	image, procs := 4*r.set.H*r.set.W*r.net.Config.BlockOutChannels[0], runtime.GOMAXPROCS(0)
	chunks := (r.Batch + tensor.GradChunk - 1) / tensor.GradChunk
	most, unit := max(cached*procs/image/tensor.GradChunk, 1), 1 // chunks in a part
	if most >= procs {
		most, unit = most-most%procs, procs
	}
	parts := (chunks + most - 1) / most
	part := (chunks + parts - 1) / parts
	return min((part+unit-1)/unit*unit*tensor.GradChunk, r.Batch)
}

// images sets x0 to the training samples numbered from first, and returns their labels if the network is to know them.
func (r *run) images(x0 tensor.Tensor, first uint64) (labels []int) {
	n := x0.Shape[0]
	r.order.Indices(r.indices[:n], first)
	r.set.Batch(x0, r.indices[:n])
	if r.labels != nil {
		labels = r.labels[:n]
		r.set.BatchLabels(labels, r.indices[:n])
	}
	if r.Flip {
		data.Flip(x0, r.Seed, first)
	}
	return labels
}

// clip returns the largest norm that a gradient may have.
func (r *run) clip() float64 {
	if r.Clip == 0 {
		return math.Inf(1)
	}
	return r.Clip
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// patience is how many steps in a row may be skipped before a run has diverged.
const patience = 10

// skip counts a step whose loss or gradient is not finite and which therefore changes nothing.
func (r *run) skip() error {
	r.Skipped++
	r.InARow++
	if r.InARow < patience {
		return nil
	}
	what := "the loss is"
	if name := firstBad(r.net.Params.All(), true); name != "" {
		what = "the gradient of " + name + " is the first to be"
	}
	return exit.Diverge("diverged: %s NaN or Inf, %d steps in a row up to step %d; the checkpoints in %s are from before; start another run with a lower -lr (this one has %v) or a longer -warmup",
		what, r.InARow, r.Step, r.dir, r.LR)
}

// firstBad returns the name of the first parameter whose value, or gradient, is not finite.
func firstBad(list []layers.Param, gradients bool) string {
	for _, p := range list {
		if !optim.Finite(p.Data) || gradients && !optim.Finite(p.Grad.Data) {
			return p.Name
		}
	}
	return ""
}

// keep saves the run and draws a picture when their time has come.
func (r *run) keep() error {
	if r.SampleEvery > 0 && r.Step%r.SampleEvery == 0 {
		if err := r.preview(); err != nil {
			return err
		}
	}
	if r.Step%r.SaveEvery == 0 {
		return r.save()
	}
	return nil
}
