package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// winograd4Agree compares the image transforms with their definitions for a row of tiles. On values in {−1, 0, 1}, or −0,
// every intermediate result is a multiple of 2⁻¹⁸ below 2⁶, which float32 holds, so that fused and unfused code must
// leave the same bits.
func winograd4Agree(t *testing.T, r *rand.Rand, alloc winoAlloc, tiles, c int) {
	gap := func() int { return r.IntN(5) }
	units := func(n int) []float32 {
		x := alloc(n)
		allZero := r.IntN(8) == 0
		for i := range x {
			x[i] = float32(r.IntN(3) - 1)
			if allZero {
				x[i] = float32(math.Copysign(0, -1))
			}
		}
		return x
	}
	what := func(op string, args ...any) string {
		return fmt.Sprint(op, " c=", c, " tiles=", tiles, " ", fmt.Sprint(args...))
	}
	tile := c + gap()
	pos := tiles*tile + gap()
	transformed := 35*pos + (tiles-1)*tile + c
	pix := c + gap()
	row := (4*tiles+2)*pix + gap()
	x := units(5*row + (4*tiles+1)*pix + c)
	alloc.agree(t, what("Winograd4Input"), r, transformed, gridIndices([2]int{36, pos}, [2]int{tiles, tile}, c),
		func(v []float32) { Winograd4Input(v, pos, tile, x, row, pix, tiles, c) },
		func(v []float32) { winograd4InputGo(v, pos, tile, x, row, pix, tiles, c) })

	m, start := units(transformed), units(c)
	for options := range 6 {
		cols, rows := 4*tiles-r.IntN(4), 1+r.IntN(4)
		start := start[:c*(options&1)]
		length := (rows-1)*row + (cols-1)*pix + c
		var separate []float32
		if options>>1 == 1 {
			separate = units(length)
		}
		run := func(output func(y []float32, yRow, yPix int, m []float32, mPos, mTile int, residual, start []float32, rows, cols, c int)) func([]float32) {
			return func(y []float32) {
				residual := separate
				if options>>1 == 2 {
					residual = y
				}
				output(y, row, pix, m, pos, tile, residual, start, rows, cols, c)
			}
		}
		alloc.agree(t, what("Winograd4Output rows=", rows, " cols=", cols, " options=", options), r, length,
			gridIndices([2]int{rows, row}, [2]int{cols, pix}, c), run(Winograd4Output), run(winograd4OutputGo))
	}
}

func TestWinograd4Agrees(t *testing.T) {
	implementations(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for c := 1; c <= 70; c++ {
			for tiles := 1; tiles <= 4; tiles++ {
				winograd4Agree(t, r, winoMake, tiles, c)
			}
		}
	})
}

func TestWinograd4Rows(t *testing.T) {
	x := make([]float32, 100)
	for rows := range 6 {
		panicked := func() (panicked bool) {
			defer func() { panicked = recover() != nil }()
			Winograd4Output(x, 4, 1, make([]float32, 36), 1, 1, nil, nil, rows, 4, 1)
			return false
		}()
		if want := rows < 1 || rows > 4; panicked != want {
			t.Errorf("%d rows of a tile: panics: %v, want %v", rows, panicked, want)
		}
	}
}

// winograd4WeightError bounds the rounding of a weight transform, relative to kernels in (−1, 1): entries of G reach
// 1.2, and each of the two applications of G rounds a few times.
const winograd4WeightError = 1e-6

// TestWinograd4Weights compares both transforms with G g Gᵀ, in float64, of kernels as they are and rotated.
func TestWinograd4Weights(t *testing.T) {
	const a, b = 5. / 8, 3. / 2
	m, n := 2*a*a*(a*a-b*b), 2*b*b*(b*b-a*a)
	g := [6][3]float64{{1 / (a * a * b * b)}, {1 / m, a / m, a * a / m}, {1 / m, -a / m, a * a / m}, {1 / n, b / n, b * b / n}, {1 / n, -b / n, b * b / n}, {0, 0, 1}}
	implementations(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for cin := 1; cin <= 70; cin += 7 {
			for _, cout := range []int{1, 15, 32, 33} {
				w := winoAlloc(winoMake).values(r, 9*cin*cout)
				for _, transposed := range []bool{false, true} {
					deep, wide, transform := cin, cout, Winograd4Weight
					if transposed {
						deep, wide, transform = cout, cin, Winograd4WeightTransposed
					}
					panel := 32*deep + r.IntN(5)
					pos := (wide+31)/32*panel + r.IntN(5)
					u := make([]float32, 36*pos)
					fill(u, 77)
					transform(u, pos, panel, w, cin, cout)
					for i := range u {
						p, col, row := i/pos, i%pos/panel*32+i%pos%panel%32, i%pos%panel/32
						if i%pos >= (wide+31)/32*panel || row >= deep {
							if u[i] != 77 {
								t.Fatalf("cin=%d cout=%d transposed=%v: element %d overwritten", cin, cout, transposed, i)
							}
							continue
						}
						var want float64
						if col < wide {
							for k := range 9 {
								at := (k*cin+row)*cout + col
								if transposed {
									at = ((8-k)*cin+col)*cout + row
								}
								want += g[p/6][k/3] * g[p%6][k%3] * float64(w[at])
							}
						}
						if math.Abs(float64(u[i])-want) > winograd4WeightError {
							t.Fatalf("cin=%d cout=%d transposed=%v: position %d, row %d, column %d: got %g, want %g", cin, cout, transposed, p, row, col, u[i], want)
						}
					}
				}
			}
		}
	})
}

// convolve4 is convolve for F(4×4, 3×3).
func (s winoShape) convolve4(x, u []float32, uPos, uPanel int, start []float32, cin, cout int) []float32 {
	tiles := (s.w + 3) / 4
	row := (4*tiles + 2) * cin
	p := make([]float32, ((s.h+3)/4*4+2)*row)
	for i := range s.h {
		copy(p[(i+1)*row+cin:], x[i*s.w*cin:(i+1)*s.w*cin])
	}
	v, m := make([]float32, 36*tiles*cin), make([]float32, 36*tiles*cout)
	y := make([]float32, s.h*s.w*cout)
	for i := 0; i < s.h; i += 4 {
		Winograd4Input(v, tiles*cin, cin, p[i*row:], row, cin, tiles, cin)
		for k := range 36 {
			for t := range tiles {
				for co := range cout {
					var sum float32
					for ci := range cin {
						sum += v[(k*tiles+t)*cin+ci] * u[k*uPos+co/32*uPanel+ci*32+co%32]
					}
					m[(k*tiles+t)*cout+co] = sum
				}
			}
		}
		Winograd4Output(y[i*s.w*cout:], s.w*cout, cout, m, tiles*cout, cout, nil, start, min(4, s.h-i), s.w, cout)
	}
	return y
}

// winograd4Error bounds the error of a convolution with up to 32 channels, per unit of output rms.
const winograd4Error = 1e-5

func TestWinograd4Identity(t *testing.T) {
	implementations(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		for size := range 81 {
			s := winoShape{1 + size/9, 1 + size%9, 1 + 5*size%32, 1 + 7*size%32}
			x, dy, w := gaussian(r, s.h*s.w*s.cin), gaussian(r, s.h*s.w*s.cout), gaussian(r, 9*s.cin*s.cout)
			start := gaussian(r, s.cout)
			y, dx := make([]float64, len(dy)), make([]float64, len(x))
			for i := range y {
				y[i] = float64(start[i%s.cout])
			}
			s.taps(func(iy, ix, iw int) {
				y[iy] += float64(x[ix]) * float64(w[iw])
				dx[ix] += float64(dy[iy]) * float64(w[iw])
			})
			u := make([]float32, 36*32*32)
			Winograd4Weight(u, 32*32, 32*32, w, s.cin, s.cout)
			compare4(t, s, "forward", s.convolve4(x, u, 32*32, 32*32, start, s.cin, s.cout), y, 3*math.Sqrt(float64(s.cin)))
			Winograd4WeightTransposed(u, 32*32, 32*32, w, s.cin, s.cout)
			compare4(t, s, "input gradient", s.convolve4(dy, u, 32*32, 32*32, nil, s.cout, s.cin), dx, 3*math.Sqrt(float64(s.cout)))
		}
	})
}

func gaussian(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// compare4 compares with outputs of the given rms.
func compare4(t *testing.T, s winoShape, pass string, got []float32, want []float64, rms float64) {
	t.Helper()
	for i, w := range want {
		if e := math.Abs(float64(got[i])-w) / rms; !(e <= winograd4Error) {
			t.Fatalf("%+v: %s: element %d: got %g, want %g: error %.2g of the rms, want ≤ %g", s, pass, i, got[i], w, e, winograd4Error)
		}
	}
}
