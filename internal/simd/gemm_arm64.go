//go:build !purego

package simd

//go:generate go run -C _asm ./gemmneon -out ../gemm_arm64.s

// gemmNEON is gemmAVX2 for tiles of rows ≤ 8 by cols = 8, 4 or 1.
//
//go:noescape
func gemmNEON(c *float32, cRow int, a *float32, aRow, aK int, aOff *int, b *float32, bRow, bPanel int, bOff *int, segments, k, rows, tiles, panels, cols int, add bool)

func (g *Gemm) run() {
	if useNEON {
		g.runTiles(8, 8)
	} else {
		g.runGo()
	}
}

// block computes tiles of rows × cols elements of C, from row i down and from
// column j at intervals of a panel to the right. NEON has no masks: a part of
// a tile's columns is done as 4 and then one by one.
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
		gemmNEON(c, g.CRow, a, g.ARow, g.AK, &g.AOff[0], b, g.BRow, g.BPanel, &g.BOff[0], len(g.AOff), g.K, rows, tiles, panels, n, g.Add)
		j += n
		cols -= n
	}
}
