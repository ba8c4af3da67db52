package simd

import (
	"fmt"
	"math/bits"
)

//go:generate go run -C _asm ./wino -out ../wino_amd64.s -stubs ../wino_stub_amd64.go -pkg simd
//go:generate go run -C _asm ./winoneon -out ../wino_arm64.s

// The Winograd convolution F(m×m, 3×3) of Lavin and Gray (arXiv:1509.09308, §4.1) computes an m×m tile Y of outputs from
// an (m+2)×(m+2) tile d of inputs and a 3×3 kernel g with (m+2)² multiplications instead of 9m²:
//
//	Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A
//
// Summed over input channels, each position i = (m+2)·row + column of the transformed tile is a matrix product of its
// own, [tiles×Cin]·[Cin×Cout], for Gemm. Package simd holds what stands before and after it, for m = 2 and m = 4:
//
//	Input       V = Bᵀ d B
//	Weight      U = G g Gᵀ, packed for Gemm
//	Output      Y = Aᵀ M A
//
// The input gradient is a convolution with the kernels of WeightTransposed. The weight gradient is the adjoint of the
// forward transform in g,
//
//	dg = Gᵀ [(A dY Aᵀ) ⊙ (Bᵀ d B)] G
//
// summed over tiles, each position being a matrix product [Cin×tiles]·[tiles×Cout] that accumulates over images. So
// Input serves here too, and the transform back is paid once for all tiles:
//
//	GradOutput  D = A dY Aᵀ
//	GradWeight  dg = Gᵀ M G
//
// Functions for both m have the same arguments. All offsets and strides count elements. Destinations must not overlap
// sources except where the text allows it. A stride between positions that is a multiple of a large power of two puts
// all of them in the same set of the L1 cache, and the transforms run at a quarter of their speed; 16 elements more
// cure it.

// The check functions panic unless the arguments of op, for tiles of side m, are in range, and report whether there is
// nothing to do.

func checkWinogradInput(op string, m int, v []float32, vPos, vTile int, x []float32, xRow, xPix, rows, side, tiles, c int) (none bool) {
	if checkPixels(op, m, rows, tiles, c) {
		return true
	}
	checkReach(op, "v", len(v), c, lastPosition(m), vPos, tiles-1, vTile)
	checkReach(op, "x", len(x), c, rows+1, xRow, side*tiles+1, xPix)
	return false
}

func checkWinogradOutput(op string, m int, y []float32, yRow, yPix int, prod []float32, mPos, mTile int, residual, start []float32, rows, side, cols, c int) (none bool) {
	if checkPixels(op, m, rows, cols, c) {
		return true
	}
	checkReach(op, "m", len(prod), c, lastPosition(m), mPos, (cols-1)/side, mTile)
	checkReach(op, "y", len(y), c, rows-1, yRow, cols-1, yPix)
	if len(residual) > 0 {
		checkReach(op, "residual", len(residual), c, rows-1, yRow, cols-1, yPix)
	}
	if len(start) > 0 {
		checkReach(op, "start", len(start), c, 0, 0, 0, 0)
	}
	return false
}

func checkWinogradGradOutput(op string, m int, d []float32, dPos, dTile int, dy []float32, dyRow, dyPix, rows, side, cols, c int) (none bool) {
	if checkPixels(op, m, rows, cols, c) {
		return true
	}
	checkReach(op, "d", len(d), c, lastPosition(m), dPos, (cols-1)/side, dTile)
	checkReach(op, "dy", len(dy), c, rows-1, dyRow, cols-1, dyPix)
	return false
}

func checkWinogradGradWeight(op string, m int, dw []float32, dwTap, dwRow int, sum []float32, mPos, mRow, rows, cols int) (none bool) {
	if checkCounts(op, rows, cols) {
		return true
	}
	checkReach(op, "dw", len(dw), cols, 8, dwTap, rows-1, dwRow)
	checkReach(op, "m", len(sum), cols, lastPosition(m), mPos, rows-1, mRow)
	return false
}

// tapOrder returns where tap 0 of a kernel lies and how far it is from one to the next, for the lowest at 0 and tap apart.
// Turned by half a turn, they go down.
func tapOrder(tap int, turned bool) (first, step int) {
	if turned {
		return 8 * tap, -tap
	}
	return 0, tap
}

func checkWinogradWeight(op string, m int, u []float32, uPos, uPanel int, w []float32, wTap, wRow, cin, cout, deep, wide int) (none bool) {
	if checkCounts(op, cin, cout) {
		return true
	}
	checkReach(op, "w", len(w), cout, 8, wTap, cin-1, wRow)
	checkReach(op, "u", len(u), deep*panelColumns, lastPosition(m), uPos, (wide-1)/panelColumns, uPanel)
	return false
}

// checkPixels checks what there is of a row of tiles in an image.
func checkPixels(op string, m, rows, cols, c int) (none bool) {
	if rows < 1 || rows > m {
		panic(fmt.Sprintf("simd: %s: got %d rows, want 1 to %d", op, rows, m))
	}
	return checkCounts(op, cols, c)
}

// lastPosition is the number of the last position of a tile.
func lastPosition(m int) int { return (m+2)*(m+2) - 1 }

// checkCounts panics if a count is negative, or so large that a small multiple of it might overflow, and reports
// whether there is nothing to do.
func checkCounts(op string, a, b int) (none bool) {
	const most = 1 << 28
	if a < 0 || b < 0 || a > most || b > most {
		panic(fmt.Sprintf("simd: %s: got counts %d and %d, want 0 to %d", op, a, b, most))
	}
	return a == 0 || b == 0
}

// checkReach panics unless the slice name, of length n, holds c elements after count1 steps of stride1 and count2 of
// stride2: no stride negative, and count1·stride1 + count2·stride2 + c ≤ n. Counts are small multiples of what
// checkCounts lets pass.
func checkReach(op, name string, n, c, count1, stride1, count2, stride2 int) {
	const most = 1 << 28
	if bits.UintSize == 64 && uint(stride1) < most && uint(stride2) < most && count1*stride1+count2*stride2+c <= n {
		return
	}
	checkSteps(op, name, n, c, count1, stride1, count2, stride2)
}

// checkSteps is checkReach for any numbers.
func checkSteps(op, name string, n, c, count1, stride1, count2, stride2 int) {
	left := n - c
	for _, s := range [2][2]int{{count1, stride1}, {count2, stride2}} {
		hi, lo := bits.Mul(uint(s[0]), uint(s[1]))
		if s[1] < 0 || left < 0 || hi != 0 || lo > uint(left) {
			panic(fmt.Sprintf("simd: %s: got %s of %d elements, want %d after %d steps of %d and %d of %d", op, name, n, c, count1, stride1, count2, stride2))
		}
		left -= int(lo)
	}
}

// first returns the address of x[0], nil if x is empty.
func first(x []float32) *float32 {
	if len(x) == 0 {
		return nil
	}
	return &x[0]
}
