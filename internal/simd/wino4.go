package simd

import "fmt"

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
// A side of an image that is no multiple of four is cut in fours and threes: any but 1, 2 and 5 can be. F(3, 3) needs a
// point less, and with 0, a, −a, b and ∞ its transformed kernels are those of F(4, 3) there, if the row of Bᵀ for a
// point p carries the factor p+b that the kernels have for the point left out:
//
//	     ⎡a²b²   −a²b  −b²    b   0⎤
//	     ⎢ 0     −ab   a−b    1   0⎥ · (a+b)        ⎡1  1  1  1  0⎤
//	Bᵀ = ⎢ 0      ab  −a−b    1   0⎥ · (b−a)   Aᵀ = ⎢0  a −a  b  0⎥
//	     ⎢ 0     −a²    0     1   0⎥ · 2b           ⎣0  a² a² b² 1⎦
//	     ⎣ 0     a²b  −a²    −b   1⎦
//
// So tiles of 4×4, 3×4, 4×3 and 3×3 share their products. The smaller ones are left out at the positions of −b, and
// have 30 or 25 of the 36.
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
	wino4PointA + wino4PointB, wino4PointB - wino4PointA, 2 * wino4PointB,
}

// wino4Points are the places among the six points of those that F(n, 3) has.
func wino4Points(n int) []int {
	if n == 3 {
		return []int{0, 1, 2, 3, 5}
	}
	return []int{0, 1, 2, 3, 4, 5}
}

// checkWinograd4 panics unless a tile of rows×side outputs is one of F(4×4, 3×3).
func checkWinograd4(op string, rows, side, cols int) {
	if rows < 3 || rows > 4 || side < 3 || side > 4 {
		panic(fmt.Sprintf("simd: %s: got tiles of %d×%d, want sides of 3 or 4", op, rows, side))
	}
	if cols%side != 0 {
		panic(fmt.Sprintf("simd: %s: got %d columns, want a multiple of the tiles' %d", op, cols, side))
	}
}

// Winograd4Input is Winograd2Input for tiles of rows×side outputs, 3 or 4 each, V = Bᵀ d B: element (r, s) of tile t is
// pixel side·t+s of row r, x[r*xRow + (side*t+s)*xPix + ch], for r < rows+2 and s < side+2, and position i = 6·row +
// column goes to v[i*vPos + t*vTile + ch]. The positions that the tile does not have are left as they are.
func Winograd4Input(v []float32, vPos, vTile int, x []float32, xRow, xPix, rows, side, tiles, c int) {
	const op = "Winograd4Input"
	checkWinograd4(op, rows, side, 0)
	if checkWinogradInput(op, 4, v, vPos, vTile, x, xRow, xPix, rows, side, tiles, c) {
		return
	}
	winograd4Input(v, vPos, vTile, x, xRow, xPix, rows, side, tiles, c)
}

func winograd4InputGo(v []float32, vPos, vTile int, x []float32, xRow, xPix, rows, side, tiles, c int) {
	for t := range tiles {
		for ch := range c {
			var a [6][6]float32 // a[s] is column s of Bᵀ d
			for s := range side + 2 {
				a[s] = wino4B(rows, x[(side*t+s)*xPix+ch:], xRow)
			}
			for _, r := range wino4Points(rows) {
				d := [6]float32{a[0][r], a[1][r], a[2][r], a[3][r], a[4][r], a[5][r]}
				e := wino4B(side, d[:], 1)
				for _, s := range wino4Points(side) {
					v[(6*r+s)*vPos+t*vTile+ch] = e[s]
				}
			}
		}
	}
}

// wino4B returns Bᵀd of F(n, 3) for d a step apart. Conversions keep the compiler from fusing.
func wino4B(n int, d []float32, step int) (v [6]float32) {
	d0, d1, d2, d3, d4 := d[0], d[step], d[2*step], d[3*step], d[4*step]
	if n == 3 {
		e0, e1 := d1-float32(wino4PointB*d0), d2-float32(wino4PointB*d1)
		e2, e3 := d3-float32(wino4PointB*d2), d4-float32(wino4PointB*d3)
		return [6]float32{
			wino4PointB * (e2 - float32(wino4A2*e0)),
			(wino4PointA + wino4PointB) * (e2 + float32(wino4PointA*e1)),
			(wino4PointB - wino4PointA) * (e2 - float32(wino4PointA*e1)),
			2 * wino4PointB * (d3 - float32(wino4A2*d1)),
			0,
			e3 - float32(wino4A2*e1),
		}
	}
	d5 := d[5*step]
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

// Winograd4Output is Winograd2Output for tiles of rows×side outputs, 3 or 4 each, Y = Aᵀ M A + start + residual, where
// output (r, s) of tile t is y[r*yRow + (side*t+s)*yPix + ch] and cols, a multiple of side, counts pixels.
func Winograd4Output(y []float32, yRow, yPix int, m []float32, mPos, mTile int, residual, start []float32, rows, side, cols, c int) {
	const op = "Winograd4Output"
	checkWinograd4(op, rows, side, cols)
	if checkWinogradOutput(op, 4, y, yRow, yPix, m, mPos, mTile, residual, start, rows, side, cols, c) {
		return
	}
	winograd4Output(y, yRow, yPix, m, mPos, mTile, residual, start, rows, side, cols, c)
}

func winograd4OutputGo(y []float32, yRow, yPix int, m []float32, mPos, mTile int, residual, start []float32, rows, side, cols, c int) {
	for t := range cols / side {
		for ch := range c {
			var a [6][4]float32 // a[i] is row i of M A
			for _, i := range wino4Points(rows) {
				a[i] = wino4A(side, m[6*i*mPos+t*mTile+ch:], mPos)
			}
			for s := range side {
				d := [6]float32{a[0][s], a[1][s], a[2][s], a[3][s], a[4][s], a[5][s]}
				u := wino4A(rows, d[:], 1)
				for r, e := range u[:rows] {
					i := r*yRow + (side*t+s)*yPix + ch
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

// wino4A returns Aᵀm of F(n, 3) for m a step apart.
func wino4A(n int, m []float32, step int) [4]float32 {
	m0, m1, m2, m3, m5 := m[0], m[step], m[2*step], m[3*step], m[5*step]
	s1, f1 := m1+m2, float32(wino4PointA*(m1-m2))
	if n == 3 {
		return [4]float32{m0 + s1 + m3, f1 + float32(wino4PointB*m3), m5 + float32(wino4A2*s1) + float32(wino4B2*m3)}
	}
	m4 := m[4*step]
	s2, f2 := m3+m4, float32(wino4PointB*(m3-m4))
	return [4]float32{
		m0 + s1 + s2,
		f1 + f2,
		float32(wino4A2*s1) + float32(wino4B2*s2),
		m5 + float32(wino4A2*f1) + float32(wino4B2*f2),
	}
}

// Winograd4GradOutput is Winograd2GradOutput for tiles of rows×side, 3 or 4 each: D = A dY Aᵀ, where element (r, s) of
// tile t is dy[r*dyRow + (side*t+s)*dyPix + ch], position i = 6·row + column goes to d[i*dPos + t*dTile + ch] and cols is
// a multiple of side. The positions that the tile does not have are left as they are.
func Winograd4GradOutput(d []float32, dPos, dTile int, dy []float32, dyRow, dyPix, rows, side, cols, c int) {
	const op = "Winograd4GradOutput"
	checkWinograd4(op, rows, side, cols)
	if checkWinogradGradOutput(op, 4, d, dPos, dTile, dy, dyRow, dyPix, rows, side, cols, c) {
		return
	}
	winograd4GradOutput(d, dPos, dTile, dy, dyRow, dyPix, rows, side, cols, c)
}

func winograd4GradOutputGo(d []float32, dPos, dTile int, dy []float32, dyRow, dyPix, rows, side, cols, c int) {
	for t := range cols / side {
		for ch := range c {
			var a [4][6]float32 // a[s] is column s of A dY
			for s := range side {
				a[s] = wino4GradA(rows, dy[(side*t+s)*dyPix+ch:], dyRow)
			}
			for _, r := range wino4Points(rows) {
				y := [4]float32{a[0][r], a[1][r], a[2][r], a[3][r]}
				e := wino4GradA(side, y[:], 1)
				for _, s := range wino4Points(side) {
					d[(6*r+s)*dPos+t*dTile+ch] = e[s]
				}
			}
		}
	}
}

// wino4GradA returns Ay of F(n, 3) for y a step apart.
func wino4GradA(n int, y []float32, step int) [6]float32 {
	y0, y1, y2 := y[0], y[step], y[2*step]
	if n == 3 {
		e := y0 + float32(wino4A2*y2)
		return [6]float32{
			y0,
			e + float32(wino4PointA*y1), e - float32(wino4PointA*y1),
			y0 + float32(wino4B2*y2) + float32(wino4PointB*y1),
			0,
			y2,
		}
	}
	y3 := y[3*step]
	ea, oa := y0+float32(wino4A2*y2), y1+float32(wino4A2*y3)
	eb, ob := y0+float32(wino4B2*y2), y1+float32(wino4B2*y3)
	return [6]float32{
		y0,
		ea + float32(wino4PointA*oa), ea - float32(wino4PointA*oa),
		eb + float32(wino4PointB*ob), eb - float32(wino4PointB*ob),
		y3,
	}
}

// Winograd4GradWeight is Winograd2GradWeight for 36 positions: dw = Gᵀ M G, or dw += that, turned or not.
func Winograd4GradWeight(dw []float32, dwTap, dwRow int, m []float32, mPos, mRow, rows, cols int, add, turned bool) {
	if checkWinogradGradWeight("Winograd4GradWeight", 4, dw, dwTap, dwRow, m, mPos, mRow, rows, cols) {
		return
	}
	first, step := tapOrder(dwTap, turned)
	winograd4GradWeight(dw, first, step, dwRow, m, mPos, mRow, rows, cols, add)
}

func winograd4GradWeightGo(dw []float32, first, dwTap, dwRow int, m []float32, mPos, mRow, rows, cols int, add bool) {
	for row := range rows {
		for col := range cols {
			var a [6][3]float32 // a[s] is column s of Gᵀ M
			for s := range 6 {
				p := m[s*mPos+row*mRow+col:]
				a[s] = wino4GradG(p[0], p[6*mPos], p[12*mPos], p[18*mPos], p[24*mPos], p[30*mPos])
			}
			for r := range 3 {
				for s, e := range wino4GradG(a[0][r], a[1][r], a[2][r], a[3][r], a[4][r], a[5][r]) {
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
