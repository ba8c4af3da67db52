package tests

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ddpm/autograd"
	"ddpm/checkpoint"
	"ddpm/diffusion"
	"ddpm/internal/rng"
	"ddpm/layers"
	"ddpm/tensor"
)

// The tests in this file, and TestPyTorchGoesOn, run PyTorch and diffusers beside this module's code:
//
//	DDPM_PYTHON=VENV/bin/python go test ./tests -run 'Diffusers|PyTorch' -v
//
// tests/golden/README.md says how to make VENV. Without DDPM_PYTHON they are skipped; recordings of the same programs
// are what other tests compare with.

// liveTolerance is the difference of an image after a few steps, relative to its largest value: both sides compute in
// float32.
const liveTolerance = 1e-4

// python returns a command that runs a script in the Python that DDPM_PYTHON names, and skips the test if there is none.
func python(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	path := os.Getenv("DDPM_PYTHON")
	if path == "" {
		t.Skip("DDPM_PYTHON is not set to a Python that has what tests/golden/requirements.txt lists")
	}
	c := exec.Command(path, args...)
	for _, pair := range os.Environ() { // settings for another BLAS than PyTorch's
		if !strings.HasPrefix(pair, "OPENBLAS_") {
			c.Env = append(c.Env, pair)
		}
	}
	return c
}

// output runs a command that is to succeed, and returns what it printed.
func output(t testing.TB, c *exec.Cmd) string {
	t.Helper()
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	require.NoError(t, c.Run(), "%v\n%s\n%s", c.Args, &out, &errs)
	return out.String()
}

// TestGoToDiffusers trains networks here and opens them there.
func TestGoToDiffusers(t *testing.T) {
	python(t)
	dir := t.TempDir()
	for name, flags := range map[string]string{
		"plain":   "-channels 8,16,16 -attention 0,0,1 -side 28 -data mnist",
		"classes": "-classes -channels 8,16",
		"heads":   "-heads 4 -channels 8,16 -attention 1,1 -layers 2",
	} {
		t.Run(name, func(t *testing.T) {
			args := with(small, strings.Fields("-steps 3 -lr 0.01 -warmup 0 -ema 0.1")...)
			succeed(t, dir, "train", with(args, with(strings.Fields(flags), "-out", name)...)...)
			compareWithDiffusers(t, filepath.Join(dir, name, "step-00000003"))
		})
	}
}

// TestDiffusersToGo makes networks there, of many kinds and in several files each, and opens them here.
func TestDiffusersToGo(t *testing.T) {
	const script = `
import sys, torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
torch.manual_seed(1)
arguments = dict(sample_size=16, in_channels=3, out_channels=3, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4)
net = UNet2DModel(**arguments | eval(sys.argv[2]))
for p in net.parameters():
    torch.nn.init.normal_(p, 1 if p.ndim == 1 else 0, 0.1)
scheduler = DDPMScheduler(beta_schedule="squaredcos_cap_v2", timestep_spacing="trailing")
DDPMPipeline(net.to(eval(sys.argv[3])), scheduler).save_pretrained(sys.argv[1], max_shard_size="50KB")
`
	for name, c := range map[string][2]string{
		"default":     {"dict(down_block_types=('DownBlock2D', 'AttnDownBlock2D'), up_block_types=('AttnUpBlock2D', 'UpBlock2D'))", "torch.float32"},
		"scale-shift": {"dict(down_block_types=('AttnDownBlock2D', 'DownBlock2D'), up_block_types=('UpBlock2D', 'AttnUpBlock2D'), resnet_time_scale_shift='scale_shift', attention_head_dim=4)", "torch.float32"},
		"half":        {"dict(down_block_types=('DownBlock2D',) * 2, up_block_types=('UpBlock2D',) * 2, num_class_embeds=5, downsample_padding=0, flip_sin_to_cos=False, freq_shift=1)", "torch.bfloat16"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "model")
			output(t, python(t, "-c", script, dir, c[0], c[1]))
			shards, err := filepath.Glob(filepath.Join(dir, "unet", "*.safetensors"))
			require.NoError(t, err)
			require.Greater(t, len(shards), 1)
			compareWithDiffusers(t, dir)
		})
	}
}

// compareWithDiffusers runs a model here and there: its network on noise, and five steps of DDIM from it.
func compareWithDiffusers(t *testing.T, dir string) {
	net := loadUNet(t, dir)
	m, err := checkpoint.OpenModel(dir)
	require.NoError(t, err)
	defer m.Close()
	scheduler, err := diffusion.ParseSchedulerConfig(m.Scheduler)
	require.NoError(t, err)

	x := tensor.New(3, net.Config.SampleSize, net.Config.SampleSize, net.Config.InChannels)
	stream := rng.New(9, rng.Start, 0, 0)
	stream.Normal(x.Data)
	times, labels := []int{0, 500, 999}, []int(nil)
	in := []checkpoint.Named{checkpoint.Plain("input", nchw(x)), checkpoint.Plain("timesteps", tensor.From([]float32{0, 500, 999}, 3))}
	if net.Classes() > 0 {
		labels = []int{0, 4, 2}
		in = append(in, checkpoint.Plain("class_labels", tensor.From([]float32{0, 4, 2}, 3)))
	}
	work := t.TempDir()
	file, err := os.Create(filepath.Join(work, "in.safetensors"))
	require.NoError(t, err)
	require.NoError(t, checkpoint.Encode(file, in))
	require.NoError(t, file.Close())
	output(t, python(t, "golden/roundtrip.py", "--model", dir, "--case", file.Name(), "--out", filepath.Join(work, "out.safetensors"), "--steps", "5"))
	theirs := openTensors(t, filepath.Join(work, "out.safetensors"))

	given := net.Given(layers.Condition{Labels: labels})
	got := given.Denoise(autograd.NewInference(), autograd.Const(x), times).Tensor
	near(t, "output", got, theirs("output"), forwardTolerance)
	t.Logf("network: off by %.2g of the largest value", worst(got, theirs("output")))

	visited, err := scheduler.Times(5)
	require.NoError(t, err)
	sampler, err := scheduler.Sampler(visited)
	require.NoError(t, err)
	sampler.Rule = diffusion.DDIM{}
	states := theirs("ddim")
	off := 0.0
	for at, state := range sampler.Steps(given, x, 0) {
		if at < 5 {
			want := nhwc(slab(states, 4-at))
			near(t, "a step of DDIM", state.X, want, liveTolerance)
			off = max(off, worst(state.X, want))
		}
	}
	t.Logf("five steps of DDIM: off by %.2g of the largest value", off)
}

// worst returns the largest difference of two tensors, relative to the largest value of want.
func worst(got, want tensor.Tensor) float64 {
	d := tensor.New(want.Shape...)
	for i := range d.Data {
		d.Data[i] = got.Data[i] - want.Data[i]
	}
	return largest(d) / largest(want)
}

// nchw is the reverse of nhwc.
func nchw(x tensor.Tensor) tensor.Tensor {
	n, h, w, c := x.Dims4()
	y := tensor.New(n, c, h, w)
	for i, v := range x.Data {
		y.Data[(i/(h*w*c)*c+i%c)*h*w+i/c%(h*w)] = v
	}
	return y
}
