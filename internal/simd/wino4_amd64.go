//go:build !purego

package simd

func winograd4Input(v []float32, vPos, vTile int, x []float32, xRow, xPix, tiles, c int) {
	switch {
	case useAVX512:
		winograd4InputAVX512(&v[0], vPos, vTile, &x[0], xRow, xPix, tiles, c, &wino4Coefficients)
	case useAVX2:
		winograd4InputAVX2(&v[0], vPos, vTile, &x[0], xRow, xPix, tiles, c, &wino4Coefficients)
	default:
		winograd4InputGo(v, vPos, vTile, x, xRow, xPix, tiles, c)
	}
}

func winograd4Output(y []float32, yRow, yPix int, m []float32, mPos, mTile int, residual, start []float32, rows, cols, c int) {
	switch {
	case useAVX512:
		winograd4OutputAVX512(&y[0], yRow, yPix, &m[0], mPos, mTile, first(residual), first(start), rows, cols, c, &wino4Coefficients)
	case useAVX2:
		winograd4OutputAVX2(&y[0], yRow, yPix, &m[0], mPos, mTile, first(residual), first(start), rows, cols, c, &wino4Coefficients)
	default:
		winograd4OutputGo(y, yRow, yPix, m, mPos, mTile, residual, start, rows, cols, c)
	}
}

func winograd4Kernels(u []float32, uPos, uRow int, w []float32, first, wTap, wRow, rows, cols int) {
	switch {
	case useAVX512:
		winograd4KernelsAVX512(&u[0], uPos, uRow, &w[first], wTap, wRow, rows, cols, &wino4Coefficients)
	case useAVX2:
		winograd4KernelsAVX2(&u[0], uPos, uRow, &w[first], wTap, wRow, rows, cols, &wino4Coefficients)
	default:
		winograd4KernelsGo(u, uPos, uRow, w, first, wTap, wRow, rows, cols)
	}
}
