//go:build !purego

package simd

func winogradInput(v []float32, vPos, vTile int, x []float32, xRow, xPix, tiles, c int) {
	switch {
	case useAVX512:
		winogradInputAVX512(&v[0], vPos, vTile, &x[0], xRow, xPix, tiles, c)
	case useAVX2:
		winogradInputAVX2(&v[0], vPos, vTile, &x[0], xRow, xPix, tiles, c)
	default:
		winogradInputGo(v, vPos, vTile, x, xRow, xPix, tiles, c)
	}
}

func winogradOutput(y0, y1 []float32, yPix int, m []float32, mPos, mTile int, r0, r1, start []float32, cols, c int) {
	switch {
	case useAVX512:
		winogradOutputAVX512(&y0[0], first(y1), yPix, &m[0], mPos, mTile, first(r0), first(r1), first(start), cols, c)
	case useAVX2:
		winogradOutputAVX2(&y0[0], first(y1), yPix, &m[0], mPos, mTile, first(r0), first(r1), first(start), cols, c)
	default:
		winogradOutputGo(y0, y1, yPix, m, mPos, mTile, r0, r1, start, cols, c)
	}
}

func winogradGradOutput(d []float32, dPos, dTile int, dy0, dy1 []float32, dyPix, cols, c int) {
	switch {
	case useAVX512:
		winogradGradOutputAVX512(&d[0], dPos, dTile, &dy0[0], first(dy1), dyPix, cols, c)
	case useAVX2:
		winogradGradOutputAVX2(&d[0], dPos, dTile, &dy0[0], first(dy1), dyPix, cols, c)
	default:
		winogradGradOutputGo(d, dPos, dTile, dy0, dy1, dyPix, cols, c)
	}
}

func winogradGradWeight(dw []float32, dwTap, dwRow int, m []float32, mPos, mRow, rows, cols int) {
	switch {
	case useAVX512:
		winogradGradWeightAVX512(&dw[0], dwTap, dwRow, &m[0], mPos, mRow, rows, cols)
	case useAVX2:
		winogradGradWeightAVX2(&dw[0], dwTap, dwRow, &m[0], mPos, mRow, rows, cols)
	default:
		winogradGradWeightGo(dw, dwTap, dwRow, m, mPos, mRow, rows, cols)
	}
}

func winogradKernels(u []float32, uPos, uRow int, w []float32, first, wTap, wRow, rows, cols int) {
	switch {
	case useAVX512:
		winogradKernelsAVX512(&u[0], uPos, uRow, &w[first], wTap, wRow, rows, cols)
	case useAVX2:
		winogradKernelsAVX2(&u[0], uPos, uRow, &w[first], wTap, wRow, rows, cols)
	default:
		winogradKernelsGo(u, uPos, uRow, w, first, wTap, wRow, rows, cols)
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

// first returns the address of x[0], nil if x is empty.
func first(x []float32) *float32 {
	if len(x) == 0 {
		return nil
	}
	return &x[0]
}
