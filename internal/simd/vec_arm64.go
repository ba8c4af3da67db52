//go:build !purego

package simd

// expNEON is what the kernels read, in their order: the constants of vec_exp.go for exp(−z), and the limits of SiLU.
var expNEON = [...]float32{siluMax, -siluMax, -log2e, rounding, ln2High, ln2Low, expC6, -expC5, expC4, -expC3, expC2, -1, 1}

//go:noescape
func normSiLUNEON(y *float32, yPix int, x *float32, xPix, pixels int, scale, shift *float32, c int, k *[13]float32)

//go:noescape
func normSiLUGradNEON(da *float32, daPix int, x *float32, xPix int, scale, shift, sum, sumX *float32, pixels, c int, k *[13]float32)

//go:noescape
func channelSumsNEON(sum, x *float32, xPix, pixels, c int)

//go:noescape
func channelSquaresNEON(sum, x *float32, xPix int, mean *float32, pixels, c int)

//go:noescape
func affine3NEON(dx *float32, dxPix int, du *float32, duPix int, x *float32, xPix int, a, b, c3 *float32, pixels, c int)

//go:noescape
func affine3AddNEON(dx *float32, dxPix int, du *float32, duPix int, x *float32, xPix int, a, b, c3 *float32, pixels, c int)

//go:noescape
func adamNEON(w, dw, m, v *float32, n int, k *[9]float32)

//go:noescape
func lerpNEON(y, x *float32, n int, t *float32)

//go:noescape
func axpyNEON(y *float32, a *float32, x *float32, n int)

func normSiLUFours(y []float32, yPix int, x []float32, xPix, pixels int, scale, shift []float32) {
	normSiLUNEON(&y[0], yPix, &x[0], xPix, pixels, &scale[0], &shift[0], len(scale), &expNEON)
}

func normSiLUGradFours(da []float32, daPix int, x []float32, xPix, pixels int, scale, shift, sum, sumX []float32) {
	for p := 0; p < pixels; p += blockPixels {
		normSiLUGradNEON(&da[p*daPix], daPix, &x[p*xPix], xPix, &scale[0], &shift[0], &sum[0], &sumX[0], min(blockPixels, pixels-p), len(scale), &expNEON)
	}
}

func channelSumsFours(sum, x []float32, pixels int) {
	c := len(sum)
	for p := 0; p < pixels; p += blockPixels {
		channelSumsNEON(&sum[0], &x[p*c], c, min(blockPixels, pixels-p), c)
	}
}

func channelSquaresFours(sum, x, mean []float32, pixels int) {
	c := len(sum)
	for p := 0; p < pixels; p += blockPixels {
		channelSquaresNEON(&sum[0], &x[p*c], c, &mean[0], min(blockPixels, pixels-p), c)
	}
}

func affine3Fours(dx []float32, dxPix int, du []float32, duPix int, x []float32, xPix, pixels int, a, b, c []float32, add bool) {
	if add {
		affine3AddNEON(&dx[0], dxPix, &du[0], duPix, &x[0], xPix, &a[0], &b[0], &c[0], pixels, len(a))
	} else {
		affine3NEON(&dx[0], dxPix, &du[0], duPix, &x[0], xPix, &a[0], &b[0], &c[0], pixels, len(a))
	}
}

func adamFours(w, g, m, v []float32, k *[9]float32) {
	n := len(w) &^ 3
	if n > 0 {
		adamNEON(&w[0], &g[0], &m[0], &v[0], n, k)
	}
	adamGo(w[n:], g[n:], m[n:], v[n:], k)
}

func lerpFours(y, x []float32, t float32) {
	n := len(y) &^ 3
	if n > 0 {
		lerpNEON(&y[0], &x[0], n, &t)
	}
	lerpGo(y[n:], x[n:], t)
}

func axpyFours(y []float32, a float32, x []float32) {
	n := len(y) &^ 3
	if n > 0 {
		axpyNEON(&y[0], &a, &x[0], n)
	}
	axpyGo(y[n:], a, x[n:])
}
