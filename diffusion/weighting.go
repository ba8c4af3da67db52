package diffusion

import "math"

// Weighting is the weight of t in the loss, as a factor of the squared error of x̂_0, the common currency of all
// predictions: an error in x̂_0 is co times one in the network's output, co as in Prediction.In. A nil Weighting weighs
// the squared error of the output itself by 1, which is L_simple.
type Weighting func(s Schedule, t int) float64

// of returns the weight for the squared error of an output of kind p.
func (w Weighting) of(s Schedule, p Prediction, t int) float64 {
	_, co := p.In(X0, s.AlphaBar[t])
	return w(s, t) * co * co
}

// WeighSNR weighs the error of x̂_0 by the signal-to-noise ratio, which is that of ε by 1 (arXiv:2202.00512, §4).
func WeighSNR(s Schedule, t int) float64 { return s.SNR(t) }

// WeighMinSNR returns the weighting min(SNR, gamma) of Hang et al. (arXiv:2303.09556, §3.4), who take gamma = 5: times
// of little noise do not crowd out the others.
func WeighMinSNR(gamma float64) Weighting {
	return func(s Schedule, t int) float64 { return min(s.SNR(t), gamma) }
}

// WeighVLB returns the weighting of the variational bound with fixed variances (DDPM eq. 8–12): c0²/(2σ_t²), c0 the
// factor of x_0 in the posterior's mean. T times its mean over t is the bound, in nats per pixel value, up to what no
// network changes (and the decoder, for which its t = 1 stands).
func WeighVLB(v Variance) Weighting {
	return func(s Schedule, t int) float64 {
		c0, _, _ := s.Posterior(t)
		small, large := s.logRange(t)
		return c0 * c0 / (2 * math.Exp(v.log(small, large, 0)))
	}
}
