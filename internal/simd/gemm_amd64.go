//go:build !purego

package simd

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

// block computes tiles of rows × cols elements of C: the first at C[i][j], the
// others below it, and the same in the next panels-1 panels to the right.
func (g *Gemm) block(i, rows, tiles, j, panels, cols int) {
	c := &g.C[i*g.CRow+j]
	a := &g.A[i*g.ARow]
	b := &g.B[j/panel*g.BPanel+j%panel]
	ks := 2 // from fetch to fetch, as the generator has it
	if useAVX512 {
		ks = 1
	}
	sums := tiles * panels * len(g.AOff)
	ahead, step := g.Ahead.take(sums*((g.K+ks-1)/ks), sums*g.K*rows*cols)
	if ahead == nil {
		ahead = a // a line that is in the cache anyway
	}
	below := 4 * ks * g.AK // in A's rows below a tile
	if g.AK == 1 {
		below = 4 * ks * g.ARow * rows / g.K // through them, one after the other
	}
	next := 4 * ks * g.BRow
	if g.BRow == panel { // through the panel, in all tiles together
		next = (next-1)/tiles + 1
	}
	if useAVX512 {
		gemmAVX512(c, g.CRow, a, g.ARow, g.AK, &g.AOff[0], b, g.BRow, g.BPanel, &g.BOff[0], len(g.AOff), g.K, rows, tiles, panels, cols, g.bias(j), g.Add, ahead, 4*step, next, below)
	} else {
		gemmAVX2(c, g.CRow, a, g.ARow, g.AK, &g.AOff[0], b, g.BRow, g.BPanel, &g.BOff[0], len(g.AOff), g.K, rows, tiles, panels, cols, g.bias(j), g.Add, ahead, 4*step, next, below)
	}
}
