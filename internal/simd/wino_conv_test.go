package simd

import (
	"math"
	"math/rand/v2"
	"testing"
)

// winoShape is a 3×3 same convolution of an h×w image.
type winoShape struct{ h, w, cin, cout int }

// grid returns the rows and columns of tiles in the image.
func (f winogradForm) grid(s winoShape) (rows, cols int) {
	return (s.h + f.side - 1) / f.side, (s.w + f.side - 1) / f.side
}

// bordered returns x [h w c] with a border of zeros: one pixel, and more at the end to fill the tiles.
func (f winogradForm) bordered(s winoShape, x []float32, c int) (p []float32, row int) {
	rows, cols := f.grid(s)
	row = (f.side*cols + 2) * c
	p = make([]float32, (f.side*rows+2)*row)
	for i := range s.h {
		copy(p[(i+1)*row+c:], x[i*s.w*c:(i+1)*s.w*c])
	}
	return p, row
}

// convolve computes start + x*g for transformed kernels u, packed in panels of 32 columns, through the transforms.
func (f winogradForm) convolve(s winoShape, x, u []float32, uPos, uPanel int, start []float32, cin, cout int) []float32 {
	p, row := f.bordered(s, x, cin)
	_, tiles := f.grid(s)
	v, m := make([]float32, f.positions()*tiles*cin), make([]float32, f.positions()*tiles*cout)
	y := make([]float32, s.h*s.w*cout)
	for i := 0; i < s.h; i += f.side {
		f.input(v, tiles*cin, cin, p[i*row:], row, cin, tiles, cin)
		for k := range f.positions() {
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
		f.output(y[i*s.w*cout:], s.w*cout, cout, m, tiles*cout, cout, nil, start, min(f.side, s.h-i), s.w, cout)
	}
	return y
}

func (f winogradForm) forward(s winoShape, x, w, start []float32) []float32 {
	panel := s.cin * 32
	pos := (s.cout + 31) / 32 * panel
	u := make([]float32, f.positions()*pos)
	f.weight(u, pos, panel, w, s.cin*s.cout, s.cin, s.cout)
	return f.convolve(s, x, u, pos, panel, start, s.cin, s.cout)
}

func (f winogradForm) inputGradient(s winoShape, dy, w []float32) []float32 {
	panel := s.cout * 32
	pos := (s.cin + 31) / 32 * panel
	u := make([]float32, f.positions()*pos)
	f.weightTransposed(u, pos, panel, w, s.cin*s.cout, s.cin, s.cout)
	return f.convolve(s, dy, u, pos, panel, nil, s.cout, s.cin)
}

func (f winogradForm) weightGradient(s winoShape, x, dy []float32) []float32 {
	p, row := f.bordered(s, x, s.cin)
	_, tiles := f.grid(s)
	v, d := make([]float32, f.positions()*tiles*s.cin), make([]float32, f.positions()*tiles*s.cout)
	m := make([]float32, f.positions()*s.cin*s.cout)
	for i := 0; i < s.h; i += f.side {
		f.input(v, tiles*s.cin, s.cin, p[i*row:], row, s.cin, tiles, s.cin)
		f.gradOutput(d, tiles*s.cout, s.cout, dy[i*s.w*s.cout:], s.w*s.cout, s.cout, min(f.side, s.h-i), s.w, s.cout)
		for k := range f.positions() {
			for t := range tiles {
				for co := range s.cout {
					g := d[(k*tiles+t)*s.cout+co]
					for ci := range s.cin {
						m[(k*s.cin+ci)*s.cout+co] += v[(k*tiles+t)*s.cin+ci] * g
					}
				}
			}
		}
	}
	dw := make([]float32, 9*s.cin*s.cout)
	f.gradWeight(dw, s.cin*s.cout, s.cout, m, s.cin*s.cout, s.cout, s.cin, s.cout)
	return dw
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

// passes is a convolution's three passes, from numbers of a random source, in float64 and through the transforms.
func (f winogradForm) passes(s winoShape, number func() float32) map[string]struct {
	got  []float32
	want []float64
} {
	numbers := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = number()
		}
		return x
	}
	x, dy, w := numbers(s.h*s.w*s.cin), numbers(s.h*s.w*s.cout), numbers(9*s.cin*s.cout)
	start := numbers(s.cout)
	y, dx, dw := make([]float64, len(dy)), make([]float64, len(x)), make([]float64, len(w))
	for i := range y {
		y[i] = float64(start[i%s.cout])
	}
	s.taps(func(iy, ix, iw int) {
		y[iy] += float64(x[ix]) * float64(w[iw])
		dx[ix] += float64(dy[iy]) * float64(w[iw])
		dw[iw] += float64(dy[iy]) * float64(x[ix])
	})
	return map[string]struct {
		got  []float32
		want []float64
	}{
		"forward":         {f.forward(s, x, w, start), y},
		"input gradient":  {f.inputGradient(s, dy, w), dx},
		"weight gradient": {f.weightGradient(s, x, dy), dw},
	}
}

// TestWinograd2Identity: on multiples of four, which G may halve twice, F(2×2, 3×3) makes no error in float32, so its
// results must be those of the direct sums.
func TestWinograd2Identity(t *testing.T) {
	implementations(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		for h := 1; h <= 6; h++ {
			for w := 1; w <= 6; w++ {
				for _, c := range [][2]int{{1, 1}, {3, 5}, {17, 8}, {35, 34}} {
					s := winoShape{h, w, c[0], c[1]}
					for pass, p := range winograd2Form.passes(s, func() float32 { return float32(4 * (r.IntN(9) - 4)) }) {
						for i, want := range p.want {
							if float64(p.got[i]) != want {
								t.Fatalf("%+v: %s: element %d: got %g, want %g", s, pass, i, p.got[i], want)
							}
						}
					}
				}
			}
		}
	})
}

// TestWinogradError bounds the error of both forms in images of all sizes modulo the tile's.
func TestWinogradError(t *testing.T) {
	implementations(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 10))
		for size := range 81 {
			s := winoShape{1 + size/9, 1 + size%9, 1 + 5*size%32, 1 + 7*size%32}
			rms := map[string]float64{
				"forward": 3 * math.Sqrt(float64(s.cin)), "input gradient": 3 * math.Sqrt(float64(s.cout)), "weight gradient": math.Sqrt(float64(s.h * s.w)),
			}
			for _, f := range winogradForms {
				for pass, p := range f.passes(s, func() float32 { return float32(r.NormFloat64()) }) {
					for i, want := range p.want {
						if e := math.Abs(float64(p.got[i])-want) / rms[pass]; !(e <= f.error) {
							t.Fatalf("%s %+v: %s: element %d: got %g, want %g: error %.2g of the rms, want ≤ %g", f.name, s, pass, i, p.got[i], want, e, f.error)
						}
					}
				}
			}
		}
	})
}
