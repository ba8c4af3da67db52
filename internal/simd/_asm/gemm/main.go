// Command gemm writes the amd64 matrix product kernels of package simd.
//
// Both instruction sets share one program text: kernel, in kernel.go. What
// differs between them, a vector's registers and how part of one is loaded
// and stored, is in isa.go.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// signature is the parameter list of both functions; the comment in function explains it.
const signature = "func(c *float32, cRow int, a *float32, aRow, aK int, aOff *int, " +
	"b *float32, bRow, bPanel int, bOff *int, segments, k, rows, tiles, panels, cols int, bias *float32, add bool, ahead *float32, aheadStep, nextStep, belowStep int)"

func main() {
	ConstraintExpr("!purego")
	function(avx512())
	function(avx2())
	Generate()
}

// function writes one kernel per row count and register columns, and the code
// that chooses between them, once per call.
func function(v *isa) {
	TEXT("gemm"+v.name, NOSPLIT, signature)
	Doc(
		fmt.Sprintf("gemm%s computes tiles of rows ≤ %d by cols ≤ %d elements of C: as many as tiles one", v.name, v.rows, 2*v.lanes),
		"below the other, and the same in each of as many panels to the right. c and a point to the",
		"first tile's first row, b and bias, which may be nil, to its first column; the rest is as in",
		fmt.Sprintf("Gemm. For every %s of each tile it prefetches from ahead, and advances that by aheadStep", [...]string{1: "k", 2: "two k's"}[v.ks]),
		"bytes; and so it does in the next panel of B by nextStep, and in the rows of A below the tile by",
		"belowStep.",
	)
	Pragma("noescape")
	r := setup(v)

	rows := Load(Param("rows"), GP64())
	cols := Load(Param("cols"), GP64())
	CMPQ(cols, Imm(uint64(v.lanes)))
	JLE(LabelRef(fmt.Sprintf("%s_narrow", v.name)))
	if !v.maskIsFree {
		CMPQ(cols, Imm(uint64(2*v.lanes)))
		JLT(LabelRef(fmt.Sprintf("%s_masked", v.name)))
	}
	choose(v, rows, shape{vectors: 2, masked: v.maskIsFree})
	if !v.maskIsFree {
		Label(fmt.Sprintf("%s_masked", v.name))
		choose(v, rows, shape{vectors: 2, masked: true})
	}
	Label(fmt.Sprintf("%s_narrow", v.name))
	choose(v, rows, shape{vectors: 1, masked: true})

	write := func(s shape) { (&kernel{shape: s, v: v, r: r}).write() }
	for m := v.rows; m >= 1; m-- {
		write(shape{m, 2, v.maskIsFree})
		if !v.maskIsFree {
			write(shape{m, 2, true})
		}
		write(shape{m, 1, true})
	}
}

// choose jumps to the kernel for the given number of rows.
func choose(v *isa, rows Op, s shape) {
	for m := v.rows; m > 1; m-- {
		CMPQ(rows, Imm(uint64(m)))
		s.rows = m
		JEQ(LabelRef(s.label(v)))
	}
	s.rows = 1
	JMP(LabelRef(s.label(v)))
}
