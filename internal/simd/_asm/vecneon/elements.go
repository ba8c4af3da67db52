package main

import "ddpm/internal/simd/_asm/neon"

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

func adam(file *neon.File) {
	f := file.Func("adamNEON", "(w, dw, m, v *float32, n int, k *[9]float32)") // g is a register for the assembler
	var k [9]neon.Vec                                                          // as adamGo has them
	p := f.Load("k")
	for i := range k {
		k[i] = f.Vec()
		f.BroadcastNext(p, k[i])
	}
	beta1, rest1, beta2, rest2, step, corr2, eps, keep, scale := k[0], k[1], k[2], k[3], k[4], k[5], k[6], k[7], k[8]
	elements(f, []string{"w", "dw", "m", "v"}, func(at map[string]neon.Reg) {
		g := f.Times(f.NewVec(at["dw"]), scale)
		m := f.Plus(f.Times(beta1, f.NewVec(at["m"])), f.Times(rest1, g))
		f.StoreVec(m, at["m"])
		v := f.Plus(f.Times(beta2, f.NewVec(at["v"])), f.Times(f.Times(rest2, g), g))
		f.StoreVec(v, at["v"])
		f.Mul(m, step, m)
		f.Sqrt(v, v)
		f.Mul(v, corr2, v)
		f.Add(v, v, eps)
		f.Div(m, m, v)
		w := f.NewVec(at["w"])
		f.Mul(w, keep, w)
		f.Sub(w, w, m)
		f.StoreVec(w, at["w"])
	})
}

func lerp(file *neon.File) {
	addScaled(file, "lerpNEON", "(y, x *float32, n int, t *float32)", "t", func(f *neon.Func, d, y neon.Vec) { f.Sub(d, d, y) })
}

func axpy(file *neon.File) {
	addScaled(file, "axpyNEON", "(y *float32, a *float32, x *float32, n int)", "a", func(*neon.Func, neon.Vec, neon.Vec) {})
}

// addScaled writes a function that adds to y the factor named times what change makes of d = x.
func addScaled(file *neon.File, name, signature, factor string, change func(f *neon.Func, d, y neon.Vec)) {
	f := file.Func(name, signature)
	k := f.Vec()
	f.Broadcast(f.Load(factor), k)
	elements(f, []string{"y", "x"}, func(at map[string]neon.Reg) {
		y, d := f.NewVec(at["y"]), f.NewVec(at["x"])
		change(f, d, y)
		f.Mul(d, k, d)
		f.Add(y, y, d)
		f.StoreVec(y, at["y"])
	})
}
