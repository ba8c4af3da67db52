package simd

// What is left of group normalisation when the statistics are known: each channel
// is multiplied by scale[j] = γ_j/σ and shift[j] = β_j - μ·γ_j/σ is added, with μ
// and σ of the channel's group. Images are [pixels c], c = len(scale).

// Norm sets y = x·scale + shift, channel by channel.
func Norm(y, x, scale, shift []float32) {
	p := pixels("Norm", scale, y, x)
	sameLen("Norm coefficients", scale, shift)
	switch {
	case useAVX512:
		normAVX512(y, x, scale, shift, p)
	case useAVX2:
		normAVX2(y, x, scale, shift, p)
	default:
		normGo(y, x, scale, shift)
	}
}

func normGo(y, x, scale, shift []float32) {
	for c := len(scale); len(x) > 0; x, y = x[c:], y[c:] {
		for j, scale := range scale {
			y[j] = float32(x[j]*scale) + shift[j]
		}
	}
}

// NormSiLU computes y[p·yPix + j] = silu(x[p·xPix + j]·scale[j] + shift[j]) for p < pixels and all channels j of the
// coefficients, which may be some of the channels of either image. y and x must not overlap, unless they are the same.
func NormSiLU(y []float32, yPix int, x []float32, xPix, pixels int, scale, shift []float32) {
	c := len(scale)
	sameLen("NormSiLU coefficients", scale, shift)
	if checkApart("NormSiLU", y, yPix, x, xPix, pixels, c) {
		return
	}
	switch {
	case useAVX512:
		normSiLUAVX512(y, yPix, x, xPix, pixels, scale, shift)
	case useAVX2:
		normSiLUAVX2(y, yPix, x, xPix, pixels, scale, shift)
	case byFours(c):
		normSiLUFours(y, yPix, x, xPix, pixels, scale, shift)
	default:
		normSiLUGo(y, yPix, x, xPix, pixels, scale, shift)
	}
}

func normSiLUGo(y []float32, yPix int, x []float32, xPix, pixels int, scale, shift []float32) {
	for p := range pixels {
		y, x := y[p*yPix:], x[p*xPix:]
		for j, scale := range scale {
			y[j] = silu(float32(x[j]*scale) + shift[j])
		}
	}
}

// NormSiLUGrad turns da, the gradient at silu(u) with u = x·scale + shift, into
// du, that at u, and adds up what the gradients of scale, shift and the group's
// statistics are made of, over the pixels of each channel:
//
//	du = da·silu'(u),  sum += Σ du,  sumX += Σ du·x
//
// The pixels of da lie daPix elements apart: c, or more if x is some of the
// channels of an image.
func NormSiLUGrad(da []float32, daPix int, x, scale, shift, sum, sumX []float32) {
	p := pixels("NormSiLUGrad", scale, x)
	sameLen("NormSiLUGrad coefficients", scale, shift, sum, sumX)
	if checkSpread("NormSiLUGrad", "da", da, daPix, p, len(scale)) {
		return
	}
	switch {
	case useAVX512:
		normSiLUGradAVX512(da, daPix, x, scale, shift, sum, sumX, p)
	case useAVX2:
		normSiLUGradAVX2(da, daPix, x, scale, shift, sum, sumX, p)
	case byFours(len(scale)):
		normSiLUGradFours(da, daPix, x, scale, shift, sum, sumX, p)
	default:
		normSiLUGradGo(da, daPix, x, scale, shift, sum, sumX)
	}
}

func normSiLUGradGo(da []float32, daPix int, x, scale, shift, sum, sumX []float32) {
	c := len(scale)
	for p := range len(x) / c {
		x, da := x[p*c:][:c], da[p*daPix:][:c]
		for j, scale := range scale {
			da[j] *= siluSlope(float32(x[j]*scale) + shift[j])
		}
	}
	normGradGo(sum, sumX, x, da, daPix)
}

// NormGrad is the sums of NormSiLUGrad for a norm that no SiLU follows:
//
//	sum += Σ du,  sumX += Σ du·x
func NormGrad(sum, sumX, x, du []float32) {
	p := pixels("NormGrad", sum, x, du)
	sameLen("NormGrad sums", sum, sumX)
	switch {
	case useAVX512:
		normGradAVX512(sum, sumX, x, du, p)
	case useAVX2:
		normGradAVX2(sum, sumX, x, du, p)
	default:
		normGradGo(sum, sumX, x, du, len(sum))
	}
}

func normGradGo(sum, sumX, x, du []float32, duPix int) {
	c := len(sum)
	for b := 0; b < len(x)/c; b += blockPixels {
		n := min(len(x)/c, b+blockPixels)
		for j := range c {
			var s, sx [2]float32
			for p, chain := b, 0; p < n; p, chain = p+1, 1-chain {
				du := du[p*duPix+j]
				s[chain] += du
				sx[chain] += float32(du * x[p*c+j])
			}
			sum[j] += s[0] + s[1]
			sumX[j] += sx[0] + sx[1]
		}
	}
}

// Affine3 sets dx = du·a + x·b + c, channel by channel, or adds that to dx. It is
// the last step of group normalisation's gradient: du·γ/σ less its projections
// on 1 and on x. The pixels of du lie duPix elements apart, as in NormSiLUGrad.
func Affine3(dx, du []float32, duPix int, x, a, b, c []float32, add bool) {
	p := pixels("Affine3", a, dx, x)
	sameLen("Affine3 coefficients", a, b, c)
	if checkSpread("Affine3", "du", du, duPix, p, len(a)) {
		return
	}
	switch {
	case useAVX512 && add:
		affine3AddAVX512(dx, du, duPix, x, a, b, c, p)
	case useAVX512:
		affine3AVX512(dx, du, duPix, x, a, b, c, p)
	case useAVX2 && add:
		affine3AddAVX2(dx, du, duPix, x, a, b, c, p)
	case useAVX2:
		affine3AVX2(dx, du, duPix, x, a, b, c, p)
	case byFours(len(a)):
		affine3Fours(dx, du, duPix, x, a, b, c, p, add)
	default:
		affine3Go(dx, du, duPix, x, a, b, c, add)
	}
}

func affine3Go(dx, du []float32, duPix int, x, a, b, c []float32, add bool) {
	n := len(a)
	for p := range len(x) / n {
		dx, du, x := dx[p*n:][:n], du[p*duPix:], x[p*n:]
		for j, a := range a {
			d := float32(du[j]*a) + float32(x[j]*b[j]) + c[j]
			if add {
				d += dx[j]
			}
			dx[j] = d
		}
	}
}
