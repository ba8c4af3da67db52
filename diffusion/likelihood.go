package diffusion

import (
	"fmt"
	"iter"
	"math"

	"ddpm/tensor"
)

// Bound computes, for each of the images x0 [N H W C], numbered from first, the terms of the variational bound on the
// negative log-likelihood of the model that s samples, in bits per dimension (DDPM eq. 5):
//
//	L_T     = KL(q(x_T | x_0) ‖ N(0, I))                            the prior, which no network changes
//	L_{t-1} = KL(q(x_{t-1} | x_t, x_0) ‖ p(x_{t-1} | x_t)),  1 < t ≤ T
//	L_0     = -log p(x_0 | x_1)                                     the decoder, on 256 grey levels
//
// It yields (T, L_T), (T-1, L_{T-1}), …, (0, L_0), the slices [N] being overwritten by the next. L_{t-1} and L_0 are
// estimated from one x_t ~ q(x_t | x_0), so the bound takes T evaluations of the network. Pixels of x0 are
// k/127.5 - 1, k = 0…255. It panics if Validate would return an error, or if s.Rule is not Ancestral, the rule that defines a likelihood.
func (s Sampler) Bound(net Denoiser, x0 tensor.Tensor, first uint64) iter.Seq2[int, []float64] {
	s.mustBeValid("Bound")
	rule, ok := s.Rule.(Ancestral)
	if !ok || s.Schedule.AlphaBar[0] != 1 {
		panic(fmt.Sprintf("diffusion: Bound: got rule %T and AlphaBar[0] = %g, want Ancestral and 1", s.Rule, s.Schedule.AlphaBar[0]))
	}
	return func(yield func(int, []float64) bool) {
		w := s.walk(net, x0, first)
		bits := make([]float64, x0.Shape[0])
		perImage(x0, func(i int, image []float32) { bits[i] = s.prior(image) })
		if !yield(s.Schedule.T(), bits) {
			return
		}
		for t := s.Schedule.T(); t >= 1; t-- {
			combine(w.x.Data, s.Schedule.Signal(t), x0.Data, s.Schedule.Noise(t), w.noise(t).Data)
			w.predict(t)
			if rule.Variance == LearnedRange && !w.out.learned() {
				panic("diffusion: Bound: got a network without variance channels, want 2C output channels for LearnedRange")
			}
			perImage(x0, func(i int, image []float32) { bits[i] = w.term(rule.Variance, i*len(image), image, t) })
			if !yield(t-1, bits) {
				return
			}
		}
	}
}

// prior returns L_T of an image: ½·(ᾱ_T·x_0² + (1-ᾱ_T) - 1 - ln(1-ᾱ_T)) on average.
func (s Sampler) prior(image []float32) float64 {
	ab := s.Schedule.AlphaBar[s.Schedule.T()]
	sum := 0.0
	for _, x := range image {
		sum += (ab*float64(x)*float64(x) - ab - math.Log1p(-ab)) / 2
	}
	return sum / float64(len(image)) / math.Ln2
}

// term returns L_{t-1} of the image whose first element is number at of the batch, given the prediction from its x_t.
func (w *walk) term(v Variance, at int, image []float32, t int) float64 {
	small, large := w.Schedule.logRange(t)
	if v == FixedLarge && t == 1 {
		large = small // as in DDPM's code: β_1 would be wide for a decoder
	}
	c0, _, _ := w.Schedule.Posterior(t)
	model := v.log(small, large, 0)
	sum := 0.0
	for i, x := range image {
		if v == LearnedRange {
			model = v.log(small, large, w.out.variance(at+i))
		}
		x0 := float64(w.x0.Data[at+i])
		if t == 1 {
			sum -= logLevel(float64(x), x0, math.Exp(model/2)) // at t = 1 the mean is x̂_0
		} else {
			sum += divergence(c0*(float64(x)-x0), small, model) // the means differ by their x_0 only
		}
	}
	return sum / float64(len(image)) / math.Ln2
}

// divergence returns KL(N(m+apart, e^lv1) ‖ N(m, e^lv2)) in nats.
func divergence(apart, lv1, lv2 float64) float64 {
	return (lv2 - lv1 - 1 + math.Exp(lv1-lv2) + apart*apart*math.Exp(-lv2)) / 2
}

// levelFloor is the least probability that a pixel is given, so that one hopeless pixel does not make the bound of an
// image infinite. It is that of DDPM's code.
const levelFloor = 1e-12

// logLevel returns ln of the probability that N(mean, sigma²) gives to the grey level of x (DDPM eq. 13).
func logLevel(x, mean, sigma float64) float64 {
	return math.Log(max(greyLevel(x, mean, sigma), levelFloor))
}

// greyLevel returns the probability that N(mean, sigma²) gives to the grey level of x, with the exact Φ where DDPM's code has
// a tanh.
func greyLevel(x, mean, sigma float64) float64 {
	lo, hi := levelEnds(x, mean, sigma)
	if lo > 0 { // by symmetry: the difference of two numbers near 1 would lose all digits
		lo, hi = -hi, -lo
	}
	return (math.Erfc(-hi/math.Sqrt2) - math.Erfc(-lo/math.Sqrt2)) / 2
}

// levelEnds returns the ends of the grey level of x, in standard deviations from mean: ±1/255 about it, and open to the
// outside for the levels -1 and 1.
func levelEnds(x, mean, sigma float64) (lo, hi float64) {
	lo, hi = (x-1/255.0-mean)/sigma, (x+1/255.0-mean)/sigma
	if x < -0.999 {
		lo = math.Inf(-1)
	}
	if x > 0.999 {
		hi = math.Inf(1)
	}
	return lo, hi
}

// BoundSummary collects the bounds of many images, in bits per dimension. The zero BoundSummary is ready to use.
type BoundSummary struct {
	Total      Estimate
	Prior      Estimate   // L_T
	Rate       Estimate   // L_{T-1} + … + L_1
	Distortion Estimate   // L_0
	Steps      []Estimate // L_t, at index t
}

// Add adds the images whose terms Bound yields.
func (b *BoundSummary) Add(terms iter.Seq2[int, []float64]) {
	var prior, rate, distortion []float64
	for t, bits := range terms {
		if prior == nil { // the first term is L_T
			prior, rate, distortion = make([]float64, len(bits)), make([]float64, len(bits)), make([]float64, len(bits))
			b.Steps = append(b.Steps, make([]Estimate, max(0, t+1-len(b.Steps)))...)
			copy(prior, bits)
		} else if t == 0 {
			copy(distortion, bits)
		}
		for i, v := range bits {
			b.Steps[t].Add(v)
			rate[i] += v
		}
	}
	for i, v := range rate {
		b.Total.Add(v)
		b.Prior.Add(prior[i])
		b.Rate.Add(v - prior[i] - distortion[i])
		b.Distortion.Add(distortion[i])
	}
}

// Estimate is a mean of values added one by one. The zero Estimate has none.
type Estimate struct {
	n             int
	mean, squares float64 // squares: Σ(value-mean)², kept up to date by Welford's method
}

// Add adds a value.
func (e *Estimate) Add(v float64) {
	e.n++
	d := v - e.mean
	e.mean += d / float64(e.n)
	e.squares += d * (v - e.mean)
}

// Mean returns the mean of the values.
func (e Estimate) Mean() float64 { return e.mean }

// StdErr returns the standard error of the mean, +Inf for fewer than two values. For a bound it is the Monte-Carlo error
// of both the choice of images and the noise drawn for each.
func (e Estimate) StdErr() float64 {
	if e.n < 2 {
		return math.Inf(1)
	}
	return math.Sqrt(e.squares / float64(e.n-1) / float64(e.n))
}
