package layers

import (
	"math"

	"ddpm/internal/rng"
	"ddpm/tensor"
)

// Init sets the initial value of a parameter from a random stream.
type Init func(x tensor.Tensor, s *rng.Stream)

// The initial values are those of the paper's code (hojonathanho/diffusion, diffusion_tf/nn.py): weights uniform with
// variance scale/fan_avg, biases zero. The last layer of every residual branch and of the network starts at a scale
// of 1e-10, zero for all purposes, so that the branches begin as the identity and the first loss is that of
// predicting nothing: E ε² = 1.
var (
	weights Init = fanAverage(1)
	nothing Init = fanAverage(1e-10)
	zeros   Init = func(tensor.Tensor, *rng.Stream) {}
	ones    Init = func(x tensor.Tensor, _ *rng.Stream) {
		for i := range x.Data {
			x.Data[i] = 1
		}
	}
	// normal is a standard normal, for embedding tables.
	normal Init = func(x tensor.Tensor, s *rng.Stream) { s.Normal(x.Data) }
)

// fanAverage is uniform with mean 0 and variance scale/((fan_in + fan_out)/2) (Glorot & Bengio 2010), where the fans
// of a convolution count its kernel's area. Its last two dimensions are in and out.
func fanAverage(scale float64) Init {
	return func(x tensor.Tensor, s *rng.Stream) {
		last := len(x.Shape) - 1
		in, out := x.Shape[last-1], x.Shape[last]
		area := len(x.Data) / (in * out)
		limit := math.Sqrt(3 * scale / (float64(area*(in+out)) / 2))
		s.Uniform(x.Data, -limit, limit)
	}
}
