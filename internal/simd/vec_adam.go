package simd

import "math"

// AdamParams are the factors of one step of Adam, step t = 1, 2, …
type AdamParams struct {
	Beta1, Beta2 float64 // decay of the moments
	StepSize     float64 // learning rate/(1-β₁ᵗ)
	Corr2        float64 // 1/√(1-β₂ᵗ)
	Eps          float64
	Decay        float64 // learning rate × weight decay; 0 for Adam without
	GradScale    float64 // multiplies the gradient as it is read; 1 for no clipping
}

// coefficients rounds what is multiplied with float32. 1-β is rounded after the
// subtraction: 1-float32(0.999) would be off by 1.3e-5 of itself.
func (p AdamParams) coefficients() [9]float32 {
	return [9]float32{
		float32(p.Beta1), float32(1 - p.Beta1), float32(p.Beta2), float32(1 - p.Beta2),
		float32(p.StepSize), float32(p.Corr2), float32(p.Eps), float32(1 - p.Decay), float32(p.GradScale),
	}
}

// Adam makes one step of Adam (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1)
// on weights w with gradient g and moments m and v, with the weight decay
// decoupled (Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2). In
// float32 and in this order, which is PyTorch's:
//
//	g' = GradScale·g
//	m  = β₁·m + (1-β₁)·g'
//	v  = β₂·v + (1-β₂)·g'·g'
//	w  = (1-Decay)·w - StepSize·m/(√v·Corr2 + Eps)
func Adam(w, g, m, v []float32, p AdamParams) {
	sameLen("Adam", w, g, m, v)
	k := p.coefficients()
	switch {
	case useAVX512:
		adamAVX512(w, g, m, v, &k)
	case useAVX2:
		adamAVX2(w, g, m, v, &k)
	case useNEON:
		adamFours(w, g, m, v, &k)
	default:
		adamGo(w, g, m, v, &k)
	}
}

func adamGo(w, g, m, v []float32, k *[9]float32) {
	beta1, rest1, beta2, rest2 := k[0], k[1], k[2], k[3]
	step, corr2, eps, keep, gradScale := k[4], k[5], k[6], k[7], k[8]
	for i, g := range g {
		g *= gradScale
		m[i] = float32(beta1*m[i]) + float32(rest1*g)
		v[i] = float32(beta2*v[i]) + float32(float32(rest2*g)*g)
		root := float32(math.Sqrt(float64(v[i])))
		w[i] = float32(keep*w[i]) - float32(step*m[i])/(float32(corr2*root)+eps)
	}
}
