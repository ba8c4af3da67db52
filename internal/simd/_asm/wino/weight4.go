package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// gradWeight4 multiplies the columns of M by Gᵀ, then the rows of what that leaves.
func gradWeight4(w width) {
	function("winograd4GradWeight", w, "is winograd4GradWeightGo.",
		"dw *float32, dwTap, dwRow int, m *float32, mPos, mRow, rows, cols int, add bool, k *[14]float32")
	k := coefficients(w, 4, 7)
	columns := w.bank(3 * 6)
	// transform returns the three rows of Gᵀm; it overwrites m.
	transform := func(m []reg.VecVirtual) [3]reg.VecVirtual {
		s1, f1, f2 := w.sum(m[1], m[2]), m[1], m[3]
		VSUBPS(m[2], m[1], f1)
		s2 := m[2]
		VADDPS(m[4], m[3], s2)
		VSUBPS(m[4], m[3], f2)
		VMULPS(k[0], m[0], m[0])
		VFMADD231PS(k[1], s1, m[0])
		VFMADD231PS(k[4], s2, m[0])
		VMULPS(k[2], f1, f1)
		VFMADD231PS(k[5], f2, f1)
		VFMADD231PS(k[3], s1, m[5])
		VFMADD231PS(k[6], s2, m[5])
		return [3]reg.VecVirtual{m[0], f1, m[5]}
	}
	eachRow(w, func(l lanes, dw, tap, tap3, m, pos, pos3 reg.GPVirtual, suffix string) {
		base := GP64()
		MOVQ(m, base)
		for col := range 6 {
			d := w.vectors(6)
			row := GP64()
			MOVQ(base, row)
			for r, v := range d {
				l.load(Mem{Base: row}, v)
				if r < 5 {
					LEAQ(Mem{Base: row, Index: pos3, Scale: 2}, row)
				}
			}
			ADDQ(pos, base)
			for r, v := range transform(d) {
				columns.put(6*r+col, v)
			}
		}
		g := taps(dw, tap, tap3)
		for r := range 3 {
			d := w.vectors(6)
			for col := range d {
				d[col] = columns.take(6*r + col)
			}
			g.enter(r)
			for kw, v := range transform(d) {
				l.sumOrStore(v, g.at(kw), fmt.Sprintf("%d_%d%s", r, kw, suffix))
			}
		}
	})
}

func kernels4(w width) {
	function("winograd4Kernels", w, "is winograd4KernelsGo with first added to w.", kernelArguments+", k *[14]float32")
	k := coefficients(w, 4, 7)
	columns := w.bank(6 * 3)
	// transform hands the six rows of Gg to put, in order; it overwrites g.
	transform := func(g []reg.VecVirtual, put func(i int, v reg.VecVirtual)) {
		e, f := w.product(k[1], g[0]), w.product(k[4], g[0])
		VFMADD231PS(k[3], g[2], e)
		VFMADD231PS(k[6], g[2], f)
		VMULPS(k[0], g[0], g[0])
		put(0, g[0])
		put(1, w.plusProduct(e, k[2], g[1]))
		VFNMADD231PS(k[2], g[1], e)
		put(2, e)
		put(3, w.plusProduct(f, k[5], g[1]))
		VFNMADD231PS(k[5], g[1], f)
		put(4, f)
		put(5, g[2])
	}
	eachKernel(w, func(l lanes, x, tap, tap3 reg.GPVirtual, o *grid) {
		at := GP64()
		MOVQ(x, at)
		for col := range 3 {
			v := w.vectors(3)
			for r, m := range []Mem{{Base: at}, {Base: at, Index: tap3, Scale: 1}, {Base: at, Index: tap3, Scale: 2}} {
				l.load(m, v[r])
			}
			ADDQ(tap, at)
			transform(v, func(i int, v reg.VecVirtual) { columns.put(3*i+col, v) })
		}
		for i := range 6 {
			v := w.vectors(3)
			for col := range v {
				v[col] = columns.take(3*i + col)
			}
			transform(v, func(j int, v reg.VecVirtual) { VMOVUPS(v, o.six(i, j)) })
		}
	}, taps)
}
