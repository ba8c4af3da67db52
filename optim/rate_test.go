package optim

import (
	"math"
	"testing"
)

func TestRate(t *testing.T) {
	for _, c := range []struct {
		r    Rate
		step int
		want float64
	}{
		{Rate{Base: 0.5}, 1, 0.5},
		{Rate{Base: 0.5}, 1_000_000, 0.5},
		{Rate{Base: 0.5, Warmup: 4}, 1, 0.125},
		{Rate{Base: 0.5, Warmup: 4}, 3, 0.375},
		{Rate{Base: 0.5, Warmup: 4}, 4, 0.5},
		{Rate{Base: 0.5, Warmup: 4}, 5, 0.5},
		{Rate{Base: 0.5, Warmup: 1}, 1, 0.5},
		{Rate{Base: 2, Total: 1}, 1, 0},
		{Rate{Base: 2, Warmup: 10, Total: 14}, 10, 2},
		{Rate{Base: 2, Warmup: 10, Total: 14}, 11, 1 + math.Sqrt2/2},
		{Rate{Base: 2, Warmup: 10, Total: 14}, 12, 1},
		{Rate{Base: 2, Warmup: 10, Total: 14}, 13, 1 - math.Sqrt2/2},
		{Rate{Base: 2, Warmup: 10, Total: 14}, 14, 0},
		{Rate{Base: 2, Warmup: 10, Total: 14}, 15, 0},
		{Rate{Base: 2, Total: 4, Floor: 1}, 2, 1.5},
		{Rate{Base: 2, Total: 4, Floor: 1}, 4, 1},
		{Rate{Base: 2, Total: 4, Floor: 1}, 400, 1},
	} {
		if got := c.r.At(c.step); math.Abs(got-c.want) > 1e-15 { // a rounding or two of float64
			t.Errorf("%+v: step %d: %v, want %v", c.r, c.step, got, c.want)
		}
	}
}
