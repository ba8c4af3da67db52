//go:build !purego

package simd

// gemmNEON computes tiles of rows ≤ 8 by cols = 8, 4 or 1 elements of C: as many
// as tiles one below the other, and the same in each of as many panels to the
// right. c and a point to the first tile's first row, b and bias, which may be nil, to its first column;
// the rest is as in Gemm.
//
//go:noescape
func gemmNEON(c *float32, cRow int, a *float32, aRow, aK int, aOff *int, b *float32, bRow, bPanel int, bOff *int, segments, k, rows, tiles, panels, cols int, bias *float32, add bool)

func (g *Gemm) run() {
	if useNEON {
		g.runTiles(8, 8)
	} else {
		g.runGo()
	}
}

// block computes tiles of rows × cols elements of C: the first at C[i][j], the
// others below it, and the same in the next panels-1 panels to the right. NEON
// has no masks: fewer than 8 columns are done as 4 and then one by one.
func (g *Gemm) block(i, rows, tiles, j, panels, cols int) {
	for cols > 0 {
		n := 1
		if cols >= 8 {
			n = 8
		} else if cols >= 4 {
			n = 4
		}
		c := &g.C[i*g.CRow+j]
		a := &g.A[i*g.ARow]
		b := &g.B[j/panel*g.BPanel+j%panel]
		gemmNEON(c, g.CRow, a, g.ARow, g.AK, &g.AOff[0], b, g.BRow, g.BPanel, &g.BOff[0], len(g.AOff), g.K, rows, tiles, panels, n, g.bias(j), g.Add)
		j += n
		cols -= n
	}
}
