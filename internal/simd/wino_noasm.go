//go:build purego || !amd64

package simd

func winograd2Input(v []float32, vPos, vTile int, x []float32, xRow, xPix, tiles, c int) {
	winograd2InputGo(v, vPos, vTile, x, xRow, xPix, tiles, c)
}

func winograd2Output(y []float32, yRow, yPix int, m []float32, mPos, mTile int, residual, start []float32, rows, cols, c int) {
	winograd2OutputGo(y, yRow, yPix, m, mPos, mTile, residual, start, rows, cols, c)
}

func winograd2GradOutput(d []float32, dPos, dTile int, dy []float32, dyRow, dyPix, rows, cols, c int) {
	winograd2GradOutputGo(d, dPos, dTile, dy, dyRow, dyPix, rows, cols, c)
}

func winograd2GradWeight(dw []float32, first, dwTap, dwRow int, m []float32, mPos, mRow, rows, cols int, add bool) {
	winograd2GradWeightGo(dw, first, dwTap, dwRow, m, mPos, mRow, rows, cols, add)
}

func winograd2Kernels(u []float32, uPos, uRow int, w []float32, first, wTap, wRow, rows, cols int) {
	winograd2KernelsGo(u, uPos, uRow, w, first, wTap, wRow, rows, cols)
}

func transpose(dst []float32, dstRow, dstStep int, src []float32, srcRow, srcStep, n int) {
	transposeGo(dst, dstRow, dstStep, src, srcRow, srcStep, n)
}
