package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

func adam(wide bool) {
	m := begin(wide, "adam", "(w, g, m, v []float32, k *[9]float32)")
	if !wide {
		m.registers = 1 // the coefficients leave no room for more
	}
	coefficients := Load(Param("k"), GP64())
	k := func(i int) vec { return m.broadcast(Mem{Base: coefficients, Disp: 4 * i}) }
	beta1, rest1, beta2, rest2 := k(0), k(1), k(2), k(3)
	step, corr2, eps, keep, gradScale := k(4), k(5), k(6), k(7), k(8)
	m.elements([]string{"w", "g", "m", "v"}, func(at func(string) place, k mask) {
		g := m.mul(gradScale, m.load(at("g"), k))
		mean := m.add(m.mul(beta1, m.load(at("m"), k)), m.mul(rest1, g))
		m.store(mean, at("m"), k)
		square := m.add(m.mul(beta2, m.load(at("v"), k)), m.mul(m.mul(rest2, g), g))
		m.store(square, at("v"), k)
		denominator := m.add(m.mul(corr2, m.sqrt(square)), eps)
		w := m.mul(keep, m.load(at("w"), k))
		m.store(m.sub(w, m.div(m.mul(step, mean), denominator)), at("w"), k)
	})
	m.end()
}
