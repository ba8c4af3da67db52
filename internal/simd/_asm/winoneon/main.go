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

func begin(file *neon.File, name, signature string, coefficients []int) *transform {
	f := &transform{Func: file.Func(name, signature)}
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

// positions stores the positions of a tile from p on, those of row r of its positions as row makes them.
func (f *transform) positions(rows int, p, stride neon.Reg, row func(r int) []neon.Vec) {
	to := f.Copy(p)
	for r := range 6 {
		mark := f.Mark()
		if r == 4 && rows == 3 {
			f.advance(to, stride, 6)
		} else {
			f.stores(row(r), to, stride)
		}
		f.Free(mark)
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
