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
// for pixels of da daPix elements apart and pixels of x xPix apart, so that the
// channels may be some of those of an image.
func NormSiLUGrad(da []float32, daPix int, x []float32, xPix, pixels int, scale, shift, sum, sumX []float32) {
	c := len(scale)
	sameLen("NormSiLUGrad coefficients", scale, shift, sum, sumX)
	if checkSpread("NormSiLUGrad", "da", da, daPix, pixels, c) || checkSpread("NormSiLUGrad", "x", x, xPix, pixels, c) {
		return
	}
	switch {
	case useAVX512:
		normSiLUGradAVX512(da, daPix, x, xPix, pixels, scale, shift, sum, sumX)
	case useAVX2:
		normSiLUGradAVX2(da, daPix, x, xPix, pixels, scale, shift, sum, sumX)
	case byFours(c):
		normSiLUGradFours(da, daPix, x, xPix, pixels, scale, shift, sum, sumX)
	default:
		normSiLUGradGo(da, daPix, x, xPix, pixels, scale, shift, sum, sumX)
	}
}

func normSiLUGradGo(da []float32, daPix int, x []float32, xPix, pixels int, scale, shift, sum, sumX []float32) {
	for p := range pixels {
		x, da := x[p*xPix:], da[p*daPix:]
		for j, scale := range scale {
			da[j] *= siluSlope(float32(x[j]*scale) + shift[j])
		}
	}
	normGradGo(sum, sumX, x, xPix, da, daPix, pixels)
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
		normGradGo(sum, sumX, x, len(sum), du, len(sum), p)
	}
}

func normGradGo(sum, sumX, x []float32, xPix int, du []float32, duPix, pixels int) {
	for b := 0; b < pixels; b += blockPixels {
		n := min(pixels, b+blockPixels)
		for j := range sum {
			var s, sx [2]float32
			for p, chain := b, 0; p < n; p, chain = p+1, 1-chain {
				du := du[p*duPix+j]
				s[chain] += du
				sx[chain] += float32(du * x[p*xPix+j])
			}
			sum[j] += s[0] + s[1]
			sumX[j] += sx[0] + sx[1]
		}
	}
}

// Affine3 sets dx = du·a + x·b + c, channel by channel, or adds that to dx. It is
// the last step of group normalisation's gradient: du·γ/σ less its projections
// on 1 and on x. The pixels of each image lie its own number of elements apart.
// dx may be du or x.
func Affine3(dx []float32, dxPix int, du []float32, duPix int, x []float32, xPix, pixels int, a, b, c []float32, add bool) {
	n := len(a)
	sameLen("Affine3 coefficients", a, b, c)
	if checkSpread("Affine3", "dx", dx, dxPix, pixels, n) || checkSpread("Affine3", "du", du, duPix, pixels, n) ||
		checkSpread("Affine3", "x", x, xPix, pixels, n) {
		return
	}
	switch {
	case useAVX512 && add:
		affine3AddAVX512(dx, dxPix, du, duPix, x, xPix, pixels, a, b, c)
	case useAVX512:
		affine3AVX512(dx, dxPix, du, duPix, x, xPix, pixels, a, b, c)
	case useAVX2 && add:
		affine3AddAVX2(dx, dxPix, du, duPix, x, xPix, pixels, a, b, c)
	case useAVX2:
		affine3AVX2(dx, dxPix, du, duPix, x, xPix, pixels, a, b, c)
	case byFours(n):
		affine3Fours(dx, dxPix, du, duPix, x, xPix, pixels, a, b, c, add)
	default:
		affine3Go(dx, dxPix, du, duPix, x, xPix, pixels, a, b, c, add)
	}
}

func affine3Go(dx []float32, dxPix int, du []float32, duPix int, x []float32, xPix, pixels int, a, b, c []float32, add bool) {
	for p := range pixels {
		dx, du, x := dx[p*dxPix:], du[p*duPix:], x[p*xPix:]
		for j, a := range a {
			d := float32(du[j]*a) + float32(x[j]*b[j]) + c[j]
			if add {
				d += dx[j]
			}
			dx[j] = d
		}
	}
}
