//go:build purego || (!amd64 && !arm64)

package simd

func winograd4Input(v []float32, vPos, vTile int, x []float32, xRow, xPix, rows, side, tiles, c int) {
	winograd4InputGo(v, vPos, vTile, x, xRow, xPix, rows, side, tiles, c)
}

func winograd4Output(y []float32, yRow, yPix int, m []float32, mPos, mTile int, residual, start []float32, rows, side, cols, c int) {
	winograd4OutputGo(y, yRow, yPix, m, mPos, mTile, residual, start, rows, side, cols, c)
}

func winograd4GradOutput(d []float32, dPos, dTile int, dy []float32, dyRow, dyPix, rows, side, cols, c int) {
	winograd4GradOutputGo(d, dPos, dTile, dy, dyRow, dyPix, rows, side, cols, c)
}

func winograd4GradWeight(dw []float32, first, dwTap, dwRow int, m []float32, mPos, mRow, rows, cols int, add bool) {
	winograd4GradWeightGo(dw, first, dwTap, dwRow, m, mPos, mRow, rows, cols, add)
}

func winograd4Kernels(u []float32, uPos, uRow int, w []float32, first, wTap, wRow, rows, cols int) {
	winograd4KernelsGo(u, uPos, uRow, w, first, wTap, wRow, rows, cols)
}
