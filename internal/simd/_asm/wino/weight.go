package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func gradWeight(w width) {
	function("winograd2GradWeight", w, "is winograd2GradWeightGo.",
		"dw *float32, dwTap, dwRow int, m *float32, mPos, mRow, rows, cols int, add bool")
	h := w.broadcast(half())
	eachRow(w, func(l lanes, dw, tap, tap3, m, pos, pos3 reg.GPVirtual, suffix string) {
		// column loads column k of M and multiplies it by Gᵀ.
		column := func(k int) (a []reg.VecVirtual) {
			a = w.vectors(3)
			m1, m2 := w.vector(), w.vector()
			m3 := w.vector()
			g := positions(m, pos, pos3)
			for r, v := range []reg.VecVirtual{a[0], m1, m2, m3} {
				g.enter(r)
				l.load(g.at(k), v)
			}
			s := w.sum(m1, m2)
			VMULPS(h, s, s)
			VADDPS(s, a[0], a[0])
			VSUBPS(m2, m1, a[1])
			VMULPS(h, a[1], a[1])
			VSUBPS(m3, s, a[2])
			return a
		}
		// store stores a column of the gradient.
		store := func(k int, a []reg.VecVirtual) {
			g := taps(dw, tap, tap3)
			for r, v := range a {
				g.enter(r)
				l.sumOrStore(v, g.at(k), fmt.Sprintf("%d_%d%s", r, k, suffix))
			}
		}
		a1, a2 := column(1), column(2)
		for r := range 3 {
			s := w.sum(a1[r], a2[r])
			VSUBPS(a2[r], a1[r], a1[r])
			VMULPS(h, s, a2[r])
			VMULPS(h, a1[r], a1[r])
		}
		store(1, a1)
		a0 := column(0)
		for r := range 3 {
			VADDPS(a2[r], a0[r], a0[r])
		}
		store(0, a0)
		a3 := column(3)
		for r := range 3 {
			VSUBPS(a3[r], a2[r], a2[r])
		}
		store(2, a2)
	})
}

// eachRow emits a loop over rows and columns of a weight gradient, columns inside, so that both matrices are read in
// order: body with the addresses of tap 0 and position 0 and their strides. The arguments dw, m and rows move along.
func eachRow(w width, body func(l lanes, dw, tap, tap3, m, pos, pos3 reg.GPVirtual, suffix string)) {
	tap, pos := stride("dwTap"), stride("mPos")
	tap3, pos3 := times3(tap), times3(pos)
	Label("row")
	dw, m := pointer("dw", nil), pointer("m", nil)
	vectors(w, "cols", "", func(l lanes, suffix string) { body(l, dw, tap, tap3, m, pos, pos3, suffix) }, dw, m)
	for _, s := range []struct{ arg, by string }{{"dw", "dwRow"}, {"m", "mRow"}} {
		p, by := pointer(s.arg, nil), stride(s.by)
		ADDQ(by, p)
		Store(p, Param(s.arg))
	}
	n := count("rows")
	DECQ(n)
	Store(n, Param("rows"))
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// sumOrStore stores v, plus what was there if the argument add is set.
func (l lanes) sumOrStore(v reg.VecVirtual, m Mem, suffix string) {
	add := GP8()
	Load(Param("add"), add)
	TESTB(add, add)
	JZ(LabelRef("store" + suffix))
	l.add(m, v)
	Label("store" + suffix)
	l.store(v, m)
}

func kernels(w width) {
	function("winograd2Kernels", w, "is winograd2KernelsGo with first added to w.", kernelArguments)
	h := w.broadcast(half())
	eachKernel(w, func(l lanes, x, tap, tap3 reg.GPVirtual, o *grid) {
		g := taps(x, tap, tap3)
		cols := [3][4]reg.VecVirtual{}
		for k := range cols {
			for i := range 4 {
				cols[k][i] = w.vector()
			}
		}
		for r, i := range []int{0, 1, 3} {
			g.enter(r)
			for k := range cols {
				l.load(g.at(k), cols[k][i])
			}
		}
		// transform multiplies g0, g1, g2, which stand in a[0], a[1], a[3], by G.
		transform := func(a [4]reg.VecVirtual) {
			s := w.sum(a[0], a[3])
			VSUBPS(a[1], s, a[2])
			VADDPS(a[1], s, a[1])
			VMULPS(h, a[1], a[1])
			VMULPS(h, a[2], a[2])
		}
		for _, a := range cols {
			transform(a)
		}
		for i := range 4 {
			a := [4]reg.VecVirtual{cols[0][i], cols[1][i], w.vector(), cols[2][i]}
			transform(a)
			o.enter(i)
			for k, v := range a {
				VMOVUPS(v, o.at(k))
			}
		}
	}, positions)
}

const kernelArguments = "u *float32, uPos, uRow int, w *float32, wTap, wRow, rows, cols int"

// eachKernel emits a loop over the kernels of all rows, a vector of columns at a time: body with the address of tap 0, one
// and three steps to the next, and the grid of u. It fills whole rows of u, so every vector is stored whole, and masks decide what is loaded.
func eachKernel(w width, body func(l lanes, x, tap, tap3 reg.GPVirtual, o *grid), outputs func(base, s, s3 reg.GPVirtual) *grid) {
	u, pos, tap, x := pointer("u", nil), stride("uPos"), stride("wTap"), pointer("w", nil)
	pos3, tap3 := times3(pos), times3(tap)
	Label("row")
	left, over := count("cols"), count("uRow")
	Label("vector")
	// n = min(max(left, 0), lanes)
	n, zero := GP64(), GP64()
	XORQ(zero, zero)
	MOVQ(U32(uint32(w.lanes)), n)
	CMPQ(left, n)
	CMOVQLT(left, n)
	TESTQ(n, n)
	CMOVQLT(zero, n)
	body(w.first(n), x, tap, tap3, outputs(u, pos, pos3))
	ADDQ(Imm(uint64(w.bytes())), u)
	ADDQ(Imm(uint64(w.bytes())), x)
	SUBQ(Imm(uint64(w.lanes)), left)
	SUBQ(Imm(uint64(w.lanes)), over)
	JNZ(LabelRef("vector"))
	width, row := stride("uRow"), stride("wRow")
	SUBQ(width, x)
	ADDQ(row, x)
	rows := count("rows")
	DECQ(rows)
	Store(rows, Param("rows"))
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// transpose collects in each 128-bit lane of a register four values of its own row, so that what remains is 4×4
// transposes inside lanes.
func transpose(w width) {
	function("transpose", w, "is transposeGo.", "dst *float32, dstRow, dstStep int, src *float32, srcRow, srcStep, n int")
	dst, to, dstStep := pointer("dst", nil), stride("dstRow"), stride("dstStep")
	src, from, srcStep := pointer("src", nil), stride("srcRow"), stride("srcStep")
	to3, from3, n := times3(to), times3(from), count("n")
	quads := [4]reg.GPVirtual{GP64(), GP64(), GP64(), GP64()}
	Label("block")
	MOVQ(src, quads[0])
	for i := range 3 {
		LEAQ(Mem{Base: quads[i], Index: from, Scale: 4}, quads[i+1])
	}
	d := GP64()
	MOVQ(dst, d)
	for c := 0; c < 16; c += 4 {
		for r := 0; r < 16; r += w.lanes {
			rows := w.vectors(4)
			for k, v := range rows {
				for lane := range w.lanes / 4 {
					m := at(quads[r/4+lane], from, from3, k)
					if c == 0 { // what the next block but one reads, if blocks go along the rows
						PREFETCHT0(m.Offset(2 * 4 * 16))
					}
					m.Disp = 4 * c
					switch {
					case lane == 0 && w.lanes == 16:
						VBROADCASTF32X4(m, v)
					case lane == 0:
						VBROADCASTF128(m, v)
					case w.lanes == 16:
						VINSERTF32X4(Imm(uint64(lane)), m, v, v)
					default:
						VINSERTF128(Imm(uint64(lane)), m, v, v)
					}
				}
			}
			t := w.vectors(4)
			VUNPCKLPS(rows[1], rows[0], t[0])
			VUNPCKHPS(rows[1], rows[0], t[1])
			VUNPCKLPS(rows[3], rows[2], t[2])
			VUNPCKHPS(rows[3], rows[2], t[3])
			VUNPCKLPD(t[2], t[0], rows[0])
			VUNPCKHPD(t[2], t[0], rows[1])
			VUNPCKLPD(t[3], t[1], rows[2])
			VUNPCKHPD(t[3], t[1], rows[3])
			for k, v := range rows {
				m := at(d, to, to3, k)
				m.Disp = 4 * r
				VMOVUPS(v, m)
			}
		}
		LEAQ(Mem{Base: d, Index: to, Scale: 4}, d)
	}
	ADDQ(dstStep, dst)
	ADDQ(srcStep, src)
	DECQ(n)
	JNZ(LabelRef("block"))
	VZEROUPPER()
	RET()
}
