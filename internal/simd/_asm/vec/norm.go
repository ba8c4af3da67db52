package main

import . "github.com/mmcloughlin/avo/operand"

// chains are the two partial sums of the channels at hand.
type chains [2]vec

func (m *machine) chains() (s chains) {
	for i := range s {
		s[i] = m.zero()
	}
	return s
}

// flush adds the partial sums to memory.
func (m *machine) flush(s chains, mem Mem, k mask) {
	m.store(m.add(m.load(mem, k), m.add(s[0], s[1])), mem, k)
}

func norms(wide bool) {
	for _, active := range []bool{false, true} {
		norm(wide, active)
	}

	m := begin(wide, true, "normSiLUGrad", "(du, x, da, scale, shift, sum, sumX []float32, pixels int)")
	m.holdSiLU()
	var scale, shift vec
	var sum, sumX chains
	m.channels(channels{
		images: []string{"du", "x", "da"},
		rows:   "scale",
		before: func(at func(string) Mem, k mask) {
			scale, shift = m.load(at("scale"), k), m.load(at("shift"), k)
			sum, sumX = m.chains(), m.chains()
		},
		pixel: func(at func(string) Mem, k mask, chain int) {
			x := m.load(at("x"), k)
			du := m.mul(m.siluSlope(m.add(m.mul(x, scale), shift)), m.load(at("da"), k))
			m.store(du, at("du"), k)
			m.accumulate(sum[chain], du)
			m.accumulate(sumX[chain], m.mul(du, x))
		},
		after: func(at func(string) Mem, k mask) {
			m.flush(sum, at("sum"), k)
			m.flush(sumX, at("sumX"), k)
		},
	})
	m.end()

	m = begin(wide, true, "normGrad", "(sum, sumX, x, du []float32, pixels int)")
	m.channels(channels{
		images: []string{"x", "du"},
		rows:   "sum",
		before: func(func(string) Mem, mask) { sum, sumX = m.chains(), m.chains() },
		pixel: func(at func(string) Mem, k mask, chain int) {
			du := m.load(at("du"), k)
			m.accumulate(sum[chain], du)
			m.accumulate(sumX[chain], m.mul(du, m.load(at("x"), k)))
		},
		after: func(at func(string) Mem, k mask) {
			m.flush(sum, at("sum"), k)
			m.flush(sumX, at("sumX"), k)
		},
	})
	m.end()

	affine(wide, false)
	affine(wide, true)
}

func norm(wide, active bool) {
	name := "norm"
	if active {
		name = "normSiLU"
	}
	m := begin(wide, true, name, "(y, x, scale, shift []float32, pixels int)")
	if active {
		m.holdSiLU()
	}
	var scale, shift vec
	m.channels(channels{
		images: []string{"y", "x"},
		rows:   "scale",
		before: func(at func(string) Mem, k mask) {
			scale, shift = m.load(at("scale"), k), m.load(at("shift"), k)
		},
		pixel: func(at func(string) Mem, k mask, _ int) {
			u := m.add(m.mul(m.load(at("x"), k), scale), shift)
			if active {
				u = m.silu(u)
			}
			m.store(u, at("y"), k)
		},
	})
	m.end()
}

func affine(wide, add bool) {
	name := "affine3"
	if add {
		name = "affine3Add"
	}
	m := begin(wide, true, name, "(dx, du, x, a, b, c []float32, pixels int)")
	var a, b, c vec
	m.channels(channels{
		images: []string{"dx", "du", "x"},
		rows:   "a",
		before: func(at func(string) Mem, k mask) {
			a, b, c = m.load(at("a"), k), m.load(at("b"), k), m.load(at("c"), k)
		},
		pixel: func(at func(string) Mem, k mask, _ int) {
			d := m.add(m.mul(m.load(at("du"), k), a), m.mul(m.load(at("x"), k), b))
			d = m.add(d, c)
			if add {
				d = m.add(m.load(at("dx"), k), d)
			}
			m.store(d, at("dx"), k)
		},
	})
	m.end()
}
