package tests

import (
	"crypto/sha256"
	"fmt"
	"image"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ddpm/checkpoint"
	"ddpm/tensor"
)

// drawn is what the tests of shards draw: 24 images in a few steps of a sampler that adds noise.
var drawn = strings.Fields("-model run -n 24 -sampler dpmpp-sde -steps 3 -seed 5")

// withRun makes a directory with a run in it that has learned little, but whose network says something: a fresh one gives
// 0, and images that hardly depend on it.
func withRun(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	succeed(t, dir, "train", with(small, strings.Fields("-steps 3 -lr 0.05 -warmup 0 -ema 0.1 -out run")...)...)
	return dir
}

// draw draws a shard to the directory out.
func draw(t testing.TB, dir, out, shard string, more ...string) string {
	t.Helper()
	return succeed(t, dir, "sample", with(with(drawn, "-dir", out, "-shard", shard), more...)...)
}

// merged joins the shards in out and returns the hash of all images.
func merged(t testing.TB, dir, out string) string {
	t.Helper()
	return hashOf(t, succeed(t, dir, "sample", "merge", out))
}

// hashOf finds the hash in what merge prints.
func hashOf(t testing.TB, printed string) string {
	t.Helper()
	found := regexp.MustCompile(`SHA-256 of all images: ([0-9a-f]{64})`).FindStringSubmatch(printed)
	require.NotNil(t, found, printed)
	return found[1]
}

// TestShardsAreOneDrawing draws in 1, 2 and 8 shards, in batches of 1, 7 and 64, on 1 and 2 processors: the images are
// always the same, and those of a drawing that knows of no shards.
func TestShardsAreOneDrawing(t *testing.T) {
	dir := withRun(t)
	succeed(t, dir, "sample", with(drawn, "-out", "", "-dir", "whole")...)
	want := hashOfPictures(t, filepath.Join(dir, "whole"), 24)
	for _, shards := range []int{1, 2, 8} {
		for _, batch := range []int{1, 7, 64} {
			for _, procs := range []int{1, 2} {
				out := fmt.Sprintf("in-%d-by-%d-on-%d", shards, batch, procs)
				for k := range shards {
					c := prepared(t, dir, "sample", with(drawn, "-dir", out, "-shard", fmt.Sprintf("%d/%d", k+1, shards), "-batch", fmt.Sprint(batch))...)
					c.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", procs))
					got := run(t, c)
					require.Zero(t, got.code, got.errors)
				}
				require.Equal(t, want, merged(t, dir, out), out)
				if shards == 8 && batch == 7 {
					require.Equal(t, want, hashOfPictures(t, filepath.Join(dir, out, "all"), 24))
					require.FileExists(t, filepath.Join(dir, out, "grid.png"))
				}
			}
		}
	}
}

// hashOfPictures computes what merge prints from PNG files: the SHA-256 of the SHA-256 of each one's pixels.
func hashOfPictures(t testing.TB, dir string, n int) string {
	t.Helper()
	all := sha256.New()
	for i := range n {
		f, err := os.Open(filepath.Join(dir, fmt.Sprintf("%05d.png", i)))
		require.NoError(t, err)
		m, _, err := image.Decode(f)
		f.Close()
		require.NoError(t, err)
		one := sha256.Sum256(m.(*image.Gray).Pix)
		all.Write(one[:])
	}
	list, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Len(t, list, n)
	return fmt.Sprintf("%x", all.Sum(nil))
}

// TestShardsAreDrawnOnce calls again for shards that are done, damaged, and of another drawing.
func TestShardsAreDrawnOnce(t *testing.T) {
	dir := withRun(t)
	draw(t, dir, "out", "1/2")
	draw(t, dir, "out", "2/2")
	want := merged(t, dir, "out")
	pixels := filepath.Join(dir, "out", "shard-001-of-002", "images.npy")
	before, err := os.Stat(pixels)
	require.NoError(t, err)

	require.Contains(t, draw(t, dir, "out", "1/2"), "already")
	after, err := os.Stat(pixels)
	require.NoError(t, err)
	require.True(t, os.SameFile(before, after), "a shard that is done is left alone")

	for _, damage := range []func(){
		func() { flipByte(t, pixels) },
		func() { require.NoError(t, os.Truncate(pixels, 100)) },
		func() { require.NoError(t, os.Remove(pixels)) },
		func() { edit(t, filepath.Join(filepath.Dir(pixels), "shard.json"), `"first": 0`, `"first": 1`) },
	} {
		damage()
		got := run(t, prepared(t, dir, "sample", "merge", "out"))
		require.Equal(t, 3, got.code)
		require.Contains(t, got.errors, "shard-001-of-002")
		got = run(t, prepared(t, dir, "sample", with(drawn, "-dir", "out", "-shard", "1/2")...))
		require.Zero(t, got.code, got.errors)
		require.Contains(t, got.errors, "drawing a shard again")
		require.Equal(t, want, merged(t, dir, "out"))
	}

	got := run(t, prepared(t, dir, "sample", with(drawn, "-seed", "6", "-dir", "out", "-shard", "1/2")...))
	require.Equal(t, 2, got.code)
	require.Contains(t, got.errors, "seed is 5, not 6")
}

// TestKilledShardIsDrawnAgain kills a task in the middle of its work, as a node that fails does.
func TestKilledShardIsDrawnAgain(t *testing.T) {
	dir := withRun(t)
	slow := with(drawn, "-sampler", "ddpm", "-steps", "1000", "-batch", "1", "-dir", "out", "-shard", "2/2")
	draw(t, dir, "out", "1/2", "-sampler", "ddpm", "-steps", "1000")
	c := prepared(t, dir, "sample", slow...)
	require.NoError(t, c.Start())
	require.Eventually(t, func() bool {
		files, _ := filepath.Glob(filepath.Join(dir, "out", ".tmp-*", "images.npy"))
		return len(files) == 1
	}, time.Minute, time.Millisecond)
	require.NoError(t, c.Process.Kill())
	c.Wait()

	got := run(t, prepared(t, dir, "sample", "merge", "out"))
	require.Equal(t, 3, got.code)
	require.Contains(t, got.errors, "2/2")
	succeed(t, dir, "sample", slow...)
	require.Contains(t, succeed(t, dir, "sample", "merge", "out", "-dir", "", "-out", "elsewhere/g.png"), "elsewhere")
	require.FileExists(t, filepath.Join(dir, "elsewhere", "g.png"))
	left, err := filepath.Glob(filepath.Join(dir, "out", ".*"))
	require.NoError(t, err)
	require.Empty(t, left, "what the killed task left is gone")
}

// TestMergeRefuses joins what is no whole drawing.
func TestMergeRefuses(t *testing.T) {
	dir := withRun(t)
	succeed(t, dir, "train", "-resume", "-out", "run", "-steps", "4")
	for _, shard := range []string{"1/4", "2/4", "4/4"} {
		draw(t, dir, "holes", shard)
	}
	draw(t, dir, "two", "1/2")
	draw(t, dir, "two", "3/3")
	for _, c := range []struct{ name, flags string }{
		{"seed", "-seed 6"}, {"n", "-n 25"}, {"steps", "-steps 4"}, {"sampler", "-sampler ddim"},
		{"sampler_sha256", "-spacing leading"}, {"model_sha256", "-model run/step-00000003"},
	} {
		draw(t, dir, c.name, "1/2")
		draw(t, dir, c.name, "2/2", strings.Fields(c.flags)...)
	}
	draw(t, dir, "forged", "1/1")
	forge(t, filepath.Join(dir, "forged", "shard-001-of-001"))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "empty"), 0o777))

	for _, c := range []struct {
		dir  string
		says string
	}{
		{"holes", "3/4"},
		{"two", "shards of 2 and of 3"},
		{"seed", "seed is 6, not 5"},
		{"n", "n is 25, not 24"},
		{"steps", "steps"},
		{"sampler", "sampler is ddim"},
		{"sampler_sha256", "sampler_sha256"},
		{"model_sha256", "model_sha256"},
		{"forged", "image 23 "},
		{"empty", "no shards"},
		{"nowhere", "nowhere"},
	} {
		got := run(t, prepared(t, dir, "sample", "merge", c.dir))
		require.Equal(t, 3, got.code, c.dir)
		require.Contains(t, got.errors, c.says)
		require.Equal(t, 1, strings.Count(got.errors, "\n"), got.errors)
	}
	for _, args := range []string{"merge", "merge a b", "merge -x a", "-n 2 -shard 1/3 -dir x", "-shard 1/3", "-shard 1/3 -dir x -gif y.gif"} {
		require.Equal(t, 2, run(t, prepared(t, dir, "sample", strings.Fields(args)...)).code, args)
	}
	require.LessOrEqual(t, strings.Count(succeed(t, dir, "sample", "merge", "-h"), "\n"), 48)
}

// forge changes a pixel of the last image of a shard, and the manifest with it.
func forge(t testing.TB, dir string) {
	path := filepath.Join(dir, "images.npy")
	old, err := os.ReadFile(path)
	require.NoError(t, err)
	flipByte(t, path)
	changed, err := os.ReadFile(path)
	require.NoError(t, err)
	edit(t, filepath.Join(dir, "manifest.json"), fmt.Sprintf("%x", sha256.Sum256(old)), fmt.Sprintf("%x", sha256.Sum256(changed)))
}

// lossOnPyTorch is how far a step's loss on PyTorch may be from that of the same step here, relatively: both compute in
// float32, and Adam carries differences on.
const lossOnPyTorch = 1e-4

// TestPyTorchGoesOn trains ten steps here, ten on two processes of PyTorch and five here again. Every loss is that of
// the same step of a run that stayed here; so are the weights, Adam's moments and the averages after the twentieth.
func TestPyTorchGoesOn(t *testing.T) {
	python(t)
	dir := t.TempDir()
	flags := with(small, strings.Fields("-flip -classes -ema 0.9,0.99 -warmup 14 -accumulate 2 -batch 16 -clip 1.5 -seed 3 -keep 9 -steps 10")...)
	succeed(t, dir, "train", with(flags, "-out", "stays")...)
	succeed(t, dir, "train", with(flags, "-out", "goes")...)
	ranks(t, dir, "goes", 20)
	succeed(t, dir, "train", "-resume", "-out", "stays", "-steps", "20")
	compareStates(t, filepath.Join(dir, "goes", "step-00000020"), filepath.Join(dir, "stays", "step-00000020"))
	for _, run := range []string{"goes", "stays"} {
		succeed(t, dir, "train", "-resume", "-out", run, "-steps", "25")
	}
	goes, stays := readMetrics(t, filepath.Join(dir, "goes", "metrics.jsonl")), readMetrics(t, filepath.Join(dir, "stays", "metrics.jsonl"))
	require.Len(t, goes, 25)
	off := 0.0
	for i := range stays {
		for _, what := range []string{"loss", "grad_norm", "lr"} {
			require.InEpsilon(t, stays[i][what], goes[i][what], lossOnPyTorch, "%s of step %d", what, i+1)
		}
		off = max(off, math.Abs(goes[i]["loss"].(float64)/stays[i]["loss"].(float64)-1))
	}
	t.Logf("losses are off by %.1e at most", off)
	compareWithDiffusers(t, filepath.Join(dir, "goes", "step-00000020"))
}

// TestPyTorchReadsExports goes on with a run on pictures, which PyTorch gets from the command export, and gives it other
// images, which it refuses.
func TestPyTorchReadsExports(t *testing.T) {
	python(t)
	dir := t.TempDir()
	succeed(t, dir, "train", with(small, "-steps", "2", "-out", "first")...)
	for _, class := range []string{"a", "b"} {
		succeed(t, dir, "sample", "-model", "first", "-n", "9", "-steps", "2", "-out", "", "-dir", filepath.Join("photos", class))
	}
	succeed(t, dir, "train", with(small, "-data", "photos", "-side", "16", "-in-channels", "3", "-classes", "-steps", "2", "-out", "run")...)
	succeed(t, dir, "export", "-run", "run", "-out", "exported")
	ranks(t, dir, "run", 4, "--data", "exported")
	succeed(t, dir, "train", "-resume", "-out", "run", "-steps", "5")

	c := torchrun(t, dir, "run", 9, "--data", "digits")
	out, err := c.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "export")
}

// torchrun returns a command that goes on with a run to the given step, on two processes.
func torchrun(t testing.TB, dir, run string, steps int, more ...string) *exec.Cmd {
	t.Helper()
	script, err := filepath.Abs("../scaleout/pytorch/train_ddp.py")
	require.NoError(t, err)
	c := python(t, with(strings.Fields("-m torch.distributed.run --standalone --local-addr 127.0.0.1 --nproc-per-node 2"),
		with([]string{script, "--out", run, "--steps", fmt.Sprint(steps)}, more...)...)...)
	c.Dir = dir
	return c
}

func ranks(t testing.TB, dir, run string, steps int, more ...string) {
	t.Helper()
	t.Log(strings.TrimSpace(output(t, torchrun(t, dir, run, steps, more...))))
}

// compareStates compares two checkpoints of one step: their counters, and all their tensors.
func compareStates(t *testing.T, got, want string) {
	var a, b map[string]any
	readJSON(t, filepath.Join(got, "train_state.json"), &a)
	readJSON(t, filepath.Join(want, "train_state.json"), &b)
	require.GreaterOrEqual(t, a["spent"], 0.0)
	for _, m := range []map[string]any{a, b} {
		delete(m, "spent")
		m["settings"].(map[string]any)["steps"] = 0
	}
	require.Equal(t, b, a)
	require.NoError(t, checkpoint.Verify(got))
	for _, name := range []string{"unet/diffusion_pytorch_model.safetensors", "train_state.safetensors"} {
		x, y := openAll(t, filepath.Join(got, name)), openAll(t, filepath.Join(want, name))
		require.Len(t, x, len(y))
		for key := range y {
			// Adam divides a gradient that is 0 but for rounding by its own size.
			if strings.HasSuffix(key, "to_k.bias") {
				continue
			}
			near(t, name+": "+key, x[key], y[key], stateTolerance)
		}
	}
}

// stateTolerance is the difference of a weight or moment after ten steps, relative to the largest of its tensor.
const stateTolerance = 1e-3

func openAll(t testing.TB, path string) map[string]tensor.Tensor {
	t.Helper()
	r, err := checkpoint.Open(path)
	require.NoError(t, err)
	defer r.Close()
	all := map[string]tensor.Tensor{}
	for _, name := range r.Names() {
		all[name], err = r.Tensor(name)
		require.NoError(t, err)
	}
	return all
}
