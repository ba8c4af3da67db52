package tests

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ddpm/autograd"
	"ddpm/checkpoint"
	"ddpm/diffusion"
	"ddpm/layers"
	"ddpm/optim"
	"ddpm/tensor"
)

// lossTolerance is the relative difference of a loss or a gradient's norm from PyTorch's in float64; PyTorch's own in
// float32 is off by 6e-7.
const lossTolerance = 1e-5

// weightTolerance is the difference of a weight after five steps of Adam, relative to the largest of its tensor. Adam's
// first steps have the size of the learning rate whatever the gradient, so where that is 0 but for rounding, a weight
// moves at random: by up to 5·lr.
const weightTolerance = 1e-4

// TestFiveAdamSteps trains on recorded images, times and noise, and compares every loss with PyTorch's.
func TestFiveAdamSteps(t *testing.T) {
	var golden struct {
		Model     string
		Optimizer struct {
			LR    float64
			Betas [2]float64
			Eps   float64
		}
		Scheduler     json.RawMessage
		Timesteps     [][]int
		Losses        []float64
		GradientNorms []float64 `json:"gradient_norms"`
	}
	readJSON(t, "golden/training.json", &golden)
	require.Len(t, golden.Losses, 5)
	recorded := openTensors(t, "golden/training.safetensors")
	clean, noise, noisy := recorded("clean"), recorded("noise"), recorded("noisy")
	scheduler, err := diffusion.ParseSchedulerConfig(golden.Scheduler)
	require.NoError(t, err)
	schedule, err := scheduler.Schedule()
	require.NoError(t, err)

	net := loadUNet(t, filepath.Join("golden", golden.Model))
	values, grads := net.Params.Values(), net.Params.Grads()
	adam := optim.Adam{Beta1: golden.Optimizer.Betas[0], Beta2: golden.Optimizer.Betas[1], Eps: golden.Optimizer.Eps}
	moments, tape := optim.NewState(len(values)), autograd.New()
	for step, want := range golden.Losses {
		x0, eps := nhwc(slab(clean, step)), nhwc(slab(noise, step))
		xt := tensor.New(x0.Shape...)
		times := make([]int, len(golden.Timesteps[step]))
		for i, timestep := range golden.Timesteps[step] {
			times[i] = timestep + 1
		}
		schedule.QSample(xt, x0, eps, times)
		near(t, "noisy images", xt, nhwc(slab(noisy, step)), tableTolerance)

		tape.Reset()
		clear(grads)
		out := net.Denoise(tape, autograd.Const(xt), golden.Timesteps[step])
		loss, _ := tape.MSE(out, autograd.Const(eps), nil)
		tape.Backward(loss)
		require.InEpsilon(t, want, float64(loss.Data[0]), lossTolerance, "loss of step %d", step+1)
		require.InEpsilon(t, golden.GradientNorms[step], optim.Norm(grads), lossTolerance, "gradient of step %d", step+1)
		adam.Step(values, grads, moments, golden.Optimizer.LR, 1)
	}
	compared := 0
	r, err := checkpoint.Open("golden/training.safetensors")
	require.NoError(t, err)
	defer r.Close()
	for _, e := range net.Params.Entries() {
		if _, _, ok := r.Entry("weight." + e.Name); ok {
			near(t, e.Name, e.From(values), recorded("weight."+e.Name), weightTolerance)
			compared++
		}
	}
	require.Equal(t, 7, compared)
}

// slab returns the i-th part of x along its first dimension.
func slab(x tensor.Tensor, i int) tensor.Tensor {
	size := len(x.Data) / x.Shape[0]
	return tensor.From(x.Data[i*size:(i+1)*size], x.Shape[1:]...)
}

// TestExportImportExport reads a pipeline that diffusers wrote, writes it, reads that and writes it again: every file is
// the same, byte for byte. The weights are also byte for byte those that diffusers wrote, and the configurations say the
// same, though they spell 1e-05 as 0.00001.
func TestExportImportExport(t *testing.T) {
	const original = "golden/pipeline"
	first, second := filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "second")
	reexport(t, original, first)
	reexport(t, first, second)
	files := tree(t, first)
	require.Len(t, files, 3+6, "directories and files")
	for _, name := range []string{"model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors", "scheduler/scheduler_config.json", "README.md", "manifest.json"} {
		want, err := os.ReadFile(filepath.Join(first, name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(second, name))
		require.NoError(t, err)
		require.Equal(t, want, got, name)
	}
	weights := filepath.Join("unet", "diffusion_pytorch_model.safetensors")
	want, err := os.ReadFile(filepath.Join(original, weights))
	require.NoError(t, err)
	got, err := os.ReadFile(filepath.Join(first, weights))
	require.NoError(t, err)
	require.Equal(t, want, got)
	for _, name := range []string{"model_index.json", "unet/config.json", "scheduler/scheduler_config.json"} {
		var want, got map[string]any
		readJSON(t, filepath.Join(original, name), &want)
		readJSON(t, filepath.Join(first, name), &got)
		for _, m := range []map[string]any{want, got} {
			delete(m, "_diffusers_version")
		}
		require.Equal(t, want, got, name)
	}
}

// reexport reads a model into a network and a scheduler, and writes these to another directory.
func reexport(t testing.TB, from, to string) {
	t.Helper()
	m, err := checkpoint.OpenModel(from)
	require.NoError(t, err)
	defer m.Close()
	cfg, err := layers.ParseConfig(m.Config)
	require.NoError(t, err)
	net, err := layers.New(cfg, 1)
	require.NoError(t, err)
	require.NoError(t, checkpoint.Load(m.Weights, named(net.Params)))
	scheduler, err := diffusion.ParseSchedulerConfig(m.Scheduler)
	require.NoError(t, err)
	require.NoError(t, checkpoint.Save(to, checkpoint.Content{Config: net.Config, Scheduler: scheduler, Weights: named(net.Params), Card: "A model.\n"}))
}

// TestUnusableModels gives sample models that it must not draw from: it says which thing is wrong, and what to do.
func TestUnusableModels(t *testing.T) {
	const key = "mid_block.resnets.0.conv1.weight"
	dir := t.TempDir()
	model := func(name string) (unet string) {
		require.NoError(t, os.CopyFS(filepath.Join(dir, name), os.DirFS("golden/pipeline")))
		return filepath.Join(dir, name, "unet")
	}
	weights := func(unet string) string { return filepath.Join(unet, "diffusion_pytorch_model.safetensors") }

	pickle := model("pickle")
	require.NoError(t, os.Remove(weights(pickle)))
	put(t, pickle, "diffusion_pytorch_model.bin", []byte("PK\x03\x04 archive/data.pkl"))
	edit(t, weights(model("renamed")), key, strings.Replace(key, "conv1", "conv9", 1))
	edit(t, weights(model("misshapen")), `"mid_block.resnets.0.conv1.weight":{"dtype":"F32","shape":[16,16,3,3]`, `"mid_block.resnets.0.conv1.weight":{"dtype":"F32","shape":[16,3,16,3]`)
	poison(t, weights(model("poisoned")), key)
	edit(t, filepath.Join(model("block"), "config.json"), `"AttnDownBlock2D"`, `"ResnetDownsampleBlock2D"`)
	edit(t, filepath.Join(model("field"), "config.json"), `"act_fn"`, `"activation"`)
	edit(t, filepath.Join(model("activation"), "config.json"), `"silu"`, `"mish"`)
	edit(t, filepath.Join(dir, filepath.Dir(strings.TrimPrefix(model("scheduler"), dir)), "scheduler", "scheduler_config.json"), `"DDPMScheduler"`, `"KarrasVeScheduler"`)

	for _, c := range []struct {
		model  string
		says   []string // the thing, and the remedy
		advice string
	}{
		{"pickle", []string{"diffusion_pytorch_model.bin", "pickle"}, "save_pretrained"},
		{"renamed", []string{key, strings.Replace(key, "conv1", "conv9", 1)}, "same model"},
		{"misshapen", []string{key, "[16 3 16 3]", "[16 16 3 3]"}, "same model"},
		{"poisoned", []string{key, "NaN"}, "checkpoint"},
		{"block", []string{"ResnetDownsampleBlock2D"}, "AttnDownBlock2D"},
		{"field", []string{"activation"}, "config.json"},
		{"activation", []string{"act_fn", "mish"}, "silu"},
		{"scheduler", []string{"KarrasVeScheduler"}, "DDPMScheduler"},
	} {
		t.Run(c.model, func(t *testing.T) {
			got := run(t, prepared(t, dir, "sample", "-model", c.model, "-n", "1", "-steps", "1"))
			t.Log(got.errors)
			require.Equal(t, 3, got.code, got.errors)
			require.Equal(t, 1, strings.Count(got.errors, "\n"), "one line: %s", got.errors)
			for _, word := range append(c.says, c.advice, c.model) {
				require.Contains(t, got.errors, word)
			}
			require.NoFileExists(t, filepath.Join(dir, "grid.png"))
		})
	}
}

// poison sets the first number of a tensor in a safetensors file to NaN.
func poison(t testing.TB, path, name string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	size := binary.LittleEndian.Uint64(data)
	var header map[string]struct {
		Offsets [2]int `json:"data_offsets"`
	}
	require.NoError(t, json.Unmarshal(data[8:8+size], &header))
	require.Contains(t, header, name)
	at := 8 + int(size) + header[name].Offsets[0]
	binary.LittleEndian.PutUint32(data[at:], math.Float32bits(float32(math.NaN())))
	require.NoError(t, os.WriteFile(path, data, 0o666))
}
