package optim

import (
	"math"
	"testing"
)

func TestEMADecay(t *testing.T) {
	for _, c := range []struct {
		e    EMA
		t    int
		want float64
	}{
		{EMA{Decay: 0.9999}, 1, 0.9999},
		{EMA{Decay: 0.9999, Warmup: true}, 1, 2.0 / 11},
		{EMA{Decay: 0.9999, Warmup: true}, 2, 3.0 / 12},
		{EMA{Decay: 0.9999, Warmup: true}, 90, 0.91},
		{EMA{Decay: 0.9999, Warmup: true}, 89_989, 89_990.0 / 89_999}, // the last below 0.9999
		{EMA{Decay: 0.9999, Warmup: true}, 89_991, 0.9999},
		{EMA{Decay: 0.5, Warmup: true}, 7, 8.0 / 17},
		{EMA{Decay: 0.5, Warmup: true}, 8, 0.5},
		{EMA{Decay: 0.5, Warmup: true}, 9, 0.5},
	} {
		if got := c.e.At(c.t); got != c.want {
			t.Errorf("%+v: decay of update %d = %v, want %v", c.e, c.t, got, c.want)
		}
	}
}

// TestEMAUpdate: with weights that stay at 1, what is left of an average that started at 0 is 1 - Π decay.
func TestEMAUpdate(t *testing.T) {
	for _, e := range []EMA{{Decay: 0.9}, {Decay: 0.99}, {Decay: 0.9, Warmup: true}, {Decay: 0}} {
		avg, w, left := make([]float32, 37), make([]float32, 37), 1.0
		for i := range w {
			w[i] = 1
		}
		const steps = 100
		for k := 1; k <= steps; k++ {
			e.Update(avg, w, k)
			left *= e.At(k)
		}
		for i, v := range avg {
			if d := math.Abs(float64(v) - (1 - left)); d > steps*ulp {
				t.Errorf("%+v: avg[%d] = %v, want %v", e, i, v, 1-left)
			}
		}
	}
}
