// Command winoneon writes the transforms of F(4×4, 3×3) of package simd for arm64: those of command wino, four channels
// at a time. What the first of the two one-dimensional transforms leaves goes through a buffer that stays in the cache.
package main

import (
	"flag"
	"fmt"
	"log"

	"ddpm/internal/simd/_asm/neon"
)

func main() {
	out := flag.String("out", "", "file to write")
	flag.Parse()
	file := neon.New("winoneon")
	input(file)
	output(file)
	gradOutput(file)
	gradWeight(file)
	kernels(file)
	if err := file.Write(*out); err != nil {
		log.Fatal(err)
	}
}

// A transform is a function being written, and the coefficients of wino4Coefficients it holds.
type transform struct {
	*neon.Func
	k   [14]neon.Vec
	buf neon.Reg
}

func begin(file *neon.File, name, signature string, coefficients []int, parameters ...string) *transform {
	f := &transform{Func: file.Func(name, signature, parameters...)}
	f.buf = f.Load("buf")
	mark := f.Mark()
	k, at := f.Load("k"), f.Reg()
	for _, i := range coefficients {
		f.k[i] = f.Vec()
		f.Emit("ADD $%d, %s, %s", 4*i, k, at)
		f.Broadcast(at, f.k[i])
	}
	f.FreeGeneral(mark)
	return f
}

// Places in wino4Coefficients.
const (
	a, b, a2, b2                                      = 0, 1, 2, 3
	overA2B2, overM, aM, a2M, overN, bN, b2N          = 4, 5, 6, 7, 8, 9, 10
	plusAB, minusAB, twiceB                           = 11, 12, 13
	none                                     neon.Vec = -1
)

// points are the places among the six points of those that F(n, 3) has.
func points(n int) []int {
	if n == 3 {
		return []int{0, 1, 2, 3, 5}
	}
	return []int{0, 1, 2, 3, 4, 5}
}

// eachTile writes a loop over channels and tiles for each kind of tile: rows×side outputs, 3 or 4 each. walk are the
// parameters that point to the first channel: body is given the tile's place in each, and advances it to the next.
// count is the parameter that counts tiles, or with pixels true the pixels of a row of them.
func (f *transform) eachTile(count string, pixels bool, walk []string, body func(rows, side int, at []neon.Reg, suffix string)) {
	kinds := [][2]int{{4, 4}, {4, 3}, {3, 4}, {3, 3}}
	mark := f.Mark()
	rows, side := f.Load("rows"), f.Load("side")
	for i, kind := range kinds[1:] {
		f.Emit("CMP $%d, %s", kind[0], rows)
		f.Emit("BNE other%d", i)
		f.Emit("CMP $%d, %s", kind[1], side)
		f.Emit("BEQ kind%d", i+1)
		f.Label("other%d", i)
	}
	f.Free(mark)
	for i, kind := range kinds {
		f.Label("kind%d", i)
		f.channels(walk, fmt.Sprint(i), func(first []neon.Reg) {
			at := make([]neon.Reg, len(first))
			for j, r := range first {
				at[j] = f.Copy(r)
			}
			n := f.Load(count)
			f.Label("tile%d", i)
			inner := f.Mark()
			body(kind[0], kind[1], at, fmt.Sprint(i))
			f.Free(inner)
			step := 1
			if pixels {
				step = kind[1]
			}
			f.Emit("SUB $%d, %s", step, n)
			f.Emit("CBNZ %s, tile%d", n, i)
		})
		f.Emit("RET")
		f.Free(mark)
	}
}

// channels writes a loop over the c channels, four at a time: body is given the place of the first of them in each of the
// parameters named.
func (f *transform) channels(walk []string, name string, body func(at []neon.Reg)) {
	c := f.Load("c")
	at := make([]neon.Reg, len(walk))
	for i, w := range walk {
		at[i] = f.Load(w)
	}
	f.Label("channels%s", name)
	mark := f.Mark()
	body(at)
	f.Free(mark)
	for _, r := range at {
		f.Emit("ADD $16, %s", r)
	}
	f.Emit("SUB $4, %s", c)
	f.Emit("CBNZ %s, channels%s", c, name)
}

// advance adds n strides to r.
func (f *transform) advance(r, stride neon.Reg, n int) {
	for range n {
		f.Emit("ADD %s, %s", stride, r)
	}
}

// loads loads the vectors numbered, so many strides from p.
func (f *transform) loads(p, stride neon.Reg, which []int) (v []neon.Vec) {
	at := f.Copy(p)
	next := 0
	for _, i := range which {
		f.advance(at, stride, i-next)
		v = append(v, f.Vec())
		f.LoadNext(at, stride, v[len(v)-1])
		next = i + 1
	}
	return v
}

// put stores v in the buffer as vectors first, first+step, …, but those that are none.
func (f *transform) put(v []neon.Vec, first, step int) {
	for i, v := range v {
		if v != none {
			f.StoreAt(v, f.buf, 16*(first+step*i))
		}
	}
}

// take loads the vectors numbered, from place first of the buffer on.
func (f *transform) take(first int, which []int) (v []neon.Vec) {
	for _, i := range which {
		v = append(v, f.Vec())
		f.LoadAt(f.buf, 16*(first+i), v[len(v)-1])
	}
	return v
}

// stores stores v from p on, a stride apart, leaving out what is none, and advances p beyond them.
func (f *transform) stores(v []neon.Vec, p, stride neon.Reg) {
	for _, v := range v {
		if v == none {
			f.advance(p, stride, 1)
		} else {
			f.StoreNext(v, p, stride)
		}
	}
}

func upTo(n int) (list []int) {
	for i := range n {
		list = append(list, i)
	}
	return list
}

// scaled is v times an entry of the table.
func (f *transform) scaled(entry int, v neon.Vec) neon.Vec { return f.Times(v, f.k[entry]) }

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
		[]int{a, b, a2, b2, plusAB, minusAB, twiceB},
		"v", "vPos", "vTile", "x", "xRow", "xPix", "rows", "side", "tiles", "c", "k", "buf")
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
		to := f.Copy(v)
		for r := range 6 {
			mark := f.Mark()
			if r == 4 && rows == 3 {
				f.advance(to, pos, 6)
			} else {
				f.stores(f.wino4B(side, f.take(6*r, upTo(side+2))), to, pos)
			}
			f.Free(mark)
		}
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
		[]int{a, b, a2, b2},
		"y", "yRow", "yPix", "m", "mPos", "mTile", "residual", "start", "rows", "side", "cols", "c", "k", "buf")
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
		[]int{a, b, a2, b2},
		"d", "dPos", "dTile", "dy", "dyRow", "dyPix", "rows", "side", "cols", "c", "k", "buf")
	pos, tile, row, pix := f.Stride("dPos"), f.Stride("dTile"), f.Stride("dyRow"), f.Stride("dyPix")
	f.eachTile("cols", true, []string{"d", "dy"}, func(rows, side int, at []neon.Reg, _ string) {
		d, dy := at[0], at[1]
		for s := range side {
			mark := f.Mark()
			f.put(f.wino4GradA(rows, f.loads(dy, row, upTo(rows))), s, 6)
			f.Free(mark)
			f.advance(dy, pix, 1)
		}
		to := f.Copy(d)
		for r := range 6 {
			mark := f.Mark()
			if r == 4 && rows == 3 {
				f.advance(to, pos, 6)
			} else {
				f.stores(f.wino4GradA(side, f.take(6*r, upTo(side))), to, pos)
			}
			f.Free(mark)
		}
		f.advance(d, tile, 1)
	})
}

// eachElement writes a loop over the rows of matrices, and in each over the c columns, four at a time. walk are the
// parameters that point to the first element, and the strides of their rows.
func (f *transform) eachElement(walk, strides []string, body func(at []neon.Reg)) {
	rows := f.Load("rows")
	f.Label("row")
	mark := f.Mark()
	f.channels(walk, "", body)
	f.Free(mark)
	for i, w := range walk {
		p, stride := f.Load(w), f.Stride(strides[i])
		f.Emit("ADD %s, %s", stride, p)
		f.Emit("MOVD %s, %s", p, f.Argument(w))
	}
	f.Free(mark)
	f.Emit("SUB $1, %s", rows)
	f.Emit("CBNZ %s, row", rows)
	f.Emit("RET")
}

// wino4GradG returns Gᵀm.
func (f *transform) wino4GradG(m []neon.Vec) []neon.Vec {
	k, plus := f.k, f.PlusProduct
	s1, f1, s2, f2 := f.Plus(m[1], m[2]), f.Minus(m[1], m[2]), f.Plus(m[3], m[4]), f.Minus(m[3], m[4])
	return []neon.Vec{
		plus(plus(f.scaled(overA2B2, m[0]), k[overM], s1), k[overN], s2),
		plus(f.scaled(aM, f1), k[bN], f2),
		plus(plus(m[5], k[a2M], s1), k[b2N], s2),
	}
}

func gradWeight(file *neon.File) {
	f := begin(file, "winograd4GradWeightNEON", "(dw *float32, dwTap, dwRow int, m *float32, mPos, mRow, rows, c int, k *[14]float32, buf *[144]float32, add bool)",
		[]int{overA2B2, overM, aM, a2M, overN, bN, b2N},
		"dw", "dwTap", "dwRow", "m", "mPos", "mRow", "rows", "c", "k", "buf", "add")
	tap, pos, pos6 := f.Stride("dwTap"), f.Stride("mPos"), f.Reg()
	f.Emit("ADD %s<<1, %s, %s", pos, pos, pos6)
	f.Emit("LSL $1, %s", pos6)
	f.eachElement([]string{"dw", "m"}, []string{"dwRow", "mRow"}, func(at []neon.Reg) {
		column := f.Copy(at[1])
		for s := range 6 {
			mark := f.Mark()
			f.put(f.wino4GradG(f.loads(column, pos6, upTo(6))), s, 6)
			f.Free(mark)
			f.advance(column, pos, 1)
		}
		to, add := f.Copy(at[0]), f.Reg()
		for r := range 3 {
			mark := f.Mark()
			w := f.wino4GradG(f.take(6*r, upTo(6)))
			f.Emit("MOVBU %s, %s", f.Argument("add"), add)
			f.Emit("CBZ %s, store%d", add, r)
			for i, v := range f.loads(to, tap, upTo(3)) {
				f.Add(w[i], w[i], v)
			}
			f.Label("store%d", r)
			f.stores(w, to, tap)
			f.Free(mark)
		}
	})
}

// wino4G returns Gg.
func (f *transform) wino4G(g []neon.Vec) []neon.Vec {
	k := f.k
	em, om := f.PlusProduct(f.scaled(overM, g[0]), k[a2M], g[2]), f.scaled(aM, g[1])
	en, on := f.PlusProduct(f.scaled(overN, g[0]), k[b2N], g[2]), f.scaled(bN, g[1])
	return []neon.Vec{f.scaled(overA2B2, g[0]), f.Plus(em, om), f.Minus(em, om), f.Plus(en, on), f.Minus(en, on), g[2]}
}

func kernels(file *neon.File) {
	f := begin(file, "winograd4KernelsNEON", "(u *float32, uPos, uRow int, w *float32, wTap, wRow, rows, c int, k *[14]float32, buf *[144]float32)",
		[]int{overA2B2, overM, aM, a2M, overN, bN, b2N},
		"u", "uPos", "uRow", "w", "wTap", "wRow", "rows", "c", "k", "buf")
	pos, tap, tap3 := f.Stride("uPos"), f.Stride("wTap"), f.Reg()
	f.Emit("ADD %s<<1, %s, %s", tap, tap, tap3)
	f.eachElement([]string{"u", "w"}, []string{"uRow", "wRow"}, func(at []neon.Reg) {
		column := f.Copy(at[1])
		for s := range 3 {
			mark := f.Mark()
			f.put(f.wino4G(f.loads(column, tap3, upTo(3))), s, 6)
			f.Free(mark)
			f.advance(column, tap, 1)
		}
		to := f.Copy(at[0])
		for r := range 6 {
			mark := f.Mark()
			f.stores(f.wino4G(f.take(6*r, upTo(3))), to, pos)
			f.Free(mark)
		}
	})
}
