package main

import "math"

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
	m.prefer(rounding, sign*c5, c4, sign*c3, c2, sign, 1)
}

// expCore is exp(sign·x) for expMin ≤ sign·x ≤ expMax. With sign = -1 the
// reduced argument is r = -s, s = x + n·ln 2, and the signs go into the
// constants: the bits are those of expCore(-x).
func (m *machine) expCore(x vec, sign float32) vec {
	k := m.constant
	t := m.fma(m.fresh(sign*log2e), x, k(rounding))
	n := m.sub(t, k(rounding))
	s := m.fma(m.fresh(-sign*ln2High), n, x)
	s = m.fma(m.fresh(-sign*ln2Low), n, s)
	p := m.fma(m.fresh(c6), s, k(sign*c5))
	for _, c := range []float32{c4, sign * c3, c2, sign, 1} {
		p = m.fma(p, s, k(c))
	}
	return m.scalb(p, t)
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
	m.hold(siluMax, -siluMax)
}

// silu is x·σ(x).
func (m *machine) silu(x vec) vec {
	k := m.constant
	x = m.max(k(-siluMax), x)
	return m.div(x, m.add(m.expCore(m.min(k(siluMax), x), -1), k(1)))
}

func (m *machine) holdSlope() {
	m.holdSiLU()
	m.hold(1)
}

// siluSlope is the derivative of silu.
func (m *machine) siluSlope(x vec) vec {
	k := m.constant
	x = m.min(k(siluMax), m.max(k(-siluMax), x))
	e := m.expCore(x, -1)
	sigma := m.div(k(1), m.add(e, k(1)))
	return m.mul(sigma, m.fma(m.mul(e, sigma), x, k(1)))
}

func exps(wide bool) {
	m := begin(wide, "exp", "(y, x []float32)")
	m.holdFullExp()
	m.elements([]string{"y", "x"}, func(at func(string) place, k mask) {
		m.store(m.exp(m.load(at("x"), k)), at("y"), k)
	})
	m.end()

	m = begin(wide, "silu", "(y, x []float32)")
	m.holdSiLU()
	m.elements([]string{"y", "x"}, func(at func(string) place, k mask) {
		m.store(m.silu(m.load(at("x"), k)), at("y"), k)
	})
	m.end()

	m = begin(wide, "siluGrad", "(dx, x, dy []float32)")
	m.holdSlope()
	m.elements([]string{"dx", "x", "dy"}, func(at func(string) place, k mask) {
		s := m.mul(m.siluSlope(m.load(at("x"), k)), m.load(at("dy"), k))
		m.store(m.add(m.load(at("dx"), k), s), at("dx"), k)
	})
	m.end()
}
