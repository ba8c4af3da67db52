package simd

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"testing"
)

// winoAlloc makes the memory of a test's operands.
type winoAlloc func(n int) []float32

func winoMake(n int) []float32 { return make([]float32, n) }

// values returns n values, uniform in (−1, 1) or now and then all −0, in memory from alloc.
func (alloc winoAlloc) values(r *rand.Rand, n int) []float32 {
	x := alloc(n)
	if r.IntN(8) == 0 {
		for i := range x {
			x[i] = float32(math.Copysign(0, -1))
		}
		return x
	}
	for i := range x {
		x[i] = float32(int32(r.Uint32())) / (1 << 31)
	}
	return x
}

// agree holds f to the definition: both run on destinations of n elements with the same contents and must leave the
// same bits, having changed nothing but the elements in writes.
func (alloc winoAlloc) agree(t *testing.T, what string, r *rand.Rand, n int, writes iter.Seq[int], f, definition func(dst []float32)) {
	t.Helper()
	before, want := alloc.values(r, n), alloc(n)
	got := alloc(n)
	copy(want, before)
	copy(got, before)
	definition(want)
	f(got)
	for i := range n {
		if g, w := math.Float32bits(got[i]), math.Float32bits(want[i]); g != w {
			t.Fatalf("%s: element %d: got %g (%#x), want %g (%#x)", what, i, got[i], g, want[i], w)
		}
	}
	for i := range writes {
		got[i] = before[i]
	}
	for i := range n {
		if got[i] != before[i] {
			t.Fatalf("%s: element %d: overwritten, is not part of the result", what, i)
		}
	}
}

// gridIndices yields the indices i·a[1] + j·b[1] + k for i < a[0], j < b[0], k < c.
func gridIndices(a, b [2]int, c int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range a[0] {
			for j := range b[0] {
				for k := range c {
					if !yield(i*a[1] + j*b[1] + k) {
						return
					}
				}
			}
		}
	}
}

// winogradAgree compares every operation with its definition for c channels and a row of the given tiles. Strides
// leave gaps, and slices end with the last element in use.
func winogradAgree(t *testing.T, r *rand.Rand, alloc winoAlloc, tiles, c int) {
	gap := func() int { return r.IntN(5) }
	what := func(op string, args ...any) string {
		return fmt.Sprint(op, " c=", c, " tiles=", tiles, " ", fmt.Sprint(args...))
	}

	tile := c + gap()
	pos := tiles*tile + gap()
	transformed := 15*pos + (tiles-1)*tile + c
	allTiles := gridIndices([2]int{16, pos}, [2]int{tiles, tile}, c)

	pix := c + gap()
	row := (2*tiles+2)*pix + gap()
	x := alloc.values(r, 3*row+(2*tiles+1)*pix+c)
	alloc.agree(t, what("WinogradInput"), r, transformed, allTiles,
		func(v []float32) { WinogradInput(v, pos, tile, x, row, pix, tiles, c) },
		func(v []float32) { winogradInputGo(v, pos, tile, x, row, pix, tiles, c) })

	m := alloc.values(r, transformed)
	start := alloc.values(r, c)
	for options := range 24 {
		cols := 2*tiles - options&1
		oneRow, residual := options&2 != 0, options>>3
		start := start[:c*(options>>2&1)]
		length := (cols-1)*pix + c
		rows := 2
		if oneRow {
			rows = 1
		}
		var r0, r1 []float32
		if residual == 1 {
			r0 = alloc.values(r, length)
			if !oneRow {
				r1 = alloc.values(r, length)
			}
		}
		y1 := length + gap()
		run := func(output func(y0, y1 []float32, yPix int, m []float32, mPos, mTile int, r0, r1, start []float32, cols, c int)) func(y []float32) {
			return func(y []float32) {
				r0, r1 := r0, r1
				var second []float32
				if !oneRow {
					second = y[y1:]
				}
				if residual == 2 {
					r0, r1 = y[:length], second
				}
				output(y[:length], second, pix, m, pos, tile, r0, r1, start, cols, c)
			}
		}
		alloc.agree(t, what("WinogradOutput cols=", cols, " one row=", oneRow, " start=", len(start), " residual=", residual), r,
			(rows-1)*y1+length, gridIndices([2]int{rows, y1}, [2]int{cols, pix}, c), run(WinogradOutput), run(winogradOutputGo))
		if residual > 0 || len(start) > 0 {
			continue
		}
		dy0, dy1 := alloc.values(r, length), alloc.values(r, length*(rows-1))
		alloc.agree(t, what("WinogradGradOutput cols=", cols, " one row=", oneRow), r, transformed, allTiles,
			func(d []float32) { WinogradGradOutput(d, pos, tile, dy0, dy1, pix, cols, c) },
			func(d []float32) { winogradGradOutputGo(d, pos, tile, dy0, dy1, pix, cols, c) })
	}

	wRow := c + gap()
	tap := tiles*wRow + gap()
	alloc.agree(t, what("WinogradGradWeight"), r, 8*tap+(tiles-1)*wRow+c, gridIndices([2]int{9, tap}, [2]int{tiles, wRow}, c),
		func(dw []float32) { WinogradGradWeight(dw, tap, wRow, m, pos, tile, tiles, c) },
		func(dw []float32) { winogradGradWeightGo(dw, tap, wRow, m, pos, tile, tiles, c) })
}

func TestWinogradAgrees(t *testing.T) {
	implementations(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for c := 1; c <= 70; c++ {
			for tiles := 1; tiles <= 9; tiles++ {
				winogradAgree(t, r, winoMake, tiles, c)
			}
		}
	})
}

// winogradWeightAgree compares the packing operations with what their comments say, element by element.
func winogradWeightAgree(t *testing.T, r *rand.Rand, alloc winoAlloc, cin, cout int) {
	what := fmt.Sprint(" cin=", cin, " cout=", cout)
	w := alloc.values(r, 9*cin*cout)

	packed := func(rows, cols int) (pos, panel, length int, writes iter.Seq[int]) {
		panels := (cols + 31) / 32
		panel = rows*32 + r.IntN(5)
		pos = panels*panel + r.IntN(5)
		return pos, panel, 15*pos + (panels-1)*panel + rows*32, gridIndices([2]int{16, pos}, [2]int{panels, panel}, rows*32)
	}
	// define writes G g Gᵀ of the rows×cols kernels g(row, col).
	define := func(u []float32, pos, panel, rows, cols int, g func(kh, kw, row, col int) float32) {
		for row := range rows {
			for col := range (cols + 31) / 32 * 32 {
				var a [3][4]float32
				for kw := range 3 {
					if col < cols {
						a[kw][0], a[kw][1], a[kw][2], a[kw][3] = winoG(g(0, kw, row, col), g(1, kw, row, col), g(2, kw, row, col))
					}
				}
				for i := range 4 {
					var b [4]float32
					b[0], b[1], b[2], b[3] = winoG(a[0][i], a[1][i], a[2][i])
					for j := range 4 {
						u[(4*i+j)*pos+col/32*panel+row*32+col%32] = b[j]
					}
				}
			}
		}
	}

	pos, panel, length, writes := packed(cin, cout)
	alloc.agree(t, "WinogradWeight"+what, r, length, writes,
		func(u []float32) { WinogradWeight(u, pos, panel, w, cin, cout) },
		func(u []float32) {
			define(u, pos, panel, cin, cout, func(kh, kw, ci, co int) float32 { return w[((kh*3+kw)*cin+ci)*cout+co] })
		})
	pos, panel, length, writes = packed(cout, cin)
	alloc.agree(t, "WinogradWeightTransposed"+what, r, length, writes,
		func(u []float32) { WinogradWeightTransposed(u, pos, panel, w, cin, cout) },
		func(u []float32) {
			define(u, pos, panel, cout, cin, func(kh, kw, co, ci int) float32 { return w[(((2-kh)*3+2-kw)*cin+ci)*cout+co] })
		})
}

// packAgree does the same for PackPanels and PackTransposed.
func packAgree(t *testing.T, r *rand.Rand, alloc winoAlloc, rows, cols int) {
	what := fmt.Sprint(" rows=", rows, " cols=", cols)
	aRow := cols + r.IntN(5)
	a := alloc.values(r, (rows-1)*aRow+cols)
	for _, transposed := range []bool{false, true} {
		op, pack, deep, wide := "PackPanels", PackPanels, rows, cols
		if transposed {
			op, pack, deep, wide = "PackTransposed", PackTransposed, cols, rows
		}
		panels := (wide + 31) / 32
		panel := deep*32 + r.IntN(5)
		alloc.agree(t, op+what, r, (panels-1)*panel+deep*32, gridIndices([2]int{1, 0}, [2]int{panels, panel}, deep*32),
			func(b []float32) { pack(b, panel, a, aRow, rows, cols) },
			func(b []float32) {
				for k := range deep {
					for j := range panels * 32 {
						var v float32
						switch {
						case j >= wide:
						case transposed:
							v = a[j*aRow+k]
						default:
							v = a[k*aRow+j]
						}
						b[j/32*panel+k*32+j%32] = v
					}
				}
			})
	}
}

func TestPackAgrees(t *testing.T) {
	implementations(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for a := 1; a <= 70; a++ {
			for _, b := range []int{1, 15, 32, 33} {
				winogradWeightAgree(t, r, winoMake, a, b)
				packAgree(t, r, winoMake, a, b)
			}
		}
	})
}

// TestWinogradChecks holds the wrappers to their duty, for assembly trusts them: the lengths that suffice are taken,
// and one element less, a negative count or stride and one whose product overflows panic.
func TestWinogradChecks(t *testing.T) {
	const tiles, c, pos, tile, row, pix = 3, 5, 20, 6, 50, 6
	const transformed, pixels, image = 15*pos + 2*tile + c, 5*pix + c, 3*row + 7*pix + c
	const cin, cout, uPos, panel = 33, 35, 3000, 1200
	x := make([]float32, 1<<17)
	operations := map[string]struct {
		lengths []int // of the slices that s holds
		numbers []int // counts and strides that n holds
		run     func(s [][]float32, n []int)
	}{
		"Input": {[]int{transformed, image}, []int{pos, tile, row, pix, tiles, c}, func(s [][]float32, n []int) {
			WinogradInput(s[0], n[0], n[1], s[1], n[2], n[3], n[4], n[5])
		}},
		"Output": {[]int{pixels, pixels, transformed, pixels, pixels, c}, []int{pix, pos, tile, 6, c}, func(s [][]float32, n []int) {
			WinogradOutput(s[0], s[1], n[0], s[2], n[1], n[2], s[3], s[4], s[5], n[3], n[4])
		}},
		"GradOutput": {[]int{transformed, pixels, pixels}, []int{pos, tile, pix, 6, c}, func(s [][]float32, n []int) {
			WinogradGradOutput(s[0], n[0], n[1], s[1], s[2], n[2], n[3], n[4])
		}},
		"GradWeight": {[]int{8*pos + 2*tile + c, transformed}, []int{pos, tile, pos, tile, tiles, c}, func(s [][]float32, n []int) {
			WinogradGradWeight(s[0], n[0], n[1], s[1], n[2], n[3], n[4], n[5])
		}},
		"Weight": {[]int{15*uPos + panel + 32*cin, 9 * cin * cout}, []int{uPos, panel, cin, cout}, func(s [][]float32, n []int) {
			WinogradWeight(s[0], n[0], n[1], s[1], n[2], n[3])
		}},
		"WeightTransposed": {[]int{15*uPos + panel + 32*cout, 9 * cin * cout}, []int{uPos, panel, cin, cout}, func(s [][]float32, n []int) {
			WinogradWeightTransposed(s[0], n[0], n[1], s[1], n[2], n[3])
		}},
		"4Input": {[]int{35*pos + 2*tile + c, 5*100 + 13*pix + c}, []int{pos, tile, 100, pix, tiles, c}, func(s [][]float32, n []int) {
			Winograd4Input(s[0], n[0], n[1], s[1], n[2], n[3], n[4], n[5])
		}},
		"4Output": {[]int{3*100 + 11*pix + c, 35*pos + 2*tile + c, 3*100 + 11*pix + c, c}, []int{100, pix, pos, tile, 4, 12, c}, func(s [][]float32, n []int) {
			Winograd4Output(s[0], n[0], n[1], s[1], n[2], n[3], s[2], s[3], n[4], n[5], n[6])
		}},
		"4Weight": {[]int{35*uPos + panel + 32*cin, 9 * cin * cout}, []int{uPos, panel, cin, cout}, func(s [][]float32, n []int) {
			Winograd4Weight(s[0], n[0], n[1], s[1], n[2], n[3])
		}},
		"4WeightTransposed": {[]int{35*uPos + panel + 32*cout, 9 * cin * cout}, []int{uPos, panel, cin, cout}, func(s [][]float32, n []int) {
			Winograd4WeightTransposed(s[0], n[0], n[1], s[1], n[2], n[3])
		}},
		"PackPanels": {[]int{panel + 32*tiles, 2*pix*10 + cout}, []int{panel, 10 * pix, tiles, cout}, func(s [][]float32, n []int) {
			PackPanels(s[0], n[0], s[1], n[1], n[2], n[3])
		}},
		"PackTransposed": {[]int{panel + 32*c, 34*pix + c}, []int{panel, pix, 35, c}, func(s [][]float32, n []int) {
			PackTransposed(s[0], n[0], s[1], n[1], n[2], n[3])
		}},
	}
	// A row of residual without the other, and a count that overflows where its own stride is 0, are caught too.
	for name, f := range map[string]func(){
		"r0 missing": func() { WinogradOutput(x, x, 1, x, 1, 1, nil, x, nil, 2, 1) },
		"r1 missing": func() { WinogradOutput(x, x, 1, x, 1, 1, x, nil, nil, 2, 1) },
		"tiles":      func() { WinogradInput(x, 1, 0, x, 1, 1, math.MaxInt, 1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
	for name, op := range operations {
		panics := func(cut, change, value int) (panicked bool) {
			defer func() { panicked = recover() != nil }()
			s := make([][]float32, len(op.lengths))
			for i, l := range op.lengths {
				s[i] = x[:l:l]
				if i == cut {
					s[i] = x[: l-1 : l-1]
				}
			}
			n := append([]int(nil), op.numbers...)
			if change >= 0 {
				n[change] = value
			}
			op.run(s, n)
			return false
		}
		if panics(-1, -1, 0) {
			t.Errorf("%s: panics for slices that are long enough", name)
		}
		for i := range op.lengths {
			if !panics(i, -1, 0) {
				t.Errorf("%s: slice %d too short: no panic", name, i)
			}
		}
		for i := range op.numbers {
			for _, v := range []int{-1, math.MinInt, math.MaxInt, math.MaxInt/2 + 1} {
				if !panics(-1, i, v) {
					t.Errorf("%s: number %d = %d: no panic", name, i, v)
				}
			}
		}
	}
}

func TestWinogradAllocates(t *testing.T) {
	const c, tiles = 32, 2
	x, y := make([]float32, 1<<16), make([]float32, 1<<16)
	implementations(t, func(t *testing.T) {
		if n := testing.AllocsPerRun(10, func() {
			WinogradInput(y, tiles*c, c, x, 6*c, c, tiles, c)
			WinogradOutput(y, y[2*tiles*c:], c, x, tiles*c, c, y, y[2*tiles*c:], x[:c], 2*tiles, c)
			WinogradGradOutput(y, tiles*c, c, x, x[2*tiles*c:], c, 2*tiles, c)
			WinogradGradWeight(y, c*c, c, x, c*c, c, c, c)
			WinogradWeight(y, c*c, c*c, x, c, c)
			WinogradWeightTransposed(y, c*c, c*c, x, c, c)
			Winograd4Input(y, tiles*c, c, x, 10*c, c, tiles, c)
			Winograd4Output(y, 4*tiles*c, c, x, tiles*c, c, y, x[:c], 4, 4*tiles, c)
			Winograd4Weight(y, c*c, c*c, x, c, c)
			Winograd4WeightTransposed(y, c*c, c*c, x, c, c)
			PackPanels(y, c*c, x, c, c, c)
			PackTransposed(y, c*c, x, c, c, c)
		}); n != 0 {
			t.Errorf("got %v allocations per call, want none", n)
		}
	})
}
