package simd

// PackPanels lays the rows×cols matrix a[r*aRow + c] out for Gemm, in panels of 32 columns:
// b[(c/32)*panel + r*32 + c%32]. The columns that the last panel has too many are written as zero.
func PackPanels(b []float32, panel int, a []float32, aRow, rows, cols int) {
	const op = "PackPanels"
	if checkCounts(op, rows, cols) {
		return
	}
	checkReach(op, "a", len(a), cols, rows-1, aRow, 0, 0)
	checkReach(op, "b", len(b), 32*rows, (cols-1)/32, panel, 0, 0)
	c := 0
	for ; c+32 <= cols; c += 32 {
		CopyPixels(b[c/32*panel:], 32, a[c:], aRow, rows, 32, false)
	}
	if c < cols {
		to, from := b[c/32*panel:], a[c:]
		for r := range rows {
			n := copy(to[r*32:r*32+32], from[r*aRow:r*aRow+cols-c])
			clear(to[r*32+n : r*32+32])
		}
	}
}

// PackTransposed packs the transpose of a: b[(r/32)*panel + c*32 + r%32] = a[r*aRow + c]. Rows of a become columns,
// and those that the last panel has too many are written as zero.
func PackTransposed(b []float32, panel int, a []float32, aRow, rows, cols int) {
	const op = "PackTransposed"
	if checkCounts(op, rows, cols) {
		return
	}
	checkReach(op, "a", len(a), cols, rows-1, aRow, 0, 0)
	checkReach(op, "b", len(b), 32*cols, (rows-1)/32, panel, 0, 0)
	const n = transposeSide
	for r := 0; r < (rows+31)/32*32; r += n {
		to := b[r/32*panel+r%32:]
		done := 0
		if r+n <= rows {
			done = cols / n * n
			transpose(to, 32, 32*n, a[r*aRow:], aRow, n, cols/n)
		}
		if done < cols {
			height := min(n, max(0, rows-r))
			transposeBlockGo(to[done*32:], 32, a[min(r, rows-1)*aRow+done:], aRow, height, cols-done)
		}
	}
}

// transposeSide is the side of the square blocks that transpose moves.
const transposeSide = 16

// transposeGo transposes n blocks of 16×16: dst[k*dstStep + c*dstRow + r] = src[k*srcStep + r*srcRow + c].
func transposeGo(dst []float32, dstRow, dstStep int, src []float32, srcRow, srcStep, n int) {
	for k := range n {
		transposeBlockGo(dst[k*dstStep:], dstRow, src[k*srcStep:], srcRow, transposeSide, transposeSide)
	}
}

// transposeBlockGo transposes rows×cols values, rows ≤ 16, into cols rows of 16, of which the rest is zero.
func transposeBlockGo(dst []float32, dstRow int, src []float32, srcRow, rows, cols int) {
	for c := range cols {
		to := dst[c*dstRow:][:transposeSide]
		for r := range rows {
			to[r] = src[r*srcRow+c]
		}
		clear(to[rows:])
	}
}
