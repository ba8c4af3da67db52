package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

func softmaxes(wide bool) {
	m := begin(wide, false, "softmax", "(y, x []float32, scale float32)")
	scale := m.scalar("scale")
	least := m.fill(float32(math.Inf(-1)))
	top := m.fill(float32(math.Inf(-1)))
	m.elements([]string{"y", "x"}, func(at func(string) Mem, k mask) {
		t := m.choose(k, m.mul(scale, m.load(at("x"), k)), least)
		for i := range top {
			VMAXPS(t[i], top[i], top[i])
		}
	})
	peak := m.spread(m.fold(VMAXPS, top))
	sum := m.zero()
	m.holdFullExp()
	m.elements([]string{"y", "x"}, func(at func(string) Mem, k mask) {
		e := m.exp(m.sub(m.mul(scale, m.load(at("x"), k)), peak))
		m.store(e, at("y"), k)
		m.accumulate(sum, m.keep(e, k))
	})
	m.hold(1)
	inverse := m.div(m.constant(1), m.spread(m.fold(VADDPS, sum)))
	m.elements([]string{"y"}, func(at func(string) Mem, k mask) {
		m.store(m.mul(inverse, m.load(at("y"), k)), at("y"), k)
	})
	m.end()

	m = begin(wide, false, "softmaxGrad", "(dx, y, dy []float32, scale float32)")
	scale = m.scalar("scale")
	sum = m.zero()
	m.elements([]string{"y", "dy"}, func(at func(string) Mem, k mask) {
		m.accumulate(sum, m.mul(m.load(at("y"), k), m.load(at("dy"), k)))
	})
	mean := m.spread(m.fold(VADDPS, sum))
	m.elements([]string{"dx", "y", "dy"}, func(at func(string) Mem, k mask) {
		d := m.sub(m.load(at("dy"), k), mean)
		m.store(m.mul(scale, m.mul(m.load(at("y"), k), d)), at("dx"), k)
	})
	m.end()
}
