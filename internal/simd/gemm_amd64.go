//go:build !purego

package simd

//go:generate go run -C _asm ./gemm -out ../gemm_amd64.s -stubs ../gemm_stubs_amd64.go -pkg simd

func (g *Gemm) run() {
	switch {
	case useAVX512:
		g.runTiles(14, 32) // 28 of 32 registers hold sums, 3 hold B and an element of A
	case useAVX2:
		g.runTiles(6, 16) // 12 of 16
	default:
		g.runGo()
	}
}

// block computes tiles of rows × cols elements of C, from row i down and from
// column j at intervals of a panel to the right.
func (g *Gemm) block(i, rows, tiles, j, panels, cols int) {
	c := &g.C[i*g.CRow+j]
	a := &g.A[i*g.ARow]
	b := &g.B[j/panel*g.BPanel+j%panel]
	if useAVX512 {
		gemmAVX512(c, g.CRow, a, g.ARow, g.AK, &g.AOff[0], b, g.BRow, g.BPanel, &g.BOff[0], len(g.AOff), g.K, rows, tiles, panels, cols, g.Add)
	} else {
		gemmAVX2(c, g.CRow, a, g.ARow, g.AK, &g.AOff[0], b, g.BRow, g.BPanel, &g.BOff[0], len(g.AOff), g.K, rows, tiles, panels, cols, g.Add)
	}
}
