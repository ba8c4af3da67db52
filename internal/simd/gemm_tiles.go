//go:build !purego && (amd64 || arm64)

package simd

// runTiles cuts C in tiles of at most rows × cols and has block compute them.
// cols divides a panel. Columns are taken panel by panel at each offset inside
// the panel: whole tiles first, then the part of one that may be left. The rows
// are cut evenly (32 as 11+11+10, not 14+14+4), for short tiles use the machine
// worse; that makes tiles of two heights, each a run of rows.
func (g *Gemm) runTiles(rows, cols int) {
	tiles := (g.M-1)/rows + 1
	high := g.M % tiles // tiles that are one row higher
	low := g.M / tiles
	for off := 0; off < panel; off += cols {
		whole := max(0, (g.N-off+panel-cols)/panel)
		j := whole*panel + off
		rest := g.N - j
		for _, n := range [2]struct{ off, panels, cols int }{{off, whole, cols}, {j, 1, rest}} {
			if n.panels == 0 || n.cols <= 0 {
				continue
			}
			if high > 0 {
				g.block(0, low+1, high, n.off, n.panels, n.cols)
			}
			g.block(high*(low+1), low, tiles-high, n.off, n.panels, n.cols)
		}
	}
}

// bias returns the address of Bias[j], nil if there is none.
func (g *Gemm) bias(j int) *float32 {
	if len(g.Bias) == 0 {
		return nil
	}
	return &g.Bias[j]
}
