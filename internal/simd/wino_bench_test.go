package simd

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// benchmarkBytes runs f under each implementation and reports GB/s for the given number of float32 read and written.
func benchmarkBytes(b *testing.B, name string, floats int, f func()) {
	b.Run(name, func(b *testing.B) {
		benchmarks(b, func(b *testing.B) {
			for b.Loop() {
				f()
			}
			b.ReportMetric(4*float64(floats)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
			b.ReportMetric(0, "ns/op")
		})
	})
}

// BenchmarkWinograd runs the image transforms on one row of tiles, all in L1 or L2, as between two matrix products.
func BenchmarkWinograd(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	alloc := winoAlloc(winoMake)
	for _, s := range []struct{ c, tiles int }{{32, 14}, {64, 7}, {128, 16}, {256, 4}} {
		c, tiles := s.c, s.tiles
		name := fmt.Sprintf("c=%d/tiles=%d", c, tiles)
		pos := tiles*c + 16 // a power of two would put the 16 positions in one set of the L1 cache
		row := (2*tiles + 2) * c
		v, x := alloc.values(r, 16*pos), alloc.values(r, 4*row)
		y, start := alloc.values(r, 4*tiles*c), alloc.values(r, c)
		benchmarkBytes(b, "Input/"+name, 16*tiles*c+4*row, func() {
			Winograd2Input(v, pos, c, x, row, c, 2, 2, tiles, c)
		})
		benchmarkBytes(b, "Output/"+name, 20*tiles*c, func() {
			Winograd2Output(y, 2*tiles*c, c, v, pos, c, nil, start, 2, 2, 2*tiles, c)
		})
		benchmarkBytes(b, "OutputResidual/"+name, 24*tiles*c, func() {
			Winograd2Output(y, 2*tiles*c, c, v, pos, c, x, start, 2, 2, 2*tiles, c)
		})
		benchmarkBytes(b, "GradOutput/"+name, 20*tiles*c, func() {
			Winograd2GradOutput(v, pos, c, y, 2*tiles*c, c, 2, 2, 2*tiles, c)
		})
	}
}

// BenchmarkWinograd4 runs the transforms of F(4×4, 3×3) on images of the same sizes, with tiles of both.
func BenchmarkWinograd4(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	alloc := winoAlloc(winoMake)
	for _, s := range []struct{ c, side, tiles int }{{32, 4, 7}, {64, 4, 2}, {64, 3, 2}, {128, 4, 1}, {128, 3, 1}, {128, 4, 8}, {256, 4, 4}} {
		c, side, tiles := s.c, s.side, s.tiles
		name := fmt.Sprintf("c=%d/tiles=%d×%d", c, tiles, side)
		pos := tiles*c + 16
		row := (side*tiles + 2) * c
		v, x := alloc.values(r, 36*pos), alloc.values(r, (side+2)*row)
		y, start := alloc.values(r, side*side*tiles*c), alloc.values(r, c)
		values := (side + 2) * (side + 2) * tiles * c
		benchmarkBytes(b, "Input/"+name, values+(side+2)*row, func() {
			Winograd4Input(v, pos, c, x, row, c, side, side, tiles, c)
		})
		benchmarkBytes(b, "Output/"+name, values+len(y), func() {
			Winograd4Output(y, side*tiles*c, c, v, pos, c, nil, start, side, side, side*tiles, c)
		})
		benchmarkBytes(b, "GradOutput/"+name, values+len(y), func() {
			Winograd4GradOutput(v, pos, c, y, side*tiles*c, c, side, side, side*tiles, c)
		})
	}
}

// BenchmarkWinogradWeights runs what a convolution does to its weights.
func BenchmarkWinogradWeights(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	alloc := winoAlloc(winoMake)
	for _, c := range []int{64, 256} {
		name := fmt.Sprintf("%dx%d", c, c)
		pos := c*c + 16
		u, w, a := alloc.values(r, 16*pos), alloc.values(r, 9*c*c), alloc.values(r, c*c)
		benchmarkBytes(b, "Weight/"+name, 25*c*c, func() { Winograd2Weight(u, pos, 32*c, w, c*c, c, c, c) })
		benchmarkBytes(b, "WeightTransposed/"+name, 25*c*c, func() { Winograd2WeightTransposed(u, pos, 32*c, w, c*c, c, c, c) })
		u4 := alloc.values(r, 36*pos)
		benchmarkBytes(b, "Weight4/"+name, 45*c*c, func() { Winograd4Weight(u4, pos, 32*c, w, c*c, c, c, c) })
		benchmarkBytes(b, "Weight4Transposed/"+name, 45*c*c, func() { Winograd4WeightTransposed(u4, pos, 32*c, w, c*c, c, c, c) })
		benchmarkBytes(b, "GradWeight/"+name, 34*c*c, func() { Winograd2GradWeight(w, c*c, c, u, pos, c, c, c, true, false) })
		benchmarkBytes(b, "GradWeight4/"+name, 54*c*c, func() { Winograd4GradWeight(w, c*c, c, u4, pos, c, c, c, true, false) })
		benchmarkBytes(b, "PackPanels/"+name, 2*c*c, func() { PackPanels(u, 32*c, a, c, c, c) })
		benchmarkBytes(b, "PackTransposed/"+name, 2*c*c, func() { PackTransposed(u, 32*c, a, c, c, c) })
	}
}
