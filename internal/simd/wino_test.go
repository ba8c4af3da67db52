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

// units returns n of −1, 0 and 1, or now and then all −0. Of these all intermediate results of the image transforms of
// F(4×4, 3×3) are multiples of 2⁻¹⁸ below 2⁶, which float32 holds: fused and unfused code must leave the same bits.
func (alloc winoAlloc) units(r *rand.Rand, n int) []float32 {
	x := alloc.values(r, n)
	for i := range x {
		if x[i] != 0 {
			x[i] = float32(r.IntN(3) - 1)
		}
	}
	return x
}

// agree holds f to the definition: both run on destinations of n elements with the same contents and must leave the
// same bits, having changed nothing but the elements in writes.
func (alloc winoAlloc) agree(t *testing.T, what string, r *rand.Rand, n int, writes iter.Seq[int], f, definition func(dst []float32)) {
	t.Helper()
	alloc.agreeWithin(t, what, r, n, 0, writes, f, definition)
}

// agreeWithin is agree where elements may differ by a bound, unless it is 0.
func (alloc winoAlloc) agreeWithin(t *testing.T, what string, r *rand.Rand, n int, bound float64, writes iter.Seq[int], f, definition func(dst []float32)) {
	t.Helper()
	before, want := alloc.values(r, n), alloc(n)
	got := alloc(n)
	copy(want, before)
	copy(got, before)
	definition(want)
	f(got)
	for i := range n {
		g, w := math.Float32bits(got[i]), math.Float32bits(want[i])
		if e := math.Abs(float64(got[i]) - float64(want[i])); g != w && !(e <= bound && bound > 0) {
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

type (
	inputTransform      func(v []float32, vPos, vTile int, x []float32, xRow, xPix, rows, side, tiles, c int)
	outputTransform     func(y []float32, yRow, yPix int, m []float32, mPos, mTile int, residual, start []float32, rows, side, cols, c int)
	gradOutputTransform func(d []float32, dPos, dTile int, dy []float32, dyRow, dyPix, rows, side, cols, c int)
)

// winogradForm is one of the two forms: its functions, and their definitions where those are not in this file.
type winogradForm struct {
	name                     string
	side                     int
	input, inputGo           inputTransform
	output, outputGo         outputTransform
	gradOutput, gradOutputGo gradOutputTransform
	gradWeight               func(dw []float32, dwTap, dwRow int, m []float32, mPos, mRow, rows, cols int, add, turned bool)
	gradWeightGo             func(dw []float32, first, dwTap, dwRow int, m []float32, mPos, mRow, rows, cols int, add bool)
	weight, weightTransposed func(u []float32, uPos, uPanel int, w []float32, wTap, wRow, cin, cout int)
	g                        [][3]float64
	weightError              float64 // bounds the rounding of G g Gᵀ, relative to kernels in (−1, 1)
	gradWeightError          float64 // how far Gᵀ M G may be from its definition for M in (−1, 1), 0 for the same bits
	error                    float64 // and that of a whole pass, per unit of rms
}

var winograd2Form = winogradForm{
	name: "Winograd2", side: 2,
	input: Winograd2Input, output: Winograd2Output, gradOutput: Winograd2GradOutput,
	inputGo: func(v []float32, vPos, vTile int, x []float32, xRow, xPix, _, _, tiles, c int) {
		winograd2InputGo(v, vPos, vTile, x, xRow, xPix, tiles, c)
	},
	outputGo: func(y []float32, yRow, yPix int, m []float32, mPos, mTile int, residual, start []float32, rows, _, cols, c int) {
		winograd2OutputGo(y, yRow, yPix, m, mPos, mTile, residual, start, rows, cols, c)
	},
	gradOutputGo: func(d []float32, dPos, dTile int, dy []float32, dyRow, dyPix, rows, _, cols, c int) {
		winograd2GradOutputGo(d, dPos, dTile, dy, dyRow, dyPix, rows, cols, c)
	},
	gradWeight: Winograd2GradWeight, gradWeightGo: winograd2GradWeightGo,
	weight: Winograd2Weight, weightTransposed: Winograd2WeightTransposed,
	g: [][3]float64{{1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}},
	// Each of the two applications of G rounds twice.
	weightError: 3e-7,
	// A few float32 roundings (6e-8) of sums that the transforms make some five times larger.
	error: 2e-6,
}

// winograd4Form's bounds: entries of G reach 1.2, and those of Aᵀ 3.4.
var winograd4Form = winogradForm{
	name: "Winograd4", side: 4,
	input: Winograd4Input, inputGo: winograd4InputGo, output: Winograd4Output, outputGo: winograd4OutputGo,
	gradOutput: Winograd4GradOutput, gradOutputGo: winograd4GradOutputGo, gradWeight: Winograd4GradWeight, gradWeightGo: winograd4GradWeightGo,
	weight: Winograd4Weight, weightTransposed: Winograd4WeightTransposed,
	g:           pointMatrix(5./8, 3./2),
	weightError: 1e-6,
	// Rows of Gᵀ add up to 2.8 in magnitude, applied twice to 8, of which a handful of operations round by 6e-8 each.
	gradWeightError: 3e-6,
	error:           1e-5,
}

var winogradForms = []winogradForm{winograd2Form, winograd4Form}

// pointMatrix is G for the points 0, a, −a, b, −b and ∞.
func pointMatrix(a, b float64) [][3]float64 {
	m, n := 2*a*a*(a*a-b*b), 2*b*b*(b*b-a*a)
	return [][3]float64{{1 / (a * a * b * b)}, {1 / m, a / m, a * a / m}, {1 / m, -a / m, a * a / m}, {1 / n, b / n, b * b / n}, {1 / n, -b / n, b * b / n}, {0, 0, 1}}
}

// positions is the number of positions in a tile.
func (f winogradForm) positions() int { return (f.side + 2) * (f.side + 2) }

// sides are the sides that a tile may have.
func (f winogradForm) sides() []int {
	if f.side == 4 {
		return []int{3, 4}
	}
	return []int{2}
}

// positionsOf are the places of the positions that a tile of rows×side outputs has, pos apart.
func (f winogradForm) positionsOf(rows, side, pos int) (at []int) {
	if f.side == 2 {
		rows, side = 2, 2
	}
	for i := range f.positions() {
		row, col := i/(f.side+2), i%(f.side+2)
		if (rows == f.side || row != f.side) && (side == f.side || col != f.side) {
			at = append(at, i*pos)
		}
	}
	return at
}

// tileIndices yields the elements of a row of tiles at the given positions.
func tileIndices(positions []int, tiles, tile, c int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for _, p := range positions {
			for i := range gridIndices([2]int{1, 0}, [2]int{tiles, tile}, c) {
				if !yield(p + i) {
					return
				}
			}
		}
	}
}

// agree compares the operations on images with their definitions for c channels and a row of tiles. Strides leave
// gaps, and slices end with the last element in use.
func (f winogradForm) agree(t *testing.T, r *rand.Rand, alloc winoAlloc, tiles, c int) {
	gap := func() int { return r.IntN(5) }
	what := func(op string, args ...any) string {
		return fmt.Sprint(f.name, op, " c=", c, " tiles=", tiles, " ", fmt.Sprint(args...))
	}
	values := func(n int) []float32 { return alloc.values(r, n) }
	if f.side == 4 {
		values = func(n int) []float32 { return alloc.units(r, n) }
	}

	tile := c + gap()
	pos := tiles*tile + gap()
	transformed := (f.positions()-1)*pos + (tiles-1)*tile + c

	pix := c + gap()
	row := (f.side*tiles+2)*pix + gap()
	for _, rows := range f.sides() {
		for _, side := range f.sides() {
			x := values((rows+1)*row + (side*tiles+1)*pix + c)
			alloc.agree(t, what("Input ", rows, "×", side), r, transformed, tileIndices(f.positionsOf(rows, side, pos), tiles, tile, c),
				func(v []float32) { f.input(v, pos, tile, x, row, pix, rows, side, tiles, c) },
				func(v []float32) { f.inputGo(v, pos, tile, x, row, pix, rows, side, tiles, c) })
		}
	}

	m, start := values(transformed), values(c)
	for options := range 6 {
		sides := f.sides()
		rows, side := sides[r.IntN(len(sides))], sides[r.IntN(len(sides))]
		cols := side * tiles
		if f.side == 2 { // whose tiles may stick out
			rows, cols = 1+r.IntN(2), cols-r.IntN(2)
		}
		start := start[:c*(options&1)]
		length := (rows-1)*row + (cols-1)*pix + c
		pixels := gridIndices([2]int{rows, row}, [2]int{cols, pix}, c)
		var separate []float32
		if options>>1 == 1 {
			separate = values(length)
		}
		run := func(output outputTransform) func([]float32) {
			return func(y []float32) {
				residual := separate
				if options>>1 == 2 {
					residual = y
				}
				output(y, row, pix, m, pos, tile, residual, start, rows, side, cols, c)
			}
		}
		alloc.agree(t, what("Output rows=", rows, " cols=", cols, " options=", options), r, length, pixels, run(f.output), run(f.outputGo))
		if options > 2 {
			continue
		}
		dy := values(length)
		alloc.agree(t, what("GradOutput rows=", rows, " cols=", cols), r, transformed, tileIndices(f.positionsOf(rows, side, pos), tiles, tile, c),
			func(d []float32) { f.gradOutput(d, pos, tile, dy, row, pix, rows, side, cols, c) },
			func(d []float32) { f.gradOutputGo(d, pos, tile, dy, row, pix, rows, side, cols, c) })
	}

	wRow := c + gap()
	tap := tiles*wRow + gap()
	for options := range 4 {
		add, turned := options%2 == 1, options > 1
		first, step := 0, tap
		if turned {
			first, step = 8*tap, -tap
		}
		alloc.agreeWithin(t, what("GradWeight add=", add, " turned=", turned), r, 8*tap+(tiles-1)*wRow+c, f.gradWeightError, gridIndices([2]int{9, tap}, [2]int{tiles, wRow}, c),
			func(dw []float32) { f.gradWeight(dw, tap, wRow, m, pos, tile, tiles, c, add, turned) },
			func(dw []float32) { f.gradWeightGo(dw, first, step, wRow, m, pos, tile, tiles, c, add) })
	}
}

func TestWinogradAgrees(t *testing.T) {
	implementations(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for c := 1; c <= 70; c++ {
			for tiles := 1; tiles <= 5; tiles++ {
				for _, f := range winogradForms {
					f.agree(t, r, winoMake, tiles, c)
				}
			}
		}
	})
}

// packs compares the transforms of weights with G g Gᵀ, in float64, of kernels as they are and of those rotated and
// transposed. Taps lie apart, and calls do 16 input channels each, or 32 and 16 output channels.
func (f winogradForm) packs(t *testing.T, r *rand.Rand, alloc winoAlloc, cin, cout int) {
	tap := cin*cout + r.IntN(5)
	w := alloc.values(r, 8*tap+cin*cout)
	for _, transposed := range []bool{false, true} {
		deep, wide := cin, cout
		if transposed {
			deep, wide = cout, cin
		}
		panel := 32*deep + r.IntN(5)
		pos := (wide+31)/32*panel + r.IntN(5)
		u := alloc((f.positions()-1)*pos + (wide-1)/32*panel + 32*deep)
		fill(u, 77)
		for c0 := 0; c0 < cin && !transposed; c0 += 16 {
			f.weight(u[c0*32:], pos, panel, w[c0*cout:], tap, cout, min(16, cin-c0), cout)
		}
		for c0 := 0; c0 < cin && transposed; c0 += 32 {
			for c1 := 0; c1 < cout; c1 += 16 {
				f.weightTransposed(u[c0/32*panel+c1*32:], pos, panel, w[c0*cout+c1:], tap, cout, min(32, cin-c0), min(16, cout-c1))
			}
		}
		for i := range u {
			p, col, row := i/pos, i%pos/panel*32+i%pos%panel%32, i%pos%panel/32
			if i%pos >= (wide+31)/32*panel || row >= deep {
				if u[i] != 77 {
					t.Fatalf("%s: cin=%d cout=%d transposed=%v: element %d overwritten", f.name, cin, cout, transposed, i)
				}
				continue
			}
			var want float64
			if col < wide {
				for k := range 9 {
					at := k*tap + row*cout + col
					if transposed {
						at = (8-k)*tap + col*cout + row
					}
					want += f.g[p/(f.side+2)][k/3] * f.g[p%(f.side+2)][k%3] * float64(w[at])
				}
			}
			if math.Abs(float64(u[i])-want) > f.weightError {
				t.Fatalf("%s: cin=%d cout=%d transposed=%v: position %d, row %d, column %d: got %g, want %g",
					f.name, cin, cout, transposed, p, row, col, u[i], want)
			}
		}
	}
}

// packAgree compares PackPanels and PackTransposed with what their comments say, element by element.
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
				packAgree(t, r, winoMake, a, b)
				if a%7 == 1 || a%16 == 0 {
					for _, f := range winogradForms {
						f.packs(t, r, winoMake, a, b)
					}
				}
			}
		}
	})
}

// TestWinogradChecks holds the wrappers to their duty, for assembly trusts them: the lengths that suffice are taken,
// and one element less, a negative count or stride and one whose product overflows panic.
func TestWinogradChecks(t *testing.T) {
	const tiles, c, pos, tile, row, pix = 3, 5, 20, 6, 100, 6
	const cin, cout, tap, uPos, panel = 33, 35, 1200, 3000, 1200
	x := make([]float32, 1<<17)
	type operation struct {
		lengths []int // of the slices that s holds
		numbers []int // counts and strides that n holds
		run     func(s [][]float32, n []int)
	}
	operations := map[string]operation{
		"PackPanels": {[]int{panel + 32*tiles, 2*pix*10 + cout}, []int{panel, 10 * pix, tiles, cout}, func(s [][]float32, n []int) {
			PackPanels(s[0], n[0], s[1], n[1], n[2], n[3])
		}},
		"PackTransposed": {[]int{panel + 32*c, 34*pix + c}, []int{panel, pix, 35, c}, func(s [][]float32, n []int) {
			PackTransposed(s[0], n[0], s[1], n[1], n[2], n[3])
		}},
	}
	for _, f := range winogradForms {
		last := f.positions() - 1
		transformed := last*pos + (tiles-1)*tile + c
		pixels := (f.side-1)*row + (f.side*tiles-1)*pix + c
		operations[f.name+"Input"] = operation{[]int{transformed, (f.side+1)*row + (f.side*tiles+1)*pix + c}, []int{pos, tile, row, pix, f.side, f.side, tiles, c}, func(s [][]float32, n []int) {
			f.input(s[0], n[0], n[1], s[1], n[2], n[3], n[4], n[5], n[6], n[7])
		}}
		operations[f.name+"Output"] = operation{[]int{pixels, transformed, pixels, c}, []int{row, pix, pos, tile, f.side, f.side, f.side * tiles, c}, func(s [][]float32, n []int) {
			f.output(s[0], n[0], n[1], s[1], n[2], n[3], s[2], s[3], n[4], n[5], n[6], n[7])
		}}
		operations[f.name+"Weight"] = operation{[]int{last*uPos + panel + 32*cin, 8*tap + cin*cout}, []int{uPos, panel, tap, cout, cin, cout}, func(s [][]float32, n []int) {
			f.weight(s[0], n[0], n[1], s[1], n[2], n[3], n[4], n[5])
		}}
		operations[f.name+"WeightTransposed"] = operation{[]int{last*uPos + panel + 32*cout, 8*tap + cin*cout}, []int{uPos, panel, tap, cout, cin, cout}, func(s [][]float32, n []int) {
			f.weightTransposed(s[0], n[0], n[1], s[1], n[2], n[3], n[4], n[5])
		}}
		operations[f.name+"GradOutput"] = operation{[]int{transformed, pixels}, []int{pos, tile, row, pix, f.side, f.side, f.side * tiles, c}, func(s [][]float32, n []int) {
			f.gradOutput(s[0], n[0], n[1], s[1], n[2], n[3], n[4], n[5], n[6], n[7])
		}}
		operations[f.name+"GradWeight"] = operation{[]int{8*pos + 2*tile + c, transformed}, []int{pos, tile, pos, tile, tiles, c}, func(s [][]float32, n []int) {
			f.gradWeight(s[0], n[0], n[1], s[1], n[2], n[3], n[4], n[5], true, true)
		}}
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
	for _, f := range winogradForms {
		for _, kind := range [][3]int{{0, f.side, f.side}, {f.side + 1, f.side, f.side}, {f.side, f.side + 1, 2 * (f.side + 1)}, {f.side, f.side / 2, f.side}, {f.side, 3, 7}} {
			rows, side, cols := kind[0], kind[1], kind[2]
			for op, run := range map[string]func(){
				"Output":     func() { f.output(x, 50, 1, x, 1, 1, nil, nil, rows, side, cols, 1) },
				"GradOutput": func() { f.gradOutput(x, 1, 1, x, 50, 1, rows, side, cols, 1) },
				"Input":      func() { f.input(x, 1, 1, x, 50, 1, rows, side, 2, 1) },
			} {
				if op == "Input" && side == 3 && f.side == 4 {
					continue // which is in order
				}
				func() {
					defer func() {
						if recover() == nil {
							t.Errorf("%s%s: %d rows of tiles with a side of %d, %d columns: no panic", f.name, op, rows, side, cols)
						}
					}()
					run()
				}()
			}
		}
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a count that overflows, of stride 0: no panic")
			}
		}()
		Winograd2Input(x, 1, 0, x, 1, 1, 2, 2, math.MaxInt, 1)
	}()
}

func TestWinogradAllocates(t *testing.T) {
	const c, tiles = 32, 2
	x, y := make([]float32, 1<<16), make([]float32, 1<<16)
	implementations(t, func(t *testing.T) {
		if n := testing.AllocsPerRun(10, func() {
			for _, f := range winogradForms {
				f.input(y, tiles*c, c, x, 10*c, c, f.side, f.side, tiles, c)
				f.output(y, 4*tiles*c, c, x, tiles*c, c, y, x[:c], f.side, f.side, f.side*tiles, c)
				f.gradOutput(y, tiles*c, c, x, 4*tiles*c, c, f.side, f.side, f.side*tiles, c)
				f.gradWeight(y, c*c, c, x, c*c, c, c, c, true, false)
				f.weight(y, c*c, c*c, x, c*c, c, c, c)
				f.weightTransposed(y, c*c, c*c, x, c*c, c, c, c)
			}
			PackPanels(y, c*c, x, c, c, c)
			PackTransposed(y, c*c, x, c, c, c)
		}); n != 0 {
			t.Errorf("got %v allocations per call, want none", n)
		}
	})
}
