package simd

import (
	"math"
	"math/rand/v2"
	"testing"
)

// winoShape is a 3×3 same convolution of an h×w image.
type winoShape struct{ h, w, cin, cout int }

func (s winoShape) tileRows() int { return (s.h + 1) / 2 }
func (s winoShape) tileCols() int { return (s.w + 1) / 2 }

// bordered returns x [h w c] with a border of zeros: one pixel, and one more at the end for an odd size.
func (s winoShape) bordered(x []float32, c int) (p []float32, row int) {
	row = (2*s.tileCols() + 2) * c
	p = make([]float32, (2*s.tileRows()+2)*row)
	for i := range s.h {
		copy(p[(i+1)*row+c:], x[i*s.w*c:(i+1)*s.w*c])
	}
	return p, row
}

// rowOf returns row i of an image y, nothing below its end.
func (s winoShape) rowOf(y []float32, i, c int) []float32 {
	if i >= s.h {
		return nil
	}
	return y[i*s.w*c : (i+1)*s.w*c]
}

// convolve computes start + x*g for transformed kernels u, packed in panels of 32 columns, through the transforms.
func (s winoShape) convolve(x, u []float32, uPos, uPanel int, start []float32, cin, cout int) []float32 {
	p, row := s.bordered(x, cin)
	tiles := s.tileCols()
	v, m := make([]float32, 16*tiles*cin), make([]float32, 16*tiles*cout)
	y := make([]float32, s.h*s.w*cout)
	for i := 0; i < s.h; i += 2 {
		WinogradInput(v, tiles*cin, cin, p[i*row:], row, cin, tiles, cin)
		for k := range 16 {
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
		WinogradOutput(s.rowOf(y, i, cout), s.rowOf(y, i+1, cout), cout, m, tiles*cout, cout, nil, nil, start, s.w, cout)
	}
	return y
}

func (s winoShape) forward(x, w, start []float32) []float32 {
	panel := s.cin * 32
	pos := (s.cout + 31) / 32 * panel
	u := make([]float32, 16*pos)
	WinogradWeight(u, pos, panel, w, s.cin, s.cout)
	return s.convolve(x, u, pos, panel, start, s.cin, s.cout)
}

func (s winoShape) inputGradient(dy, w []float32) []float32 {
	panel := s.cout * 32
	pos := (s.cin + 31) / 32 * panel
	u := make([]float32, 16*pos)
	WinogradWeightTransposed(u, pos, panel, w, s.cin, s.cout)
	return s.convolve(dy, u, pos, panel, nil, s.cout, s.cin)
}

// weightGradient also returns the bias gradient, from position 5.
func (s winoShape) weightGradient(x, dy []float32) (dw, db []float32) {
	p, row := s.bordered(x, s.cin)
	tiles := s.tileCols()
	v, d := make([]float32, 16*tiles*s.cin), make([]float32, 16*tiles*s.cout)
	m := make([]float32, 16*s.cin*s.cout)
	dw, db = make([]float32, 9*s.cin*s.cout), make([]float32, s.cout)
	for i := 0; i < s.h; i += 2 {
		WinogradInput(v, tiles*s.cin, s.cin, p[i*row:], row, s.cin, tiles, s.cin)
		WinogradGradOutput(d, tiles*s.cout, s.cout, s.rowOf(dy, i, s.cout), s.rowOf(dy, i+1, s.cout), s.cout, s.w, s.cout)
		for k := range 16 {
			for t := range tiles {
				for co := range s.cout {
					g := d[(k*tiles+t)*s.cout+co]
					if k == 5 {
						db[co] += g
					}
					for ci := range s.cin {
						m[(k*s.cin+ci)*s.cout+co] += v[(k*tiles+t)*s.cin+ci] * g
					}
				}
			}
		}
	}
	WinogradGradWeight(dw, s.cin*s.cout, s.cout, m, s.cin*s.cout, s.cout, s.cin, s.cout)
	return dw, db
}

// taps calls f for every multiplication of the direct convolution, with indices into y, x and w.
func (s winoShape) taps(f func(y, x, w int)) {
	for i := range s.h {
		for j := range s.w {
			for k := range 9 {
				r, c := i+k/3-1, j+k%3-1
				if r < 0 || r >= s.h || c < 0 || c >= s.w {
					continue
				}
				for ci := range s.cin {
					for co := range s.cout {
						f((i*s.w+j)*s.cout+co, (r*s.w+c)*s.cin+ci, (k*s.cin+ci)*s.cout+co)
					}
				}
			}
		}
	}
}

// TestWinogradIdentity compares the three passes of a convolution with the direct sums. On small integers, with
// kernels of multiples of four that G may halve twice, float32 makes no error, so the results must be equal.
func TestWinogradIdentity(t *testing.T) {
	implementations(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		integers := func(n, scale int) []float32 {
			x := make([]float32, n)
			for i := range x {
				x[i] = float32(scale * (r.IntN(9) - 4))
			}
			return x
		}
		for h := 1; h <= 6; h++ {
			for w := 1; w <= 6; w++ {
				for _, c := range [][2]int{{1, 1}, {3, 5}, {17, 8}, {35, 34}} {
					s := winoShape{h, w, c[0], c[1]}
					x, dy, k := integers(h*w*s.cin, 1), integers(h*w*s.cout, 1), integers(9*s.cin*s.cout, 4)
					start := integers(s.cout, 1)
					y, dx := make([]float64, len(dy)), make([]float64, len(x))
					dw, db := make([]float64, len(k)), make([]float64, s.cout)
					for i, g := range dy {
						y[i] = float64(start[i%s.cout])
						db[i%s.cout] += float64(g)
					}
					s.taps(func(iy, ix, iw int) {
						y[iy] += float64(x[ix]) * float64(k[iw])
						dx[ix] += float64(dy[iy]) * float64(k[iw])
						dw[iw] += float64(dy[iy]) * float64(x[ix])
					})
					gotW, gotB := s.weightGradient(x, dy)
					for _, c := range []struct {
						name string
						got  []float32
						want []float64
					}{
						{"forward", s.forward(x, k, start), y},
						{"input gradient", s.inputGradient(dy, k), dx},
						{"weight gradient", gotW, dw},
						{"bias gradient", gotB, db},
					} {
						for i, want := range c.want {
							if float64(c.got[i]) != want {
								t.Fatalf("%+v: %s: element %d: got %g, want %g", s, c.name, i, c.got[i], want)
							}
						}
					}
				}
			}
		}
	})
}

// winogradError bounds the error of a convolution with 32 channels, per unit of output rms:
// a few float32 roundings (6e-8) of sums that the transforms make some five times larger.
const winogradError = 2e-6

func TestWinogradError(t *testing.T) {
	implementations(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 10))
		s := winoShape{8, 8, 32, 32}
		alloc := winoAlloc(winoMake)
		x, dy, w := alloc.values(r, s.h*s.w*s.cin), alloc.values(r, s.h*s.w*s.cout), alloc.values(r, 9*s.cin*s.cout)
		y, dx, dw := make([]float64, len(dy)), make([]float64, len(x)), make([]float64, len(w))
		s.taps(func(iy, ix, iw int) {
			y[iy] += float64(x[ix]) * float64(w[iw])
			dx[ix] += float64(dy[iy]) * float64(w[iw])
			dw[iw] += float64(dy[iy]) * float64(x[ix])
		})
		gotW, _ := s.weightGradient(x, dy)
		for _, c := range []struct {
			name string
			got  []float32
			want []float64
		}{
			{"forward", s.forward(x, w, nil), y},
			{"input gradient", s.inputGradient(dy, w), dx},
			{"weight gradient", gotW, dw},
		} {
			var worst, squares float64
			for i, want := range c.want {
				worst = max(worst, math.Abs(float64(c.got[i])-want))
				squares += want * want
			}
			worst /= math.Sqrt(squares / float64(len(c.want)))
			if worst > winogradError {
				t.Errorf("%s: largest error %.2g of the rms, want ≤ %g", c.name, worst, winogradError)
			}
		}
	})
}
