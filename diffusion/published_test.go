package diffusion

import (
	"math"
	"slices"
	"testing"

	"ddpm/autograd"
	"ddpm/tensor"
)

// The constants below are those that the tests of diffusers hold its own schedulers to: sums and means of |x_0| after a
// whole loop with a dummy model on a fixed sample (tests/schedulers of diffusers 0.40). Its betas are float32; a loop
// with float64 betas differs in the sixth digit.

// dummy is diffusers' dummy model: its output is x·t/(t+1).
type dummy struct{}

func (dummy) Denoise(tp *autograd.Tape, xt *autograd.Var, t []int) *autograd.Var {
	out := tp.Temp(xt.Shape...)
	perImage(out.Tensor, func(i int, image []float32) {
		scale := float64(t[i]) / float64(t[i]+1)
		combine(image, scale, xt.Data[i*len(image):(i+1)*len(image)], 0, image)
	})
	return out
}

// dummySample is diffusers' dummy_sample_deter, rising from 0 to 1, or dummy_noise_deter, falling, [4 3 8 8]. The image
// dimensions are torch's; no scheduler looks at them.
func dummySample(falling bool) tensor.Tensor {
	x := tensor.New(4, 3, 8, 8)
	for i := range 768 {
		value := i
		if falling {
			value = 767 - i
		}
		x.Data[i%4*192+i/4] = float32(value) / 768
	}
	return x
}

// sums returns Σ|x| and its mean.
func sums(x tensor.Tensor) (sum, mean float64) {
	for _, v := range x.Data {
		sum += math.Abs(float64(v))
	}
	return sum, sum / float64(len(x.Data))
}

func TestPublishedLoops(t *testing.T) {
	const digits = 1e-5 // as printed, and as recomputed with float64 betas
	linear, steep := Linear(1000, 1e-4, 0.02), Linear(1000, 0.01, 0.02)
	leading, _ := Leading(1000, 10, 0)
	tenths := []int{101, 201, 301, 401, 500, 601, 700, 800, 900, 1000} // round(linspace(0, 999, 11)) without 0, plus 1
	clip := Clip{Range: 1, X0Only: true}
	for _, c := range []struct {
		name    string
		sampler Sampler
		start   int // 0 for T; else the sample is noised to start first
		want    float64
	}{
		{"DDPM", Sampler{Schedule: linear, Rule: Ancestral{FixedSmall}, Clip: clip}, 0, 258.9606},
		{"DDPM v", Sampler{Schedule: linear, Rule: Ancestral{FixedSmall}, Clip: clip, Prediction: V}, 0, 202.0296},
		{"DDIM", Sampler{Schedule: linear.Strided(leading...), Rule: DDIM{}, Clip: clip}, 0, 172.0067},
		{"DDIM v", Sampler{Schedule: linear.Strided(leading...), Rule: DDIM{}, Clip: clip, Prediction: V}, 0, 52.5302},
		{"DDIM to 1", Sampler{Schedule: steep.Strided(leading...), Rule: DDIM{}, Clip: clip}, 0, 149.8295},
		{"DDIM to σ̄_1", Sampler{Schedule: steep.Strided(leading...).EndingAt(steep.AlphaBar[1]), Rule: DDIM{}, Clip: clip}, 0, 149.0784},
		{"DDIM from 100", Sampler{Schedule: linear.Strided(leading...), Rule: DDIM{}, Clip: clip}, 2, 354.5418},
		{"2M", Sampler{Schedule: linear.Strided(tenths...).EndingAt(linear.AlphaBar[1]), Rule: DPMSolver{Order: 2}}, 0, 0.3301 * 768},
		{"2M v", Sampler{Schedule: linear.Strided(tenths...).EndingAt(linear.AlphaBar[1]), Rule: DPMSolver{Order: 2}, Prediction: V}, 0, 0.2251 * 768},
	} {
		noise := newTorchNoise(0)
		c.sampler.Noise = func(_ int, z tensor.Tensor) { noise.normal(z.Data) }
		x, from := dummySample(false), c.sampler.Schedule.T()
		if c.start > 0 {
			from = c.start
			c.sampler.Schedule.QSample(x, x, dummySample(true), slices.Repeat([]int{from}, 4))
		}
		sum, _ := sums(Last(c.sampler.StepsFrom(dummy{}, x, from, 0)))
		tolerance := digits * c.want
		if c.name == "2M" || c.name == "2M v" {
			tolerance = 5e-5 * 768 // four decimals of the mean
		}
		if math.Abs(sum-c.want) > tolerance {
			t.Errorf("%s: Σ|x_0| = %.4f, want %.4f", c.name, sum, c.want)
		}
	}
}
