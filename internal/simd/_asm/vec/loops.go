package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

var labels int

// label is a name not used before in the file.
func label(name string) string {
	labels++
	return fmt.Sprintf("%s%d", name, labels)
}

// arrays loads the base pointers of slice parameters.
func arrays(names ...string) map[string]reg.Register {
	base := map[string]reg.Register{}
	for _, name := range names {
		base[name] = Load(Param(name).Base(), GP64())
	}
	return base
}

// elements runs body over equally long slices, the last of them under a mask.
// at is the place of the current elements of a slice.
func (m *machine) elements(names []string, body func(at func(string) Mem, k mask)) {
	base := arrays(names...)
	n := Load(Param(names[0]).Len(), GP64()).(reg.GPVirtual)
	i := GP64()
	XORQ(i, i)
	at := func(name string) Mem { return Mem{Base: base[name], Index: i, Scale: 1} }

	loop, tail, done := label("loop"), label("tail"), label("done")
	SUBQ(Imm(uint64(m.lanes())), n)
	JLT(LabelRef(tail))
	Label(loop)
	body(at, nil)
	ADDQ(Imm(uint64(4*m.lanes())), i)
	SUBQ(Imm(uint64(m.lanes())), n)
	JGE(LabelRef(loop))
	Label(tail)
	ADDQ(Imm(uint64(m.lanes())), n)
	JEQ(LabelRef(done))
	body(at, m.firstLanes(n))
	Label(done)
}

// blockPixels is how many pixels of a channel are added up before the sum is
// added to the result: blockPixels of package simd.
const blockPixels = 64

// A channels loop runs over images [pixels c]: block by block of pixels, within
// a block over vectors of channels, and there over the pixels. A channel's
// coefficients and sums stay in registers meanwhile, and a block of either stays
// in cache. Pixels are taken two at a time, as chain 0 and 1.
type channels struct {
	images []string // slices [pixels c]; c is the length of the slice in parameter channels
	rows   string   // a slice [c]

	before func(at func(string) Mem, k mask)            // loads coefficients; at is the place in a slice [c]
	pixel  func(at func(string) Mem, k mask, chain int) // at is the place in a slice [pixels c]
	after  func(at func(string) Mem, k mask)            // stores sums
}

func (m *machine) channels(l channels) {
	base := arrays(l.images...)
	pixels := Load(Param("pixels"), GP64())
	c := Load(Param(l.rows).Len(), GP64()).(reg.GPVirtual)
	SHLQ(Imm(2), c) // bytes from one pixel to the next, from here on
	block, n, j := GP64(), GP64(), GP64()
	XORQ(block, block)

	next, vector, tail, flush, done := label("block"), label("vector"), label("tail"), label("flush"), label("done")
	width := uint64(m.bytes())
	TESTQ(pixels, pixels)
	JEQ(LabelRef(done))
	Label(next)
	MOVQ(U32(blockPixels), n)
	CMPQ(pixels, n)
	CMOVQLT(pixels, n)
	XORQ(j, j)

	Label(vector)
	left := GP64()
	MOVQ(c, left)
	SUBQ(j, left)
	CMPQ(left, Imm(width))
	JLT(LabelRef(tail))
	m.vectorOfChannels(l, base, block, j, c, n, nil)
	ADDQ(Imm(width), j)
	JMP(LabelRef(vector))
	Label(tail)
	TESTQ(left, left)
	JEQ(LabelRef(flush))
	SHRQ(Imm(2), left)
	m.vectorOfChannels(l, base, block, j, c, n, m.firstLanes(left))
	Label(flush)

	SUBQ(n, pixels)
	IMULQ(c, n)
	ADDQ(n, block)
	TESTQ(pixels, pixels)
	JNE(LabelRef(next))
	Label(done)
}

// vectorOfChannels does n pixels of the channels at byte j of each pixel.
func (m *machine) vectorOfChannels(l channels, base map[string]reg.Register, block, j, c, n reg.GPVirtual, k mask) {
	row := func(name string) Mem {
		return Mem{Base: Load(Param(name).Base(), GP64()), Index: j, Scale: 1}
	}
	image := func(i reg.Register) func(string) Mem {
		return func(name string) Mem { return Mem{Base: base[name], Index: i, Scale: 1} }
	}
	if l.before != nil {
		l.before(row, k)
	}
	even, odd, left := GP64(), GP64(), GP64()
	LEAQ(Mem{Base: block, Index: j, Scale: 1}, even)
	MOVQ(n, left)
	pair, last, done := label("pair"), label("last"), label("done")
	SUBQ(Imm(2), left)
	JLT(LabelRef(last))
	Label(pair)
	LEAQ(Mem{Base: even, Index: c, Scale: 1}, odd)
	l.pixel(image(even), k, 0)
	l.pixel(image(odd), k, 1)
	LEAQ(Mem{Base: even, Index: c, Scale: 2}, even)
	SUBQ(Imm(2), left)
	JGE(LabelRef(pair))
	Label(last)
	CMPQ(left, I8(-1))
	JNE(LabelRef(done))
	l.pixel(image(even), k, 0)
	Label(done)
	if l.after != nil {
		l.after(row, k)
	}
}
