package simd

import "math"

// One polynomial serves exp, the sigmoid in SiLU, and softmax. With
//
//	n = round(x/ln 2),  r = x - n·ln 2,  so that |r| ≤ 0.35 and exp(x) = 2ⁿ·exp(r),
//
// exp(r) is 1 + r + c2·r² + … + c6·r⁶. The coefficients interpolate
// (exp(r)-1-r)/r² in the Chebyshev points of [-0.3467, 0.3467], which leaves a
// relative error of 1.1e-8, well below that of rounding.
//
// The assembly uses fused multiply-add here, and so does Go code where the
// compiler finds it. With it exp is within 0.9 ulp, without within 1.1.
const (
	expC2 = 0.5
	expC3 = 0.16666576
	expC4 = 0.041666556
	expC5 = 0.008363203
	expC6 = 0.0013926213

	log2e = math.Log2E

	// ln 2 in two parts (Cody and Waite 1980): the first has 9 bits, so its
	// product with n is exact, and so is the subtraction from x.
	ln2High = 355.0 / 512
	ln2Low  = -2.12194440e-4

	// Adding 1.5·2²³ rounds to an integer, which is then in the low bits.
	rounding = 3 << 22

	// Between these expCore has no overflow and no denormals. The exact limits
	// are -126·ln 2 = -87.3365 and 128·ln 2 = 88.7228.
	expMin = -87.336
	expMax = 88.72

	// Up to ±siluMax 1/(1+exp(-x)) is normal; beyond, σ is 0 or 1 to within 2e-38.
	siluMax = 87
)

// Exp sets y = exp(x), elementwise, to within 1.1 ulp. It is 0 below -87.336, where
// the value would soon be denormal, and +Inf above 88.72.
func Exp(y, x []float32) {
	sameLen("Exp", y, x)
	switch {
	case useAVX512:
		expAVX512(y, x)
	case useAVX2:
		expAVX2(y, x)
	default:
		expGo(y, x)
	}
}

func expGo(y, x []float32) {
	for i, x := range x {
		y[i] = exp(x)
	}
}

func exp(x float32) float32 {
	switch {
	case x < expMin:
		return 0
	case x <= expMax:
		return expCore(x)
	}
	return x + float32(math.Inf(1)) // NaN stays NaN
}

func expCore(x float32) float32 {
	t := x*log2e + rounding
	n := t - rounding
	r := x - n*ln2High - n*ln2Low
	p := ((((expC6*r+expC5)*r+expC4)*r+expC3)*r+expC2)*r + 1
	return math.Float32frombits(math.Float32bits(p*r+1) + math.Float32bits(t)<<23)
}

// SiLU sets y = x·σ(x), elementwise, where σ(x) = 1/(1+exp(-x)) (Hendrycks and
// Gimpel 2016, arXiv:1606.08415 §2; also called swish), to within 2.5 ulp. Below
// -87, where that is as good as 0, it stays at -1.4e-36.
func SiLU(y, x []float32) {
	sameLen("SiLU", y, x)
	switch {
	case useAVX512:
		siluAVX512(y, x)
	case useAVX2:
		siluAVX2(y, x)
	default:
		siluGo(y, x)
	}
}

func siluGo(y, x []float32) {
	for i, x := range x {
		y[i] = silu(x)
	}
}

func silu(x float32) float32 {
	if x < -siluMax {
		x = -siluMax
	}
	z := x
	if z > siluMax {
		z = siluMax
	}
	return x / (expCore(-z) + 1)
}

// SiLUGrad adds to dx what dy, the gradient at y = x·σ(x), is worth at x:
//
//	dx += dy·σ(x)·(1 + x·(1-σ(x)))
func SiLUGrad(dx, x, dy []float32) {
	sameLen("SiLUGrad", dx, x, dy)
	switch {
	case useAVX512:
		siluGradAVX512(dx, x, dy)
	case useAVX2:
		siluGradAVX2(dx, x, dy)
	default:
		siluGradGo(dx, x, dy)
	}
}

func siluGradGo(dx, x, dy []float32) {
	for i, x := range x {
		dx[i] += float32(dy[i] * siluSlope(x))
	}
}

// siluSlope is the derivative of silu. With e = exp(-x), 1-σ is e·σ, which keeps
// its precision where σ is almost 1.
func siluSlope(x float32) float32 {
	if x < -siluMax {
		x = -siluMax
	}
	if x > siluMax {
		x = siluMax
	}
	e := expCore(-x)
	sigma := 1 / (e + 1)
	return sigma * (e*sigma*x + 1)
}
