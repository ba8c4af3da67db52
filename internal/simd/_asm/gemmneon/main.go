// Command gemmneon writes the arm64 matrix product kernels of package simd: the
// loops of command gemm, for NEON. avo knows amd64 only, so this program
// writes its instructions itself.
package main

import (
	"flag"
	"fmt"
	"log"

	"ddpm/internal/simd/_asm/neon"
)

const maxRows = 8 // 16 sums of 32 registers; B takes 2, A's column 8

// General registers. Strides are in bytes. The rows of A at the current
// segment are at R19 … R26; R13 is the way along all of them to the current k.
const (
	aRow    = "R0"
	aK      = "R1"
	bRow    = "R2"
	depth   = "R3"
	cRow    = "R4"
	rows    = "R5"
	left    = "R6" // tiles
	aTile   = "R7"
	cTile   = "R8"
	segment = "R9" // segments left
	aOff    = "R10"
	bOff    = "R11"
	k       = "R12" // products left
	ak      = "R13"
	b       = "R14"
	tmp     = "R15"
	bPanel  = "R16"
	firstA  = 19
)

// Vector registers after the accumulators.
const (
	bVec  = 16
	aElem = 18
)

var gemm *neon.Func

func main() {
	out := flag.String("out", "", "file to write")
	flag.Parse()
	file := neon.New("gemmneon")
	gemm = file.Func("gemmNEON", "(c *float32, cRow int, a *float32, aRow, aK int, aOff *int, b *float32, bRow, bPanel int, bOff *int, "+
		"segments, k, rows, tiles, panels, cols int, bias *float32, add bool)")
	function()
	if err := file.Write(*out); err != nil {
		log.Fatal(err)
	}
}

// function writes one kernel per row count and width, and the code that
// chooses between them, once per call.
func function() {
	for _, s := range []struct{ name, reg string }{{"aRow", aRow}, {"aK", aK}, {"bRow", bRow}, {"cRow", cRow}} {
		load(s.name, s.reg)
		emit("LSL $2, %s", s.reg)
	}
	load("k", depth)
	load("rows", rows)
	load("cols", tmp)
	widths := []int{8, 4, 1}
	for _, n := range widths[:2] {
		emit("CMP $%d, %s", n, tmp)
		emit("BEQ cols%d", n)
	}
	emit("B cols1")
	for _, n := range widths {
		label("cols%d", n)
		for m := maxRows; m > 1; m-- {
			emit("CMP $%d, %s", m, rows)
			emit("BEQ tile%dx%d", m, n)
		}
		emit("B tile1x%d", n)
	}
	for m := maxRows; m >= 1; m-- {
		for _, n := range widths {
			kernel{m, n, fmt.Sprintf("tile%dx%d", m, n)}.emit()
		}
	}
}

// kernel holds rows × cols elements of C in registers.
type kernel struct {
	rows, cols int
	label      string
}

func (n kernel) vectors() int { return (n.cols + 3) / 4 }

// emit writes the loops over panels, tiles, segments and k. The panel loop
// advances the arguments c, b and bias in place.
func (n kernel) emit() {
	label("%s", n.label) // panel loop
	load("tiles", left)
	load("a", aTile)
	load("c", cTile)
	load("b", bPanel)

	label("%s_tile", n.label)
	emit("MOVBU %s, %s", argument("add"), tmp)
	emit("CBZ %s, %s_fresh", tmp, n.label)
	n.eachRow(func(acc int) { n.load(tmp, acc) })
	emit("B %s_start", n.label)
	label("%s_fresh", n.label)
	load("bias", tmp)
	emit("CBZ %s, %s_zero", tmp, n.label)
	for i := range n.rows {
		n.load(tmp, i*n.vectors())
	}
	emit("B %s_start", n.label)
	label("%s_zero", n.label)
	for i := range n.rows * n.vectors() {
		emit("VEOR V%d.B16, V%d.B16, V%d.B16", i, i, i)
	}

	label("%s_start", n.label)
	load("segments", segment)
	load("aOff", aOff)
	load("bOff", bOff)
	label("%s_segment", n.label)
	emit("MOVD.P 8(%s), %s", aOff, tmp)
	emit("ADD %s<<2, %s, R%d", tmp, aTile, firstA)
	for i := 1; i < n.rows; i++ {
		emit("ADD %s, R%d, R%d", aRow, firstA+i-1, firstA+i)
	}
	emit("MOVD.P 8(%s), %s", bOff, tmp)
	emit("ADD %s<<2, %s, %s", tmp, bPanel, b)
	emit("MOVD %s, %s", depth, k)
	emit("MOVD $0, %s", ak)

	label("%s_k", n.label)
	n.load(b, bVec)
	emit("ADD %s, %s", bRow, b)
	for i := range n.rows {
		emit("FMOVS (R%d)(%s), F%d", firstA+i, ak, aElem+i)
	}
	emit("ADD %s, %s", aK, ak)
	for i := range n.rows {
		n.multiplyAdd(i)
	}
	emit("SUB $1, %s", k)
	emit("CBNZ %s, %s_k", k, n.label)
	emit("SUB $1, %s", segment)
	emit("CBNZ %s, %s_segment", segment, n.label)

	n.eachRow(func(acc int) { n.store(acc, tmp) })
	emit("MOVD %s, %s", tmp, cTile)
	emit("MOVD $%d, %s", n.rows, tmp)
	emit("MADD %s, %s, %s, %s", aRow, aTile, tmp, aTile)
	emit("SUB $1, %s", left)
	emit("CBNZ %s, %s_tile", left, n.label)

	load("c", tmp)
	emit("ADD $%d, %s", 4*32, tmp)
	emit("MOVD %s, %s", tmp, argument("c"))
	load("bias", tmp)
	emit("CBZ %s, %s_next", tmp, n.label)
	emit("ADD $%d, %s", 4*32, tmp)
	emit("MOVD %s, %s", tmp, argument("bias"))
	label("%s_next", n.label)
	load("bPanel", tmp)
	emit("ADD %s<<2, %s", tmp, bPanel)
	emit("MOVD %s, %s", bPanel, argument("b"))
	load("panels", tmp)
	emit("SUB $1, %s", tmp)
	emit("MOVD %s, %s", tmp, argument("panels"))
	emit("CBNZ %s, %s", tmp, n.label)
	emit("RET")
}

// eachRow runs f with the first accumulator of each row, while tmp points to
// the row of C. It leaves tmp at the row below the last.
func (n kernel) eachRow(f func(acc int)) {
	emit("MOVD %s, %s", cTile, tmp)
	for i := range n.rows {
		f(i * n.vectors())
		emit("ADD %s, %s", cRow, tmp)
	}
}

func (n kernel) load(from string, v int) {
	switch n.cols {
	case 8:
		emit("VLD1 (%s), [V%d.S4, V%d.S4]", from, v, v+1)
	case 4:
		emit("VLD1 (%s), [V%d.S4]", from, v)
	case 1:
		emit("FMOVS (%s), F%d", from, v)
	}
}

func (n kernel) store(v int, to string) {
	switch n.cols {
	case 8:
		emit("VST1 [V%d.S4, V%d.S4], (%s)", v, v+1, to)
	case 4:
		emit("VST1 [V%d.S4], (%s)", v, to)
	case 1:
		emit("FMOVS F%d, (%s)", v, to)
	}
}

// multiplyAdd adds A's element of row i times B's row to C's row i. The
// assembler lacks the form that multiplies by one element of a vector (Arm
// Architecture Reference Manual, "FMLA (by element)"), so it is encoded here.
func (n kernel) multiplyAdd(i int) {
	if n.cols == 1 {
		emit("FMADDS F%d, F%d, F%d, F%d", aElem+i, i, bVec, i)
		return
	}
	for j := range n.vectors() {
		acc := i*n.vectors() + j
		word := 0x4f801000 | (aElem+i)<<16 | (bVec+j)<<5 | acc
		emit("WORD $%#x // FMLA V%d.S[0], V%d.S4, V%d.S4", word, aElem+i, bVec+j, acc)
	}
}

func argument(name string) string { return gemm.Argument(name) }

func load(name, reg string) { emit("MOVD %s, %s", argument(name), reg) }

func emit(format string, args ...any) { gemm.Emit(format, args...) }

func label(format string, args ...any) { gemm.Label(format, args...) }
