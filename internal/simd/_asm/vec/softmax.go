package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
)

func softmaxes(wide bool) {
	m := begin(wide, "softmax", "(y, x []float32, scale float32)")
	scale := m.scalar("scale")
	least := float32(math.Inf(-1))
	m.hold(least)
	top := m.sixteen(least)
	m.elements([]string{"y", "x"}, func(at func(string) place, k mask) {
		t := m.mul(scale, m.load(at("x"), k))
		m.accumulate(VMAXPS, top, m.choose(k, t, m.constant(least)))
	})
	peak := m.spread(m.fold(VMAXPS, top))
	sum := m.sixteen(0)
	m.holdFullExp()
	m.elements([]string{"y", "x"}, func(at func(string) place, k mask) {
		e := m.exp(m.sub(m.mul(scale, m.load(at("x"), k)), peak))
		m.store(e, at("y"), k)
		m.accumulate(VADDPS, sum, m.keep(e, k))
	})
	m.hold(1)
	inverse := m.div(m.constant(1), m.spread(m.fold(VADDPS, sum)))
	m.elements([]string{"y"}, func(at func(string) place, k mask) {
		m.store(m.mul(inverse, m.load(at("y"), k)), at("y"), k)
	})
	m.end()

	m = begin(wide, "softmaxGrad", "(dx, y, dy []float32, scale float32)")
	scale = m.scalar("scale")
	sum = m.sixteen(0)
	m.elements([]string{"y", "dy"}, func(at func(string) place, k mask) {
		m.accumulate(VADDPS, sum, m.mul(m.load(at("y"), k), m.load(at("dy"), k)))
	})
	mean := m.spread(m.fold(VADDPS, sum))
	m.elements([]string{"dx", "y", "dy"}, func(at func(string) place, k mask) {
		d := m.sub(m.load(at("dy"), k), mean)
		m.store(m.mul(scale, m.mul(m.load(at("y"), k), d)), at("dx"), k)
	})
	m.end()
}
