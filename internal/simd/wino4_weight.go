package simd

// Winograd4Weight is WinogradWeight for F(4×4, 3×3): 36 positions, packed alike.
func Winograd4Weight(u []float32, uPos, uPanel int, w []float32, cin, cout int) {
	const op = "Winograd4Weight"
	if checkCounts(op, cin, cout) {
		return
	}
	checkReach(op, "w", len(w), 0, [2]int{cin, cout}, [2]int{8 * cin, cout})
	checkReach(op, "u", len(u), 32*cin, [2]int{35, uPos}, [2]int{(cout - 1) / 32, uPanel})
	for co := 0; co < cout; co += 32 {
		winograd4Kernels(u[co/32*uPanel:], uPos, 32, w, co, cin*cout, cout, cin, min(32, cout-co))
	}
}

// Winograd4WeightTransposed is WinogradWeightTransposed for F(4×4, 3×3).
func Winograd4WeightTransposed(u []float32, uPos, uPanel int, w []float32, cin, cout int) {
	const op = "Winograd4WeightTransposed"
	if checkCounts(op, cin, cout) {
		return
	}
	checkReach(op, "w", len(w), 0, [2]int{cin, cout}, [2]int{8 * cin, cout})
	checkReach(op, "u", len(u), 32*cout, [2]int{35, uPos}, [2]int{(cin - 1) / 32, uPanel})
	const n = transposeSide
	var block [36 * n * n]float32
	tap := cin * cout
	for ci := 0; ci < (cin+31)/32*32; ci += n {
		rows := min(n, max(0, cin-ci))
		if rows < n {
			clear(block[:])
		}
		for co := 0; co < cout; co += n {
			cols := min(n, cout-co)
			if rows > 0 {
				winograd4Kernels(block[:], n*n, n, w, 8*tap+ci*cout+co, -tap, cout, rows, cols)
			}
			to := u[ci/32*uPanel+co*32+ci%32:]
			if cols == n {
				transpose(to, 32, uPos, block[:], n, n*n, 36)
				continue
			}
			for i := range 36 {
				transposeBlockGo(to[i*uPos:], 32, block[i*n*n:], n, n, cols)
			}
		}
	}
}

// winograd4KernelsGo is winogradKernelsGo for F(4×4, 3×3).
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
