package tests

import (
	"fmt"

	"ddpm/autograd"
	"ddpm/data"
	"ddpm/diffusion"
	"ddpm/layers"
	"ddpm/optim"
	"ddpm/tensor"
)

// Example trains a small network on the embedded digits and samples from it: algorithms 1 and 2 of the paper. README
// shows the same lines.
func Example() {
	set, _ := data.Open("digits", data.Options{})
	net, _ := layers.New(layers.DDPM(8, 1, []int{32, 64}, 1, []bool{false, true}, 8), 1)
	objective := diffusion.Objective{Schedule: diffusion.Linear(1000, 1e-4, 0.02), Seed: 1}
	tape, adam, order := autograd.New(), optim.NewAdam(), data.NewStream(1, set.Len())
	weights := net.Params.Values()
	state := optim.NewState(len(weights))
	x0, index := tensor.New(64, 8, 8, 1), make([]int, 64)
	for step := range 8 { // a good model takes 2,000
		order.Indices(index, uint64(step*64))
		set.Batch(x0, index)
		tape.Reset()
		net.Params.ZeroGrads()
		loss, _ := objective.Loss(tape, net, diffusion.Batch{X0: x0, Step: uint32(step)})
		tape.Backward(loss)
		grads := net.Params.Grads()
		adam.Step(weights, grads, state, 1e-3, optim.ClipScale(optim.Norm(grads), 1))
	}

	times, _ := diffusion.Trailing(1000, 20) // 20 steps instead of 1,000
	sampler := diffusion.Sampler{Schedule: objective.Schedule.Strided(times...), Rule: diffusion.DDIM{}, Clip: diffusion.Clip{Range: 1}, Seed: 1}
	images := diffusion.Last(sampler.Steps(net, sampler.Start(0, 16, 8, 8, 1), 0))
	picture := data.Grid(images, 4, 8, 1)

	fmt.Println(images.Shape, picture.Bounds())
	// Output: [16 8 8 1] (0,0)-(261,261)
}
