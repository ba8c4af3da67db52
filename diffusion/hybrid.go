package diffusion

import (
	"fmt"
	"math"

	"ddpm/autograd"
	"ddpm/tensor"
)

// hybrid is the loss of Nichol and Dhariwal (arXiv:2102.09672, eq. 16) for networks with variance channels,
//
//	L_hybrid = L_simple + λ·L_vlb,  L_vlb = T·E_t[L_{t-1}] in bits per dimension, λ = o.Bound,
//
// in which L_vlb trains the variance only: its gradient does not flow into the prediction.
//
// The tape has no operation for L_vlb. It gets a mean squared error whose target is placed so that the gradient is
// right: for the prediction the true target, for the variance channels the output less what makes the difference the
// gradient wanted. Half the error's elements are of each kind, so weights are doubled to keep L_simple's scale.
func (o Objective) hybrid(tp *autograd.Tape, out *autograd.Var, x0, xt, target tensor.Tensor, weights []float64, images []ImageLoss) *autograd.Var {
	if o.Weighting != nil {
		panic("diffusion: Loss: got a Weighting together with Bound, want one of them: the hybrid loss is made of L_simple")
	}
	pixels := outputFor(x0, out.Tensor)
	if !pixels.learned() {
		panic(fmt.Sprintf("diffusion: Loss: got %d output channels for images of %d, want twice as many for a learned variance", pixels.width, pixels.channels))
	}
	placed := tp.Temp(out.Shape...)
	double := make([]float64, len(weights))
	perImage(target, func(n int, want []float32) {
		simple, bits := 0.0, 0.0
		term := o.varianceTerm(images[n].T)
		for j, y := range want {
			i := n*len(want) + j
			at := pixels.at(i)
			d := pixels.mean(i) - float64(y)
			simple += d * d
			placed.Data[at] = y

			nats, slope := term(float64(x0.Data[i]), float64(xt.Data[i]), pixels.mean(i), pixels.variance(i))
			bits += nats / math.Ln2
			scale := o.Bound * float64(o.Schedule.T()) / math.Ln2 / 2
			placed.Data[at+pixels.channels] = float32(pixels.variance(i) - scale*slope)
		}
		size := float64(len(want))
		images[n].Loss, images[n].Bits = simple/size, bits/size
		double[n] = 2 * weights[n]
	})
	value := 0.0
	for n, image := range images {
		value += weights[n] * (image.Loss + o.Bound*float64(o.Schedule.T())*image.Bits)
	}
	loss, _ := tp.MSE(out, placed, double)
	loss.Data[0] = float32(value / float64(len(weights)))
	return loss
}

// varianceTerm returns the function that computes, for one element, its part of L_{t-1} in nats, and the derivative by
// the variance channel's output v.
func (o Objective) varianceTerm(t int) func(x0, xt, out, v float64) (nats, slope float64) {
	s := o.Schedule
	small, large := s.logRange(t)
	c0, _, _ := s.Posterior(t)
	cx, co := o.Prediction.In(X0, s.AlphaBar[t])
	return func(x0, xt, out, v float64) (nats, slope float64) {
		model := LearnedRange.log(small, large, v)
		seen := cx*xt + co*out // x̂_0
		if t == 1 {
			sigma := math.Exp(model / 2)
			nats, slope = -logLevel(x0, seen, sigma), levelSlope(x0, seen, sigma)
		} else {
			apart := c0 * (x0 - seen)
			nats = divergence(apart, small, model)
			slope = (1 - math.Exp(small-model) - apart*apart*math.Exp(-model)) / 2
		}
		return nats, slope * (large - small) / 2
	}
}

// levelSlope returns the derivative of -logLevel by ln σ²: (φ(hi)·hi - φ(lo)·lo)/(2·(Φ(hi)-Φ(lo))).
func levelSlope(x, mean, sigma float64) float64 {
	lo, hi := levelEnds(x, mean, sigma)
	p := greyLevel(x, mean, sigma)
	if p <= levelFloor {
		return 0 // logLevel is constant there
	}
	moment := func(u float64) float64 { // u·φ(u)
		if math.IsInf(u, 0) {
			return 0
		}
		return u * math.Exp(-u*u/2) / math.Sqrt(2*math.Pi)
	}
	return (moment(hi) - moment(lo)) / (2 * p)
}
