package tensor

import (
	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// UpConv in Winograd's form, phase by phase. A phase's kernel has two taps in each dimension; as one of three it lacks
// the last tap where the phase is even, the first where it is odd. Winograd's form evaluates the kernel, taken as a
// polynomial, at m+2 points, the first of them 0 and the last ∞: there it is its first and its last coefficient. So at
// one point in each dimension a phase's kernel vanishes and (m+1)² products of (m+2)² are left: for F(4×4, 3×3) 25 for
// 16 pixels, where the enlarged image takes 36. And all phases read one transformed input.

// phased says what of a convolution is in phases: pixels two apart, from one of 2×2 on.
type phased uint8

const (
	whole        phased = iota
	resultPhases        // four kernels make a phase of the result each
	inputPhases         // the result is the sum over phases of the input, each with a kernel of its own
)

// count is the number of phases.
func (p phased) count() int {
	if p == whole {
		return 1
	}
	return 4
}

// strides returns the distances of a phase's pixels and of its rows in the result.
func (t *tiling) strides() (pix, row int) {
	if t.phased == resultPhases {
		return 2 * t.cout, 4 * t.w * t.cout
	}
	return t.cout, t.w * t.cout
}

// phaseAt is where a phase of the result begins.
func (t *tiling) phaseAt(phase int) int {
	if t.phased == resultPhases {
		return (phase/2*2*t.w + phase%2) * t.cout
	}
	return 0
}

// vanishes reports whether the transformed kernel of a phase is zero at a position. Kernels of an input gradient are
// turned round.
func (t *tiling) vanishes(phase, position int) bool {
	if t.phased == whole {
		return false
	}
	if t.phased == inputPhases {
		phase = 3 - phase
	}
	points := t.side + 2
	absent := [2]int{points - 1, 0} // of an even phase and of an odd one
	return position/points == absent[phase/2] || position%points == absent[phase%2]
}

// adds reports whether a phase of the input is not the first that has something to add to M at a position.
func (t *tiling) adds(phase, position int) bool {
	for earlier := range phase {
		if t.phased == inputPhases && !t.vanishes(earlier, position) {
			return true
		}
	}
	return false
}

// clearProduct makes columns c0…c1 of tiles lo…hi of M zero at a position.
func (t *tiling) clearProduct(b *tileBlocks, position, lo, hi, c0, c1 int) {
	for tile := lo; tile < hi; tile++ {
		clear(b.m[position*b.mPos+tile*t.mTile:][c0:c1])
	}
}

// phaseTaps adds up a chunk's weight gradient of an UpConv, for some of the input channels, from its phases.
type phaseTaps struct{ sum, kernel []float32 } // [3 3 Cin Cout] each: of w, and of one phase's kernel

func (t *tiling) phaseTaps(mem *par.Scratch) phaseTaps {
	size := 9 * t.cin * t.cout
	taps := phaseTaps{mem.Floats(size), mem.Floats(size)}
	clear(taps.sum)
	return taps
}

// addPhase adds the share of a phase, transformed in sum. Where the phase's kernel vanishes that is undefined, and part
// of the absent taps alone.
func (t *tiling) addPhase(taps phaseTaps, phase int, sum []float32) {
	size := t.cin * t.cout
	t.gradWeight(taps.kernel, size, t.cout, sum, t.sumStride(), t.cout, t.cin, t.cout, false, false)
	eachPhaseTap(phase, func(at, k int) { simd.Axpy(taps.sum[k*size:][:size], 1, taps.kernel[at*size:][:size]) })
}

// store computes dw (+)= the sum. Tap by tap dw lies tap floats apart.
func (p phaseTaps) store(dw []float32, tap int, add bool) {
	size := len(p.sum) / 9
	for k := range 9 {
		if to := dw[k*tap:][:size]; add {
			simd.Axpy(to, 1, p.sum[k*size:][:size])
		} else {
			copy(to, p.sum[k*size:][:size])
		}
	}
}

// eachPhaseTap is eachTap with the phase's kernel as one of 3×3, of which at is a tap.
func eachPhaseTap(phase int, f func(at, k int)) {
	eachTap(phase, func(a, b, k int) { f((phase/2+a)*3+phase%2+b, k) })
}

// phaseKernel computes a phase's kernel as one of 3×3, size floats of each tap. Those of w lie wTap apart.
func phaseKernel(kernel []float32, phase int, w []float32, wTap, size int) {
	clear(kernel)
	eachPhaseTap(phase, func(at, k int) { simd.Axpy(kernel[at*size:][:size], 1, w[k*wTap:][:size]) })
}
