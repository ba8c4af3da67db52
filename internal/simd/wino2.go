package simd

import "fmt"

// The matrices of F(2×2, 3×3):
//
//	     ⎡1  0 −1  0⎤        ⎡1  0  0⎤
//	Bᵀ = ⎢0  1  1  0⎥    G = ⎢½  ½  ½⎥    Aᵀ = ⎡1  1  1  0⎤
//	     ⎢0 −1  1  0⎥        ⎢½ −½  ½⎥         ⎣0  1 −1 −1⎦
//	     ⎣0  1  0 −1⎦        ⎣0  0  1⎦
//
// The image transforms are additions only, and the assembly makes them in the order written here, so that its results
// have the same bits.

// checkWinograd2 panics unless tiles are 2×2.
func checkWinograd2(op string, rows, side int) {
	if rows != 2 || side != 2 {
		panic(fmt.Sprintf("simd: %s: got tiles of %d×%d, want 2×2", op, rows, side))
	}
}

// Winograd2Input transforms a row of 4×4 input tiles: V = Bᵀ d B. Tiles overlap by two columns, so element (r, s) of
// tile t is pixel 2t+s of row r, x[r*xRow + (2t+s)*xPix + ch] for each channel ch < c; the slice x starts at the
// row's first pixel, in an image that has its zero border. Position i goes to v[i*vPos + t*vTile + ch]. rows and side
// are those of a tile of outputs, 2.
func Winograd2Input(v []float32, vPos, vTile int, x []float32, xRow, xPix, rows, side, tiles, c int) {
	const op = "Winograd2Input"
	checkWinograd2(op, rows, side)
	if checkWinogradInput(op, 2, v, vPos, vTile, x, xRow, xPix, rows, side, tiles, c) {
		return
	}
	winograd2Input(v, vPos, vTile, x, xRow, xPix, tiles, c)
}

func winograd2InputGo(v []float32, vPos, vTile int, x []float32, xRow, xPix, tiles, c int) {
	for t := range tiles {
		x0, v0 := x[2*t*xPix:], v[t*vTile:]
		x1, x2, x3 := x0[xPix:], x0[2*xPix:], x0[3*xPix:]
		v1, v2, v3 := v0[4*vPos:], v0[8*vPos:], v0[12*vPos:]
		for ch := range c {
			a00, a10, a20, a30 := wino2B(x0[ch], x0[ch+xRow], x0[ch+2*xRow], x0[ch+3*xRow])
			a01, a11, a21, a31 := wino2B(x1[ch], x1[ch+xRow], x1[ch+2*xRow], x1[ch+3*xRow])
			a02, a12, a22, a32 := wino2B(x2[ch], x2[ch+xRow], x2[ch+2*xRow], x2[ch+3*xRow])
			a03, a13, a23, a33 := wino2B(x3[ch], x3[ch+xRow], x3[ch+2*xRow], x3[ch+3*xRow])
			v0[ch], v0[ch+vPos], v0[ch+2*vPos], v0[ch+3*vPos] = wino2B(a00, a01, a02, a03)
			v1[ch], v1[ch+vPos], v1[ch+2*vPos], v1[ch+3*vPos] = wino2B(a10, a11, a12, a13)
			v2[ch], v2[ch+vPos], v2[ch+2*vPos], v2[ch+3*vPos] = wino2B(a20, a21, a22, a23)
			v3[ch], v3[ch+vPos], v3[ch+2*vPos], v3[ch+3*vPos] = wino2B(a30, a31, a32, a33)
		}
	}
}

// wino2B returns Bᵀd.
func wino2B(d0, d1, d2, d3 float32) (v0, v1, v2, v3 float32) {
	return d0 - d2, d1 + d2, d2 - d1, d1 - d3
}

// Winograd2Output transforms a row of products back: Y = Aᵀ M A + start, of which y receives Y + residual.
//
// Position i of tile t is m[i*mPos + t*mTile + ch], and output (r, s) of the tile y[r*yRow + (2t+s)*yPix + ch]. rows,
// 1 or 2, and cols are how many rows and pixels of y there are; what sticks out of them is dropped. side is 2. start, one value
// per channel (a bias), may be empty, and so may the residual, which is laid out like y and may be y.
func Winograd2Output(y []float32, yRow, yPix int, m []float32, mPos, mTile int, residual, start []float32, rows, side, cols, c int) {
	const op = "Winograd2Output"
	checkWinograd2(op, 2, side)
	if checkWinogradOutput(op, 2, y, yRow, yPix, m, mPos, mTile, residual, start, rows, side, cols, c) {
		return
	}
	winograd2Output(y, yRow, yPix, m, mPos, mTile, residual, start, rows, cols, c)
}

func winograd2OutputGo(y []float32, yRow, yPix int, m []float32, mPos, mTile int, residual, start []float32, rows, cols, c int) {
	for t := range (cols + 1) / 2 {
		m0 := m[t*mTile:]
		m1, m2, m3 := m0[4*mPos:], m0[8*mPos:], m0[12*mPos:]
		for ch := range c {
			// Column 1 of Aᵀ is ones, so what is added at (1, 1) reaches all four outputs.
			m11 := m1[ch+mPos]
			if len(start) > 0 {
				m11 += start[ch]
			}
			a00, a10 := wino2A(m0[ch], m1[ch], m2[ch], m3[ch])
			a01, a11 := wino2A(m0[ch+mPos], m11, m2[ch+mPos], m3[ch+mPos])
			a02, a12 := wino2A(m0[ch+2*mPos], m1[ch+2*mPos], m2[ch+2*mPos], m3[ch+2*mPos])
			a03, a13 := wino2A(m0[ch+3*mPos], m1[ch+3*mPos], m2[ch+3*mPos], m3[ch+3*mPos])
			var u [2][2]float32
			u[0][0], u[0][1] = wino2A(a00, a01, a02, a03)
			u[1][0], u[1][1] = wino2A(a10, a11, a12, a13)
			for r := range rows {
				for s := range min(2, cols-2*t) {
					i, e := r*yRow+(2*t+s)*yPix+ch, u[r][s]
					if len(residual) > 0 {
						e += residual[i]
					}
					y[i] = e
				}
			}
		}
	}
}

// wino2A returns Aᵀm.
func wino2A(m0, m1, m2, m3 float32) (y0, y1 float32) { return m0 + m1 + m2, m1 - m2 - m3 }

// Winograd2GradOutput transforms the 2×2 tiles of a row of output gradients, D = A dY Aᵀ, but for the sign of the last
// row of A: with (0 1) instead of (0 −1) nothing need be negated, and Winograd2GradWeight makes up for it.
//
// Element (r, s) of tile t is dy[r*dyRow + (2t+s)*dyPix + ch], position i goes to d[i*dPos + t*dTile + ch]. As in
// Winograd2Output, rows and cols are how many rows and pixels of dy there are; what the tiles lack counts as zero. side
// is 2.
func Winograd2GradOutput(d []float32, dPos, dTile int, dy []float32, dyRow, dyPix, rows, side, cols, c int) {
	const op = "Winograd2GradOutput"
	checkWinograd2(op, 2, side)
	if checkWinogradGradOutput(op, 2, d, dPos, dTile, dy, dyRow, dyPix, rows, side, cols, c) {
		return
	}
	winograd2GradOutput(d, dPos, dTile, dy, dyRow, dyPix, rows, cols, c)
}

func winograd2GradOutputGo(d []float32, dPos, dTile int, dy []float32, dyRow, dyPix, rows, cols, c int) {
	for t := range (cols + 1) / 2 {
		d0 := d[t*dTile:]
		d1, d2, d3 := d0[4*dPos:], d0[8*dPos:], d0[12*dPos:]
		for ch := range c {
			var y [2][2]float32
			for r := range rows {
				for s := range min(2, cols-2*t) {
					y[r][s] = dy[r*dyRow+(2*t+s)*dyPix+ch]
				}
			}
			a00, a10, a20, a30 := wino2GradA(y[0][0], y[1][0])
			a01, a11, a21, a31 := wino2GradA(y[0][1], y[1][1])
			d0[ch], d0[ch+dPos], d0[ch+2*dPos], d0[ch+3*dPos] = wino2GradA(a00, a01)
			d1[ch], d1[ch+dPos], d1[ch+2*dPos], d1[ch+3*dPos] = wino2GradA(a10, a11)
			d2[ch], d2[ch+dPos], d2[ch+2*dPos], d2[ch+3*dPos] = wino2GradA(a20, a21)
			d3[ch], d3[ch+dPos], d3[ch+2*dPos], d3[ch+3*dPos] = wino2GradA(a30, a31)
		}
	}
}

// wino2GradA returns Ay, with the sign of the last row turned.
func wino2GradA(y0, y1 float32) (d0, d1, d2, d3 float32) { return y0, y0 + y1, y0 - y1, y1 }

// Winograd2GradWeight sets dw to the transformed-back weight gradient, Gᵀ M G, or adds that to it: position i of M is the matrix
// m[i*mPos + row*mRow + col], and tap k = 3·row + column of the gradient dw[k*dwTap + row*dwRow + col], for rows
// (input channels) × cols (output channels). With turned the taps are turned by half a turn: that is tap 8−k.
func Winograd2GradWeight(dw []float32, dwTap, dwRow int, m []float32, mPos, mRow, rows, cols int, add, turned bool) {
	if checkWinogradGradWeight("Winograd2GradWeight", 2, dw, dwTap, dwRow, m, mPos, mRow, rows, cols) {
		return
	}
	first, step := tapOrder(dwTap, turned)
	winograd2GradWeight(dw, first, step, dwRow, m, mPos, mRow, rows, cols, add)
}

func winograd2GradWeightGo(dw []float32, first, dwTap, dwRow int, m []float32, mPos, mRow, rows, cols int, add bool) {
	for row := range rows {
		m0 := m[row*mRow:]
		m1, m2, m3 := m0[4*mPos:], m0[8*mPos:], m0[12*mPos:]
		for col := range cols {
			var a [4][3]float32 // a[s] is column s of Gᵀ M
			for s := range 4 {
				i := col + s*mPos
				a[s] = wino2GradG(m0[i], m1[i], m2[i], m3[i])
			}
			for r := range 3 {
				for s, e := range wino2GradG(a[0][r], a[1][r], a[2][r], a[3][r]) {
					w := &dw[first+(3*r+s)*dwTap+row*dwRow+col]
					if add {
						e += *w
					}
					*w = e
				}
			}
		}
	}
}

// wino2GradG returns Gᵀm, with the sign of the last column of Gᵀ turned.
func wino2GradG(m0, m1, m2, m3 float32) [3]float32 {
	s := 0.5 * (m1 + m2)
	return [3]float32{m0 + s, 0.5 * (m1 - m2), s - m3}
}

// winograd2KernelsGo transforms rows×cols kernels whose tap k is the matrix w[first + k*wTap + row*wRow + col] into
// u[i*uPos + row*uRow + col]; wTap may be negative. uRow is a multiple of 16, and the columns from cols up to it are
// written as zero.
func winograd2KernelsGo(u []float32, uPos, uRow int, w []float32, first, wTap, wRow, rows, cols int) {
	for row := range rows {
		u0 := u[row*uRow:]
		u1, u2, u3 := u0[4*uPos:], u0[8*uPos:], u0[12*uPos:]
		for col := range uRow {
			var g [9]float32
			if col < cols {
				for k := range g {
					g[k] = w[first+k*wTap+row*wRow+col]
				}
			}
			a00, a10, a20, a30 := wino2G(g[0], g[3], g[6])
			a01, a11, a21, a31 := wino2G(g[1], g[4], g[7])
			a02, a12, a22, a32 := wino2G(g[2], g[5], g[8])
			u0[col], u0[col+uPos], u0[col+2*uPos], u0[col+3*uPos] = wino2G(a00, a01, a02)
			u1[col], u1[col+uPos], u1[col+2*uPos], u1[col+3*uPos] = wino2G(a10, a11, a12)
			u2[col], u2[col+uPos], u2[col+2*uPos], u2[col+3*uPos] = wino2G(a20, a21, a22)
			u3[col], u3[col+uPos], u3[col+2*uPos], u3[col+3*uPos] = wino2G(a30, a31, a32)
		}
	}
}

// wino2G returns Gg.
func wino2G(g0, g1, g2 float32) (u0, u1, u2, u3 float32) {
	s := g0 + g2
	return g0, 0.5 * (s + g1), 0.5 * (s - g1), g2
}
