package main

import . "github.com/mmcloughlin/avo/operand"

func rows(wide bool) {
	m := begin(wide, true, "addRows", "(y, row []float32, pixels int)")
	var row vec
	m.channels(channels{
		images: []string{"y"},
		rows:   "row",
		before: func(at func(string) Mem, k mask) { row = m.load(at("row"), k) },
		pixel: func(at func(string) Mem, k mask, _ int) {
			m.store(m.add(m.load(at("y"), k), row), at("y"), k)
		},
	})
	m.end()

	m = begin(wide, true, "channelSums", "(sum, x []float32, pixels int)")
	var sum chains
	m.channels(channels{
		images: []string{"x"},
		rows:   "sum",
		before: func(func(string) Mem, mask) { sum = m.chains() },
		pixel: func(at func(string) Mem, k mask, chain int) {
			m.accumulate(sum[chain], m.load(at("x"), k))
		},
		after: func(at func(string) Mem, k mask) { m.flush(sum, at("sum"), k) },
	})
	m.end()

	m = begin(wide, true, "channelSquares", "(sum, x, mean []float32, pixels int)")
	var mean vec
	m.channels(channels{
		images: []string{"x"},
		rows:   "sum",
		before: func(at func(string) Mem, k mask) {
			mean = m.load(at("mean"), k)
			sum = m.chains()
		},
		pixel: func(at func(string) Mem, k mask, chain int) {
			d := m.sub(m.load(at("x"), k), mean)
			m.accumulate(sum[chain], m.mul(d, d))
		},
		after: func(at func(string) Mem, k mask) { m.flush(sum, at("sum"), k) },
	})
	m.end()
}
