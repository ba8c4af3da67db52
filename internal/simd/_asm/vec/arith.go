package main

func arithmetic(wide bool) {
	m := begin(wide, "add", "(y, a, b []float32)")
	m.elements([]string{"y", "a", "b"}, func(at func(string) place, k mask) {
		m.store(m.add(m.load(at("a"), k), m.load(at("b"), k)), at("y"), k)
	})
	m.end()

	m = begin(wide, "axpy", "(y []float32, a float32, x []float32)")
	a := m.scalar("a")
	m.elements([]string{"y", "x"}, func(at func(string) place, k mask) {
		m.store(m.add(m.load(at("y"), k), m.mul(a, m.load(at("x"), k))), at("y"), k)
	})
	m.end()

	m = begin(wide, "scale", "(y []float32, a float32, x []float32)")
	a = m.scalar("a")
	m.elements([]string{"y", "x"}, func(at func(string) place, k mask) {
		m.store(m.mul(a, m.load(at("x"), k)), at("y"), k)
	})
	m.end()

	m = begin(wide, "lerp", "(y, x []float32, t float32)")
	t := m.scalar("t")
	m.elements([]string{"y", "x"}, func(at func(string) place, k mask) {
		y := m.load(at("y"), k)
		m.store(m.add(y, m.mul(t, m.sub(m.load(at("x"), k), y))), at("y"), k)
	})
	m.end()
}
