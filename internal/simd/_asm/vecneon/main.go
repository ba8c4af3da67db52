// Command vecneon writes the vector primitives of package simd that a training step spends most on for arm64, those of
// command vec: over images four channels at a time, and all their pixels before the next four.
package main

import (
	"flag"
	"log"

	"ddpm/internal/simd/_asm/neon"
)

func main() {
	out := flag.String("out", "", "file to write")
	flag.Parse()
	file := neon.New("vecneon")
	normSiLU(file)
	normSiLUGrad(file)
	channelSums(file)
	channelSquares(file)
	affine(file, false)
	affine(file, true)
	adam(file)
	lerp(file)
	axpy(file)
	if err := file.Write(*out); err != nil {
		log.Fatal(err)
	}
}

// A loop is a function being written: over channels, and over the pixels of images in pairs.
type loop struct {
	*neon.Func
	images []string            // parameters that point to pixels
	step   map[string]neon.Reg // from pixel to pixel
	rows   []string            // parameters that point to coefficients or sums of channels
}

// A vec is a vector for each of the pixels that are worked on side by side, two or one.
type vec []neon.Vec

// begin begins a function. images are its parameters that point to pixels, each with the one that counts the elements
// from pixel to pixel.
func begin(file *neon.File, name, signature string, images [][2]string, rows []string, parameters ...string) *loop {
	l := &loop{Func: file.Func(name, signature, parameters...), rows: rows, step: map[string]neon.Reg{}}
	for _, im := range images {
		l.images = append(l.images, im[0])
		l.step[im[0]] = l.Stride(im[1])
	}
	return l
}

// run writes the loops. before prepares for the pixels of four channels, of which at are the rows; pixel is given the
// place of the next pixels in each image, and how many of them there are; after ends the channels.
func (l *loop) run(before, after func(at map[string]neon.Reg), pixel func(at map[string]neon.Reg, n int)) {
	c := l.Load("c")
	first := map[string]neon.Reg{}
	for _, name := range append(append([]string(nil), l.images...), l.rows...) {
		first[name] = l.Load(name)
	}
	l.Label("channels")
	mark := l.Mark()
	before(first)
	at := map[string]neon.Reg{}
	for _, name := range l.images {
		at[name] = l.Copy(first[name])
	}
	left := l.Load("pixels")
	l.Emit("SUBS $2, %s", left)
	l.Emit("BLT last")
	l.Label("pair")
	inner := l.Mark()
	pixel(at, 2)
	l.Free(inner)
	l.Emit("SUBS $2, %s", left)
	l.Emit("BGE pair")
	l.Label("last")
	l.Emit("ADDS $1, %s", left)
	l.Emit("BNE end")
	pixel(at, 1)
	l.Label("end")
	after(first)
	l.Free(mark)
	for _, name := range append(append([]string(nil), l.images...), l.rows...) {
		l.Emit("ADD $16, %s", first[name])
	}
	l.Emit("SUB $4, %s", c)
	l.Emit("CBNZ %s, channels", c)
	l.Emit("RET")
}

func nothing(map[string]neon.Reg) {}

// next loads n pixels at p and advances it.
func (l *loop) next(p, step neon.Reg, n int) (v vec) {
	for range n {
		v = append(v, l.Vec())
		l.LoadNext(p, step, v[len(v)-1])
	}
	return v
}

// put stores v at p and advances it.
func (l *loop) put(v vec, p, step neon.Reg) {
	for _, v := range v {
		l.StoreNext(v, p, step)
	}
}

// row loads the coefficients of four channels.
func (l *loop) row(p neon.Reg) neon.Vec {
	v := l.Vec()
	l.LoadVec(p, v)
	return v
}

// each calls f for each of v.
func (v vec) each(f func(v neon.Vec)) {
	for _, v := range v {
		f(v)
	}
}

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
		[][2]string{{"y", "yPix"}, {"x", "xPix"}}, []string{"scale", "shift"},
		"y", "yPix", "x", "xPix", "pixels", "scale", "shift", "c", "k")
	k := l.table()
	var scale, shift neon.Vec
	l.run(func(at map[string]neon.Reg) { scale, shift = l.row(at["scale"]), l.row(at["shift"]) }, nothing, func(at map[string]neon.Reg, n int) {
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
		[][2]string{{"da", "daPix"}, {"x", "xPix"}}, []string{"scale", "shift", "sum", "sumX"},
		"da", "daPix", "x", "xPix", "scale", "shift", "sum", "sumX", "pixels", "c", "k")
	k := l.table()
	var scale, shift neon.Vec
	var sum, sumX vec
	l.run(func(at map[string]neon.Reg) {
		scale, shift = l.row(at["scale"]), l.row(at["shift"])
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
func sums(file *neon.File, name, signature string, rows []string, before func(l *loop, at map[string]neon.Reg), term func(l *loop, x neon.Vec), parameters ...string) {
	l := begin(file, name, signature, [][2]string{{"x", "xPix"}}, rows, parameters...)
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
		func(*loop, map[string]neon.Reg) {}, func(*loop, neon.Vec) {},
		"sum", "x", "xPix", "pixels", "c")
}

func channelSquares(file *neon.File) {
	var mean neon.Vec
	sums(file, "channelSquaresNEON", "(sum, x *float32, xPix int, mean *float32, pixels, c int)", []string{"sum", "mean"},
		func(l *loop, at map[string]neon.Reg) { mean = l.row(at["mean"]) },
		func(l *loop, x neon.Vec) {
			l.Sub(x, x, mean)
			l.Mul(x, x, x)
		},
		"sum", "x", "xPix", "mean", "pixels", "c")
}

func affine(file *neon.File, add bool) {
	name := "affine3NEON"
	if add {
		name = "affine3AddNEON"
	}
	l := begin(file, name, "(dx *float32, dxPix int, du *float32, duPix int, x *float32, xPix int, a, b, c3 *float32, pixels, c int)",
		[][2]string{{"dx", "dxPix"}, {"du", "duPix"}, {"x", "xPix"}}, []string{"a", "b", "c3"},
		"dx", "dxPix", "du", "duPix", "x", "xPix", "a", "b", "c3", "pixels", "c")
	var a, b, c neon.Vec
	l.run(func(at map[string]neon.Reg) { a, b, c = l.row(at["a"]), l.row(at["b"]), l.row(at["c3"]) }, nothing, func(at map[string]neon.Reg, n int) {
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

// elements writes the loop of f over slices of n elements, four at a time. body is given the place in each.
func elements(f *neon.Func, slices []string, body func(at map[string]neon.Reg)) {
	n, at := f.Load("n"), map[string]neon.Reg{}
	for _, name := range slices {
		at[name] = f.Load(name)
	}
	f.Label("loop")
	mark := f.Mark()
	body(at)
	f.Free(mark)
	for _, name := range slices {
		f.Emit("ADD $16, %s", at[name])
	}
	f.Emit("SUB $4, %s", n)
	f.Emit("CBNZ %s, loop", n)
	f.Emit("RET")
}

// element loads a vector.
func element(f *neon.Func, p neon.Reg) neon.Vec {
	v := f.Vec()
	f.LoadVec(p, v)
	return v
}

func adam(file *neon.File) {
	f := file.Func("adamNEON", "(w, dw, m, v *float32, n int, k *[9]float32)", "w", "dw", "m", "v", "n", "k") // the assembler takes g for a register
	var k [9]neon.Vec                                                                                         // as adamGo has them
	p := f.Load("k")
	for i := range k {
		k[i] = f.Vec()
		f.BroadcastNext(p, k[i])
	}
	beta1, rest1, beta2, rest2, step, corr2, eps, keep, scale := k[0], k[1], k[2], k[3], k[4], k[5], k[6], k[7], k[8]
	elements(f, []string{"w", "dw", "m", "v"}, func(at map[string]neon.Reg) {
		g := f.Times(element(f, at["dw"]), scale)
		m := f.Plus(f.Times(beta1, element(f, at["m"])), f.Times(rest1, g))
		f.StoreVec(m, at["m"])
		v := f.Plus(f.Times(beta2, element(f, at["v"])), f.Times(f.Times(rest2, g), g))
		f.StoreVec(v, at["v"])
		f.Mul(m, step, m)
		f.Sqrt(v, v)
		f.Mul(v, corr2, v)
		f.Add(v, v, eps)
		f.Div(m, m, v)
		w := element(f, at["w"])
		f.Mul(w, keep, w)
		f.Sub(w, w, m)
		f.StoreVec(w, at["w"])
	})
}

func lerp(file *neon.File) {
	f := file.Func("lerpNEON", "(y, x *float32, n int, t *float32)", "y", "x", "n", "t")
	t := f.Vec()
	f.Broadcast(f.Load("t"), t)
	elements(f, []string{"y", "x"}, func(at map[string]neon.Reg) {
		y, d := element(f, at["y"]), element(f, at["x"])
		f.Sub(d, d, y)
		f.Mul(d, t, d)
		f.Add(y, y, d)
		f.StoreVec(y, at["y"])
	})
}

func axpy(file *neon.File) {
	f := file.Func("axpyNEON", "(y *float32, a *float32, x *float32, n int)", "y", "a", "x", "n")
	a := f.Vec()
	f.Broadcast(f.Load("a"), a)
	elements(f, []string{"y", "x"}, func(at map[string]neon.Reg) {
		y, d := element(f, at["y"]), element(f, at["x"])
		f.Mul(d, a, d)
		f.Add(y, y, d)
		f.StoreVec(y, at["y"])
	})
}
