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
func (m *machine) elements(names []string, body func(at func(string) place, k mask)) {
	base := arrays(names...)
	n := Load(Param(names[0]).Len(), GP64()).(reg.GPVirtual)
	i := GP64()
	XORQ(i, i)
	at := func(name string) place { return m.at(Mem{Base: base[name], Index: i, Scale: 1}) }

	loop, tail, done := label("loop"), label("tail"), label("done")
	lanes := Imm(uint64(m.lanes()))
	SUBQ(lanes, n)
	JLT(LabelRef(tail))
	Label(loop)
	body(at, nil)
	ADDQ(Imm(uint64(4*m.lanes())), i)
	SUBQ(lanes, n)
	JGE(LabelRef(loop))
	Label(tail)
	ADDQ(lanes, n)
	JEQ(LabelRef(done))
	body(at, m.firstLanes(n))
	Label(done)
}

// pixels runs body over images [pixels c], in the order of memory, and slices
// [c] of coefficients, which it reads anew for every pixel. c is the length of
// the first of these. at is the place of the current channels in either.
func (m *machine) pixels(images, rows []string, body func(at func(string) place, k mask)) {
	base := arrays(append(images, rows...)...)
	pixels := Load(Param("pixels"), GP64())
	c := Load(Param(rows[0]).Len(), GP64()).(reg.GPVirtual)
	lanes := uint64(m.lanes())

	rest := GP64() // channels in the last vector of a pixel, if it isn't full
	MOVQ(c, rest)
	ANDQ(Imm(lanes-1), rest)
	k := m.firstLanes(rest)
	SUBQ(Imm(lanes), c)
	SHLQ(Imm(2), c) // the last j at which a full vector can start
	i, j := GP64(), GP64()
	XORQ(i, i)
	at := func(name string) place {
		index := i
		for _, row := range rows {
			if row == name {
				index = j
			}
		}
		return m.at(Mem{Base: base[name], Index: index, Scale: 1})
	}

	done := label("done")
	TESTQ(pixels, pixels)
	JEQ(LabelRef(done))
	m.eachPixel(pixels, c, rest, j,
		func() { body(at, nil); ADDQ(Imm(4*lanes), i) },
		func() { body(at, k); LEAQ(Mem{Base: i, Index: rest, Scale: 4}, i) },
		func() {})
	Label(done)
}

// eachPixel runs full for each full vector of a pixel's channels, at byte j, up to byte c where the last one can start;
// part for those that rest, if any; and then next; all for so many pixels.
func (m *machine) eachPixel(pixels, c, rest, j reg.Register, full, part, next func()) {
	pixel, vector, tail, end := label("pixel"), label("vector"), label("tail"), label("next")
	Label(pixel)
	XORQ(j, j)
	CMPQ(j, c)
	JGT(LabelRef(tail))
	Label(vector)
	full()
	ADDQ(Imm(uint64(4*m.lanes())), j)
	CMPQ(j, c)
	JLE(LabelRef(vector))
	Label(tail)
	TESTQ(rest, rest)
	JEQ(LabelRef(end))
	part()
	Label(end)
	next()
	DECQ(pixels)
	JNE(LabelRef(pixel))
}

// An image is a parameter, and the one that counts the elements from pixel to pixel: "" if these are its c channels.
type image struct{ name, pix string }

// steps loads what lies between the pixels of images, in bytes. c is that of images without a parameter for it.
func steps(images []image, c reg.Register) map[string]reg.Register {
	step := map[string]reg.Register{}
	for _, im := range images {
		step[im.name] = c
		if im.pix != "" {
			step[im.name] = Load(Param(im.pix), GP64())
			SHLQ(Imm(2), step[im.name])
		}
	}
	return step
}

func names(images []image) []string {
	var list []string
	for _, im := range images {
		list = append(list, im.name)
	}
	return list
}

// apart runs body over c channels of images, and slices [c] of coefficients, which it reads anew for every pixel. There
// is at least one pixel.
func (m *machine) apart(channels reg.Register, images []image, rows []string, body func(at func(string) place, k mask)) {
	base := arrays(append(names(images), rows...)...)
	pixels, c := Load(Param("pixels"), GP64()), channels.(reg.GPVirtual)
	all := GP64()
	MOVQ(c, all)
	SHLQ(Imm(2), all)
	step := steps(images, all)
	rest, j := GP64(), GP64()
	MOVQ(c, rest)
	ANDQ(Imm(uint64(m.lanes()-1)), rest)
	k := m.firstLanes(rest)
	SUBQ(Imm(uint64(m.lanes())), c)
	SHLQ(Imm(2), c) // the last j at which a full vector can start
	at := func(name string) place { return m.at(Mem{Base: base[name], Index: j, Scale: 1}) }

	m.eachPixel(pixels, c, rest, j, func() { body(at, nil) }, func() { body(at, k) }, func() {
		for _, im := range images {
			ADDQ(step[im.name], base[im.name])
		}
	})
}

// blockPixels is that of package simd: how many pixels of a channel are added up
// before the sum goes to memory.
const blockPixels = 64

// A channelSum is a loop over images that sums over the pixels: block
// by block, within a block over the channels, one register of them at a time,
// and there over the pixels, so that sums and coefficients stay in registers.
// Two pixels are the two registers of a vector, or follow one another if serial.
type channelSum struct {
	images []image
	sums   []string // slices [c]
	serial bool     // for want of registers

	before func(row func(string) vec)                                       // loads coefficients, slices [c]
	pixel  func(at func(string) place, k mask, add func(sum string, v vec)) // at is the place in an image
}

func (m *machine) sum(l channelSum) {
	base := arrays(names(l.images)...) // of the block
	pixels := Load(Param("pixels"), GP64())
	c := Load(Param(l.sums[0]).Len(), GP64()).(reg.GPVirtual)
	SHLQ(Imm(2), c) // in bytes, from here on
	step := steps(l.images, c)
	n, j, left := GP64(), GP64(), GP64()

	next, vector, tail, end, done := label("block"), label("vector"), label("tail"), label("end"), label("done")
	width := Imm(uint64(m.bytes()))
	TESTQ(pixels, pixels)
	JEQ(LabelRef(done))
	Label(next)
	MOVQ(U32(blockPixels), n)
	CMPQ(pixels, n)
	CMOVQLT(pixels, n)
	XORQ(j, j)

	Label(vector)
	MOVQ(c, left)
	SUBQ(j, left)
	CMPQ(left, width)
	JLT(LabelRef(tail))
	m.sumBlock(l, base, step, j, n, nil)
	ADDQ(width, j)
	JMP(LabelRef(vector))
	Label(tail)
	SHRQ(Imm(2), left)
	JEQ(LabelRef(end))
	m.registers = 1
	k := m.firstLanes(left)
	m.registers = 2
	m.sumBlock(l, base, step, j, n, append(k, k...))
	Label(end)

	for _, im := range l.images {
		MOVQ(n, left)
		IMULQ(step[im.name], left)
		ADDQ(left, base[im.name])
	}
	SUBQ(n, pixels)
	JNE(LabelRef(next))
	Label(done)
}

// sumBlock does n pixels of the channels at byte j of each, from base on.
func (m *machine) sumBlock(l channelSum, base, step map[string]reg.Register, j, n reg.GPVirtual, k mask) {
	row := func(name string) place {
		return place{Mem{Base: Load(Param(name).Base(), GP64()), Index: j, Scale: 1}}
	}
	if l.before != nil {
		l.before(func(name string) vec {
			m.registers = 1
			v := m.load(row(name), k)
			m.registers = 2
			return append(v, v...)
		})
	}
	sums := map[string]vec{} // of even and of odd pixels
	for _, name := range l.sums {
		sums[name] = m.zero()
	}
	at := map[string]reg.GPVirtual{} // of the first of two pixels, the second being a step further
	for _, im := range l.images {
		at[im.name] = GP64()
		LEAQ(Mem{Base: base[im.name], Index: j, Scale: 1}, at[im.name])
	}
	even := func(name string) Mem { return Mem{Base: at[name]} }
	odd := func(name string) Mem { return Mem{Base: at[name], Index: step[name], Scale: 1} }
	// pixel runs the body on some of the two.
	pixel := func(chain int, which ...func(name string) Mem) {
		m.registers = len(which)
		image := func(name string) place {
			var p place
			for _, w := range which {
				p = append(p, w(name))
			}
			return p
		}
		l.pixel(image, k, func(sum string, v vec) { m.accumulate(VADDPS, sums[sum][chain:], v) })
		m.registers = 2
	}

	left := GP64()
	MOVQ(n, left)
	pair, last, done := label("pair"), label("last"), label("flush")
	SUBQ(Imm(2), left)
	JLT(LabelRef(last))
	Label(pair)
	if l.serial {
		pixel(0, even)
		pixel(1, odd)
	} else {
		pixel(0, even, odd)
	}
	for _, im := range l.images {
		LEAQ(Mem{Base: at[im.name], Index: step[im.name], Scale: 2}, at[im.name])
	}
	SUBQ(Imm(2), left)
	JGE(LabelRef(pair))
	Label(last)
	CMPQ(left, I8(-1))
	JNE(LabelRef(done))
	pixel(0, even)
	Label(done)

	m.registers = 1
	for _, name := range l.sums {
		at, s := row(name), sums[name]
		m.store(m.add(m.load(at, k), m.add(s[:1], s[1:])), at, k)
	}
	m.registers = 2
}
