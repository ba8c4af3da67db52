package autograd_test

import (
	"math"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"ddpm/autograd"
	"ddpm/layers"
	"ddpm/tensor"
)

// mnist is a network like the one for 28×28 digits, with a batch of n for it.
func mnist(t *testing.T, n int) (net *layers.UNet, x, target *autograd.Var, times []int) {
	t.Helper()
	net, err := layers.New(layers.DDPM(28, 1, []int{32, 64, 128}, 2, []bool{false, false, true}, 8), 1)
	require.NoError(t, err)
	times = make([]int, n)
	for i := range times {
		times[i] = 60 * i
	}
	return net, autograd.Const(random(1, n, 28, 28, 1)), autograd.Const(random(2, n, 28, 28, 1)), times
}

// A step after the first takes no memory for tensors. What it takes are the tape's closures and shapes, and the closures
// of the few parallel loops that an operation's forward and backward pass are.
func TestTrainingStepAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("under the race detector pools forget what they hold, on purpose")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	for _, n := range []int{4, 2 * tensor.GradChunk} { // one share, and two
		stepAllocations(t, n)
	}
}

func stepAllocations(t *testing.T, n int) {
	t.Helper()
	const perOperation = 512 // bytes
	net, x, target, times := mnist(t, n)
	tp := autograd.New()
	var recorded int
	step := func() {
		l, _ := tp.MSE(net.Denoise(tp, x, times), target, nil)
		recorded = tp.Recorded()
		tp.Backward(l)
		tp.Reset()
	}
	step()
	arena := tp.ArenaBytes()
	// The least of a few steps: in each, a worker that had nothing to do before, or has moved to another processor, may get
	// memory of its own.
	least := uint64(math.MaxUint64)
	for range 8 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		step()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	require.Equal(t, arena, tp.ArenaBytes(), "the arena does not grow")
	require.Greater(t, recorded, 40)
	require.False(t, tp.ReadsAgain(), "no parameter of the network is read twice")
	each := float64(least) / float64(recorded)
	t.Logf("%d images, %d operations, %.0f bytes allocated for each; arena %.1f MB", n, recorded, each, float64(arena)/1e6)
	require.LessOrEqual(t, each, float64(perOperation))
}

// A step that finds the gradients idle keeps a good part of its results there, the same in every step.
func TestTrainingStepInIdleGradients(t *testing.T) {
	net, x, target, times := mnist(t, 8)
	step := func(tp *autograd.Tape) int {
		l, _ := tp.MSE(net.Denoise(tp, x, times), target, nil)
		tp.Backward(l)
		tp.Reset()
		return tp.ArenaBytes()
	}
	alone := step(autograd.New())
	tp := autograd.New()
	for range 3 {
		net.Params.ZeroGrads()
		got := step(tp)
		t.Logf("arena %.1f MB, with gradients of %.1f MB %.1f MB", float64(alone)/1e6, 4e-6*float64(net.Params.Count()), float64(got)/1e6)
		require.Less(t, got, alone*7/10)
	}
}

// A forward pass that frees as it goes needs a third of what a training step does.
func TestInferencePeak(t *testing.T) {
	net, x, target, times := mnist(t, 16)
	tp := autograd.New()
	l, _ := tp.MSE(net.Denoise(tp, x, times), target, nil)
	tp.Backward(l)
	inference := autograd.NewInference()
	y := net.Denoise(inference, x, times)
	t.Logf("training step %.1f MB, inference %.1f MB", float64(tp.ArenaBytes())/1e6, float64(inference.ArenaBytes())/1e6)
	require.LessOrEqual(t, 3*inference.ArenaBytes(), tp.ArenaBytes())
	once := inference.ArenaBytes()
	inference.Release(y)
	for range 2 {
		inference.Release(net.Denoise(inference, x, times))
	}
	require.Equal(t, once, inference.ArenaBytes(), "the memory of all steps of a sampler is that of one")
}

// What is dropped is computed again for the gradients that read it: they have the same bits, and take less memory.
func TestDrop(t *testing.T) {
	const n, side, c = 3, 4, 8
	run := func(tp *autograd.Tape, drop bool) (y *autograd.Var, grads []float32) {
		w, dw := random(2, c, c), tensor.New(c, c)
		x := tp.Linear(autograd.Const(random(1, n, side, side, c)), autograd.Param(w, dw), nil)
		norm := tp.GroupNorm(x, autograd.Norm{Gamma: autograd.Const(random(3, c)), Beta: autograd.Const(random(4, c)), Groups: 2, Eps: 1e-5})
		y = tp.Attention(norm, norm, norm, 1)
		if drop {
			tp.Drop(norm)
		}
		for range 3 {
			y = tp.SiLU(y)
		}
		if tp.Recording() {
			l, _ := tp.MSE(y, autograd.Const(tensor.New(n, side, side, c)), nil)
			tp.Backward(l)
		}
		return y, dw.Data
	}
	kept, dropped, inference := autograd.New(), autograd.New(), autograd.NewInference()
	_, want := run(kept, false)
	_, got := run(dropped, true)
	require.Equal(t, want, got)
	require.Less(t, dropped.ArenaBytes(), kept.ArenaBytes())
	run(inference, true)
	require.PanicsWithValue(t, "autograd: Drop: got a result of shape [2 3], want one of GroupNorm", func() {
		tp := autograd.New()
		tp.Drop(tp.Temp(2, 3))
	})
}
