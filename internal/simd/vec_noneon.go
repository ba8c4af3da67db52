//go:build purego || !arm64

package simd

func normSiLUFours(y []float32, yPix int, x []float32, xPix, pixels int, scale, shift []float32) {
	panic("simd: normSiLUFours: no assembly")
}

func normSiLUGradFours(da []float32, daPix int, x []float32, xPix, pixels int, scale, shift, sum, sumX []float32) {
	panic("simd: normSiLUGradFours: no assembly")
}

func channelSumsFours(sum, x []float32, pixels int) { panic("simd: channelSumsFours: no assembly") }

func channelSquaresFours(sum, x, mean []float32, pixels int) {
	panic("simd: channelSquaresFours: no assembly")
}

func affine3Fours(dx []float32, dxPix int, du []float32, duPix int, x []float32, xPix, pixels int, a, b, c []float32, add bool) {
	panic("simd: affine3Fours: no assembly")
}

func adamFours(w, g, m, v []float32, k *[9]float32) { panic("simd: adamFours: no assembly") }

func lerpFours(y, x []float32, t float32) { panic("simd: lerpFours: no assembly") }

func axpyFours(y []float32, a float32, x []float32) { panic("simd: axpyFours: no assembly") }
