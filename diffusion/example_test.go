package diffusion_test

import (
	"fmt"

	"ddpm/autograd"
	"ddpm/diffusion"
	"ddpm/tensor"
)

// grey stands for a trained network. All it ever saw were grey images, 0.5 everywhere, so it knows the noise in any x_t:
// ε = (x_t - √ᾱ_t·0.5)/√(1-ᾱ_t).
type grey struct{ schedule diffusion.Schedule }

func (g grey) Denoise(tp *autograd.Tape, xt *autograd.Var, time []int) *autograd.Var {
	eps := tp.Temp(xt.Shape...)
	size := len(xt.Data) / len(time)
	for i, x := range xt.Data {
		t := time[i/size] + 1 // the network counts from 0
		eps.Data[i] = float32((float64(x) - 0.5*g.schedule.Signal(t)) / g.schedule.Noise(t))
	}
	return eps
}

// One training step's loss on a batch of two images.
func ExampleObjective_Loss() {
	schedule := diffusion.Linear(1000, 1e-4, 0.02)
	objective := diffusion.Objective{Schedule: schedule, Seed: 1}
	batch := tensor.New(2, 8, 8, 1)
	for i := range batch.Data {
		batch.Data[i] = 0.5
	}
	loss, _ := objective.Loss(autograd.NewInference(), grey{schedule}, diffusion.Batch{X0: batch, Step: 0})
	fmt.Printf("%.3f\n", loss.Data[0])
	// Output: 0.000
}

// Sampling in 20 of 1000 steps, watching the way.
func ExampleSampler_Steps() {
	schedule := diffusion.Linear(1000, 1e-4, 0.02)
	times, err := diffusion.Trailing(schedule.T(), 20)
	if err != nil {
		panic(err)
	}
	sampler := diffusion.Sampler{Schedule: schedule.Strided(times...), Rule: diffusion.DDIM{}, Seed: 1}
	xT := sampler.Start(0, 4, 8, 8, 1) // images 0 to 3
	for t, state := range sampler.Steps(grey{schedule}, xT, 0) {
		if t%10 == 0 {
			fmt.Printf("t = %2d  x̂_0 = %.2f\n", t, state.X0.Data[0])
		}
	}
	// Output:
	// t = 20  x̂_0 = 0.50
	// t = 10  x̂_0 = 0.50
	// t =  0  x̂_0 = 0.50
}
