//go:build purego || !amd64

package simd

func winogradInput(v []float32, vPos, vTile int, x []float32, xRow, xPix, tiles, c int) {
	winogradInputGo(v, vPos, vTile, x, xRow, xPix, tiles, c)
}

func winogradOutput(y0, y1 []float32, yPix int, m []float32, mPos, mTile int, r0, r1, start []float32, cols, c int) {
	winogradOutputGo(y0, y1, yPix, m, mPos, mTile, r0, r1, start, cols, c)
}

func winogradGradOutput(d []float32, dPos, dTile int, dy0, dy1 []float32, dyPix, cols, c int) {
	winogradGradOutputGo(d, dPos, dTile, dy0, dy1, dyPix, cols, c)
}

func winogradGradWeight(dw []float32, dwTap, dwRow int, m []float32, mPos, mRow, rows, cols int) {
	winogradGradWeightGo(dw, dwTap, dwRow, m, mPos, mRow, rows, cols)
}

func winogradKernels(u []float32, uPos, uRow int, w []float32, first, wTap, wRow, rows, cols int) {
	winogradKernelsGo(u, uPos, uRow, w, first, wTap, wRow, rows, cols)
}

func transpose(dst []float32, dstRow, dstStep int, src []float32, srcRow, srcStep, n int) {
	transposeGo(dst, dstRow, dstStep, src, srcRow, srcStep, n)
}
