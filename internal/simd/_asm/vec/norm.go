package main

import . "github.com/mmcloughlin/avo/build"

func norms(wide bool) {
	for _, active := range []bool{false, true} {
		norm(wide, active)
	}

	m := begin(wide, "normSiLUGrad", "(da []float32, daPix int, x []float32, xPix, pixels int, scale, shift, sum, sumX []float32)")
	m.holdSlope()
	var scale, shift vec
	m.sum(channelSum{
		images: []image{{"da", "daPix"}, {"x", "xPix"}},
		sums:   []string{"sum", "sumX"},
		serial: !wide,
		before: func(row func(string) vec) { scale, shift = row("scale"), row("shift") },
		pixel: func(at func(string) place, k mask, add func(string, vec)) {
			m.fetch(at("x"), 4<<10)
			m.fetch(at("da"), 4<<10)
			x := m.load(at("x"), k)
			du := m.mul(m.siluSlope(m.add(m.mul(x, scale), shift)), m.load(at("da"), k))
			m.store(du, at("da"), k)
			add("sum", du)
			add("sumX", m.mul(du, x))
		},
	})
	m.end()

	m = begin(wide, "normGrad", "(sum, sumX, x, du []float32, pixels int)")
	m.sum(channelSum{
		images: []image{{"x", ""}, {"du", ""}},
		sums:   []string{"sum", "sumX"},
		pixel: func(at func(string) place, k mask, add func(string, vec)) {
			du := m.load(at("du"), k)
			add("sum", du)
			add("sumX", m.mul(du, m.load(at("x"), k)))
		},
	})
	m.end()

	affine(wide, false)
	affine(wide, true)
}

func norm(wide, active bool) {
	body := func(m *machine, at func(string) place, k mask) {
		if active {
			m.fetch(at("x"), 2<<10)
		}
		u := m.add(m.mul(m.load(at("x"), k), m.load(at("scale"), k)), m.load(at("shift"), k))
		if active {
			u = m.silu(u)
		}
		m.store(u, at("y"), k)
	}
	rows := []string{"scale", "shift"}
	if !active {
		m := begin(wide, "norm", "(y, x, scale, shift []float32, pixels int)")
		m.pixels([]string{"y", "x"}, rows, func(at func(string) place, k mask) { body(m, at, k) })
		m.end()
		return
	}
	m := begin(wide, "normSiLU", "(y []float32, yPix int, x []float32, xPix, pixels int, scale, shift []float32)")
	m.holdSiLU()
	m.apart(Load(Param("scale").Len(), GP64()), []image{{"y", "yPix"}, {"x", "xPix"}}, rows, func(at func(string) place, k mask) { body(m, at, k) })
	m.end()
}

func affine(wide, add bool) {
	name := "affine3"
	if add {
		name = "affine3Add"
	}
	m := begin(wide, name, "(dx []float32, dxPix int, du []float32, duPix int, x []float32, xPix, pixels int, a, b, c []float32)")
	m.apart(Load(Param("a").Len(), GP64()), []image{{"dx", "dxPix"}, {"du", "duPix"}, {"x", "xPix"}}, []string{"a", "b", "c"}, func(at func(string) place, k mask) {
		d := m.mul(m.load(at("du"), k), m.load(at("a"), k))
		d = m.add(d, m.mul(m.load(at("x"), k), m.load(at("b"), k)))
		d = m.add(d, m.load(at("c"), k))
		if add {
			d = m.add(m.load(at("dx"), k), d)
		}
		m.store(d, at("dx"), k)
	})
	m.end()
}
