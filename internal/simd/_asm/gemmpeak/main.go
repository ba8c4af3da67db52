// Command gemmpeak writes the loops that package simd's benchmarks take as the
// limit of the matrix product: 12 independent chains of multiply-adds on
// registers, more than latency × throughput of any amd64 processor so far.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("!purego")
	function("fmaPeakAVX512", ZMM)
	function("fmaPeakAVX2", YMM)
	Generate()
}

func function(name string, vector func() reg.VecVirtual) {
	TEXT(name, NOSPLIT, "func(iterations int)")
	Doc(name + " does 12 vector multiply-adds an iteration. Only benchmarks call it.")
	n := Load(Param("iterations"), GP64())
	a := vector()
	VXORPS(a.AsX(), a.AsX(), a.AsX())
	acc := make([]reg.VecVirtual, 12)
	for i := range acc {
		acc[i] = vector()
		VXORPS(acc[i].AsX(), acc[i].AsX(), acc[i].AsX())
	}
	Label(name + "_loop")
	for i := range acc {
		VFMADD231PS(a, a, acc[i])
	}
	DECQ(n)
	JNE(LabelRef(name + "_loop"))
	VZEROUPPER()
	RET()
}
