package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// combine multiplies a small matrix by as many vectors as it has columns, with one text for each such number: their
// elements at hand stay in registers.
func combine(w width) {
	function("combine", w, "is combineGo.", "y *float32, yAt *[6]int, x *float32, xAt *[6]int, t *[36]float32, outs, ins, n int")
	ins := count("ins")
	for n := 6; n > 1; n-- {
		CMPQ(ins, Imm(uint64(n)))
		JE(LabelRef(fmt.Sprint("ins", n)))
	}
	for n := 1; n <= 6; n++ {
		Label(fmt.Sprint("ins", n))
		x, xAt, y, yAt := pointer("x", nil), pointer("xAt", nil), pointer("y", nil), pointer("yAt", nil)
		body := func(l lanes, suffix string) {
			v := w.vectors(n)
			at := GP64()
			for j := range v {
				MOVQ(Mem{Base: xAt, Disp: 8 * j}, at)
				l.load(Mem{Base: x, Index: at, Scale: 4}, v[j])
			}
			t, i, outs := pointer("t", nil), GP64(), count("outs")
			XORQ(i, i)
			Label(fmt.Sprint("out", n, suffix))
			sum := w.broadcast(Mem{Base: t})
			VMULPS(v[0], sum, sum)
			for j := 1; j < n; j++ {
				VFMADD231PS(w.broadcast(Mem{Base: t, Disp: 4 * j}), v[j], sum)
			}
			MOVQ(Mem{Base: yAt, Index: i, Scale: 8}, at)
			l.store(sum, Mem{Base: y, Index: at, Scale: 4})
			ADDQ(Imm(4*6), t)
			INCQ(i)
			CMPQ(i, outs)
			JL(LabelRef(fmt.Sprint("out", n, suffix)))
		}
		vectors(w, "n", fmt.Sprint(n), body, x, y)
		VZEROUPPER()
		RET()
	}
}
