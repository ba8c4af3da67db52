package tensor_test

import (
	"fmt"
	"math"
	"testing"

	"ddpm/tensor"
)

// Two groups of two channels, two pixels each: the first with mean 2 and variance 1, the second constant.
func TestGroupNormByHand(t *testing.T) {
	x := tensor.From([]float32{
		1, 3, 7, 7,
		3, 1, 7, 7,
	}, 1, 1, 2, 4)
	m := tensor.Norm{
		Gamma:  tensor.From([]float32{1, 10, 1, 1}, 4),
		Beta:   tensor.From([]float32{0, 0, 5, 6}, 4),
		Groups: 2,
	}
	m.Eps = 1e-12 // without weight beside a variance of 1, and keeps 0/0 away
	y, stats := undefined(1, 1, 2, 4), undefined(m.StatsShape(1)...)
	tensor.GroupNorm(y, stats, x, m)
	near(t, "y", y, []float64{-1, 10, 5, 6, 1, -10, 5, 6}, 1, unitTolerance)
	near(t, "stats", tensor.From(stats.Data[:4], 4), []float64{2, 1, 7, 1e6}, 1, 0.1)
}

// rootsOf returns 1/√(var+ε) of every image's groups.
func rootsOf(stats Tensor, groups int) []float64 {
	var r []float64
	for row := stats.Data; len(row) > 0; row = row[stats.Shape[1]:] {
		for g := range groups {
			r = append(r, float64(row[2*g+1]))
		}
	}
	return r
}

func TestGroupNormDefinition(t *testing.T) {
	for _, s := range []struct{ n, h, w, c, groups int }{
		{1, 1, 1, 1, 1}, {2, 3, 1, 6, 6}, {17, 5, 3, 6, 3}, {33, 2, 2, 32, 8}, {3, 7, 5, 33, 11}, {2, 8, 8, 64, 32}, {1, 5, 7, 96, 8}, {2, 3, 5, 5, 1},
	} {
		x, dy := random(1, s.n, s.h, s.w, s.c), random(2, s.n, s.h, s.w, s.c)
		m := tensor.Norm{Gamma: random(3, s.c), Beta: random(4, s.c), Groups: s.groups, Eps: 1e-5}
		want := normReference(x, dy, m)
		what := func(name string) string { return fmt.Sprintf("%+v: %s", s, name) }
		y, stats := undefined(x.Shape...), undefined(m.StatsShape(s.n)...)
		tensor.GroupNorm(y, stats, x, m)
		// A group of one or two elements may have next to no variance, and then a large factor 1/√(var+ε).
		largest := 1.0
		for _, r := range rootsOf(stats, s.groups) {
			largest = max(largest, r)
		}
		near(t, what("y"), y, want.y, 1, 4*unitTolerance*largest)
		dx, dgamma, dbeta := undefined(x.Shape...), tensor.New(s.c), tensor.New(s.c)
		rows := math.Sqrt(float64(s.n * s.h * s.w))
		for k, factor := range []float64{1, 2} {
			tensor.GroupNormGrad(dx, k > 0, dgamma, dbeta, stats, x, dy, m, nil)
			near(t, what("dx"), dx, want.dx, factor, 10*unitTolerance*largest*largest)
			near(t, what("dgamma"), dgamma, want.dgamma, factor, directTolerance*rows*largest)
			near(t, what("dbeta"), dbeta, want.dbeta, factor, directTolerance*rows)
		}
	}
}

// With a mean a thousand times the deviation, E x² − (E x)² would lose all but the first digits of the variance. What
// is lost here is only what x itself cannot hold: at 1,000 a unit in the last place is 6e-5.
func TestGroupNormOfLargeMean(t *testing.T) {
	const n, side, c, groups = 3, 9, 32, 4
	const offset = 1000
	const largeMeanTolerance = 3e-4 // rounding of mean, shift and x·scale, each of size 1,000: a few 6e-5
	x, dy := random(1, n, side, side, c), random(2, n, side, side, c)
	for i := range x.Data {
		x.Data[i] += offset
	}
	m := tensor.Norm{Gamma: random(3, c), Beta: random(4, c), Groups: groups, Eps: 1e-5}
	want := normReference(x, dy, m)
	y, stats := undefined(x.Shape...), undefined(m.StatsShape(n)...)
	tensor.GroupNorm(y, stats, x, m)
	near(t, "y", y, want.y, 1, largeMeanTolerance*3) // γ is up to 3
	for _, r := range rootsOf(stats, groups) {
		if math.Abs(r-1) > 0.1 {
			t.Errorf("got 1/√(var+ε) = %v, want about 1", r)
		}
	}
	dx, dgamma, dbeta := undefined(x.Shape...), tensor.New(c), tensor.New(c)
	tensor.GroupNormGrad(dx, false, dgamma, dbeta, stats, x, dy, m, nil)
	near(t, "dx", dx, want.dx, 1, largeMeanTolerance*3)
	near(t, "dgamma", dgamma, want.dgamma, 1, largeMeanTolerance*math.Sqrt(n*side*side)*3)
	near(t, "dbeta", dbeta, want.dbeta, 1, directTolerance*math.Sqrt(n*side*side))
}
