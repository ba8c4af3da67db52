//go:build !purego

package simd

func winograd2Input(v []float32, vPos, vTile int, x []float32, xRow, xPix, tiles, c int) {
	switch {
	case useAVX512:
		winograd2InputAVX512(&v[0], vPos, vTile, &x[0], xRow, xPix, tiles, c)
	case useAVX2:
		winograd2InputAVX2(&v[0], vPos, vTile, &x[0], xRow, xPix, tiles, c)
	default:
		winograd2InputGo(v, vPos, vTile, x, xRow, xPix, tiles, c)
	}
}

func winograd2Output(y []float32, yRow, yPix int, m []float32, mPos, mTile int, residual, start []float32, rows, cols, c int) {
	switch {
	case useAVX512:
		winograd2OutputAVX512(&y[0], yRow, yPix, &m[0], mPos, mTile, first(residual), first(start), rows, cols, c)
	case useAVX2:
		winograd2OutputAVX2(&y[0], yRow, yPix, &m[0], mPos, mTile, first(residual), first(start), rows, cols, c)
	default:
		winograd2OutputGo(y, yRow, yPix, m, mPos, mTile, residual, start, rows, cols, c)
	}
}

func winograd2GradOutput(d []float32, dPos, dTile int, dy []float32, dyRow, dyPix, rows, cols, c int) {
	switch {
	case useAVX512:
		winograd2GradOutputAVX512(&d[0], dPos, dTile, &dy[0], dyRow, dyPix, rows, cols, c)
	case useAVX2:
		winograd2GradOutputAVX2(&d[0], dPos, dTile, &dy[0], dyRow, dyPix, rows, cols, c)
	default:
		winograd2GradOutputGo(d, dPos, dTile, dy, dyRow, dyPix, rows, cols, c)
	}
}

func winograd2GradWeight(dw []float32, first, dwTap, dwRow int, m []float32, mPos, mRow, rows, cols int, add bool) {
	switch {
	case useAVX512:
		winograd2GradWeightAVX512(&dw[first], dwTap, dwRow, &m[0], mPos, mRow, rows, cols, add)
	case useAVX2:
		winograd2GradWeightAVX2(&dw[first], dwTap, dwRow, &m[0], mPos, mRow, rows, cols, add)
	default:
		winograd2GradWeightGo(dw, first, dwTap, dwRow, m, mPos, mRow, rows, cols, add)
	}
}

func winograd2Kernels(u []float32, uPos, uRow int, w []float32, first, wTap, wRow, rows, cols int) {
	switch {
	case useAVX512:
		winograd2KernelsAVX512(&u[0], uPos, uRow, &w[first], wTap, wRow, rows, cols)
	case useAVX2:
		winograd2KernelsAVX2(&u[0], uPos, uRow, &w[first], wTap, wRow, rows, cols)
	default:
		winograd2KernelsGo(u, uPos, uRow, w, first, wTap, wRow, rows, cols)
	}
}

func winograd4Input(v []float32, vPos, vTile int, x []float32, xRow, xPix, rows, side, tiles, c int) {
	switch {
	case useAVX512:
		winograd4InputAVX512(&v[0], vPos, vTile, &x[0], xRow, xPix, rows, side, tiles, c, &wino4Coefficients)
	case useAVX2:
		winograd4InputAVX2(&v[0], vPos, vTile, &x[0], xRow, xPix, rows, side, tiles, c, &wino4Coefficients)
	default:
		winograd4InputGo(v, vPos, vTile, x, xRow, xPix, rows, side, tiles, c)
	}
}

func winograd4Output(y []float32, yRow, yPix int, m []float32, mPos, mTile int, residual, start []float32, rows, side, cols, c int) {
	switch {
	case useAVX512:
		winograd4OutputAVX512(&y[0], yRow, yPix, &m[0], mPos, mTile, first(residual), first(start), rows, side, cols, c, &wino4Coefficients)
	case useAVX2:
		winograd4OutputAVX2(&y[0], yRow, yPix, &m[0], mPos, mTile, first(residual), first(start), rows, side, cols, c, &wino4Coefficients)
	default:
		winograd4OutputGo(y, yRow, yPix, m, mPos, mTile, residual, start, rows, side, cols, c)
	}
}

func winograd4GradOutput(d []float32, dPos, dTile int, dy []float32, dyRow, dyPix, rows, side, cols, c int) {
	switch {
	case useAVX512:
		winograd4GradOutputAVX512(&d[0], dPos, dTile, &dy[0], dyRow, dyPix, rows, side, cols, c, &wino4Coefficients)
	case useAVX2:
		winograd4GradOutputAVX2(&d[0], dPos, dTile, &dy[0], dyRow, dyPix, rows, side, cols, c, &wino4Coefficients)
	default:
		winograd4GradOutputGo(d, dPos, dTile, dy, dyRow, dyPix, rows, side, cols, c)
	}
}

func winograd4GradWeight(dw []float32, first, dwTap, dwRow int, m []float32, mPos, mRow, rows, cols int, add bool) {
	switch {
	case useAVX512:
		winograd4GradWeightAVX512(&dw[first], dwTap, dwRow, &m[0], mPos, mRow, rows, cols, add, &wino4Coefficients)
	case useAVX2:
		winograd4GradWeightAVX2(&dw[first], dwTap, dwRow, &m[0], mPos, mRow, rows, cols, add, &wino4Coefficients)
	default:
		winograd4GradWeightGo(dw, first, dwTap, dwRow, m, mPos, mRow, rows, cols, add)
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

func transpose(dst []float32, dstRow, dstStep int, src []float32, srcRow, srcStep, n int) {
	switch {
	case n == 0:
	case useAVX512:
		transposeAVX512(&dst[0], dstRow, dstStep, &src[0], srcRow, srcStep, n)
	case useAVX2:
		transposeAVX2(&dst[0], dstRow, dstStep, &src[0], srcRow, srcStep, n)
	default:
		transposeGo(dst, dstRow, dstStep, src, srcRow, srcStep, n)
	}
}
