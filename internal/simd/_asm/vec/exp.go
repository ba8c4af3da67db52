package main

import (
	"math"

	. "github.com/mmcloughlin/avo/operand"
)

// The constants of vec_exp.go in package simd, where they are explained.
const (
	expMin, expMax = -87.336, 88.72
	siluMax        = 87

	log2e    = math.Log2E
	rounding = 3 << 22
	ln2High  = 355.0 / 512
	ln2Low   = -2.12194440e-4

	c2, c3, c4, c5, c6 = 0.5, 0.16666576, 0.041666556, 0.008363203, 0.0013926213
)

// holdExp prepares for expCore(sign·x).
func (m *machine) holdExp(sign float32) {
	m.prefer(sign*log2e, rounding, ln2High, ln2Low, c2, sign*c3, c4, sign*c5, c6, 1)
}

// expCore is exp(sign·x) for expMin ≤ sign·x ≤ expMax. With sign = -1 the
// reduced argument is r = -s, s = x + n·ln 2, and the signs go into the
// constants: the bits are those of expCore(-x).
func (m *machine) expCore(x vec, sign float32) vec {
	k := m.constant
	t := m.add(m.mul(x, k(sign*log2e)), k(rounding))
	n := m.sub(t, k(rounding))
	reduce, plusR := m.sub, m.add
	if sign < 0 {
		reduce, plusR = m.add, m.sub
	}
	s := reduce(x, m.mul(n, k(ln2High)))
	s = reduce(s, m.mul(n, k(ln2Low)))
	s2 := m.mul(s, s)
	low := m.add(m.mul(s, k(sign*c3)), k(c2))
	high := m.add(m.mul(s, k(sign*c5)), k(c4))
	high = m.add(high, m.mul(s2, k(c6)))
	q := m.add(low, m.mul(s2, high))
	p := plusR(m.mul(s2, q), s)
	return m.scalb(m.add(p, k(1)), t)
}

func (m *machine) holdFullExp() {
	m.holdExp(1)
	m.hold(expMin, expMax)
	m.prefer(float32(math.Inf(1)))
}

// exp is exp(x) for every x.
func (m *machine) exp(x vec) vec {
	k := m.constant
	y := m.expCore(m.min(k(expMax), m.max(k(expMin), x)), 1)
	y = m.keep(y, m.compare(notLess, x, k(expMin)))
	return m.choose(m.compare(notLessEqual, x, k(expMax)), m.add(x, k(float32(math.Inf(1)))), y)
}

func (m *machine) holdSiLU() {
	m.holdExp(-1)
	m.hold(siluMax, -siluMax, 1)
}

// silu is x·σ(x).
func (m *machine) silu(x vec) vec {
	k := m.constant
	z := m.min(k(siluMax), m.max(k(-siluMax), x))
	y := m.div(x, m.add(m.expCore(z, -1), k(1)))
	return m.keep(y, m.compare(notLess, x, k(-siluMax)))
}

// siluSlope is the derivative of silu.
func (m *machine) siluSlope(x vec) vec {
	k := m.constant
	z := m.min(k(siluMax), m.max(k(-siluMax), x))
	e := m.expCore(z, -1)
	sigma := m.div(k(1), m.add(e, k(1)))
	s := m.mul(sigma, m.add(m.mul(z, m.mul(e, sigma)), k(1)))
	return m.keep(s, m.compare(notLess, x, k(-siluMax)))
}

func exps(wide bool) {
	m := begin(wide, false, "exp", "(y, x []float32)")
	m.holdFullExp()
	m.elements([]string{"y", "x"}, func(at func(string) Mem, k mask) {
		m.store(m.exp(m.load(at("x"), k)), at("y"), k)
	})
	m.end()

	m = begin(wide, false, "silu", "(y, x []float32)")
	m.holdSiLU()
	m.elements([]string{"y", "x"}, func(at func(string) Mem, k mask) {
		m.store(m.silu(m.load(at("x"), k)), at("y"), k)
	})
	m.end()

	m = begin(wide, false, "siluGrad", "(dx, x, dy []float32)")
	m.holdSiLU()
	m.elements([]string{"dx", "x", "dy"}, func(at func(string) Mem, k mask) {
		s := m.mul(m.load(at("dy"), k), m.siluSlope(m.load(at("x"), k)))
		m.store(m.add(m.load(at("dx"), k), s), at("dx"), k)
	})
	m.end()
}
