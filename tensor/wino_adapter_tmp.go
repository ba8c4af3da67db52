package tensor

import "ddpm/internal/simd"

func tmpOutput(y []float32, yRow, yPix int, m []float32, mPos, mTile int, residual, start []float32, rows, cols, c int) {
	var y1, r1 []float32
	if rows > 1 {
		y1 = y[yRow:]
		if residual != nil {
			r1 = residual[yRow:]
		}
	}
	simd.WinogradOutput(y, y1, yPix, m, mPos, mTile, residual, r1, start, cols, c)
}
func tmpGradOutput(d []float32, dPos, dTile int, dy []float32, dyRow, dyPix, rows, cols, c int) {
	var y1 []float32
	if rows > 1 {
		y1 = dy[dyRow:]
	}
	simd.WinogradGradOutput(d, dPos, dTile, dy, y1, dyPix, cols, c)
}
func tmpWeight(u []float32, uPos, uPanel int, w []float32, wTap, cin, cout int) {
	if len(w) == 9*wTap {
		simd.WinogradWeight(u, uPos, uPanel, w, wTap/cout, cout)
	}
}
func tmpWeightT(u []float32, uPos, uPanel int, w []float32, wTap, cin, cout int) {
	if len(w) == 9*wTap {
		simd.WinogradWeightTransposed(u, uPos, uPanel, w, wTap/cout, cout)
	}
}
