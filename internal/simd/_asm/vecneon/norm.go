package main

import "ddpm/internal/simd/_asm/neon"

// The constants of vec_exp.go in package simd, in the order of its expNEON.
const (
	siluMax = iota
	minusSiluMax
	minusLog2e
	rounding
	ln2High
	ln2Low
	c6
	minusC5
	c4
	minusC3
	c2
	minusOne
	one
	constants
)

// A table holds them in registers.
type table [constants]neon.Vec

func (l *loop) table() (k table) {
	mark := l.Mark()
	p := l.Load("k")
	for i := range k {
		k[i] = l.Vec()
		l.BroadcastNext(p, k[i])
	}
	l.FreeGeneral(mark)
	return k
}

// exp is exp(−z), with the reduced argument's sign in the constants; it overwrites z.
func (l *loop) exp(k table, z vec) (p vec) {
	var t vec
	for _, z := range z {
		t = append(t, l.PlusProduct(k[rounding], k[minusLog2e], z))
	}
	n := make(vec, len(z))
	for i := range z {
		n[i] = l.Minus(t[i], k[rounding])
	}
	for i := range z {
		l.MulAdd(z[i], n[i], k[ln2High])
	}
	for i := range z {
		l.MulAdd(z[i], n[i], k[ln2Low])
	}
	p, q := n, make(vec, len(z)) // take turns
	for i := range z {
		q[i] = l.Vec()
		l.Assign(p[i], k[minusC5])
		l.MulAdd(p[i], k[c6], z[i])
	}
	for _, c := range []int{c4, minusC3, c2, minusOne, one} {
		for i := range z {
			l.Assign(q[i], k[c])
			l.MulAdd(q[i], p[i], z[i])
		}
		p, q = q, p
	}
	for i := range z {
		l.Scalb(p[i], t[i])
	}
	return p
}

// affineOf sets x = x·scale + shift.
func (l *loop) affineOf(x vec, scale, shift neon.Vec) {
	x.each(func(x neon.Vec) { l.Mul(x, x, scale) })
	x.each(func(x neon.Vec) { l.Add(x, x, shift) })
}

func normSiLU(file *neon.File) {
	l := begin(file, "normSiLUNEON", "(y *float32, yPix int, x *float32, xPix, pixels int, scale, shift *float32, c int, k *[13]float32)",
		[][2]string{{"y", "yPix"}, {"x", "xPix"}}, []string{"scale", "shift"})
	k := l.table()
	var scale, shift neon.Vec
	l.run(func(at map[string]neon.Reg) { scale, shift = l.NewVec(at["scale"]), l.NewVec(at["shift"]) }, nothing, func(at map[string]neon.Reg, n int) {
		u := l.next(at["x"], l.step["x"], n)
		l.affineOf(u, scale, shift)
		u.each(func(u neon.Vec) { l.Max(u, u, k[minusSiluMax]) })
		var z vec
		for _, u := range u {
			z = append(z, l.Vec())
			l.Min(z[len(z)-1], u, k[siluMax])
		}
		e := l.exp(k, z)
		e.each(func(e neon.Vec) { l.Add(e, e, k[one]) })
		for i := range u {
			l.Div(u[i], u[i], e[i])
		}
		l.put(u, at["y"], l.step["y"])
	})
}

// normSiLUGrad sums over up to blockPixels pixels, even and odd ones apart.
func normSiLUGrad(file *neon.File) {
	l := begin(file, "normSiLUGradNEON", "(da *float32, daPix int, x *float32, xPix int, scale, shift, sum, sumX *float32, pixels, c int, k *[13]float32)",
		[][2]string{{"da", "daPix"}, {"x", "xPix"}}, []string{"scale", "shift", "sum", "sumX"})
	k := l.table()
	var scale, shift neon.Vec
	var sum, sumX vec
	l.run(func(at map[string]neon.Reg) {
		scale, shift = l.NewVec(at["scale"]), l.NewVec(at["shift"])
		sum, sumX = l.zeros(), l.zeros()
	}, func(at map[string]neon.Reg) {
		l.flush(sum, at["sum"])
		l.flush(sumX, at["sumX"])
	}, func(at map[string]neon.Reg, n int) {
		for i := range n { // one after the other, for want of registers
			mark := l.Mark()
			x := l.next(at["x"], l.step["x"], 1)
			u := vec{l.Vec()}
			l.Assign(u[0], x[0])
			l.affineOf(u, scale, shift)
			l.Max(u[0], u[0], k[minusSiluMax])
			l.Min(u[0], u[0], k[siluMax])
			z := vec{l.Vec()}
			l.Assign(z[0], u[0])
			e := l.exp(k, z)[0]
			// With σ = 1/(e+1) the slope is σ·(e·σ·u + 1).
			sigma := z[0]
			l.Add(sigma, e, k[one])
			l.Div(sigma, k[one], sigma)
			l.Mul(e, e, sigma)
			slope := l.PlusProduct(k[one], e, u[0])
			l.Mul(slope, slope, sigma)
			l.LoadVec(at["da"], u[0])
			l.Mul(slope, slope, u[0])
			l.put(vec{slope}, at["da"], l.step["da"])
			l.Add(sum[i], sum[i], slope)
			l.Mul(slope, slope, x[0])
			l.Add(sumX[i], sumX[i], slope)
			l.Free(mark)
		}
	})
}

// zeros are two sums of nothing.
func (l *loop) zeros() vec {
	v := vec{l.Vec(), l.Vec()}
	v.each(l.Zero)
	return v
}

// flush adds both sums to those in memory.
func (l *loop) flush(sum vec, to neon.Reg) {
	l.Add(sum[0], sum[0], sum[1])
	l.LoadVec(to, sum[1])
	l.Add(sum[0], sum[1], sum[0])
	l.StoreVec(sum[0], to)
}

// sums writes a function that adds up what term makes of x.
func sums(file *neon.File, name, signature string, rows []string, before func(l *loop, at map[string]neon.Reg), term func(l *loop, x neon.Vec)) {
	l := begin(file, name, signature, [][2]string{{"x", "xPix"}}, rows)
	var sum vec
	l.run(func(at map[string]neon.Reg) {
		before(l, at)
		sum = l.zeros()
	}, func(at map[string]neon.Reg) { l.flush(sum, at["sum"]) }, func(at map[string]neon.Reg, n int) {
		for i, x := range l.next(at["x"], l.step["x"], n) {
			term(l, x)
			l.Add(sum[i], sum[i], x)
		}
	})
}

func channelSums(file *neon.File) {
	sums(file, "channelSumsNEON", "(sum, x *float32, xPix, pixels, c int)", []string{"sum"},
		func(*loop, map[string]neon.Reg) {}, func(*loop, neon.Vec) {})
}

func channelSquares(file *neon.File) {
	var mean neon.Vec
	sums(file, "channelSquaresNEON", "(sum, x *float32, xPix int, mean *float32, pixels, c int)", []string{"sum", "mean"},
		func(l *loop, at map[string]neon.Reg) { mean = l.NewVec(at["mean"]) },
		func(l *loop, x neon.Vec) {
			l.Sub(x, x, mean)
			l.Mul(x, x, x)
		})
}

func affine(file *neon.File, add bool) {
	name := "affine3NEON"
	if add {
		name = "affine3AddNEON"
	}
	l := begin(file, name, "(dx *float32, dxPix int, du *float32, duPix int, x *float32, xPix int, a, b, c3 *float32, pixels, c int)",
		[][2]string{{"dx", "dxPix"}, {"du", "duPix"}, {"x", "xPix"}}, []string{"a", "b", "c3"})
	var a, b, c neon.Vec
	l.run(func(at map[string]neon.Reg) { a, b, c = l.NewVec(at["a"]), l.NewVec(at["b"]), l.NewVec(at["c3"]) }, nothing, func(at map[string]neon.Reg, n int) {
		du, x := l.next(at["du"], l.step["du"], n), l.next(at["x"], l.step["x"], n)
		for i := range du {
			l.Mul(du[i], du[i], a)
			l.Mul(x[i], x[i], b)
			l.Add(du[i], du[i], x[i])
			l.Add(du[i], du[i], c)
		}
		if add {
			at := l.Copy(at["dx"])
			for i, old := range l.next(at, l.step["dx"], n) {
				l.Add(du[i], old, du[i])
			}
		}
		l.put(du, at["dx"], l.step["dx"])
	})
}
