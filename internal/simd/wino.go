package simd

import (
	"fmt"
	"slices"
)

//go:generate go run -C _asm ./wino -out ../wino_amd64.s -stubs ../wino_stub_amd64.go -pkg simd

// The Winograd convolution F(2×2, 3×3) of Lavin and Gray (arXiv:1509.09308, §4.1) computes a 2×2 tile Y of outputs
// from a 4×4 tile d of inputs and a 3×3 kernel g with 16 multiplications instead of 36:
//
//	Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A
//
//	     ⎡1  0 −1  0⎤        ⎡1  0  0⎤
//	Bᵀ = ⎢0  1  1  0⎥    G = ⎢½  ½  ½⎥    Aᵀ = ⎡1  1  1  0⎤
//	     ⎢0 −1  1  0⎥        ⎢½ −½  ½⎥         ⎣0  1 −1 −1⎦
//	     ⎣0  1  0 −1⎦        ⎣0  0  1⎦
//
// Summed over input channels, each of the 16 positions i = 4·row + column of the transformed tile is a matrix product
// of its own, [tiles×Cin]·[Cin×Cout], for Gemm. This file holds what stands before and after it: V = Bᵀ d B and
// Y = Aᵀ M A. The transforms are additions only, and the assembly makes them in the order written here, so that its
// results have the same bits.
//
// All offsets and strides count elements. Destinations must not overlap sources except where the text allows it. A
// stride between positions that is a multiple of a large power of two puts all 16 in the same set of the L1 cache,
// and the transforms run at a quarter of their speed; 16 elements more cure it.

// WinogradInput transforms a row of 4×4 input tiles: V = Bᵀ d B. Tiles overlap by two columns, so element (r, s) of
// tile t is pixel 2t+s of row r, x[r*xRow + (2t+s)*xPix + ch] for each channel ch < c; the slice x starts at the
// row's first pixel, in an image that has its zero border. Position i goes to v[i*vPos + t*vTile + ch].
func WinogradInput(v []float32, vPos, vTile int, x []float32, xRow, xPix int, tiles, c int) {
	const op = "WinogradInput"
	if checkCounts(op, tiles, c) {
		return
	}
	checkReach(op, "v", len(v), c, [2]int{15, vPos}, [2]int{tiles - 1, vTile})
	checkReach(op, "x", len(x), c, [2]int{3, xRow}, [2]int{1, xPix}, [2]int{2 * tiles, xPix})
	winogradInput(v, vPos, vTile, x, xRow, xPix, tiles, c)
}

func winogradInputGo(v []float32, vPos, vTile int, x []float32, xRow, xPix int, tiles, c int) {
	for t := range tiles {
		x0, v0 := x[2*t*xPix:], v[t*vTile:]
		x1, x2, x3 := x0[xPix:], x0[2*xPix:], x0[3*xPix:]
		v1, v2, v3 := v0[4*vPos:], v0[8*vPos:], v0[12*vPos:]
		for ch := range c {
			a00, a10, a20, a30 := winoB(x0[ch], x0[ch+xRow], x0[ch+2*xRow], x0[ch+3*xRow])
			a01, a11, a21, a31 := winoB(x1[ch], x1[ch+xRow], x1[ch+2*xRow], x1[ch+3*xRow])
			a02, a12, a22, a32 := winoB(x2[ch], x2[ch+xRow], x2[ch+2*xRow], x2[ch+3*xRow])
			a03, a13, a23, a33 := winoB(x3[ch], x3[ch+xRow], x3[ch+2*xRow], x3[ch+3*xRow])
			v0[ch], v0[ch+vPos], v0[ch+2*vPos], v0[ch+3*vPos] = winoB(a00, a01, a02, a03)
			v1[ch], v1[ch+vPos], v1[ch+2*vPos], v1[ch+3*vPos] = winoB(a10, a11, a12, a13)
			v2[ch], v2[ch+vPos], v2[ch+2*vPos], v2[ch+3*vPos] = winoB(a20, a21, a22, a23)
			v3[ch], v3[ch+vPos], v3[ch+2*vPos], v3[ch+3*vPos] = winoB(a30, a31, a32, a33)
		}
	}
}

// winoB returns Bᵀd.
func winoB(d0, d1, d2, d3 float32) (v0, v1, v2, v3 float32) {
	return d0 - d2, d1 + d2, d2 - d1, d1 - d3
}

// WinogradOutput transforms a row of products back: Y = Aᵀ M A + start, of which y receives Y + r.
//
// Position i of tile t is m[i*mPos + t*mTile + ch]. The tile's 2×2 outputs are pixels 2t and 2t+1 of two rows, y0
// and y1, at y0[(2t+s)*yPix + ch]. Of an odd image the last tiles stick out: y1 is empty where there is no second
// row, and cols, the pixels in a row, is odd where there is no second column.
//
// start, one value per channel (a bias), may be empty, and so may the residual r0, r1, laid out like y0, y1 and
// allowed to be the same memory, which makes the call add to y.
func WinogradOutput(y0, y1 []float32, yPix int, m []float32, mPos, mTile int, r0, r1, start []float32, cols, c int) {
	const op = "WinogradOutput"
	if checkCounts(op, cols, c) {
		return
	}
	checkReach(op, "m", len(m), c, [2]int{15, mPos}, [2]int{(cols+1)/2 - 1, mTile})
	checkReach(op, "y0", len(y0), c, [2]int{cols - 1, yPix})
	if len(y1) > 0 {
		checkReach(op, "y1", len(y1), c, [2]int{cols - 1, yPix})
	}
	if len(r0) > 0 || len(r1) > 0 {
		checkReach(op, "r0", len(r0), c, [2]int{cols - 1, yPix})
		if len(y1) > 0 {
			checkReach(op, "r1", len(r1), c, [2]int{cols - 1, yPix})
		}
	}
	if len(start) > 0 {
		checkReach(op, "start", len(start), c)
	}
	winogradOutput(y0, y1, yPix, m, mPos, mTile, r0, r1, start, cols, c)
}

func winogradOutputGo(y0, y1 []float32, yPix int, m []float32, mPos, mTile int, r0, r1, start []float32, cols, c int) {
	for s := 0; s < cols; s += 2 {
		m0 := m[s/2*mTile:]
		m1, m2, m3 := m0[4*mPos:], m0[8*mPos:], m0[12*mPos:]
		p := s * yPix
		for ch := range c {
			// Column 1 of Aᵀ is ones, so what is added at (1, 1) reaches all four outputs.
			m11 := m1[ch+mPos]
			if len(start) > 0 {
				m11 += start[ch]
			}
			a00, a10 := winoA(m0[ch], m1[ch], m2[ch], m3[ch])
			a01, a11 := winoA(m0[ch+mPos], m11, m2[ch+mPos], m3[ch+mPos])
			a02, a12 := winoA(m0[ch+2*mPos], m1[ch+2*mPos], m2[ch+2*mPos], m3[ch+2*mPos])
			a03, a13 := winoA(m0[ch+3*mPos], m1[ch+3*mPos], m2[ch+3*mPos], m3[ch+3*mPos])
			u0, u1 := winoA(a00, a01, a02, a03)
			storePair(y0, r0, p+ch, yPix, s+1 < cols, u0, u1)
			if len(y1) > 0 {
				u0, u1 = winoA(a10, a11, a12, a13)
				storePair(y1, r1, p+ch, yPix, s+1 < cols, u0, u1)
			}
		}
	}
}

// storePair sets y[i], y[i+next] = u0, u1 plus the residual r, if there is one; the second only if two says so.
func storePair(y, r []float32, i, next int, two bool, u0, u1 float32) {
	if len(r) > 0 {
		u0 += r[i]
	}
	y[i] = u0
	if !two {
		return
	}
	if len(r) > 0 {
		u1 += r[i+next]
	}
	y[i+next] = u1
}

// winoA returns Aᵀm.
func winoA(m0, m1, m2, m3 float32) (y0, y1 float32) { return m0 + m1 + m2, m1 - m2 - m3 }

// checkCounts panics if a count is negative, or so large that a small multiple of it might overflow, and reports
// whether there is nothing to do.
func checkCounts(op string, a, b int) (none bool) {
	const most = 1 << 28
	if a < 0 || b < 0 || a > most || b > most {
		panic(fmt.Sprintf("simd: %s: got counts %d and %d, want 0 to %d", op, a, b, most))
	}
	return a == 0 || b == 0
}

// checkReach panics unless the slice name, of length n, holds c elements after steps {count, stride}: each stride
// from 0 up, and Σ count·stride + c ≤ n. It divides, so no product overflows.
func checkReach(op, name string, n, c int, steps ...[2]int) {
	left := n - c
	for _, s := range steps {
		count, stride := s[0], s[1]
		if stride < 0 || left < 0 || count > 0 && stride > left/count {
			left = -1
			break
		}
		left -= count * stride
	}
	if left < 0 {
		shown := slices.Clone(steps) // the caller's stay on its stack
		panic(fmt.Sprintf("simd: %s: got %s of %d elements, want %d after steps {count, stride} %v", op, name, n, c, shown))
	}
}
