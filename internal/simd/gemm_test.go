package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// problem is a product with its operands laid out at random in memory full of
// NaNs, so that an element read or written in error shows.
type problem struct {
	Gemm
	start []float32 // C before the call
}

// newProblem takes memory from alloc, which returns n floats of any content.
func newProblem(r *rand.Rand, m, n, k, segments int, alloc func(n int) []float32) *problem {
	p := &problem{Gemm: Gemm{M: m, N: n, K: k, CRow: n + r.IntN(2)*r.IntN(20), Add: r.IntN(2) == 0}}
	kk := max(k, 1)
	switch r.IntN(3) {
	case 0:
		p.ARow, p.AK = kk+r.IntN(4), 1
	case 1:
		p.ARow, p.AK = 1, m+r.IntN(4)
	case 2:
		p.AK = 1 + r.IntN(3)
		p.ARow = p.AK*kk + r.IntN(4)
	}
	if r.IntN(2) == 0 {
		p.BRow, p.BPanel = n+r.IntN(20), panel
	} else {
		p.BRow, p.BPanel = panel, panel*kk+r.IntN(3)*16
	}
	for range segments {
		p.AOff = append(p.AOff, r.IntN(3*kk))
		p.BOff = append(p.BOff, r.IntN(3*kk))
	}
	var a, b int // lengths
	for s := range segments {
		a = max(a, p.a(s, m-1, kk-1)+1)
		for j := range n {
			b = max(b, p.b(s, kk-1, j)+1)
		}
	}
	p.A, p.B, p.C = alloc(a), alloc(b), alloc((m-1)*p.CRow+n)
	for _, x := range [][]float32{p.A, p.B, p.C} {
		for i := range x {
			x[i] = nan
		}
	}
	for s := range segments {
		for k := range k {
			for i := range m {
				p.A[p.a(s, i, k)] = r.Float32()*2 - 1
			}
			for j := range n {
				p.B[p.b(s, k, j)] = r.Float32()*2 - 1
			}
		}
	}
	if p.Add {
		for i := range m {
			for j := range n {
				p.C[i*p.CRow+j] = r.Float32()*2 - 1
			}
		}
	}
	p.start = append(p.start, p.C...)
	if r.IntN(2) == 0 { // no result depends on it
		p.Ahead = new(Ahead)
		p.Ahead.Add(alloc(1 + r.IntN(3000)))
	}
	if !p.Add && r.IntN(2) == 0 {
		p.Bias = alloc(n)
		for j := range p.Bias {
			p.Bias[j] = r.Float32()*2 - 1
		}
	}
	return p
}

// nan is a quiet NaN that no computation makes.
var nan = math.Float32frombits(0x7fc12345)

func (p *problem) a(s, i, k int) int { return p.AOff[s] + i*p.ARow + k*p.AK }
func (p *problem) b(s, k, j int) int {
	return p.BOff[s] + j/panel*p.BPanel + j%panel + k*p.BRow
}

func (p *problem) String() string {
	return fmt.Sprintf("M=%d N=%d K=%d segments=%d ARow=%d AK=%d BRow=%d BPanel=%d CRow=%d add=%v bias=%v",
		p.M, p.N, p.K, len(p.AOff), p.ARow, p.AK, p.BRow, p.BPanel, p.CRow, p.Add, len(p.Bias) > 0)
}

// check compares C with the definition in float64, within the error bound of
// float32, and exactly with the chain of float32 multiply-adds.
func (p *problem) check(t *testing.T) {
	t.Helper()
	const u = 1.0 / (1 << 24)
	for at, got := range p.C {
		i, j := at/p.CRow, at%p.CRow
		if j >= p.N {
			if math.Float32bits(got) != math.Float32bits(nan) {
				t.Fatalf("%v: memory right of C[%d] changed", p, i)
			}
			continue
		}
		var chain float32
		if p.Add {
			chain = p.start[at]
		} else if len(p.Bias) > 0 {
			chain = p.Bias[j]
		}
		sum := float64(chain)
		abs := math.Abs(sum)
		for s := range p.AOff {
			for k := range p.K {
				x, y := p.A[p.a(s, i, k)], p.B[p.b(s, k, j)]
				sum += float64(x) * float64(y)
				abs += math.Abs(float64(x) * float64(y))
				if Implementation() == "go" {
					chain += float32(x * y)
				} else {
					chain = fma(x, y, chain)
				}
			}
		}
		// Higham, Accuracy and Stability, §3.1: a sum of n rounded products
		// errs by at most γ_{n+1} Σ|terms|, in any order. nu ≪ 1 here.
		n := float64(p.K*len(p.AOff) + 1)
		if bound := 1.01 * (n + 1) * u * abs; !(math.Abs(float64(got)-sum) <= bound) {
			t.Fatalf("%v: C[%d][%d]: got %v, want %v ± %.2g", p, i, j, got, sum, bound)
		}
		if got != chain {
			t.Fatalf("%v: C[%d][%d]: got %v, want %v, the chain of multiply-adds", p, i, j, got, chain)
		}
	}
}

// fma is x·y + z rounded once. The product is exact in float64, and rounding
// the sum to odd there makes the second rounding harmless (Boldo and
// Melquiond 2008, "Emulation of FMA and correctly rounded sums").
func fma(x, y, z float32) float32 {
	a, b := float64(x)*float64(y), float64(z)
	s := a + b
	v := s - a
	err := (a - (s - v)) + (b - v)
	if bits := math.Float64bits(s); err != 0 && bits&1 == 0 {
		if (err > 0) == (s > 0) {
			bits++
		} else {
			bits--
		}
		s = math.Float64frombits(bits)
	}
	return float32(s)
}

func TestGemm(t *testing.T) {
	implementations(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		var memory []float32
		alloc := func(n int) []float32 {
			if n > len(memory) {
				memory = make([]float32, 1<<16+n)
			}
			x := memory[:n:n]
			memory = memory[n:]
			return x
		}
		for m := 1; m <= 29; m++ {
			for n := 1; n <= 70; n++ {
				// Every k with every m and every n, not with every pair.
				k := (m + n) % 10
				p := newProblem(r, m, n, k, 1+r.IntN(9), alloc)
				p.Run()
				p.check(t)
			}
		}
		for range 20 {
			p := newProblem(r, 1+r.IntN(200), 1+r.IntN(200), 1+r.IntN(40), 1+r.IntN(9), alloc)
			p.Run()
			p.check(t)
		}
	})
}

// TestGemmAlone holds each element's bits to those of a call for that row, or
// that column, alone.
func TestGemmAlone(t *testing.T) {
	implementations(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		p := newProblem(r, 37, 71, 50, 3, func(n int) []float32 { return make([]float32, n) })
		p.Run()
		for i := range p.M {
			row := p.Gemm
			row.A, row.M = p.A[i*p.ARow:], 1
			row.C = append([]float32(nil), p.start[i*p.CRow:][:p.N]...)
			row.Run()
			for j, got := range row.C {
				if want := p.C[i*p.CRow+j]; got != want {
					t.Fatalf("row %d alone: C[%d] = %v, want %v", i, j, got, want)
				}
			}
		}
		for j := range p.N {
			column := p.Gemm
			column.B, column.N = p.B[j/panel*p.BPanel+j%panel:], 1
			column.C = append([]float32(nil), p.start[j:]...)
			if len(p.Bias) > 0 {
				column.Bias = p.Bias[j:]
			}
			column.Run()
			for i := range p.M {
				if got, want := column.C[i*p.CRow], p.C[i*p.CRow+j]; got != want {
					t.Fatalf("column %d alone: C[%d] = %v, want %v", j, i, got, want)
				}
			}
		}
	})
}

// TestAhead takes what is to be fetched a few lines at a time, part after part.
func TestAhead(t *testing.T) {
	x, y, z := make([]float32, 100), make([]float32, 10), make([]float32, 50)
	var a Ahead
	for _, part := range [][]float32{x, nil, y, z} {
		a.Add(part)
	}
	for i, want := range []*float32{&x[0], &x[48], &x[96], &y[0], &z[0], &z[48], nil, nil} {
		if got, step := a.take(3, 1000); got != want || got != nil && step != lineFloats {
			t.Errorf("take %d: got %p and steps of %d, want %p and %d", i, got, step, want, lineFloats)
		}
	}
	for range 2 * len(a.parts) {
		a.Add(y) // those there is no room for are left out
	}
	if got, _ := (*Ahead)(nil).take(1, 1); got != nil {
		t.Error("nothing listed: got something to fetch")
	}
}

// TestAheadDuring spreads what is to be fetched over the work it is announced for, products of two sizes in turn: at
// half of the work half of it is on its way, and at the end all.
func TestAheadDuring(t *testing.T) {
	var a Ahead
	a.Add(make([]float32, 4000))
	a.Add(make([]float32, 2000))
	a.During(80 * 100)
	fetched := 0
	for i := range 80 {
		ks := []int{5, 9}[i%2]
		next, step := a.take(ks, 100)
		if next == nil || step > lineFloats {
			t.Fatalf("product %d: got %p and steps of %d, want something and at most %d", i, next, step, lineFloats)
		}
		fetched += ks * step
		if i == 39 && (fetched < 3000 || fetched > 3400) {
			t.Errorf("got %d elements fetched at half of the work, want 3000 and little more", fetched)
		}
	}
	if next, _ := a.take(1, 1); next != nil {
		t.Error("got more to fetch after the work")
	}
}

// TestGemmSpecial passes infinities and NaNs through: nothing is skipped.
func TestGemmSpecial(t *testing.T) {
	inf := float32(math.Inf(1))
	implementations(t, func(t *testing.T) {
		for _, c := range []struct{ a, b, start, want float32 }{
			{0, inf, 1, nan}, {0, nan, 1, nan}, {1, inf, 1, inf}, {1, -inf, inf, nan}, {2, 3, inf, inf}, {0, 0, nan, nan},
		} {
			const m, n = 15, 33
			g := Gemm{M: m, N: n, K: 1, A: make([]float32, m), ARow: 1, AOff: []int{0},
				B: make([]float32, n), BPanel: panel, BOff: []int{0}, C: make([]float32, m*n), CRow: n, Add: true}
			fill(g.A, c.a)
			fill(g.B, c.b)
			fill(g.C, c.start)
			g.Run()
			for _, got := range g.C {
				if got != c.want && !(got != got && c.want != c.want) {
					t.Fatalf("%v·%v + %v: got %v, want %v", c.a, c.b, c.start, got, c.want)
				}
			}
		}
	})
}

func fill(x []float32, v float32) {
	for i := range x {
		x[i] = v
	}
}

// TestGemmChecks makes each operand one element too short, or an argument
// wrong, and wants a panic before anything is touched.
func TestGemmChecks(t *testing.T) {
	good := func() *Gemm { // [3 40] = Σ_2 [3 5]·[5 40], panels; each operand exactly long enough
		return &Gemm{M: 3, N: 40, K: 5,
			A: make([]float32, 7+2*10+4*2+1), ARow: 10, AK: 2, AOff: []int{7, 0},
			B: make([]float32, 1+160+4*32+7+1), BRow: 32, BPanel: 160, BOff: []int{0, 1},
			C: make([]float32, 2*41+40), CRow: 41}
	}
	good().Run()
	for name, spoil := range map[string]func(g *Gemm){
		"short A":           func(g *Gemm) { g.A = g.A[1:] },
		"short B":           func(g *Gemm) { g.B = g.B[1:] },
		"short C":           func(g *Gemm) { g.C = g.C[1:] },
		"no A":              func(g *Gemm) { g.A = nil },
		"offset into A":     func(g *Gemm) { g.AOff[0]++ },
		"offset into B":     func(g *Gemm) { g.BOff[1]++ },
		"negative offset A": func(g *Gemm) { g.AOff[1] = -1 },
		"negative offset B": func(g *Gemm) { g.BOff[0] = -1 },
		"huge offset":       func(g *Gemm) { g.AOff[0] = math.MaxInt },
		"offsets":           func(g *Gemm) { g.AOff = g.AOff[:1] },
		"no offsets":        func(g *Gemm) { g.AOff, g.BOff = nil, nil },
		"negative M":        func(g *Gemm) { g.M = -1 },
		"negative N":        func(g *Gemm) { g.N = -1 },
		"negative K":        func(g *Gemm) { g.K = -1 },
		"negative ARow":     func(g *Gemm) { g.ARow = -1 },
		"negative AK":       func(g *Gemm) { g.AK = -1 },
		"negative BRow":     func(g *Gemm) { g.BRow = -1 },
		"negative BPanel":   func(g *Gemm) { g.BPanel = -1 },
		"rows of C overlap": func(g *Gemm) { g.CRow = 39 },
		"overflow M":        func(g *Gemm) { g.M = math.MaxInt },
		"overflow K":        func(g *Gemm) { g.K, g.AK = math.MaxInt/2, 5 },
		"overflow ARow":     func(g *Gemm) { g.ARow = math.MaxInt },
		"overflow BRow":     func(g *Gemm) { g.BRow = math.MaxInt/4 + 1 },
		"short bias":        func(g *Gemm) { g.Bias = make([]float32, g.N-1) },
		"bias and add":      func(g *Gemm) { g.Bias, g.Add = make([]float32, g.N), true },
		"overlapping panel": func(g *Gemm) { g.BPanel = 0; g.B = g.B[:4*32+31+1] },
	} {
		t.Run(name, func(t *testing.T) {
			g := good()
			spoil(g)
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			g.Run()
		})
	}
}

func TestGemmAllocates(t *testing.T) {
	a, b, c := make([]float32, 64), make([]float32, 64), make([]float32, 64)
	implementations(t, func(t *testing.T) {
		if n := testing.AllocsPerRun(10, func() {
			off := [1]int{}
			g := Gemm{M: 8, N: 8, K: 8, A: a, ARow: 8, AK: 1, AOff: off[:], B: b, BRow: 8, BPanel: panel, BOff: off[:], C: c, CRow: 8}
			g.Run()
		}); n != 0 {
			t.Errorf("got %v allocations a call, want none", n)
		}
	})
}
