package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The tiles of F(4×4, 3×3) do not fit 16 registers, and those of the input not 32: what the first of the two
// one-dimensional transforms leaves then goes through a piece of stack that stays in L1.

// coefficients loads entries first, first+1, … of the table wino4Coefficients.
func coefficients(w width, first, n int) []reg.VecVirtual {
	table := pointer("k", nil)
	v := make([]reg.VecVirtual, n)
	for i := range v {
		v[i] = w.broadcast(Mem{Base: table, Disp: 4 * (first + i)})
	}
	return v
}

// Entries of the table that only the small tiles need: a+b, b−a and 2b.
const plusAB, minusAB, twiceB = 11, 12, 13

// scale multiplies v by an entry of the table.
func (w width) scale(entry int, v reg.VecVirtual) {
	m := Mem{Base: pointer("k", nil), Disp: 4 * entry}
	if w.lanes == 16 {
		VMULPS_BCST(m, v, v)
		return
	}
	VMULPS(w.broadcast(m), v, v)
}

// scratch returns the address of n vectors on the stack, aligned so that none crosses a cache line.
func scratch(w width, n int) reg.GPVirtual {
	p := GP64()
	LEAQ(AllocLocal(w.bytes()*n+64), p)
	ANDQ(I8(-64), p)
	return p
}

func (w width) slot(p reg.GPVirtual, i int) Mem { return Mem{Base: p, Disp: w.bytes() * i} }

// product returns x·y in a register of its own, plusProduct z + x·y, minusProduct z − x·y.
func (w width) product(x, y reg.VecVirtual) reg.VecVirtual {
	d := w.vector()
	VMULPS(x, y, d)
	return d
}

func (w width) plusProduct(z, x, y reg.VecVirtual) reg.VecVirtual {
	d := w.vector()
	VMOVAPS(z, d)
	VFMADD231PS(y, x, d)
	return d
}

func (w width) minusProduct(z, x, y reg.VecVirtual) reg.VecVirtual {
	d := w.vector()
	VMOVAPS(z, d)
	VFNMADD231PS(y, x, d)
	return d
}

// points are the places among the six points of those that F(n, 3) has.
func points(n int) []int {
	if n == 3 {
		return []int{0, 1, 2, 3, 5}
	}
	return []int{0, 1, 2, 3, 4, 5}
}

// eachTile emits a function's text for each kind of tile: rows×side outputs, 3 or 4 each. Labels end in suffix.
func eachTile(w width, body func(rows, side int, l lanes, offset reg.GPVirtual, suffix string)) {
	kinds := [][2]int{{4, 4}, {4, 3}, {3, 4}, {3, 3}}
	rows, side := count("rows"), count("side")
	for i, kind := range kinds[1:] {
		next := LabelRef(fmt.Sprint("other", i))
		CMPQ(rows, Imm(uint64(kind[0])))
		JNE(next)
		CMPQ(side, Imm(uint64(kind[1])))
		JE(LabelRef(fmt.Sprint("kind", i+1)))
		Label(string(next))
	}
	for i, kind := range kinds {
		name := fmt.Sprint(i)
		Label("kind" + name)
		channels(w, name, func(l lanes, offset reg.GPVirtual, suffix string) {
			body(kind[0], kind[1], l, offset, name+suffix)
		})
	}
}

// wino4B hands the rows of Bᵀd of F(n, 3) to put, in order; it overwrites d, but for the last two.
func wino4B(w width, n int, k, d []reg.VecVirtual, put func(i int, v reg.VecVirtual)) {
	a, b, a2, b2 := k[0], k[1], k[2], k[3]
	if n == 3 {
		last := w.minusProduct(d[4], b, d[3])
		VFNMADD213PS(d[1], b, d[0]) // d0 = d1 − b·d0
		e := w.minusProduct(d[3], b, d[2])
		VFNMADD231PS(d[1], b, d[2]) // d2 = d2 − b·d1
		VFNMADD213PS(e, a2, d[0])
		VMULPS(b, d[0], d[0])
		put(0, d[0])
		plus := w.plusProduct(e, a, d[2])
		w.scale(plusAB, plus)
		put(1, plus)
		VFNMADD231PS(d[2], a, e)
		w.scale(minusAB, e)
		put(2, e)
		VFNMADD213PS(d[3], a2, d[1])
		w.scale(twiceB, d[1])
		put(3, d[1])
		VFNMADD231PS(d[2], a2, last)
		put(5, last)
		return
	}
	e, o := w.minusProduct(d[4], b2, d[2]), w.minusProduct(d[3], b2, d[1])
	VFNMADD213PS(d[2], b2, d[0]) // d0 = d2 − b²·d0
	VFNMADD213PS(e, a2, d[0])
	put(0, d[0])
	put(1, w.plusProduct(e, a, o))
	VFNMADD231PS(o, a, e)
	put(2, e)
	VFNMADD213PS(d[4], a2, d[2])
	VFNMADD213PS(d[3], a2, d[1])
	put(3, w.plusProduct(d[2], b, d[1]))
	VFNMADD231PS(d[1], b, d[2])
	put(4, d[2])
	VFNMADD213PS(d[5], b2, d[3]) // d3 = d5 − b²·d3
	VFNMADD231PS(o, a2, d[3])
	put(5, d[3])
}

// input4 multiplies the columns of a tile by Bᵀ, then the rows of what that leaves. A tile's last two columns are the
// next one's first and stay, transformed, in left.
func input4(w width) {
	function("winograd4Input", w, "is winograd4InputGo.", "v *float32, vPos, vTile int, x *float32, xRow, xPix, rows, side, tiles, c int, k *[14]float32")
	k := coefficients(w, 0, 4)
	left, right := w.bank(12), w.bank(12)
	middle := bank{w, nil, scratch(w, 12)}
	eachTile(w, func(rows, side int, l lanes, offset reg.GPVirtual, suffix string) {
		x, row, pix := pointer("x", offset), stride("xRow"), stride("xPix")
		row3 := times3(row)
		columns := func(to bank, n int) {
			for s := range n {
				d := w.vectors(rows + 2)
				g := taps(x, row, row3)
				for r, v := range d {
					l.load(g.six(0, r), v)
				}
				ADDQ(pix, x)
				wino4B(w, rows, k, d, func(r int, v reg.VecVirtual) { to.put(2*r+s, v) })
			}
		}
		columns(left, 2)
		v, pos, n := pointer("v", offset), stride("vPos"), count("tiles")
		pos3 := times3(pos)
		Label("tile" + suffix)
		columns(middle, side-2)
		columns(right, 2)
		g := taps(v, pos, pos3)
		for _, r := range points(rows) {
			d := []reg.VecVirtual{left.take(2 * r), left.take(2*r + 1)}
			for s := range side - 2 {
				d = append(d, middle.take(2*r+s))
			}
			d = append(d, right.take(2*r), right.take(2*r+1))
			wino4B(w, side, k, d, func(s int, v reg.VecVirtual) { l.store(v, g.six(r, s)) })
		}
		left.receive(right)
		tile := stride("vTile")
		ADDQ(tile, v)
		DECQ(n)
		JNZ(LabelRef("tile" + suffix))
	})
}

// wino4A returns the rows of Aᵀm of F(n, 3); it overwrites m.
func wino4A(w width, n int, k, m []reg.VecVirtual) []reg.VecVirtual {
	a, b, a2, b2 := k[0], k[1], k[2], k[3]
	s1, f1 := w.sum(m[1], m[2]), m[1]
	VSUBPS(m[2], m[1], f1)
	if n == 3 {
		VADDPS(s1, m[0], m[0])
		VADDPS(m[3], m[0], m[0])
		VMULPS(a, f1, f1)
		VFMADD231PS(m[3], b, f1)
		VFMADD231PS(s1, a2, m[4])
		VFMADD231PS(m[3], b2, m[4])
		return []reg.VecVirtual{m[0], f1, m[4]}
	}
	s2, f2 := m[2], m[3]
	VADDPS(m[4], m[3], s2)
	VSUBPS(m[4], m[3], f2)
	VADDPS(s1, m[0], m[0])
	VADDPS(s2, m[0], m[0])
	VMULPS(a, f1, f1)
	VMULPS(b, f2, f2)
	VFMADD231PS(f1, a2, m[5])
	VFMADD231PS(f2, b2, m[5])
	VADDPS(f2, f1, f1)
	VMULPS(a2, s1, s1)
	VFMADD231PS(s2, b2, s1)
	return []reg.VecVirtual{m[0], f1, s1, m[5]}
}

// output4 multiplies M by A row by row, then takes the pixels of a tile's columns in turn.
func output4(w width) {
	function("winograd4Output", w, "is winograd4OutputGo with nil for what is empty.",
		"y *float32, yRow, yPix int, m *float32, mPos, mTile int, residual, start *float32, rows, side, cols, c int, k *[14]float32")
	k := coefficients(w, 0, 4)
	columns := w.bank(6 * 4)
	bias := w.slot(scratch(w, 1), 0)
	eachTile(w, func(rows, side int, l lanes, offset reg.GPVirtual, suffix string) {
		none := w.broadcast(minusZero()) // x + (−0) is x, even where x is −0
		start := pointer("start", nil)
		TESTQ(start, start)
		JZ(LabelRef("noStart" + suffix))
		l.load(Mem{Base: start, Index: offset, Scale: 1}, none)
		Label("noStart" + suffix)
		VMOVAPS(none, bias)

		m, pos, n := pointer("m", offset), stride("mPos"), count("cols")
		pos3 := times3(pos)
		y, r := pointer("y", offset), pointer("residual", nil)
		yRow := stride("yRow")
		yRow3 := times3(yRow)
		// The residual is reached from y, at a distance; a distance of 0, where it is y itself, is as good as any.
		distance := GP64()
		MOVQ(r, distance)
		first := pointer("y", nil)
		SUBQ(first, distance)
		Label("tile" + suffix)
		g := taps(m, pos, pos3)
		for _, i := range points(rows) {
			d := w.vectors(side + 2)
			for j, s := range points(side) {
				l.load(g.six(i, s), d[j])
			}
			for s, v := range wino4A(w, side, k, d) {
				columns.put(4*i+s, v)
			}
		}
		for s := range side {
			d := w.vectors(rows + 2)
			for j, i := range points(rows) {
				d[j] = columns.take(4*i + s)
			}
			u := wino4A(w, rows, k, d)
			for _, v := range u {
				VADDPS(bias, v, v)
			}
			store := fmt.Sprint("store", s, suffix)
			TESTQ(r, r)
			JZ(LabelRef(store))
			from := GP64()
			LEAQ(Mem{Base: y, Index: distance, Scale: 1}, from)
			for i, v := range u {
				l.add(at(from, yRow, yRow3, i), v)
			}
			Label(store)
			for i, v := range u {
				l.store(v, at(y, yRow, yRow3, i))
			}
			yPix := stride("yPix")
			ADDQ(yPix, y)
		}
		tile := stride("mTile")
		ADDQ(tile, m)
		SUBQ(Imm(uint64(side)), n)
		JG(LabelRef("tile" + suffix))
	})
}

// gradOutput4 multiplies the columns of a tile by A, then the rows of what that leaves.
func gradOutput4(w width) {
	function("winograd4GradOutput", w, "is winograd4GradOutputGo.",
		"d *float32, dPos, dTile int, dy *float32, dyRow, dyPix, rows, side, cols, c int, k *[14]float32")
	k := coefficients(w, 0, 4)
	columns := w.bank(6 * 4)
	// transform hands the rows of Ay of F(n, 3) to put, in order; it overwrites y.
	transform := func(n int, y []reg.VecVirtual, put func(i int, v reg.VecVirtual)) {
		a, b, a2, b2 := k[0], k[1], k[2], k[3]
		e, o := w.plusProduct(y[0], a2, y[2]), y[1]
		if n == 4 {
			o = w.plusProduct(y[1], a2, y[3])
		}
		put(0, y[0])
		put(1, w.plusProduct(e, a, o))
		VFNMADD231PS(o, a, e)
		put(2, e)
		if e = y[0]; columns.held != nil {
			e = w.vector()
			VMOVAPS(y[0], e)
		}
		VFMADD231PS(y[2], b2, e)
		if n == 3 {
			VFMADD231PS(y[1], b, e)
			put(3, e)
			put(5, y[2])
			return
		}
		o = y[1]
		VFMADD231PS(y[3], b2, o)
		put(3, w.plusProduct(e, b, o))
		VFNMADD231PS(o, b, e)
		put(4, e)
		put(5, y[3])
	}
	eachTile(w, func(rows, side int, l lanes, offset reg.GPVirtual, suffix string) {
		d, pos, n := pointer("d", offset), stride("dPos"), count("cols")
		pos3 := times3(pos)
		dy, row, pix, tile := pointer("dy", offset), stride("dyRow"), stride("dyPix"), stride("dTile")
		row3 := times3(row)
		Label("tile" + suffix)
		for s := range side {
			y := w.vectors(rows)
			for r, v := range y {
				l.load(at(dy, row, row3, r), v)
			}
			ADDQ(pix, dy)
			transform(rows, y, func(r int, v reg.VecVirtual) { columns.put(4*r+s, v) })
		}
		g := taps(d, pos, pos3)
		for _, r := range points(rows) {
			y := w.vectors(side)
			for s := range y {
				y[s] = columns.take(4*r + s)
			}
			transform(side, y, func(s int, v reg.VecVirtual) { l.store(v, g.six(r, s)) })
		}
		ADDQ(tile, d)
		SUBQ(Imm(uint64(side)), n)
		JG(LabelRef("tile" + suffix))
	})
}
