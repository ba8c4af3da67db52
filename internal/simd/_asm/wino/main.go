// Command wino writes the Winograd transforms of package simd, each for AVX-512 and AVX2 from one text: the channels
// of a pixel lie side by side, so a vector register stands for one of the numbers in the Go version next to it, in 16
// or 8 channels at once.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("!purego")
	for _, w := range []width{{"AVX512", 16}, {"AVX2", 8}} {
		input(w)
		output(w)
		gradOutput(w)
		gradWeight(w)
		kernels(w)
		transpose(w)
		input4(w)
		output4(w)
		gradOutput4(w)
		gradWeight4(w)
		kernels4(w)
	}
	Generate()
}

// function begins an assembly function for one width.
func function(name string, w width, doc, args string) {
	TEXT(name+w.name, 0, "func("+args+")")
	Pragma("noescape")
	Doc(name + w.name + " " + doc)
}

// pointer loads a *float32 or []float32 argument, plus an offset in bytes if there is one.
func pointer(name string, plus reg.Register) reg.GPVirtual {
	p := GP64()
	Load(Param(name), p)
	if plus != nil {
		ADDQ(plus, p)
	}
	return p
}

// stride loads a stride and turns it from elements to bytes.
func stride(name string) reg.GPVirtual {
	s := GP64()
	Load(Param(name), s)
	SHLQ(U8(2), s)
	return s
}

// count loads a count.
func count(name string) reg.GPVirtual {
	n := GP64()
	Load(Param(name), n)
	return n
}

// times3 returns 3·s.
func times3(s reg.Register) reg.GPVirtual {
	p := GP64()
	LEAQ(Mem{Base: s, Index: s, Scale: 2}, p)
	return p
}

// at is the memory at base + k·s for k < 4, where s3 is 3·s.
func at(base, s, s3 reg.Register, k int) Mem {
	switch k {
	case 0:
		return Mem{Base: base}
	case 3:
		return Mem{Base: base, Index: s3, Scale: 1}
	}
	return Mem{Base: base, Index: s, Scale: uint8(k)}
}

// grid is a 4×4 grid of positions a stride apart, or a 3×3 one, that code goes through row by row.
type grid struct {
	row, s, s3 reg.GPVirtual // the present row's first position; one stride; three
	step       Mem           // the next row's first position
	entered    int           // the present row
}

// positions returns the grid of 4×4 positions from base.
func positions(base, s, s3 reg.GPVirtual) *grid {
	row := GP64()
	MOVQ(base, row)
	return &grid{row, s, s3, Mem{Base: row, Index: s, Scale: 4}, 0}
}

// taps returns the grid of 3×3 taps from base.
func taps(base, s, s3 reg.GPVirtual) *grid {
	g := positions(base, s, s3)
	g.step = Mem{Base: g.row, Index: s3, Scale: 1}
	return g
}

// enter moves on to row r from the one entered last.
func (g *grid) enter(r int) {
	for ; g.entered < r; g.entered++ {
		LEAQ(g.step, g.row)
	}
}

// at is position k of the present row.
func (g *grid) at(k int) Mem { return at(g.row, g.s, g.s3, k) }

// six is place k of row r where a row has six places and the grid's rows are half rows of three. Places must be asked
// for in order.
func (g *grid) six(r, k int) Mem {
	g.enter(2*r + k/3)
	return g.at(k % 3)
}
