package simd

import (
	"math"
	"math/rand/v2"
	"testing"
)

// winoShape is a 3×3 same convolution of an h×w image.
type winoShape struct{ h, w, cin, cout int }

// cuts are the sides of the tiles along a side of n: fours and then threes, or twos that may stick out at the end.
func (f winogradForm) cuts(n int) (sides []int) {
	for left := n; left > 0; left -= sides[len(sides)-1] {
		if tiles := (left + f.side - 1) / f.side; f.side == 2 || left > 3*tiles {
			sides = append(sides, f.side)
		} else {
			sides = append(sides, 3)
		}
	}
	return sides
}

// takes reports whether a side of n can be cut.
func (f winogradForm) takes(n int) bool { return f.side == 2 || n > 2 && n != 5 }

// bordered returns x [h w c] with a border of zeros: one pixel, and two more at the end that tiles may stick out over.
func (f winogradForm) bordered(s winoShape, x []float32, c int) (p []float32, row int) {
	row = (s.w + 3) * c
	p = make([]float32, (s.h+3)*row)
	for i := range s.h {
		copy(p[(i+1)*row+c:], x[i*s.w*c:(i+1)*s.w*c])
	}
	return p, row
}

// eachTile calls do for every tile: its first output, its sides, and the positions that it has.
func (f winogradForm) eachTile(s winoShape, do func(i, j, rows, side int, positions []int)) {
	i := 0
	for _, rows := range f.cuts(s.h) {
		j := 0
		for _, side := range f.cuts(s.w) {
			do(i, j, rows, side, f.positionsOf(rows, side, 1))
			j += side
		}
		i += rows
	}
}

// convolve computes start + x*g for transformed kernels u, packed in panels of 32 columns, through the transforms.
// Positions that a tile does not have hold NaN.
func (f winogradForm) convolve(s winoShape, x, u []float32, uPos, uPanel int, start []float32, cin, cout int) []float32 {
	p, row := f.bordered(s, x, cin)
	v, m := make([]float32, f.positions()*cin), make([]float32, f.positions()*cout)
	y := make([]float32, s.h*s.w*cout)
	f.eachTile(s, func(i, j, rows, side int, positions []int) {
		fill(v, nan)
		fill(m, nan)
		f.input(v, cin, cin, p[i*row+j*cin:], row, cin, rows, side, 1, cin)
		for _, k := range positions {
			for co := range cout {
				var sum float32
				for ci := range cin {
					sum += v[k*cin+ci] * u[k*uPos+co/32*uPanel+ci*32+co%32]
				}
				m[k*cout+co] = sum
			}
		}
		f.output(y[(i*s.w+j)*cout:], s.w*cout, cout, m, cout, cout, nil, start, min(rows, s.h-i), side, min(side, s.w-j), cout)
	})
	return y
}

func (f winogradForm) forward(s winoShape, x, w, start []float32) []float32 {
	panel := s.cin * 32
	pos := (s.cout + 31) / 32 * panel
	u := make([]float32, f.positions()*pos)
	f.weight(u, pos, panel, w, s.cin*s.cout, s.cout, s.cin, s.cout)
	return f.convolve(s, x, u, pos, panel, start, s.cin, s.cout)
}

func (f winogradForm) inputGradient(s winoShape, dy, w []float32) []float32 {
	panel := s.cout * 32
	pos := (s.cin + 31) / 32 * panel
	u := make([]float32, f.positions()*pos)
	f.weightTransposed(u, pos, panel, w, s.cin*s.cout, s.cout, s.cin, s.cout)
	return f.convolve(s, dy, u, pos, panel, nil, s.cout, s.cin)
}

func (f winogradForm) weightGradient(s winoShape, x, dy []float32) []float32 {
	p, row := f.bordered(s, x, s.cin)
	v, d := make([]float32, f.positions()*s.cin), make([]float32, f.positions()*s.cout)
	m := make([]float32, f.positions()*s.cin*s.cout)
	f.eachTile(s, func(i, j, rows, side int, positions []int) {
		fill(v, nan)
		fill(d, nan)
		f.input(v, s.cin, s.cin, p[i*row+j*s.cin:], row, s.cin, rows, side, 1, s.cin)
		f.gradOutput(d, s.cout, s.cout, dy[(i*s.w+j)*s.cout:], s.w*s.cout, s.cout, min(rows, s.h-i), side, min(side, s.w-j), s.cout)
		for _, k := range positions {
			for ci := range s.cin {
				for co := range s.cout {
					m[(k*s.cin+ci)*s.cout+co] += v[k*s.cin+ci] * d[k*s.cout+co]
				}
			}
		}
	})
	dw := make([]float32, 9*s.cin*s.cout)
	f.gradWeight(dw, s.cin*s.cout, s.cout, m, s.cin*s.cout, s.cout, s.cin, s.cout, false, false)
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

// TestWinogradError bounds the error of both forms in images of all sizes that cut in tiles of any kind.
func TestWinogradError(t *testing.T) {
	implementations(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 10))
		for size := range 81 {
			s := winoShape{1 + size/9, 1 + size%9, 1 + 5*size%32, 1 + 7*size%32}
			rms := map[string]float64{
				"forward": 3 * math.Sqrt(float64(s.cin)), "input gradient": 3 * math.Sqrt(float64(s.cout)), "weight gradient": math.Sqrt(float64(s.h * s.w)),
			}
			for _, f := range winogradForms {
				if !f.takes(s.h) || !f.takes(s.w) {
					continue
				}
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
