package main

import (
	"encoding/json"
	"io"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"ddpm/autograd"
	"ddpm/cmd/internal/exit"
	"ddpm/data"
	"ddpm/internal/simd"
	"ddpm/layers"
	"ddpm/optim"
	"ddpm/tensor"
)

// measurement is the line that -bench prints.
type measurement struct {
	Preset    string  `json:"preset"`
	Side      int     `json:"side"`
	Colours   int     `json:"in_channels"`
	Channels  ints    `json:"channels"`
	Layers    int     `json:"layers"`
	Attention bools   `json:"attention"`
	Batch     int     `json:"batch"`
	Part      int     `json:"part"` // images computed at once
	Params    int     `json:"params"`
	TrainMS   float64 `json:"train_ms"` // median of a step
	InferMS   float64 `json:"infer_ms"`
	TrainRate float64 `json:"train_img_s"`
	InferRate float64 `json:"infer_img_s"`
	GFLOP     float64 `json:"gflop_per_step"`
	GFLOPS    float64 `json:"gflops"` // of a training step
	InferGF   float64 `json:"infer_gflops"`
	TrainMB   float64 `json:"train_peak_rss_mb"` // before inference, whose tape keeps the weights in the layout of the kernels
	PeakMB    float64 `json:"peak_rss_mb"`
	Allocs    float64 `json:"allocs_per_step"` // mean, of a training step
	AllocB    float64 `json:"alloc_bytes_per_step"`
	CPU       string  `json:"cpu"` // the kernels in use
	Arch      string  `json:"arch"`
	Procs     int     `json:"gomaxprocs"`
	Method    string  `json:"convolution"`
}

// benchWarmup is how many steps go before those that are timed.
const benchWarmup = 2

// bench times training and denoising steps of the network that the settings describe, on random images.
func bench(s settings, w io.Writer) error {
	const images = 1000
	if s.Side == 0 || s.Colours == 0 {
		return exit.Usage("-bench draws its own images: give -side and -in-channels")
	}
	s.EMA = nil
	r := &run{settings: s, scheduler: s.scheduler(), set: randomImages(s, images)}
	if err := r.newNetwork(nil); err != nil {
		return err
	}
	if err := r.prepare(); err != nil {
		return err
	}
	r.averages = nil // not part of what is timed
	r.measure()
	train, allocs, bytes := r.benchTraining()
	work := 2e-9 * float64(r.tape.MACs) // of the forward pass; backward is two more
	peak := memory()
	r.tape, r.moments = nil, nil // what inference does without is not to show in its memory, nor are gradients
	if err := r.newNetwork(nil); err != nil {
		return err
	}
	debug.FreeOSMemory()
	infer := r.benchInference()
	return json.NewEncoder(w).Encode(measurement{
		Preset: s.Preset, Side: s.Side, Colours: s.Colours, Channels: s.Channels, Layers: s.Layers, Attention: s.Attention, Batch: s.Batch, Part: r.part(),
		Params: r.net.Params.Count(), TrainMS: round(1e3 * train), InferMS: round(1e3 * infer),
		TrainRate: round(float64(s.Batch) / train), InferRate: round(float64(s.Batch) / infer),
		GFLOP: round(3 * work), GFLOPS: round(3 * work / train), InferGF: round(work / infer),
		TrainMB: round(float64(peak) / 1e6), PeakMB: round(float64(memory()) / 1e6), Allocs: allocs, AllocB: bytes,
		CPU: simd.Implementation(), Arch: runtime.GOARCH, Procs: runtime.GOMAXPROCS(0), Method: s.Convolution,
	})
}

// benchTraining returns the median time of a training step in seconds, and what it allocates in the mean: t and ε are
// drawn, forward, backward, clip, Adam.
func (r *run) benchTraining() (seconds, allocs, bytes float64) {
	p, adam := r.net.Params, optim.NewAdam()
	var before, after runtime.MemStats
	step := 0
	seconds = median(r.Bench, func() {
		if step++; step == benchWarmup+1 {
			runtime.ReadMemStats(&before)
		}
		r.gradient(step)
		adam.Step(p.Values(), p.Grads(), r.moments, r.LR, optim.ClipScale(optim.Norm(p.Grads()), r.clip()))
	})
	runtime.ReadMemStats(&after)
	n := float64(r.Bench)
	return seconds, math.Round(float64(after.Mallocs-before.Mallocs) / n), math.Round(float64(after.TotalAlloc-before.TotalAlloc) / n)
}

// benchInference returns the median time of one look of the network at a batch, in seconds.
func (r *run) benchInference() float64 {
	tape, t := autograd.NewInference(), make([]int, r.Batch)
	x := autograd.Const(tensor.New(r.Batch, r.Side, r.Side, r.Colours))
	for i := range x.Data {
		x.Data[i] = float32(math.Sin(float64(i)))
	}
	for i := range t {
		t[i] = r.objective.Schedule.T() / 2
	}
	return median(r.Bench, func() {
		tape.Reset()
		r.net.Forward(tape, x, t, layers.Condition{Labels: r.labels})
	})
}

// median returns the median time of n calls of f in seconds, after a few that do not count.
func median(n int, f func()) float64 {
	for range benchWarmup {
		f()
	}
	times := make([]float64, n)
	for i := range times {
		start := time.Now()
		f()
		times[i] = time.Since(start).Seconds()
	}
	slices.Sort(times)
	return times[n/2]
}

// randomImages returns a set of noise.
func randomImages(s settings, n int) *data.Set {
	set := &data.Set{Name: "noise", H: s.Side, W: s.Side, C: s.Colours, Pixels: make([]byte, n*s.Side*s.Side*s.Colours)}
	x := uint32(1)
	for i := range set.Pixels {
		x = 1664525*x + 1013904223
		set.Pixels[i] = byte(x >> 24)
	}
	if s.Classes {
		set.Classes, set.Labels = 10, make([]int, n)
	}
	return set
}

func round(x float64) float64 { return math.Round(100*x) / 100 }
