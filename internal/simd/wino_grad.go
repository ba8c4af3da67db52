package simd

// The weight gradient is the adjoint of the forward transform in g:
//
//	dg = Gᵀ [(A dY Aᵀ) ⊙ (Bᵀ d B)] G
//
// summed over tiles, each position being a matrix product [Cin×tiles]·[tiles×Cout] that accumulates over images. So
// WinogradInput serves here too, and the transform back is paid once for all tiles. Only the sign of position 3 moves:
// with the last row of A as (0 1) instead of (0 −1) the tiles of dY need no negation, and the last column of Gᵀ is
// −1 to make up for it.

// WinogradGradOutput transforms the 2×2 tiles of two rows of output gradients, D = A dY Aᵀ: pixel s of the rows is
// dy0[s*dyPix + ch], dy1[s*dyPix + ch], position i of tile t d[i*dPos + t*dTile + ch]. As in WinogradOutput cols is
// the number of pixels in a row, and may be odd, and dy1 may be empty; what the tiles lack counts as zero.
//
// Position 5, row and column 1, is the sum of a tile's gradients, and so the bias gradient, summed over tiles.
func WinogradGradOutput(d []float32, dPos, dTile int, dy0, dy1 []float32, dyPix int, cols, c int) {
	const op = "WinogradGradOutput"
	if checkCounts(op, cols, c) {
		return
	}
	checkReach(op, "d", len(d), c, [2]int{15, dPos}, [2]int{(cols+1)/2 - 1, dTile})
	checkReach(op, "dy0", len(dy0), c, [2]int{cols - 1, dyPix})
	if len(dy1) > 0 {
		checkReach(op, "dy1", len(dy1), c, [2]int{cols - 1, dyPix})
	}
	winogradGradOutput(d, dPos, dTile, dy0, dy1, dyPix, cols, c)
}

func winogradGradOutputGo(d []float32, dPos, dTile int, dy0, dy1 []float32, dyPix int, cols, c int) {
	for s := 0; s < cols; s += 2 {
		d0 := d[s/2*dTile:]
		d1, d2, d3 := d0[4*dPos:], d0[8*dPos:], d0[12*dPos:]
		two := s+1 < cols
		for ch := range c {
			p := s*dyPix + ch
			var y00, y01, y10, y11 float32
			y00 = dy0[p]
			if two {
				y01 = dy0[p+dyPix]
			}
			if len(dy1) > 0 {
				y10 = dy1[p]
				if two {
					y11 = dy1[p+dyPix]
				}
			}
			a00, a10, a20, a30 := winoGradA(y00, y10)
			a01, a11, a21, a31 := winoGradA(y01, y11)
			d0[ch], d0[ch+dPos], d0[ch+2*dPos], d0[ch+3*dPos] = winoGradA(a00, a01)
			d1[ch], d1[ch+dPos], d1[ch+2*dPos], d1[ch+3*dPos] = winoGradA(a10, a11)
			d2[ch], d2[ch+dPos], d2[ch+2*dPos], d2[ch+3*dPos] = winoGradA(a20, a21)
			d3[ch], d3[ch+dPos], d3[ch+2*dPos], d3[ch+3*dPos] = winoGradA(a30, a31)
		}
	}
}

// winoGradA returns Ay, with the sign of the last row turned.
func winoGradA(y0, y1 float32) (d0, d1, d2, d3 float32) { return y0, y0 + y1, y0 - y1, y1 }

// WinogradGradWeight adds the transformed-back weight gradient, Gᵀ M G, to dw: position i of M is the matrix
// m[i*mPos + row*mRow + col], and tap (kh, kw) of the gradient dw[(kh*3+kw)*dwTap + row*dwRow + col], for rows
// (input channels) × cols (output channels).
func WinogradGradWeight(dw []float32, dwTap, dwRow int, m []float32, mPos, mRow int, rows, cols int) {
	const op = "WinogradGradWeight"
	if checkCounts(op, rows, cols) {
		return
	}
	checkReach(op, "dw", len(dw), cols, [2]int{8, dwTap}, [2]int{rows - 1, dwRow})
	checkReach(op, "m", len(m), cols, [2]int{15, mPos}, [2]int{rows - 1, mRow})
	winogradGradWeight(dw, dwTap, dwRow, m, mPos, mRow, rows, cols)
}

func winogradGradWeightGo(dw []float32, dwTap, dwRow int, m []float32, mPos, mRow int, rows, cols int) {
	for row := range rows {
		m0, w0 := m[row*mRow:], dw[row*dwRow:]
		m1, m2, m3 := m0[4*mPos:], m0[8*mPos:], m0[12*mPos:]
		w1, w2 := w0[3*dwTap:], w0[6*dwTap:]
		for col := range cols {
			a00, a10, a20 := winoGradG(m0[col], m1[col], m2[col], m3[col])
			a01, a11, a21 := winoGradG(m0[col+mPos], m1[col+mPos], m2[col+mPos], m3[col+mPos])
			a02, a12, a22 := winoGradG(m0[col+2*mPos], m1[col+2*mPos], m2[col+2*mPos], m3[col+2*mPos])
			a03, a13, a23 := winoGradG(m0[col+3*mPos], m1[col+3*mPos], m2[col+3*mPos], m3[col+3*mPos])
			g00, g01, g02 := winoGradG(a00, a01, a02, a03)
			g10, g11, g12 := winoGradG(a10, a11, a12, a13)
			g20, g21, g22 := winoGradG(a20, a21, a22, a23)
			w0[col], w0[col+dwTap], w0[col+2*dwTap] = w0[col]+g00, w0[col+dwTap]+g01, w0[col+2*dwTap]+g02
			w1[col], w1[col+dwTap], w1[col+2*dwTap] = w1[col]+g10, w1[col+dwTap]+g11, w1[col+2*dwTap]+g12
			w2[col], w2[col+dwTap], w2[col+2*dwTap] = w2[col]+g20, w2[col+dwTap]+g21, w2[col+2*dwTap]+g22
		}
	}
}

// winoGradG returns Gᵀm, with the sign of the last column turned.
func winoGradG(m0, m1, m2, m3 float32) (g0, g1, g2 float32) {
	s := 0.5 * (m1 + m2)
	return m0 + s, 0.5 * (m1 - m2), s - m3
}
