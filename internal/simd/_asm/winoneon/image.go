package main

import "ddpm/internal/simd/_asm/neon"

// The transforms of images.

// wino4B returns Bᵀd of F(n, 3).
func (f *transform) wino4B(n int, d []neon.Vec) []neon.Vec {
	minus, plus := f.MinusProduct, f.PlusProduct
	k := f.k
	if n == 3 {
		e0, e1 := minus(d[1], k[b], d[0]), minus(d[2], k[b], d[1])
		e2, e3 := minus(d[3], k[b], d[2]), minus(d[4], k[b], d[3])
		return []neon.Vec{
			f.scaled(b, minus(e2, k[a2], e0)),
			f.scaled(plusAB, plus(e2, k[a], e1)),
			f.scaled(minusAB, minus(e2, k[a], e1)),
			f.scaled(twiceB, minus(d[3], k[a2], d[1])),
			none,
			minus(e3, k[a2], e1),
		}
	}
	e1, o1 := minus(d[4], k[b2], d[2]), minus(d[3], k[b2], d[1])
	e2, o2 := minus(d[4], k[a2], d[2]), minus(d[3], k[a2], d[1])
	d0, d5 := minus(d[2], k[b2], d[0]), minus(d[5], k[b2], d[3])
	return []neon.Vec{
		minus(e1, k[a2], d0),
		plus(e1, k[a], o1), minus(e1, k[a], o1),
		plus(e2, k[b], o2), minus(e2, k[b], o2),
		minus(d5, k[a2], o1),
	}
}

func input(file *neon.File) {
	f := begin(file, "winograd4InputNEON", "(v *float32, vPos, vTile int, x *float32, xRow, xPix, rows, side, tiles, c int, k *[14]float32, buf *[144]float32)",
		[]int{a, b, a2, b2, plusAB, minusAB, twiceB})
	pos, tile, row, pix := f.Stride("vPos"), f.Stride("vTile"), f.Stride("xRow"), f.Stride("xPix")
	f.eachTile("tiles", false, []string{"v", "x"}, func(rows, side int, at []neon.Reg, _ string) {
		v, x := at[0], at[1]
		column := f.Copy(x)
		for s := range side + 2 {
			mark := f.Mark()
			f.put(f.wino4B(rows, f.loads(column, row, upTo(rows+2))), s, 6)
			f.Free(mark)
			f.advance(column, pix, 1)
		}
		f.positions(rows, v, pos, func(r int) []neon.Vec { return f.wino4B(side, f.take(6*r, upTo(side+2))) })
		f.advance(x, pix, side)
		f.advance(v, tile, 1)
	})
}

// wino4A returns Aᵀm of F(n, 3), for m at its points.
func (f *transform) wino4A(n int, m []neon.Vec) []neon.Vec {
	k := f.k
	s1, f1 := f.Plus(m[1], m[2]), f.scaled(a, f.Minus(m[1], m[2]))
	if n == 3 {
		return []neon.Vec{
			f.Plus(f.Plus(m[0], s1), m[3]),
			f.PlusProduct(f1, k[b], m[3]),
			f.PlusProduct(f.PlusProduct(m[4], k[a2], s1), k[b2], m[3]),
		}
	}
	s2, f2 := f.Plus(m[3], m[4]), f.scaled(b, f.Minus(m[3], m[4]))
	return []neon.Vec{
		f.Plus(f.Plus(m[0], s1), s2),
		f.Plus(f1, f2),
		f.PlusProduct(f.scaled(a2, s1), k[b2], s2),
		f.PlusProduct(f.PlusProduct(m[5], k[a2], f1), k[b2], f2),
	}
}

func output(file *neon.File) {
	f := begin(file, "winograd4OutputNEON", "(y *float32, yRow, yPix int, m *float32, mPos, mTile int, residual, start *float32, rows, side, cols, c int, k *[14]float32, buf *[144]float32)",
		[]int{a, b, a2, b2})
	row, pix, pos, tile := f.Stride("yRow"), f.Stride("yPix"), f.Stride("mPos"), f.Stride("mTile")
	f.eachTile("cols", true, []string{"y", "m", "residual", "start"}, func(rows, side int, at []neon.Reg, suffix string) {
		y, m, residual := at[0], at[1], at[2]
		line := f.Copy(m)
		for i := range 6 {
			mark := f.Mark()
			if i != 4 || rows == 4 {
				f.put(f.wino4A(side, f.loads(line, pos, points(side))), i, 6)
			}
			f.Free(mark)
			f.advance(line, pos, 6)
		}
		// A null pointer walks along with the others, so what tells is the parameter.
		flag := f.Reg()
		for s := range side {
			mark := f.Mark()
			u := f.wino4A(rows, f.take(6*s, points(rows)))
			f.Reload("start", flag)
			f.Emit("CBZ %s, noStart%d_%s", flag, s, suffix)
			more := f.Vec()
			f.LoadVec(at[3], more)
			for _, v := range u {
				f.Add(v, v, more)
			}
			f.Label("noStart%d_%s", s, suffix)
			f.Reload("residual", flag)
			f.Emit("CBZ %s, store%d_%s", flag, s, suffix)
			from := f.Copy(residual)
			for _, v := range u {
				f.LoadNext(from, row, more)
				f.Add(v, v, more)
			}
			f.Label("store%d_%s", s, suffix)
			f.stores(u, f.Copy(y), row)
			f.Free(mark)
			f.advance(y, pix, 1)
			f.advance(residual, pix, 1)
		}
		f.advance(m, tile, 1)
	})
}

// wino4GradA returns Ay of F(n, 3).
func (f *transform) wino4GradA(n int, y []neon.Vec) []neon.Vec {
	minus, plus := f.MinusProduct, f.PlusProduct
	k := f.k
	ea := plus(y[0], k[a2], y[2])
	eb := plus(y[0], k[b2], y[2])
	if n == 3 {
		return []neon.Vec{y[0], plus(ea, k[a], y[1]), minus(ea, k[a], y[1]), plus(eb, k[b], y[1]), none, y[2]}
	}
	oa, ob := plus(y[1], k[a2], y[3]), plus(y[1], k[b2], y[3])
	return []neon.Vec{y[0], plus(ea, k[a], oa), minus(ea, k[a], oa), plus(eb, k[b], ob), minus(eb, k[b], ob), y[3]}
}

func gradOutput(file *neon.File) {
	f := begin(file, "winograd4GradOutputNEON", "(d *float32, dPos, dTile int, dy *float32, dyRow, dyPix, rows, side, cols, c int, k *[14]float32, buf *[144]float32)",
		[]int{a, b, a2, b2})
	pos, tile, row, pix := f.Stride("dPos"), f.Stride("dTile"), f.Stride("dyRow"), f.Stride("dyPix")
	f.eachTile("cols", true, []string{"d", "dy"}, func(rows, side int, at []neon.Reg, _ string) {
		d, dy := at[0], at[1]
		for s := range side {
			mark := f.Mark()
			f.put(f.wino4GradA(rows, f.loads(dy, row, upTo(rows))), s, 6)
			f.Free(mark)
			f.advance(dy, pix, 1)
		}
		f.positions(rows, d, pos, func(r int) []neon.Vec { return f.wino4GradA(side, f.take(6*r, upTo(side))) })
		f.advance(d, tile, 1)
	})
}
