package quality

import (
	"math"
	"testing"

	"ddpm/tensor"
)

// TestSearch compares with a search by definition, the points in blocks of odd sizes, with and without themselves.
func TestSearch(t *testing.T) {
	points, queries := normal(1, 101, 7, 0, 1), normal(2, 40, 7, 0, 1)
	self := make([]int, 101)
	for i := range self {
		self[i] = i
	}
	for _, c := range []struct {
		queries tensor.Tensor
		self    []int
	}{{queries, nil}, {points, self}} {
		s := NewSearch(c.queries, 3, c.self)
		for first := 0; first < 101; first += 33 {
			last := min(first+33, 101)
			s.Add(tensor.From(points.Data[first*7:last*7], last-first, 7), first)
		}
		for i, list := range s.Nearest {
			last := -1.0
			for _, got := range list {
				// The next nearest is the least distance above the last.
				want, at := math.Inf(1), -1
				for j := range 101 {
					d := 0.0
					for k, v := range row(points, j) {
						e := float64(v - row(c.queries, i)[k])
						d += e * e
					}
					if d > last+1e-12 && d < want && (c.self == nil || j != i) {
						want, at = d, j
					}
				}
				if got.Index != at || math.Abs(got.Square-want) > 1e-9 {
					t.Fatalf("query %d: got point %d at %g, want %d at %g", i, got.Index, got.Square, at, want)
				}
				last = want
			}
		}
	}
}

// TestSearchTies: of equally near points the first is kept.
func TestSearchTies(t *testing.T) {
	s := NewSearch(tensor.From([]float32{0}, 1, 1), 2, nil)
	s.Add(tensor.From([]float32{3, 1, -1, 1}, 4, 1), 10)
	if got := s.Nearest[0]; got[0] != (Neighbour{11, 1}) || got[1] != (Neighbour{12, 1}) {
		t.Errorf("got %v, want points 11 and 12 at distance 1", got)
	}
}

// TestPlantedCopies hides 7 exact and 5 slightly changed copies among 100 new points.
func TestPlantedCopies(t *testing.T) {
	points, queries := normal(1, 500, 20, 0, 1), normal(2, 100, 20, 0, 1)
	s := NewSearch(queries, 2, nil)
	s.Add(points, 0)
	before := s.Copying()
	if before.Copies != 0 {
		t.Errorf("new points: got a share of %g copies, want none", before.Copies)
	}
	for i := range 12 {
		copy(row(queries, i), row(points, 40*i))
		if i >= 7 {
			row(queries, i)[3] += 0.5
		}
	}
	copy(row(points, 1), row(points, 0)) // the first original is there twice: its exact copy is found all the same
	s = NewSearch(queries, 2, nil)
	s.Add(points, 0)
	near(t, "copies", s.Copying().Copies, 0.12, 1e-9)
	for i := range 12 {
		if got := s.Nearest[i][0].Index; got != 40*i {
			t.Errorf("copy %d: got point %d as its original, want %d", i, got, 40*i)
		}
	}
	s = NewSearch(tensor.From([]float32{0, 0, 0}, 3, 1), 2, nil)
	s.Nearest = [][]Neighbour{{{0, 1}, {1, 1}}, {{0, 16}, {1, 16}}, {{0, 4}, {1, 4}}}
	near(t, "median", s.Copying().Median, 2, 0)
}
