package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func sums(wide bool) {
	m := begin(wide, "sum", "(x []float32) float64")
	acc := m.doubleZero()
	m.elements([]string{"x"}, func(at func(string) place, k mask) {
		for i, d := range m.double(m.load(at("x"), k)) {
			a := acc[i%len(acc)]
			VADDPD(d, a, a)
		}
	})
	Store(m.doubleFold(acc).(reg.Register), ReturnIndex(0))
	m.end()

	m = begin(wide, "dot", "(x, y []float32) float64")
	acc = m.doubleZero()
	m.elements([]string{"x", "y"}, func(at func(string) place, k mask) {
		x, y := m.double(m.load(at("x"), k)), m.double(m.load(at("y"), k))
		for i := range x {
			VFMADD231PD(x[i], y[i], acc[i%len(acc)])
		}
	})
	Store(m.doubleFold(acc).(reg.Register), ReturnIndex(0))
	m.end()

	squares(wide, "sumSquares", "(x []float32) float64", []string{"x"}, func(m *machine, at func(string) place, k mask) vec {
		m.fetch(at("x"), 4<<10)
		return m.load(at("x"), k)
	})
	squares(wide, "squaredDistance", "(a, b []float32) float64", []string{"a", "b"}, func(m *machine, at func(string) place, k mask) vec {
		return m.sub(m.load(at("a"), k), m.load(at("b"), k))
	})
	squares(wide, "squaredError", "(d, a, b []float32) float64", []string{"d", "a", "b"}, func(m *machine, at func(string) place, k mask) vec {
		d := m.sub(m.load(at("a"), k), m.load(at("b"), k))
		m.store(d, at("d"), k)
		return d
	})

	m = begin(wide, "allFinite", "(x []float32) bool")
	bad := m.zero()
	m.elements([]string{"x"}, func(at func(string) place, k mask) {
		x := m.load(at("x"), k)
		m.accumulate(VORPS, bad, m.sub(x, x)) // 0, or NaN if x is infinite or NaN
	})
	VORPS(bad[1], bad[0], bad[0])
	ok := GP64()
	if wide {
		nan := K()
		VCMPPS(Imm(unordered), bad[0], bad[0], nan)
		KMOVW(nan, ok.As32())
	} else {
		VCMPPS(Imm(unordered), bad[0], bad[0], bad[0])
		VMOVMSKPS(bad[0], ok.As32())
	}
	TESTL(ok.As32(), ok.As32())
	SETEQ(ok.As8())
	Store(ok.As8(), ReturnIndex(0))
	m.end()
}

// unordered is the predicate of VCMPPS that is true of NaN alone.
const unordered = 3

// squares adds up the squares of what term computes. A product of two float32
// is exact in float64, so that fusing it with the addition changes nothing.
func squares(wide bool, name, signature string, slices []string, term func(m *machine, at func(string) place, k mask) vec) {
	m := begin(wide, name, signature)
	acc := m.doubleZero()
	m.elements(slices, func(at func(string) place, k mask) {
		for i, d := range m.double(term(m, at, k)) {
			VFMADD231PD(d, d, acc[i%len(acc)])
		}
	})
	Store(m.doubleFold(acc).(reg.Register), ReturnIndex(0))
	m.end()
}
