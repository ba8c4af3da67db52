package diffusion

import (
	"fmt"

	"ddpm/autograd"
	"ddpm/tensor"
)

// Denoiser is a network that looks at noisy images: ε_θ(x_t, t), or whatever Prediction it was trained for. xt is
// [N H W C]; t holds, per image, the time step the network sees, Schedule.Time[t]. The result is [N H W C], or
// [N H W 2C] for LearnedRange, where the second C channels are the variance's. What it computes for an image must not
// depend on the others of the batch, and xt stays the caller's: it is not released.
type Denoiser interface {
	Denoise(tp *autograd.Tape, xt *autograd.Var, t []int) *autograd.Var
}

// output is a network's output for a batch x [N H W C], pixel by pixel, of C or 2C values each.
type output struct {
	data            []float32
	channels, width int // C, and C or 2C
}

// evaluate runs the network on x at time t of s. The output lives until the tape's next Reset.
func evaluate(tp *autograd.Tape, net Denoiser, s Schedule, x tensor.Tensor, t int) output {
	n, _, _, _ := x.Dims4()
	times := make([]int, n)
	for i := range times {
		times[i] = s.Time[t]
	}
	return outputFor(x, net.Denoise(tp, autograd.Const(x), times).Tensor)
}

// outputFor checks out against the images x it was computed for.
func outputFor(x, out tensor.Tensor) output {
	n, h, w, c := x.Dims4()
	on, oh, ow, oc := out.Dims4()
	if on != n || oh != h || ow != w || oc != c && oc != 2*c {
		panic(fmt.Sprintf("diffusion: Denoise: got output of shape %v for images of shape %v, want the same, or twice the channels for a learned variance", out.Shape, x.Shape))
	}
	return output{out.Data, c, oc}
}

// at returns where the prediction for element i of x is; the variance's value is that many channels further.
func (o output) at(i int) int { return i/o.channels*o.width + i%o.channels }

// mean returns the prediction's value for element i of x.
func (o output) mean(i int) float64 { return float64(o.data[o.at(i)]) }

// variance returns the variance's value for element i of x.
func (o output) variance(i int) float64 { return float64(o.data[o.at(i)+o.channels]) }

// learned reports whether the output has channels for the variance.
func (o output) learned() bool { return o.width == 2*o.channels }
