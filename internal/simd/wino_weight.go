package simd

// panelColumns is the width of Gemm's panels.
const panelColumns = 32

// Winograd2Weight transforms kernels, U = G g Gᵀ, and packs each position for Gemm in panels of 32 output columns. Tap
// k = 3·row + column of the kernels is the matrix w[k*wTap + ci*wRow + co] of cin×cout; it becomes
// u[i*uPos + (co/32)*uPanel + ci*32 + co%32]. The columns that the last panel has too many are written as zero.
//
// A call may do a part of the input channels, from c0 on: w then starts at c0*wRow and u at c0*32.
func Winograd2Weight(u []float32, uPos, uPanel int, w []float32, wTap, wRow, cin, cout int) {
	winogradWeight("Winograd2Weight", 2, u, uPos, uPanel, w, wTap, wRow, cin, cout)
}

// Winograd4Weight is Winograd2Weight for 36 positions.
func Winograd4Weight(u []float32, uPos, uPanel int, w []float32, wTap, wRow, cin, cout int) {
	winogradWeight("Winograd4Weight", 4, u, uPos, uPanel, w, wTap, wRow, cin, cout)
}

// Winograd2WeightTransposed transforms the kernels of the input gradient, which are w rotated by half a turn and
// transposed, g'[k][co][ci] = w[8-k][ci][co]: u[i*uPos + (ci/32)*uPanel + co*32 + ci%32].
//
// A call may do a part of the input channels, from c0 on, a multiple of 32, and of the output channels, from c1 on: w then
// starts at c0*wRow + c1 and u at (c0/32)*uPanel + c1*32.
func Winograd2WeightTransposed(u []float32, uPos, uPanel int, w []float32, wTap, wRow, cin, cout int) {
	winogradWeightTransposed("Winograd2WeightTransposed", 2, u, uPos, uPanel, w, wTap, wRow, cin, cout)
}

// Winograd4WeightTransposed is Winograd2WeightTransposed for 36 positions.
func Winograd4WeightTransposed(u []float32, uPos, uPanel int, w []float32, wTap, wRow, cin, cout int) {
	winogradWeightTransposed("Winograd4WeightTransposed", 4, u, uPos, uPanel, w, wTap, wRow, cin, cout)
}

func winogradWeight(op string, m int, u []float32, uPos, uPanel int, w []float32, wTap, wRow, cin, cout int) {
	if checkWinogradWeight(op, m, u, uPos, uPanel, w, wTap, wRow, cin, cout, cin, cout) {
		return
	}
	for co := 0; co < cout; co += panelColumns {
		winogradKernels(m, u[co/panelColumns*uPanel:], uPos, panelColumns, w, co, wTap, wRow, cin, min(panelColumns, cout-co))
	}
}

func winogradWeightTransposed(op string, m int, u []float32, uPos, uPanel int, w []float32, wTap, wRow, cin, cout int) {
	if checkWinogradWeight(op, m, u, uPos, uPanel, w, wTap, wRow, cin, cout, cout, cin) {
		return
	}
	// The kernels are transposed 32×16 at a time, into a buffer that stays in L1, and transformed from there. Walking the
	// taps from the last to the first is the rotation.
	const n, tap = transposeSide, panelColumns * transposeSide
	var buffer [9 * tap]float32
	for ci := 0; ci < cin; ci += panelColumns {
		rows := min(panelColumns, cin-ci)
		for co := 0; co < cout; co += n {
			cols := min(n, cout-co)
			for r := 0; r < rows; r += n {
				from := w[(ci+r)*wRow+co:]
				if cols == n && r+n <= rows {
					transpose(buffer[r:], panelColumns, tap, from, wRow, wTap, 9)
					continue
				}
				for k := range 9 {
					transposeBlockGo(buffer[k*tap+r:], panelColumns, from[k*wTap:], wRow, min(n, rows-r), cols)
				}
			}
			winogradKernels(m, u[ci/panelColumns*uPanel+co*panelColumns:], uPos, panelColumns, buffer[:], 8*tap, -tap, panelColumns, cols, rows)
		}
	}
}

// winogradKernels is winograd2Kernels or winograd4Kernels.
func winogradKernels(m int, u []float32, uPos, uRow int, w []float32, first, wTap, wRow, rows, cols int) {
	if m == 2 {
		winograd2Kernels(u, uPos, uRow, w, first, wTap, wRow, rows, cols)
	} else {
		winograd4Kernels(u, uPos, uRow, w, first, wTap, wRow, rows, cols)
	}
}
