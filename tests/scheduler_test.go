package tests

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ddpm/autograd"
	"ddpm/diffusion"
	"ddpm/layers"
	"ddpm/tensor"
)

// Sampling against recordings of diffusers' schedulers: golden/README.md says how they were made.
const (
	// tableTolerance is the error of diffusers' own tables, which are products of up to 1000 float32 factors.
	tableTolerance = 1e-4
	// pathTolerance is on top of what diffusers' float32 tables move a path by, which each recording states: float32's
	// error on fifty states, relative to the largest value of a state.
	pathTolerance = 5e-6
)

// goldenPath is one run of a scheduler with recorded noise.
type goldenPath struct {
	Name                  string
	Scheduler             json.RawMessage
	Timesteps, Kept       []int
	Draws                 int
	Eta                   float64
	UseClippedModelOutput bool    `json:"use_clipped_model_output"`
	Float64Difference     float64 `json:"float64_difference"`
}

// sampler returns what the recording's configuration makes, on the recording's time steps.
func (g goldenPath) sampler(t *testing.T, noise tensor.Tensor) diffusion.Sampler {
	cfg, err := diffusion.ParseSchedulerConfig(g.Scheduler)
	require.NoError(t, err)
	times := make([]int, len(g.Timesteps))
	for i, timestep := range g.Timesteps {
		times[len(times)-1-i] = timestep + 1
	}
	if !strings.Contains(g.Name, "-list") {
		own, err := cfg.Times(len(times))
		require.NoError(t, err)
		require.Equal(t, times, own, "times")
	}
	s, err := cfg.Sampler(times)
	require.NoError(t, err)
	if _, ok := s.Rule.(diffusion.DDIM); ok {
		s.Rule = diffusion.DDIM{Eta: g.Eta}
		s.Clip.X0Only = s.Clip.X0Only && !g.UseClippedModelOutput
	}
	s.Noise = func(t int, z tensor.Tensor) {
		copy(z.Data, noise.Data[(len(times)-t)*len(z.Data):])
	}
	return s
}

func TestSchedulerPathsEqualDiffusers(t *testing.T) {
	var golden struct{ Paths []goldenPath }
	readJSON(t, "golden/schedulers.json", &golden)
	require.Greater(t, len(golden.Paths), 200)
	recorded := openTensors(t, "golden/schedulers.safetensors")
	start, noise := recorded("start"), recorded("noise")
	for _, g := range golden.Paths {
		t.Run(g.Name, func(t *testing.T) {
			s, kept := g.sampler(t, noise), recorded(g.Name)
			n := s.Schedule.T()
			for time, state := range s.Steps(dummy{}, start, 0) {
				at := slices.Index(g.Kept, n-time)
				if at < 0 {
					continue
				}
				size := len(state.X.Data)
				want := tensor.From(kept.Data[at*size:(at+1)*size], state.X.Shape...).Clone()
				if time == 0 {
					g.withoutLastNoise(t, s, noise, want)
				}
				near(t, "state", state.X, want, pathTolerance+g.Float64Difference/largest(want))
			}
		})
	}
}

// withoutLastNoise takes from x_0 the noise that diffusers' DDPM adds to it where the last time step is not 0: noise of σ_1
// on the finished image, against algorithm 2 of the paper.
func (g goldenPath) withoutLastNoise(t *testing.T, s diffusion.Sampler, noise, x0 tensor.Tensor) {
	rule, ok := s.Rule.(diffusion.Ancestral)
	if !ok || g.Draws < len(g.Timesteps) || rule.Variance != diffusion.FixedLarge {
		return
	}
	require.NotZero(t, g.Timesteps[len(g.Timesteps)-1])
	size, sigma := len(x0.Data), math.Sqrt(s.Schedule.Beta[1])
	for i := range x0.Data {
		x0.Data[i] -= float32(sigma * float64(noise.Data[(len(g.Timesteps)-1)*size+i]))
	}
}

// dummy is the network of the recordings: x·t/(t+1).
type dummy struct{}

func (dummy) Denoise(tp *autograd.Tape, xt *autograd.Var, t []int) *autograd.Var {
	return tp.Scale(xt, float64(t[0])/float64(t[0]+1))
}

func TestScheduleTablesEqualDiffusers(t *testing.T) {
	var golden struct {
		Tables []struct {
			Name          string
			Scheduler     json.RawMessage
			Index         []int
			Betas         []float64
			AlphasCumprod []float64 `json:"alphas_cumprod"`
		}
		Forward []struct {
			T                             int
			Clean, Noise, Noisy, Velocity float64
		}
	}
	readJSON(t, "golden/schedulers.json", &golden)
	require.GreaterOrEqual(t, len(golden.Tables), 8)
	for _, table := range golden.Tables {
		// Training tables need no prediction type, and with zero SNR a configuration for ε is refused.
		text := strings.Replace(string(table.Scheduler), "{", `{"prediction_type": "v_prediction", `, 1)
		cfg, err := diffusion.ParseSchedulerConfig([]byte(text))
		require.NoError(t, err, table.Name)
		s, err := cfg.Schedule()
		require.NoError(t, err, table.Name)
		for i, at := range table.Index {
			for what, pair := range map[string][2]float64{
				"beta":     {s.Beta[at+1], table.Betas[i]},
				"alphabar": {s.AlphaBar[at+1], table.AlphasCumprod[i]},
			} {
				// Subtracting a float32 from 1 leaves an error of 6e-8, much for a small β.
				if math.Abs(pair[0]-pair[1]) > tableTolerance*pair[1]+1.2e-7 {
					t.Errorf("%s: %s at %d is %.9g, want %.9g", table.Name, what, at, pair[0], pair[1])
				}
			}
		}
	}

	s := diffusion.Linear(1000, 1e-4, 0.02)
	for _, f := range golden.Forward {
		x := tensor.From([]float32{float32(f.Clean)}, 1, 1)
		xt := tensor.New(1, 1)
		s.QSample(xt, x, tensor.From([]float32{float32(f.Noise)}, 1, 1), []int{f.T + 1})
		require.InDelta(t, f.Noisy, float64(xt.Data[0]), 1e-5, "x_t at %d", f.T)
		c0, ce := diffusion.V.Target(s.AlphaBar[f.T+1])
		require.InDelta(t, f.Velocity, c0*f.Clean+ce*f.Noise, 1e-5, "v at %d", f.T)
	}
}

// unet is a layers.UNet as a Denoiser.
type unet struct{ *layers.UNet }

func (u unet) Denoise(tp *autograd.Tape, xt *autograd.Var, t []int) *autograd.Var {
	return u.Forward(tp, xt, t, layers.Condition{})
}

// TestPipelineEqualsDiffusers samples with the network and the scheduler of a model directory written by diffusers.
func TestPipelineEqualsDiffusers(t *testing.T) {
	var golden struct {
		Model string
		Runs  []goldenPath
	}
	readJSON(t, "golden/sampling.json", &golden)
	recorded := openTensors(t, "golden/sampling.safetensors")
	net := unet{loadUNet(t, "golden/"+golden.Model)}
	require.NotEmpty(t, golden.Runs)
	for _, g := range golden.Runs {
		start := nhwc(recorded("start"))
		s := g.sampler(t, recorded("noise")) // one channel: NCHW noise is NHWC noise
		near(t, g.Name, diffusion.Last(s.Steps(net, start, 0)), nhwc(recorded(g.Name)), 1e-4)
	}
}

// TestSchedulerConfigsEqualDiffusers reads the configurations that diffusers writes and writes them back: every field
// comes out as it went in, and the defaults are the library's.
func TestSchedulerConfigsEqualDiffusers(t *testing.T) {
	for dir, class := range map[string]string{"ddpm": diffusion.DDPMClass, "ddim": diffusion.DDIMClass, "dpmsolver": diffusion.DPMMultistepClass} {
		data, err := os.ReadFile("golden/scheduler-configs/" + dir + "/scheduler_config.json")
		require.NoError(t, err)
		cfg, err := diffusion.ParseSchedulerConfig(data)
		require.NoError(t, err)
		require.Equal(t, diffusion.NewSchedulerConfig(class), cfg)
		written, err := json.Marshal(cfg)
		require.NoError(t, err)
		var got, want map[string]any
		require.NoError(t, json.Unmarshal(written, &got))
		require.NoError(t, json.Unmarshal([]byte(strings.Replace(string(data), "-Infinity", "null", 1)), &want))
		delete(want, "_diffusers_version")
		delete(want, "lambda_min_clipped") // minus infinity, which JSON does not have: left out, and the default
		require.Equal(t, want, got)
	}
}
