package main

import (
	. "github.com/mmcloughlin/avo/build"
)

func rows(wide bool) {
	copyPixels(wide, "copyPixels", false)
	copyPixels(wide, "addPixels", true)

	m := begin(wide, "addRows", "(y, row []float32, pixels int)")
	m.pixels([]string{"y"}, []string{"row"}, func(at func(string) place, k mask) {
		m.store(m.add(m.load(at("y"), k), m.load(at("row"), k)), at("y"), k)
	})
	m.end()

	m = begin(wide, "channelSums", "(sum, x []float32, pixels int)")
	m.sum(channelSum{
		images: []image{{"x", ""}},
		sums:   []string{"sum"},
		pixel: func(at func(string) place, k mask, add func(string, vec)) {
			add("sum", m.load(at("x"), k))
		},
	})
	m.end()

	m = begin(wide, "channelSquares", "(sum, x, mean []float32, pixels int)")
	var mean vec
	m.sum(channelSum{
		images: []image{{"x", ""}},
		sums:   []string{"sum"},
		before: func(row func(string) vec) { mean = row("mean") },
		pixel: func(at func(string) place, k mask, add func(string, vec)) {
			d := m.sub(m.load(at("x"), k), mean)
			add("sum", m.mul(d, d))
		},
	})
	m.end()
}

// copyPixels writes a loop over pixels that lie apart.
func copyPixels(wide bool, name string, add bool) {
	m := begin(wide, name, "(y []float32, yPix int, x []float32, xPix, pixels, c int)")
	m.apart(Load(Param("c"), GP64()), []image{{"y", "yPix"}, {"x", "xPix"}}, nil, func(at func(string) place, k mask) {
		v := m.load(at("x"), k)
		if add {
			v = m.add(m.load(at("y"), k), v)
		}
		m.store(v, at("y"), k)
	})
	m.end()
}
