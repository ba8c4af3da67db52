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
// The assembly fuses multiplications and additions, so its results differ from plain Go in rounding.

// The points, and the coefficients that are made of them.
const (
	wino4PointA = 5. / 8
	wino4PointB = 3. / 2
	wino4A2     = wino4PointA * wino4PointA
	wino4B2     = wino4PointB * wino4PointB
	wino4A3     = wino4A2 * wino4PointA
	wino4B3     = wino4B2 * wino4PointB
	wino4M      = 2 * wino4A2 * (wino4A2 - wino4B2)
	wino4N      = 2 * wino4B2 * (wino4B2 - wino4A2)
)

// wino4Coefficients are what the assembly reads, in its order.
var wino4Coefficients = [...]float32{
	wino4PointA, wino4PointB, wino4A2, wino4B2, wino4A3, wino4B3,
	1 / (wino4A2 * wino4B2), 1 / wino4M, wino4PointA / wino4M, wino4A2 / wino4M, 1 / wino4N, wino4PointB / wino4N, wino4B2 / wino4N,
}

// Winograd4Input transforms a row of 6×6 input tiles: V = Bᵀ d B. Tiles overlap by two columns: element (r, s) of
// tile t is pixel 4t+s of row r, x[r*xRow + (4t+s)*xPix + ch] for each channel ch < c, in an image that has its zero
// border. Position i = 6·row + column goes to v[i*vPos + t*vTile + ch].
func Winograd4Input(v []float32, vPos, vTile int, x []float32, xRow, xPix int, tiles, c int) {
	const op = "Winograd4Input"
	if checkCounts(op, tiles, c) {
		return
	}
	checkReach(op, "v", len(v), c, [2]int{35, vPos}, [2]int{tiles - 1, vTile})
	checkReach(op, "x", len(x), c, [2]int{5, xRow}, [2]int{5, xPix}, [2]int{tiles - 1, xPix}, [2]int{3 * (tiles - 1), xPix})
	winograd4Input(v, vPos, vTile, x, xRow, xPix, tiles, c)
}

func winograd4InputGo(v []float32, vPos, vTile int, x []float32, xRow, xPix int, tiles, c int) {
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

// Winograd4Output transforms a row of products back: Y = Aᵀ M A + start, of which y receives Y + r.
//
// Position i of tile t is m[i*mPos + t*mTile + ch], and output (r, s) of the tile y[r*yRow + (4t+s)*yPix + ch]. rows,
// from 1 to 4, and cols are how many rows and pixels of y there are; what sticks out of them is dropped. start, one
// value per channel, may be empty, and so may the residual, which is laid out like y and may be y.
func Winograd4Output(y []float32, yRow, yPix int, m []float32, mPos, mTile int, residual, start []float32, rows, cols, c int) {
	const op = "Winograd4Output"
	if rows < 1 || rows > 4 {
		panic(fmt.Sprintf("simd: %s: got %d rows, want 1 to 4", op, rows))
	}
	if checkCounts(op, cols, c) {
		return
	}
	checkReach(op, "m", len(m), c, [2]int{35, mPos}, [2]int{(cols - 1) / 4, mTile})
	checkReach(op, "y", len(y), c, [2]int{rows - 1, yRow}, [2]int{cols - 1, yPix})
	if len(residual) > 0 {
		checkReach(op, "residual", len(residual), c, [2]int{rows - 1, yRow}, [2]int{cols - 1, yPix})
	}
	if len(start) > 0 {
		checkReach(op, "start", len(start), c)
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
	s1, f1, s2, f2 := m1+m2, m1-m2, m3+m4, m3-m4
	return [4]float32{
		m0 + s1 + s2,
		float32(wino4PointA*f1) + float32(wino4PointB*f2),
		float32(wino4A2*s1) + float32(wino4B2*s2),
		m5 + float32(wino4A3*f1) + float32(wino4B3*f2),
	}
}
