package simd

// WinogradWeight transforms the kernels w [3 3 Cin Cout], U = G g Gᵀ, and packs each position for Gemm in panels of
// 32 output columns: u[i*uPos + (co/32)*uPanel + ci*32 + co%32]. The columns that the last panel has too many are
// written as zero.
func WinogradWeight(u []float32, uPos, uPanel int, w []float32, cin, cout int) {
	const op = "WinogradWeight"
	if checkCounts(op, cin, cout) {
		return
	}
	checkReach(op, "w", len(w), 0, [2]int{cin, cout}, [2]int{8 * cin, cout})
	checkReach(op, "u", len(u), 32*cin, [2]int{15, uPos}, [2]int{(cout - 1) / 32, uPanel})
	for co := 0; co < cout; co += 32 {
		winogradKernels(u[co/32*uPanel:], uPos, 32, w, co, cin*cout, cout, cin, min(32, cout-co))
	}
}

// WinogradWeightTransposed does the same for the kernels of the input gradient, which are w rotated by half a turn
// and transposed, g'[kh][kw][co][ci] = w[2-kh][2-kw][ci][co]: u[i*uPos + (ci/32)*uPanel + co*32 + ci%32].
func WinogradWeightTransposed(u []float32, uPos, uPanel int, w []float32, cin, cout int) {
	const op = "WinogradWeightTransposed"
	if checkCounts(op, cin, cout) {
		return
	}
	checkReach(op, "w", len(w), 0, [2]int{cin, cout}, [2]int{8 * cin, cout})
	checkReach(op, "u", len(u), 32*cout, [2]int{15, uPos}, [2]int{(cin - 1) / 32, uPanel})

	// Blocks of 16×16 kernels are transformed as they lie in w and transposed from a buffer that stays in L1. Walking
	// the taps from the last to the first is the rotation. Rows of the buffer past cin are zero, as u wants them.
	const n = transposeSide
	var block [16 * n * n]float32
	tap := cin * cout
	for ci := 0; ci < (cin+31)/32*32; ci += n {
		rows := min(n, max(0, cin-ci))
		if rows < n {
			clear(block[:])
		}
		for co := 0; co < cout; co += n {
			cols := min(n, cout-co)
			if rows > 0 {
				winogradKernels(block[:], n*n, n, w, 8*tap+ci*cout+co, -tap, cout, rows, cols)
			}
			to := u[ci/32*uPanel+co*32+ci%32:]
			if cols == n {
				transpose(to, 32, uPos, block[:], n, n*n, 16)
				continue
			}
			for i := range 16 {
				transposeBlockGo(to[i*uPos:], 32, block[i*n*n:], n, n, cols)
			}
		}
	}
}

// winogradKernelsGo transforms rows×cols kernels whose tap k is the matrix w[first + k*wTap + row*wRow + col] into
// u[i*uPos + row*uRow + col]; wTap may be negative. uRow is a multiple of 16, and the columns from cols up to it are
// written as zero.
func winogradKernelsGo(u []float32, uPos, uRow int, w []float32, first, wTap, wRow, rows, cols int) {
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
			a00, a10, a20, a30 := winoG(g[0], g[3], g[6])
			a01, a11, a21, a31 := winoG(g[1], g[4], g[7])
			a02, a12, a22, a32 := winoG(g[2], g[5], g[8])
			u0[col], u0[col+uPos], u0[col+2*uPos], u0[col+3*uPos] = winoG(a00, a01, a02)
			u1[col], u1[col+uPos], u1[col+2*uPos], u1[col+3*uPos] = winoG(a10, a11, a12)
			u2[col], u2[col+uPos], u2[col+2*uPos], u2[col+3*uPos] = winoG(a20, a21, a22)
			u3[col], u3[col+uPos], u3[col+2*uPos], u3[col+3*uPos] = winoG(a30, a31, a32)
		}
	}
}

// winoG returns Gg.
func winoG(g0, g1, g2 float32) (u0, u1, u2, u3 float32) {
	s := g0 + g2
	return g0, 0.5 * (s + g1), 0.5 * (s - g1), g2
}
