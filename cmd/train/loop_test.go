package main

import (
	"context"
	"math"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ddpm/cmd/internal/exit"
	"ddpm/data"
	"ddpm/layers"
)

// started returns a small run in a directory of its own.
func started(t *testing.T, flags ...string) *run {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	args := append([]string{"-preset", "tiny", "-channels", "8,16", "-groups", "4", "-batch", "8", "-sample-every", "0", "-log", "json", "-out", dir}, flags...)
	s, given, err := parse(args)
	require.NoError(t, err)
	r, err := begin(s, given)
	require.NoError(t, err)
	r.report.lines = nil // not to the test's output
	t.Cleanup(r.close)
	return r
}

// TestDivergenceStops poisons a weight: steps are skipped without a change, and after ten the run ends, naming the weight.
func TestDivergenceStops(t *testing.T) {
	r := started(t, "-steps", "50", "-save-every", "1")
	bad := r.net.Params.All()[5]
	bad.Data[0] = float32(math.NaN())
	before := append([]float32(nil), r.averages[0].weights...)
	err := r.train(context.Background())
	require.Equal(t, exit.Diverged, exit.Code(err), "%v", err)
	require.Contains(t, err.Error(), bad.Name)
	saved, globErr := filepath.Glob(filepath.Join(r.dir, "step-*"))
	require.NoError(t, globErr)
	require.Empty(t, saved, "a checkpoint that is not finite is never written")
	require.Equal(t, before, r.averages[0].weights)
}

// TestSkippedSteps makes one step's gradient infinite, and sees it skipped, counted, and forgotten.
func TestSkippedSteps(t *testing.T) {
	r := started(t, "-steps", "3")
	saved := r.set.Pixels
	require.NoError(t, r.train(context.Background()))
	require.Zero(t, r.Skipped)

	w := r.net.Params.Values()
	value := w[0]
	w[0] = float32(math.Inf(1))
	r.Steps = 5
	require.NoError(t, r.train(context.Background()))
	require.Equal(t, progress{Step: 5, Skipped: 2, InARow: 2}, r.progress)
	require.Equal(t, 3, r.moments.T, "a skipped step is none for Adam")
	w[0] = value
	r.Steps = 6
	require.NoError(t, r.train(context.Background()))
	require.Equal(t, progress{Step: 6, Skipped: 2}, r.progress)
	require.Equal(t, saved, r.set.Pixels)
}

// TestParts looks at how a step's images are parted: whole chunks of a gradient's sum, as many for each processor, parts
// about equal.
func TestParts(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, c := range []struct{ procs, side, width, batch, accumulate, want int }{
		{2, 8, 32, 128, 0, 128},
		{2, 28, 32, 128, 0, 64},
		{2, 28, 32, 80, 0, 64},
		{2, 28, 32, 100, 0, 64},
		{2, 28, 32, 48, 0, 48},
		{2, 32, 128, 128, 0, 16},
		{2, 256, 128, 40, 0, 16},
		{2, 256, 128, 8, 0, 8},
		{2, 28, 32, 128, 4, 32},
		{1, 28, 32, 128, 0, 32},
		{3, 28, 32, 128, 0, 96},
		{4, 28, 32, 96, 0, 96},
		{8, 28, 32, 128, 0, 128},
		{8, 28, 32, 64, 0, 64},
		{4, 32, 128, 128, 0, 32},
	} {
		runtime.GOMAXPROCS(c.procs)
		r := &run{settings: settings{Batch: c.batch, Accumulate: c.accumulate}, set: &data.Set{H: c.side, W: c.side, C: 1}, net: &layers.UNet{}}
		r.net.Config.BlockOutChannels = []int{c.width}
		require.Equal(t, c.want, r.part(), "%+v", c)
	}
}

// TestWorkOfPartsAddsUp counts the multiply-adds of a step in one part and in four.
func TestWorkOfPartsAddsUp(t *testing.T) {
	work := func(parts string) int {
		r := started(t, "-batch", "64", "-accumulate", parts)
		r.gradient(1)
		return r.tape.MACs
	}
	require.Positive(t, work("1"))
	require.Equal(t, work("1"), work("4"))
}

// TestEveryObjectiveLearns takes some steps on each kind of objective: the loss is finite and falls.
func TestEveryObjectiveLearns(t *testing.T) {
	for _, flags := range []string{
		"-schedule cosine -prediction v -weight min-snr -draw stratified",
		"-prediction x0 -zero-snr -variance small -weight vlb",
		"-recipe improved -timesteps 40 -draw second-moment",
		"-schedule sigmoid-jabri -weight snr -rate cosine -floor 1e-5 -weight-decay 0.01",
	} {
		r := started(t, append([]string{"-steps", "60", "-lr", "0.005", "-warmup", "5"}, strings.Fields(flags)...)...)
		first := r.gradient(1).mean
		require.NoError(t, r.train(context.Background()))
		require.Less(t, r.gradient(1).mean, 0.95*first, flags)
		require.Zero(t, r.Skipped, flags)
	}
}

// TestMeasuringChangesNothing holds that the steps timed before training leave no trace.
func TestMeasuringChangesNothing(t *testing.T) {
	weights := func(measured bool) []float32 {
		r := started(t, "-steps", "4")
		if measured {
			r.measure()
		}
		require.NoError(t, r.train(context.Background()))
		return r.net.Params.Values()
	}
	require.Equal(t, weights(false), weights(true))
}

// TestPreviewChangesNothing holds the same of the pictures drawn on the way.
func TestPreviewChangesNothing(t *testing.T) {
	weights := func(every string) []float32 {
		r := started(t, "-steps", "4", "-sample-every", every)
		require.NoError(t, r.train(context.Background()))
		return r.net.Params.Values()
	}
	require.Equal(t, weights("0"), weights("2"))
}

func TestMetricsBeyondTheCheckpointAreDropped(t *testing.T) {
	lines := "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n{\"st"
	require.Equal(t, "{\"step\":1}\n{\"step\":2}\n", string(upTo([]byte(lines), 2)))
}
