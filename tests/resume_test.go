package tests

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ddpm/checkpoint"
)

// everything random there is: the order of images, t, ε, dropout, flips, dropped labels.
var everything = with(small, strings.Fields("-dropout 0.1 -flip -classes -ema 0.9,0.99 -warmup 5 -accumulate 2 -batch 16 -seed 3")...)

// TestResumeIsExact trains 20 steps at once, and 10 and 10 more: weights, averages and moments are the same to the bit.
func TestResumeIsExact(t *testing.T) {
	dir := t.TempDir()
	succeed(t, dir, "train", with(everything, "-steps", "20", "-out", "once")...)
	succeed(t, dir, "train", with(everything, "-steps", "10", "-out", "twice")...)
	require.NotEqual(t, numbers(t, dir, "once", 20), numbers(t, dir, "twice", 10))
	succeed(t, dir, "train", "-resume", "-out", "twice", "-steps", "20")
	require.Equal(t, numbers(t, dir, "once", 20), numbers(t, dir, "twice", 20))
	require.Len(t, readMetrics(t, filepath.Join(dir, "twice", "metrics.jsonl")), 20)
}

// TestResumeIsExactForEveryObjective does the same where more than the network is carried over: the losses that t is drawn by,
// a learned variance, a learning rate that falls.
func TestResumeIsExactForEveryObjective(t *testing.T) {
	for name, flags := range map[string]string{
		"second moment": "-recipe improved -timesteps 4 -draw second-moment -batch 32",
		"cosine rate":   "-schedule sigmoid-jabri -prediction v -zero-snr -weight min-snr -draw stratified -rate cosine -floor 1e-5 -weight-decay 0.01 -ema 0.9,0.99,0.999",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			all := with(everything, append(strings.Fields(flags), "-steps", "16", "-save-every", "8", "-keep", "9")...)
			succeed(t, dir, "train", with(all, "-out", "once")...)
			want := numbers(t, dir, "once", 16)
			require.NoError(t, os.RemoveAll(filepath.Join(dir, "once", "step-00000016")))
			succeed(t, dir, "train", "-resume", "-out", "once")
			require.Equal(t, want, numbers(t, dir, "once", 16))
		})
	}
}

// TestCheckpointsHoldTheWholeState looks for every kind of number that training goes on from.
func TestCheckpointsHoldTheWholeState(t *testing.T) {
	dir := t.TempDir()
	succeed(t, dir, "train", with(everything, "-steps", "1", "-out", "run")...)
	r, err := checkpoint.Open(filepath.Join(dir, "run", "step-00000001", "train_state.safetensors"))
	require.NoError(t, err)
	defer r.Close()
	for _, kind := range []string{"weights/", "adam.m/", "adam.v/", "ema.1/"} {
		require.Contains(t, r.Names(), kind+"conv_in.weight")
	}
}

// TestTimeLimitOnlyStops holds that -for changes nothing but the end.
func TestTimeLimitOnlyStops(t *testing.T) {
	dir := t.TempDir()
	succeed(t, dir, "train", with(everything, "-steps", "6", "-out", "plain")...)
	succeed(t, dir, "train", with(everything, "-for", "1h", "-steps", "6", "-out", "limited")...)
	require.Equal(t, numbers(t, dir, "plain", 6), numbers(t, dir, "limited", 6))
	succeed(t, dir, "train", with(everything, "-for", "1ms", "-out", "short")...)
	metrics := readMetrics(t, filepath.Join(dir, "short", "metrics.jsonl"))
	require.LessOrEqual(t, len(metrics), 1, "it stops after the step in which the time is over")
}

// numbers returns the SHA-256 of all tensors in a checkpoint: published weights, and weights, moments and averages.
func numbers(t testing.TB, dir, run string, step int) (sums []string) {
	t.Helper()
	for _, name := range []string{"unet/diffusion_pytorch_model.safetensors", "train_state.safetensors"} {
		data, err := os.ReadFile(filepath.Join(dir, run, fmt.Sprintf("step-%08d", step), name))
		require.NoError(t, err)
		sums = append(sums, fmt.Sprintf("%x", sha256.Sum256(data)))
	}
	return sums
}
