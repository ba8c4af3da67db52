package simd

// runGo is the product in plain Go, for machines without assembly. element is
// the definition; tile is eight elements at a time. The conversions to float32
// keep the compiler from fusing some multiply-adds and not others.
func (g *Gemm) runGo() {
	m, n := g.M&^1, g.N&^3
	for i := 0; i < m; i += 2 {
		for j := 0; j < n; j += 4 {
			g.tile(i, j)
		}
	}
	for i := range g.M {
		j := n
		if i == m {
			j = 0
		}
		for ; j < g.N; j++ {
			g.element(i, j)
		}
	}
}

// element computes C[i][j].
func (g *Gemm) element(i, j int) {
	var c float32
	switch {
	case g.Add:
		c = g.C[i*g.CRow+j]
	case len(g.Bias) > 0:
		c = g.Bias[j]
	}
	for s := range g.AOff {
		a := g.AOff[s] + i*g.ARow
		b := g.BOff[s] + j/panel*g.BPanel + j%panel
		for range g.K {
			c += float32(g.A[a] * g.B[b])
			a += g.AK
			b += g.BRow
		}
	}
	g.C[i*g.CRow+j] = c
}

// tile computes the elements of C in rows i, i+1 and columns j … j+3, which
// lie in one panel. Eight sums, four elements of B and two of A are as much as
// amd64's 16 registers hold.
func (g *Gemm) tile(i, j int) {
	c0 := (*[4]float32)(g.C[i*g.CRow+j:])
	c1 := (*[4]float32)(g.C[(i+1)*g.CRow+j:])
	var c00, c01, c02, c03, c10, c11, c12, c13 float32
	switch {
	case g.Add:
		c00, c01, c02, c03 = c0[0], c0[1], c0[2], c0[3]
		c10, c11, c12, c13 = c1[0], c1[1], c1[2], c1[3]
	case len(g.Bias) > 0:
		b := (*[4]float32)(g.Bias[j:])
		c00, c01, c02, c03 = b[0], b[1], b[2], b[3]
		c10, c11, c12, c13 = b[0], b[1], b[2], b[3]
	}
	for s := range g.AOff {
		a0 := g.A[g.AOff[s]+i*g.ARow:]
		a1 := g.A[g.AOff[s]+(i+1)*g.ARow:]
		b := g.B[g.BOff[s]+j/panel*g.BPanel+j%panel:]
		ak, bk := 0, 0
		for range g.K {
			x0, x1 := a0[ak], a1[ak]
			y := (*[4]float32)(b[bk:])
			ak += g.AK
			bk += g.BRow
			c00 += float32(x0 * y[0])
			c10 += float32(x1 * y[0])
			c01 += float32(x0 * y[1])
			c11 += float32(x1 * y[1])
			c02 += float32(x0 * y[2])
			c12 += float32(x1 * y[2])
			c03 += float32(x0 * y[3])
			c13 += float32(x1 * y[3])
		}
	}
	*c0 = [4]float32{c00, c01, c02, c03}
	*c1 = [4]float32{c10, c11, c12, c13}
}
