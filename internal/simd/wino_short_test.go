package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// shortTile is a tile of rows×cols outputs, with the numbers that it is computed from.
type shortTile struct {
	rows, cols, cin, cout int
	x, w, dy              []float32 // [rows+2 cols+2 cin], [3 3 cin cout], [rows cols cout]
}

func newShortTile(r *rand.Rand, rows, cols int) shortTile {
	t := shortTile{rows: rows, cols: cols, cin: 1 + r.IntN(20), cout: 1 + r.IntN(40)}
	t.x, t.w, t.dy = uniform(r, (rows+2)*(cols+2)*t.cin), uniform(r, 9*t.cin*t.cout), uniform(r, rows*cols*t.cout)
	return t
}

func uniform(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = 2*r.Float32() - 1
	}
	return x
}

// each calls f with every product in the convolution of the tile: indices of x, w and y.
func (t shortTile) each(f func(x, w, y int)) {
	for i := range t.rows * t.cols * 9 * t.cin * t.cout {
		co, i := i%t.cout, i/t.cout
		ci, i := i%t.cin, i/t.cin
		tap, px := i%9, i/9
		row, col := px/t.cols+tap/3, px%t.cols+tap%3
		f((row*(t.cols+2)+col)*t.cin+ci, (tap*t.cin+ci)*t.cout+co, px*t.cout+co)
	}
}

// positions calls f with the positions that the tile has.
func (t shortTile) positions(f func(pos int)) {
	for i := range t.rows + 2 {
		for j := range t.cols + 2 {
			row, col := i, j
			if i == t.rows+1 {
				row = 5
			}
			if j == t.cols+1 {
				col = 5
			}
			f(6*row + col)
		}
	}
}

// TestWinogradShort computes tiles cut short, and their weight gradients, through the transforms and by definition.
// Positions that a tile does not have hold NaN on the way forward and nothing on the way back.
func TestWinogradShort(t *testing.T) {
	implementations(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 12))
		for i := range 160 {
			s := newShortTile(r, 1+i%4, 1+i/4%4)
			tmp := uniform(r, WinogradShortScratch*max(s.cin, s.cout))
			v, m, d := nans(36*s.cin), nans(36*s.cout), nans(36*s.cout)
			u := make([]float32, 36*64*s.cin)
			Winograd4Weight(u, 64*s.cin, 32*s.cin, s.w, s.cin*s.cout, s.cin, s.cout)
			Winograd4ShortInput(v, s.cin, s.x, (s.cols+2)*s.cin, s.rows, s.cols, s.cin, tmp)
			Winograd4ShortGradOutput(d, s.cout, s.dy, s.cols*s.cout, s.rows, s.cols, s.cout, tmp)
			sums := make([]float32, 36*s.cin*s.cout)
			s.positions(func(pos int) {
				for co := range s.cout {
					m[pos*s.cout+co] = 0
					for ci := range s.cin {
						m[pos*s.cout+co] += v[pos*s.cin+ci] * u[pos*64*s.cin+co/32*32*s.cin+ci*32+co%32]
						sums[(pos*s.cin+ci)*s.cout+co] = v[pos*s.cin+ci] * d[pos*s.cout+co]
					}
				}
			})
			start, residual := uniform(r, s.cout), uniform(r, len(s.dy))
			y, dw := make([]float32, len(s.dy)), make([]float32, len(s.w))
			Winograd4ShortOutput(y, s.cols*s.cout, s.cout, m, s.cout, residual, start, s.rows, s.cols, s.cout, tmp)
			Winograd4GradWeight(dw, s.cin*s.cout, s.cout, sums, s.cin*s.cout, s.cout, s.cin, s.cout)

			wantY, wantDw := make([]float64, len(y)), make([]float64, len(dw))
			for i := range y {
				wantY[i] = float64(start[i%s.cout]) + float64(residual[i])
			}
			s.each(func(x, w, y int) {
				wantY[y] += float64(s.x[x]) * float64(s.w[w])
				wantDw[w] += float64(s.x[x]) * float64(s.dy[y])
			})
			name := fmt.Sprintf("%d×%d, %d→%d channels", s.rows, s.cols, s.cin, s.cout)
			near(t, name+": y", y, wantY, winograd4Form.error*math.Sqrt(9*float64(s.cin)))
			near(t, name+": dw", dw, wantDw, winograd4Form.error*math.Sqrt(float64(s.rows*s.cols)))
		}
	})
}

func nans(n int) []float32 {
	x := make([]float32, n)
	fill(x, nan)
	return x
}

func near(t *testing.T, what string, got []float32, want []float64, bound float64) {
	t.Helper()
	for i := range got {
		if e := math.Abs(float64(got[i]) - want[i]); !(e <= bound) {
			t.Fatalf("%s: element %d: got %v, want %v ± %.1g", what, i, got[i], want[i], bound)
		}
	}
}

// TestCombine holds the products with small matrices to their definition, on every length and number of vectors, and
// watches the memory around them.
func TestCombine(t *testing.T) {
	implementations(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(13, 14))
		for n := 1; n <= 70; n++ {
			for k := range 36 {
				ins, outs := 1+k%6, 1+k/6
				x, step := uniform(r, 6*n), n+r.IntN(3)
				var matrix [36]float32
				copy(matrix[:], uniform(r, 36))
				got, want := guard(nans(6*step), r.IntN(16)), nans(6*step)
				combine(got.slice, steps(step), x, steps(n), n, &matrix, outs, ins)
				combineGo(want, steps(step), x, steps(n), n, &matrix, outs, ins)
				if got.disturbed() {
					t.Fatalf("n=%d, %d→%d vectors: memory outside was written", n, ins, outs)
				}
				for i := range want {
					g, w := got.slice[i], want[i]
					if math.IsNaN(float64(g)) != math.IsNaN(float64(w)) || math.Abs(float64(g-w)) > 1e-6 {
						t.Fatalf("n=%d, %d→%d vectors: element %d: got %v, want %v", n, ins, outs, i, g, w)
					}
				}
			}
		}
	})
}

func TestWinogradShortChecks(t *testing.T) {
	v, tmp := make([]float32, 36*2), make([]float32, WinogradShortScratch*2)
	for name, f := range map[string]func(){
		"no rows":      func() { Winograd4ShortInput(v, 2, v, 12, 0, 4, 2, tmp) },
		"five columns": func() { Winograd4ShortGradOutput(v, 2, v, 10, 4, 5, 2, tmp) },
		"short tmp":    func() { Winograd4ShortOutput(v, 8, 2, v, 2, nil, nil, 2, 2, 2, tmp[1:]) },
		"short x":      func() { Winograd4ShortInput(v, 2, v[:31], 8, 2, 2, 2, tmp) },
		"short v":      func() { Winograd4ShortInput(v[:71], 2, v, 8, 2, 2, 2, tmp) },
		"short dy":     func() { Winograd4ShortGradOutput(v, 2, v[:7], 4, 2, 2, 2, tmp) },
		"short y":      func() { Winograd4ShortOutput(v[:7], 4, 2, v, 2, nil, nil, 2, 2, 2, tmp) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}
