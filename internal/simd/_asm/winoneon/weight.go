package main

import "ddpm/internal/simd/_asm/neon"

// The transforms of weights and of their gradients.

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
		[]int{overA2B2, overM, aM, a2M, overN, bN, b2N})
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
		[]int{overA2B2, overM, aM, a2M, overN, bN, b2N})
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
