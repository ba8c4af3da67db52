package tests

import (
	"testing"

	"ddpm/autograd"
	"ddpm/autograd/gradcheck"
	"ddpm/layers"
	"ddpm/optim"
)

// benchNet is one of the networks that tests/peer compares with PyTorch.
type benchNet struct {
	name  string
	cfg   layers.Config
	batch int
}

func benchNets() []benchNet {
	nets := []benchNet{
		{"tiny", layers.DDPM(8, 1, []int{32, 64}, 1, []bool{false, true}, 8), 128},
		{"mnist", layers.DDPM(28, 1, []int{32, 64, 128}, 2, []bool{false, false, true}, 8), 128},
		{"cifar", layers.DDPM(32, 3, []int{128, 256, 256, 256}, 2, []bool{false, true, false, false}, 32), 16},
	}
	for i := range nets {
		nets[i].cfg.FreqShift = 0
	}
	return nets
}

// BenchmarkTrainStep is forward, backward, clipping and Adam; BenchmarkInference is the forward pass alone.
func BenchmarkTrainStep(b *testing.B) {
	for _, n := range benchNets() {
		b.Run(n.name, func(b *testing.B) {
			net, x, t := n.build(b)
			tape, adam := autograd.New(), optim.NewAdam()
			state := optim.NewState(len(net.Params.Values()))
			target := autograd.Const(gradcheck.Random(2, x.Shape...))
			for b.Loop() {
				tape.Reset()
				net.Params.ZeroGrads()
				loss, _ := tape.MSE(net.Denoise(tape, x, t), target, nil)
				tape.Backward(loss)
				clip := optim.ClipScale(optim.Norm(net.Params.Grads()), 1)
				adam.Step(net.Params.Values(), net.Params.Grads(), state, 2e-4, clip)
			}
		})
	}
}

func BenchmarkInference(b *testing.B) {
	for _, n := range benchNets() {
		b.Run(n.name, func(b *testing.B) {
			net, x, t := n.build(b)
			tape := autograd.NewInference()
			for b.Loop() {
				tape.Reset()
				net.Denoise(tape, x, t)
			}
		})
	}
}

func (n benchNet) build(tb testing.TB) (*layers.UNet, *autograd.Var, []int) {
	tb.Helper()
	net, err := layers.New(n.cfg, 0)
	if err != nil {
		tb.Fatal(err)
	}
	t := make([]int, n.batch)
	for i := range t {
		t[i] = 500
	}
	return net, autograd.Const(gradcheck.Random(1, n.batch, n.cfg.SampleSize, n.cfg.SampleSize, n.cfg.InChannels)), t
}
