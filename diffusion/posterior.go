package diffusion

import (
	"fmt"
	"math"
)

// Posterior returns q(x_{t-1} | x_t, x_0) = N(c0·x_0 + ct·x_t, variance·I), the forward process seen backwards when the
// image is known (DDPM eq. 6–7):
//
//	c0 = √ᾱ_{t-1}·β_t/(1-ᾱ_t),  ct = √α_t·(1-ᾱ_{t-1})/(1-ᾱ_t),  variance = β̃_t = (1-ᾱ_{t-1})/(1-ᾱ_t)·β_t
//
// By Bayes' rule it is q(x_t | x_{t-1})·q(x_{t-1} | x_0)/q(x_t | x_0), a product of two Gaussians in x_{t-1}: their
// precisions add, α_t/β_t + 1/(1-ᾱ_{t-1}) = 1/β̃_t, and the mean is the average weighted by precision. At t = 1 it is x_0
// itself. It panics unless 1 ≤ t ≤ T.
func (s Schedule) Posterior(t int) (c0, ct, variance float64) {
	s.checkTime("Posterior", t)
	before, noise := s.AlphaBar[t-1], 1-s.AlphaBar[t]
	c0 = math.Sqrt(before) * s.Beta[t] / noise
	ct = math.Sqrt(s.Alpha[t]) * (1 - before) / noise
	return c0, ct, (1 - before) / noise * s.Beta[t]
}

// Variance is the choice of σ_t², the variance of the reverse step p(x_{t-1} | x_t), DDPM §3.2.
type Variance uint8

const (
	FixedLarge   Variance = iota // σ_t² = β_t, right for x_0 ~ N(0, I): the most that a step can need
	FixedSmall                   // σ_t² = β̃_t, right for a single known x_0: the least that a step can need
	LearnedRange                 // between the two in ln σ², by a second half of the network's channels (arXiv:2102.09672, eq. 15)
)

// variances are the names of diffusers' variance_type.
var variances = names[Variance]{FixedLarge: "fixed_large", FixedSmall: "fixed_small", LearnedRange: "learned_range"}

// String returns diffusers' name for v.
func (v Variance) String() string { return variances.of(v) }

// ParseVariance returns the variance of that name, as String gives it.
func ParseVariance(name string) (Variance, error) { return variances.parse("variance", name) }

// logRange returns ln β̃_t and ln β_t, between which ln σ_t² lies. β̃_1 is 0; β̃_2 stands in for it (as in the reference
// implementations of both papers), and β_1 where there is no t = 2.
func (s Schedule) logRange(t int) (small, large float64) {
	s.checkTime("logRange", t)
	from := t
	if t == 1 {
		from = min(2, s.T())
	}
	_, _, variance := s.Posterior(from)
	large = math.Log(s.Beta[t])
	if variance <= 0 {
		return large, large
	}
	return math.Log(variance), large
}

// log returns ln σ_t² in the range that logRange gives. For LearnedRange, out is the network's value for the pixel: -1
// gives β̃_t, 1 gives β_t. The other variances do not look at it.
func (v Variance) log(small, large, out float64) float64 {
	switch v {
	case FixedSmall:
		return small
	case FixedLarge:
		return large
	case LearnedRange:
		f := (out + 1) / 2
		return f*large + (1-f)*small
	}
	panic(fmt.Sprintf("diffusion: Variance: got %d, want FixedLarge, FixedSmall or LearnedRange", v))
}
