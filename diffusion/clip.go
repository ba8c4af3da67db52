package diffusion

import (
	"fmt"
	"math"
	"slices"
)

// Clip bounds the predicted image x̂_0 at every step, which keeps a network's errors from adding up to images outside
// [-1, 1]. The zero Clip does nothing. ε is then derived again from the bounded x̂_0, so that x_t = √ᾱ_t·x̂_0 + √(1-ᾱ_t)·ε̂
// still holds, unless X0Only is set.
type Clip struct {
	Range    float64 // bound x̂_0 to ±Range, which is 1 for images; 0 for no bound
	Quantile float64 // dynamic thresholding instead: bound each image to ±s, s this quantile of |x̂_0|, and divide it by s (Imagen, arXiv:2205.11487, §2.3); 0 for none
	Max      float64 // with Quantile: 1 ≤ s ≤ Max; 0 for no upper limit
	X0Only   bool    // leave ε as predicted, as diffusers' DDIM does (use_clipped_model_output=false)
}

// Validate returns an error that says what is wrong with c, if anything.
func (c Clip) Validate() error {
	switch {
	case !(c.Range >= 0) || math.IsInf(c.Range, 0):
		return fmt.Errorf("diffusion: clip range is %g, want 0 (none) or a positive number", c.Range)
	case !(c.Quantile >= 0 && c.Quantile <= 1):
		return fmt.Errorf("diffusion: thresholding quantile is %g, want 0…1", c.Quantile)
	case c.Quantile > 0 && c.Range > 0:
		return fmt.Errorf("diffusion: both clipping and dynamic thresholding are on; choose one")
	case c.Max != 0 && !(c.Max >= 1):
		return fmt.Errorf("diffusion: the upper limit of the threshold is %g, want 0 (none) or at least 1", c.Max)
	}
	return nil
}

// apply bounds the image x0 in place and reports whether it may have changed.
func (c Clip) apply(x0 []float32) bool {
	switch {
	case c.Range > 0:
		clamp(x0, float32(c.Range), 1)
	case c.Quantile > 0:
		s := max(1, quantile(x0, c.Quantile))
		if c.Max > 0 {
			s = min(s, c.Max)
		}
		clamp(x0, float32(s), float32(1/s))
	default:
		return false
	}
	return true
}

// clamp sets x = scale·min(max(x, -bound), bound). NaN stays NaN.
func clamp(x []float32, bound, scale float32) {
	for i, v := range x {
		x[i] = min(max(v, -bound), bound) * scale
	}
}

// quantile returns the q-quantile of |x|, interpolated linearly between order statistics.
func quantile(x []float32, q float64) float64 {
	magnitude := make([]float64, len(x))
	for i, v := range x {
		magnitude[i] = math.Abs(float64(v))
	}
	slices.Sort(magnitude)
	at := q * float64(len(x)-1)
	lo := int(at)
	hi := min(lo+1, len(x)-1)
	return magnitude[lo] + (at-float64(lo))*(magnitude[hi]-magnitude[lo])
}
