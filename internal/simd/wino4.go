package simd

// F(4×4, 3×3) computes a 4×4 tile of outputs from a 6×6 tile of inputs with 36 multiplications instead of 144, where
// F(2×2, 3×3) takes 64: fewer products, for a larger rounding error. It is the same Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A
// with matrices that evaluate polynomials at the points 0, a, −a, b, −b and ∞ (Toom and Cook):
//
//	     ⎡a²b²   0  −a²−b²   0     1  0⎤       ⎡1/a²b²     0        0   ⎤
//	     ⎢ 0   −ab²   −b²    a     1  0⎥       ⎢1/m      a/m      a²/m  ⎥        ⎡1  1  1  1  1  0⎤
//	Bᵀ = ⎢ 0    ab²   −b²   −a     1  0⎥   G = ⎢1/m     −a/m      a²/m  ⎥   Aᵀ = ⎢0  a −a  b −b  0⎥
//	     ⎢ 0   −a²b   −a²    b     1  0⎥       ⎢1/n      b/n      b²/n  ⎥        ⎢0  a² a² b² b² 0⎥
//	     ⎢ 0    a²b   −a²   −b     1  0⎥       ⎢1/n     −b/n      b²/n  ⎥        ⎣0  a³−a³ b³−b³ 1⎦
//	     ⎣ 0   a²b²    0   −a²−b²  0  1⎦       ⎣ 0         0        1   ⎦
//
// with m = 2a²(a²−b²) and n = 2b²(b²−a²). Lavin and Gray (§4.3) take a, b = 1, 2. The error depends much on the
// choice: 5/8, 3/2, the best of the pairs in sixteenths up to a few per cent, have less than half of theirs and about
// twice that of a direct convolution (rms, 64 channels).
//
// The assembly fuses multiplications and additions, so its results differ from plain Go in rounding.

// The points, and the coefficients that are made of them.
const (
	wino4PointA = 5. / 8
	wino4PointB = 3. / 2
	wino4A2     = wino4PointA * wino4PointA
	wino4B2     = wino4PointB * wino4PointB
	wino4M      = 2 * wino4A2 * (wino4A2 - wino4B2)
	wino4N      = 2 * wino4B2 * (wino4B2 - wino4A2)
)

// wino4Coefficients are what the assembly reads, in its order.
var wino4Coefficients = [...]float32{
	wino4PointA, wino4PointB, wino4A2, wino4B2,
	1 / (wino4A2 * wino4B2), 1 / wino4M, wino4PointA / wino4M, wino4A2 / wino4M, 1 / wino4N, wino4PointB / wino4N, wino4B2 / wino4N,
}

// Winograd4Input is Winograd2Input for 6×6 tiles: V = Bᵀ d B, where element (r, s) of tile t is pixel 4t+s of row r,
// x[r*xRow + (4t+s)*xPix + ch], and position i = 6·row + column goes to v[i*vPos + t*vTile + ch].
func Winograd4Input(v []float32, vPos, vTile int, x []float32, xRow, xPix, tiles, c int) {
	if checkWinogradInput("Winograd4Input", 4, v, vPos, vTile, x, xRow, xPix, tiles, c) {
		return
	}
	winograd4Input(v, vPos, vTile, x, xRow, xPix, tiles, c)
}

func winograd4InputGo(v []float32, vPos, vTile int, x []float32, xRow, xPix, tiles, c int) {
	for t := range tiles {
		for ch := range c {
			var a [6][6]float32 // a[s] is column s of Bᵀ d
			for s := range 6 {
				p := x[(4*t+s)*xPix+ch:]
				a[s] = wino4B(p[0], p[xRow], p[2*xRow], p[3*xRow], p[4*xRow], p[5*xRow])
			}
			for r := range 6 {
				for s, e := range wino4B(a[0][r], a[1][r], a[2][r], a[3][r], a[4][r], a[5][r]) {
					v[(6*r+s)*vPos+t*vTile+ch] = e
				}
			}
		}
	}
}

// wino4B returns Bᵀd. Conversions keep the compiler from fusing.
func wino4B(d0, d1, d2, d3, d4, d5 float32) [6]float32 {
	e1, o1 := d4-float32(wino4B2*d2), d3-float32(wino4B2*d1)
	e2, o2 := d4-float32(wino4A2*d2), d3-float32(wino4A2*d1)
	d0, d5 = d2-float32(wino4B2*d0), d5-float32(wino4B2*d3)
	return [6]float32{
		e1 - float32(wino4A2*d0),
		e1 + float32(wino4PointA*o1), e1 - float32(wino4PointA*o1),
		e2 + float32(wino4PointB*o2), e2 - float32(wino4PointB*o2),
		d5 - float32(wino4A2*o1),
	}
}

// Winograd4Output is Winograd2Output for tiles of 4×4 outputs: Y = Aᵀ M A + start + residual, where output (r, s) of tile
// t is y[r*yRow + (4t+s)*yPix + ch] and rows is 1 to 4.
func Winograd4Output(y []float32, yRow, yPix int, m []float32, mPos, mTile int, residual, start []float32, rows, cols, c int) {
	if checkWinogradOutput("Winograd4Output", 4, y, yRow, yPix, m, mPos, mTile, residual, start, rows, cols, c) {
		return
	}
	winograd4Output(y, yRow, yPix, m, mPos, mTile, residual, start, rows, cols, c)
}

func winograd4OutputGo(y []float32, yRow, yPix int, m []float32, mPos, mTile int, residual, start []float32, rows, cols, c int) {
	for t := range (cols + 3) / 4 {
		for ch := range c {
			var a [6][4]float32 // a[i] is row i of M A
			for i := range 6 {
				p := m[6*i*mPos+t*mTile+ch:]
				a[i] = wino4A(p[0], p[mPos], p[2*mPos], p[3*mPos], p[4*mPos], p[5*mPos])
			}
			for s := range min(4, cols-4*t) {
				u := wino4A(a[0][s], a[1][s], a[2][s], a[3][s], a[4][s], a[5][s])
				for r, e := range u[:rows] {
					i := r*yRow + (4*t+s)*yPix + ch
					if len(start) > 0 {
						e += start[ch]
					}
					if len(residual) > 0 {
						e += residual[i]
					}
					y[i] = e
				}
			}
		}
	}
}

// wino4A returns Aᵀm.
func wino4A(m0, m1, m2, m3, m4, m5 float32) [4]float32 {
	s1, f1, s2, f2 := m1+m2, float32(wino4PointA*(m1-m2)), m3+m4, float32(wino4PointB*(m3-m4))
	return [4]float32{
		m0 + s1 + s2,
		f1 + f2,
		float32(wino4A2*s1) + float32(wino4B2*s2),
		m5 + float32(wino4A2*f1) + float32(wino4B2*f2),
	}
}

// Winograd4GradOutput is Winograd2GradOutput for 4×4 tiles: D = A dY Aᵀ, where element (r, s) of tile t is
// dy[r*dyRow + (4t+s)*dyPix + ch], position i = 6·row + column goes to d[i*dPos + t*dTile + ch] and rows is 1 to 4.
func Winograd4GradOutput(d []float32, dPos, dTile int, dy []float32, dyRow, dyPix, rows, cols, c int) {
	if checkWinogradGradOutput("Winograd4GradOutput", 4, d, dPos, dTile, dy, dyRow, dyPix, rows, cols, c) {
		return
	}
	winograd4GradOutput(d, dPos, dTile, dy, dyRow, dyPix, rows, cols, c)
}

func winograd4GradOutputGo(d []float32, dPos, dTile int, dy []float32, dyRow, dyPix, rows, cols, c int) {
	for t := range (cols + 3) / 4 {
		for ch := range c {
			var a [4][6]float32 // a[s] is column s of A dY
			for s := range min(4, cols-4*t) {
				var y [4]float32
				for r := range rows {
					y[r] = dy[r*dyRow+(4*t+s)*dyPix+ch]
				}
				a[s] = wino4GradA(y[0], y[1], y[2], y[3])
			}
			for r := range 6 {
				for s, e := range wino4GradA(a[0][r], a[1][r], a[2][r], a[3][r]) {
					d[(6*r+s)*dPos+t*dTile+ch] = e
				}
			}
		}
	}
}

// wino4GradA returns Ay.
func wino4GradA(y0, y1, y2, y3 float32) [6]float32 {
	ea, oa := y0+float32(wino4A2*y2), y1+float32(wino4A2*y3)
	eb, ob := y0+float32(wino4B2*y2), y1+float32(wino4B2*y3)
	return [6]float32{
		y0,
		ea + float32(wino4PointA*oa), ea - float32(wino4PointA*oa),
		eb + float32(wino4PointB*ob), eb - float32(wino4PointB*ob),
		y3,
	}
}

// Winograd4GradWeight is Winograd2GradWeight for 36 positions: dw += Gᵀ M G.
func Winograd4GradWeight(dw []float32, dwTap, dwRow int, m []float32, mPos, mRow, rows, cols int) {
	if checkWinogradGradWeight("Winograd4GradWeight", 4, dw, dwTap, dwRow, m, mPos, mRow, rows, cols) {
		return
	}
	winograd4GradWeight(dw, dwTap, dwRow, m, mPos, mRow, rows, cols)
}

func winograd4GradWeightGo(dw []float32, dwTap, dwRow int, m []float32, mPos, mRow, rows, cols int) {
	for row := range rows {
		for col := range cols {
			var a [6][3]float32 // a[s] is column s of Gᵀ M
			for s := range 6 {
				p := m[s*mPos+row*mRow+col:]
				a[s] = wino4GradG(p[0], p[6*mPos], p[12*mPos], p[18*mPos], p[24*mPos], p[30*mPos])
			}
			for r := range 3 {
				for s, e := range wino4GradG(a[0][r], a[1][r], a[2][r], a[3][r], a[4][r], a[5][r]) {
					dw[(3*r+s)*dwTap+row*dwRow+col] += e
				}
			}
		}
	}
}

// wino4GradG returns Gᵀm.
func wino4GradG(m0, m1, m2, m3, m4, m5 float32) [3]float32 {
	s1, f1, s2, f2 := m1+m2, m1-m2, m3+m4, m3-m4
	return [3]float32{
		float32(1/(wino4A2*wino4B2)*m0) + float32(1/wino4M*s1) + float32(1/wino4N*s2),
		float32(wino4PointA/wino4M*f1) + float32(wino4PointB/wino4N*f2),
		m5 + float32(wino4A2/wino4M*s1) + float32(wino4B2/wino4N*s2),
	}
}

// winograd4KernelsGo is winograd2KernelsGo for F(4×4, 3×3).
func winograd4KernelsGo(u []float32, uPos, uRow int, w []float32, first, wTap, wRow, rows, cols int) {
	for row := range rows {
		for col := range uRow {
			var a [3][6]float32
			if col < cols {
				for k := range 3 {
					at := first + k*wTap + row*wRow + col
					a[k] = wino4G(w[at], w[at+3*wTap], w[at+6*wTap])
				}
			}
			for i := range 6 {
				for j, e := range wino4G(a[0][i], a[1][i], a[2][i]) {
					u[(6*i+j)*uPos+row*uRow+col] = e
				}
			}
		}
	}
}

// wino4G returns Gg.
func wino4G(g0, g1, g2 float32) [6]float32 {
	em, om := float32(1/wino4M*g0)+float32(wino4A2/wino4M*g2), float32(wino4PointA/wino4M*g1)
	en, on := float32(1/wino4N*g0)+float32(wino4B2/wino4N*g2), float32(wino4PointB/wino4N*g1)
	return [6]float32{1 / (wino4A2 * wino4B2) * g0, em + om, em - om, en + on, en - on, g2}
}
