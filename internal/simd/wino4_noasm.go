//go:build purego || !amd64

package simd

func winograd4Input(v []float32, vPos, vTile int, x []float32, xRow, xPix, tiles, c int) {
	winograd4InputGo(v, vPos, vTile, x, xRow, xPix, tiles, c)
}

func winograd4Output(y []float32, yRow, yPix int, m []float32, mPos, mTile int, residual, start []float32, rows, cols, c int) {
	winograd4OutputGo(y, yRow, yPix, m, mPos, mTile, residual, start, rows, cols, c)
}

func winograd4Kernels(u []float32, uPos, uRow int, w []float32, first, wTap, wRow, rows, cols int) {
	winograd4KernelsGo(u, uPos, uRow, w, first, wTap, wRow, rows, cols)
}
