//go:build !purego

package simd

// The kernels for NEON do four channels at a time, in which tiles go through buf.

//go:noescape
func winograd4InputNEON(v *float32, vPos, vTile int, x *float32, xRow, xPix, rows, side, tiles, c int, k *[14]float32, buf *[144]float32)

//go:noescape
func winograd4OutputNEON(y *float32, yRow, yPix int, m *float32, mPos, mTile int, residual, start *float32, rows, side, cols, c int, k *[14]float32, buf *[144]float32)

//go:noescape
func winograd4GradOutputNEON(d *float32, dPos, dTile int, dy *float32, dyRow, dyPix, rows, side, cols, c int, k *[14]float32, buf *[144]float32)

//go:noescape
func winograd4GradWeightNEON(dw *float32, dwTap, dwRow int, m *float32, mPos, mRow, rows, c int, k *[14]float32, buf *[144]float32, add bool)

//go:noescape
func winograd4KernelsNEON(u *float32, uPos, uRow int, w *float32, wTap, wRow, rows, c int, k *[14]float32, buf *[144]float32)

// fours is how many of c channels NEON does; plain Go does the rest.
func fours(c int) int {
	if !useNEON {
		return 0
	}
	return c &^ 3
}

func winograd4Input(v []float32, vPos, vTile int, x []float32, xRow, xPix, rows, side, tiles, c int) {
	n := fours(c)
	if n > 0 {
		var buf [144]float32
		winograd4InputNEON(&v[0], vPos, vTile, &x[0], xRow, xPix, rows, side, tiles, n, &wino4Coefficients, &buf)
	}
	if n < c {
		winograd4InputGo(v[n:], vPos, vTile, x[n:], xRow, xPix, rows, side, tiles, c-n)
	}
}

func winograd4Output(y []float32, yRow, yPix int, m []float32, mPos, mTile int, residual, start []float32, rows, side, cols, c int) {
	n := fours(c)
	if n > 0 {
		var buf [144]float32
		winograd4OutputNEON(&y[0], yRow, yPix, &m[0], mPos, mTile, first(residual), first(start), rows, side, cols, n, &wino4Coefficients, &buf)
	}
	if n < c {
		winograd4OutputGo(y[n:], yRow, yPix, m[n:], mPos, mTile, residual[min(n, len(residual)):], start[min(n, len(start)):], rows, side, cols, c-n)
	}
}

func winograd4GradOutput(d []float32, dPos, dTile int, dy []float32, dyRow, dyPix, rows, side, cols, c int) {
	n := fours(c)
	if n > 0 {
		var buf [144]float32
		winograd4GradOutputNEON(&d[0], dPos, dTile, &dy[0], dyRow, dyPix, rows, side, cols, n, &wino4Coefficients, &buf)
	}
	if n < c {
		winograd4GradOutputGo(d[n:], dPos, dTile, dy[n:], dyRow, dyPix, rows, side, cols, c-n)
	}
}

func winograd4GradWeight(dw []float32, first, dwTap, dwRow int, m []float32, mPos, mRow, rows, cols int, add bool) {
	n := fours(cols)
	if n > 0 {
		var buf [144]float32
		winograd4GradWeightNEON(&dw[first], dwTap, dwRow, &m[0], mPos, mRow, rows, n, &wino4Coefficients, &buf, add)
	}
	if n < cols {
		winograd4GradWeightGo(dw[n:], first, dwTap, dwRow, m[n:], mPos, mRow, rows, cols-n, add)
	}
}

// winograd4Kernels does whole panels by NEON: columns beyond cols are zero.
func winograd4Kernels(u []float32, uPos, uRow int, w []float32, first, wTap, wRow, rows, cols int) {
	if fours(cols) < uRow {
		winograd4KernelsGo(u, uPos, uRow, w, first, wTap, wRow, rows, cols)
		return
	}
	var buf [144]float32
	winograd4KernelsNEON(&u[0], uPos, uRow, &w[first], wTap, wRow, rows, cols, &wino4Coefficients, &buf)
}
