package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// input carries the two columns that a tile shares with the one before, already multiplied by Bᵀ from the left, so a
// tile loads 8 values and not 16.
func input(w width) {
	function("winograd2Input", w, "is winograd2InputGo.", "v *float32, vPos, vTile int, x *float32, xRow, xPix, tiles, c int")
	channels(w, "", func(l lanes, offset reg.GPVirtual, suffix string) {
		x, row, pix := pointer("x", offset), stride("xRow"), stride("xPix")
		row3 := times3(row)
		// column loads the next column of x into a, multiplied by Bᵀ.
		column := func(a []reg.VecVirtual) {
			d1, d2 := w.vector(), w.vector()
			l.load(at(x, row, row3, 0), a[0])
			l.load(at(x, row, row3, 1), d1)
			l.load(at(x, row, row3, 2), d2)
			l.load(at(x, row, row3, 3), a[3])
			ADDQ(pix, x)
			VSUBPS(d2, a[0], a[0])
			VADDPS(d2, d1, a[1])
			VSUBPS(d1, d2, a[2])
			VSUBPS(a[3], d1, a[3])
		}
		a0, a1, a2 := w.vectors(4), w.vectors(4), w.vectors(4)
		column(a0)
		column(a1)
		v, pos, tile, n := pointer("v", offset), stride("vPos"), stride("vTile"), count("tiles")
		pos3 := times3(pos)
		Label("tile" + suffix)
		column(a2)
		g := positions(v, pos, pos3)
		for r := range 4 {
			g.enter(r)
			VSUBPS(a2[r], a0[r], a0[r])
			l.store(a0[r], g.at(0))
			l.store(w.sum(a1[r], a2[r]), g.at(1))
			l.store(w.sub(a2[r], a1[r]), g.at(2))
		}
		a3 := a0
		column(a3)
		g = positions(v, pos, pos3)
		for r := range 4 {
			g.enter(r)
			VSUBPS(a3[r], a1[r], a1[r])
			l.store(a1[r], g.at(3))
		}
		for r := range 4 {
			VMOVAPS(a3[r], a1[r])
			VMOVAPS(a2[r], a0[r])
		}
		ADDQ(tile, v)
		DECQ(n)
		JNZ(LabelRef("tile" + suffix))
	})
}

func output(w width) {
	function("winograd2Output", w, "is winograd2OutputGo with nil for what is empty.",
		"y *float32, yRow, yPix int, m *float32, mPos, mTile int, residual, start *float32, rows, cols, c int")
	channels(w, "", func(l lanes, offset reg.GPVirtual, suffix string) {
		// Without a start −0 is added, for x + (−0) is x even where x is −0.
		bias := w.broadcast(minusZero())
		start := pointer("start", nil)
		TESTQ(start, start)
		JZ(LabelRef("noStart" + suffix))
		l.load(Mem{Base: start, Index: offset, Scale: 1}, bias)
		Label("noStart" + suffix)

		m, pos, n := pointer("m", offset), stride("mPos"), count("cols")
		pos3 := times3(pos)
		px := newPixels(offset, "yPix")
		y0, y1 := twoRows("y", "yRow")
		r0, r1 := twoRows("residual", "yRow")
		Label("tile" + suffix)
		px.pair()
		// Aᵀ M, row by row of M: p = (m0 + m1) + m2 and q = (m1 − m2) − m3.
		p, q := w.vectors(4), w.vectors(4)
		g := positions(m, pos, pos3)
		for r := range 4 {
			g.enter(r)
			for k := range 4 {
				m := p[k]
				switch r {
				case 1:
					m = q[k]
				case 2, 3:
					m = w.vector()
				}
				l.load(g.at(k), m)
				if r == 1 && k == 1 {
					VADDPS(bias, m, m)
				}
				if r == 1 || r == 2 {
					VADDPS(m, p[k], p[k])
				}
				if r == 2 || r == 3 {
					VSUBPS(m, q[k], q[k])
				}
			}
		}
		px.outputs(l, y0, r0, p, n, "Row0"+suffix)
		TESTQ(y1, y1)
		JZ(LabelRef("next" + suffix))
		px.outputs(l, y1, r1, q, n, "Row1"+suffix)
		Label("next" + suffix)
		tile := stride("mTile")
		ADDQ(tile, m)
		px.next()
		SUBQ(Imm(2), n)
		JG(LabelRef("tile" + suffix))
	})
}

// outputs multiplies a row of four by A, adds the residual if r is not nil and stores two pixels, or one if no more
// are left.
func (px pixels) outputs(l lanes, y, r reg.GPVirtual, a []reg.VecVirtual, left reg.GPVirtual, suffix string) {
	u0, u1 := l.sum(a[0], a[1]), l.sub(a[1], a[2])
	VADDPS(a[2], u0, u0)
	VSUBPS(a[3], u1, u1)
	TESTQ(r, r)
	JZ(LabelRef("store" + suffix))
	l.add(px.even(r), u0)
	CMPQ(left, Imm(1))
	JE(LabelRef("store" + suffix))
	l.add(px.odd(r), u1)
	Label("store" + suffix)
	l.store(u0, px.even(y))
	CMPQ(left, Imm(1))
	JE(LabelRef("end" + suffix))
	l.store(u1, px.odd(y))
	Label("end" + suffix)
}

// twoRows returns the first two rows of an image; the second is nil if the argument rows is 1, or the image is nil.
func twoRows(image, row string) (y0, y1 reg.GPVirtual) {
	y0, zero := pointer(image, nil), GP64()
	y1 = stride(row)
	ADDQ(y0, y1)
	XORQ(zero, zero)
	TESTQ(y0, y0)
	CMOVQEQ(y0, y1)
	CMPQ(count("rows"), Imm(1))
	CMOVQEQ(zero, y1)
	return y0, y1
}

// pixels is the place in image rows of the pixel pair that a tile stands for.
type pixels struct {
	first, second, stride reg.GPVirtual // in bytes from the row's start
}

func newPixels(offset reg.GPVirtual, name string) pixels {
	px := pixels{GP64(), GP64(), stride(name)}
	MOVQ(offset, px.first)
	return px
}

func (px pixels) pair()                      { LEAQ(Mem{Base: px.first, Index: px.stride, Scale: 1}, px.second) }
func (px pixels) next()                      { LEAQ(Mem{Base: px.second, Index: px.stride, Scale: 1}, px.first) }
func (px pixels) even(row reg.GPVirtual) Mem { return Mem{Base: row, Index: px.first, Scale: 1} }
func (px pixels) odd(row reg.GPVirtual) Mem  { return Mem{Base: row, Index: px.second, Scale: 1} }

func gradOutput(w width) {
	function("winograd2GradOutput", w, "is winograd2GradOutputGo.",
		"d *float32, dPos, dTile int, dy *float32, dyRow, dyPix, rows, cols, c int")
	channels(w, "", func(l lanes, offset reg.GPVirtual, suffix string) {
		d, pos, tile, n := pointer("d", offset), stride("dPos"), stride("dTile"), count("cols")
		pos3 := times3(pos)
		px := newPixels(offset, "dyPix")
		dy0, dy1 := twoRows("dy", "dyRow")
		Label("tile" + suffix)
		px.pair()
		// y[row][column] of the tile, zero where the image ends.
		y := [2][]reg.VecVirtual{w.vectors(2), w.vectors(2)}
		w.zero(y[0][1])
		w.zero(y[1][0])
		w.zero(y[1][1])
		l.load(px.even(dy0), y[0][0])
		TESTQ(dy1, dy1)
		JZ(LabelRef("column" + suffix))
		l.load(px.even(dy1), y[1][0])
		Label("column" + suffix)
		CMPQ(n, Imm(1))
		JE(LabelRef("transform" + suffix))
		l.load(px.odd(dy0), y[0][1])
		TESTQ(dy1, dy1)
		JZ(LabelRef("transform" + suffix))
		l.load(px.odd(dy1), y[1][1])
		Label("transform" + suffix)
		rows := [4][]reg.VecVirtual{y[0], w.vectors(2), w.vectors(2), y[1]}
		for s := range 2 {
			VADDPS(y[1][s], y[0][s], rows[1][s])
			VSUBPS(y[1][s], y[0][s], rows[2][s])
		}
		g := positions(d, pos, pos3)
		for r, a := range rows {
			g.enter(r)
			l.store(a[0], g.at(0))
			l.store(w.sum(a[0], a[1]), g.at(1))
			l.store(w.sub(a[0], a[1]), g.at(2))
			l.store(a[1], g.at(3))
		}
		ADDQ(tile, d)
		px.next()
		SUBQ(Imm(2), n)
		JG(LabelRef("tile" + suffix))
	})
}
