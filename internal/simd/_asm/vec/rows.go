package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func rows(wide bool) {
	copyPixels(wide, "copyPixels", false)
	copyPixels(wide, "addPixels", true)

	m := begin(wide, "addRows", "(y, row []float32, pixels int)")
	m.pixels([]string{"y"}, []string{"row"}, func(at func(string) place, k mask) {
		m.store(m.add(m.load(at("y"), k), m.load(at("row"), k)), at("y"), k)
	})
	m.end()

	m = begin(wide, "channelSums", "(sum, x []float32, pixels int)")
	m.sum(channelSum{
		images: []string{"x"},
		sums:   []string{"sum"},
		pixel: func(at func(string) place, k mask, add func(string, vec)) {
			add("sum", m.load(at("x"), k))
		},
	})
	m.end()

	m = begin(wide, "channelSquares", "(sum, x, mean []float32, pixels int)")
	var mean vec
	m.sum(channelSum{
		images: []string{"x"},
		sums:   []string{"sum"},
		before: func(row func(string) vec) { mean = row("mean") },
		pixel: func(at func(string) place, k mask, add func(string, vec)) {
			d := m.sub(m.load(at("x"), k), mean)
			add("sum", m.mul(d, d))
		},
	})
	m.end()
}

// copyPixels writes a loop over pixels that lie apart, yPix and xPix elements from one to the next.
func copyPixels(wide bool, name string, add bool) {
	m := begin(wide, name, "(y []float32, yPix int, x []float32, xPix, pixels, c int)")
	base := arrays("y", "x")
	pixels, c := Load(Param("pixels"), GP64()), Load(Param("c"), GP64()).(reg.GPVirtual)
	yPix, xPix := Load(Param("yPix"), GP64()), Load(Param("xPix"), GP64())
	SHLQ(Imm(2), yPix)
	SHLQ(Imm(2), xPix)
	rest, j := GP64(), GP64()
	MOVQ(c, rest)
	ANDQ(Imm(uint64(m.lanes()-1)), rest)
	k := m.firstLanes(rest)
	SUBQ(Imm(uint64(m.lanes())), c)
	SHLQ(Imm(2), c) // the last j at which a full vector can start
	body := func(k mask) {
		y, x := m.at(Mem{Base: base["y"], Index: j, Scale: 1}), m.at(Mem{Base: base["x"], Index: j, Scale: 1})
		v := m.load(x, k)
		if add {
			v = m.add(m.load(y, k), v)
		}
		m.store(v, y, k)
	}
	pixel, vector, tail, next := label("pixel"), label("vector"), label("tail"), label("next")
	Label(pixel)
	XORQ(j, j)
	CMPQ(j, c)
	JGT(LabelRef(tail))
	Label(vector)
	body(nil)
	ADDQ(Imm(uint64(4*m.lanes())), j)
	CMPQ(j, c)
	JLE(LabelRef(vector))
	Label(tail)
	TESTQ(rest, rest)
	JEQ(LabelRef(next))
	body(k)
	Label(next)
	ADDQ(yPix, base["y"])
	ADDQ(xPix, base["x"])
	DECQ(pixels)
	JNE(LabelRef(pixel))
	m.end()
}
