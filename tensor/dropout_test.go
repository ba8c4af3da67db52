package tensor_test

import (
	"math"
	"slices"
	"testing"

	"ddpm/tensor"
)

func TestDropoutDropsAtItsRate(t *testing.T) {
	const n, size = 10, 20_000
	ones := tensor.New(n, size)
	for i := range ones.Data {
		ones.Data[i] = 1
	}
	for _, p := range []float64{0, 0.1, 0.5, 0.9} {
		y := undefined(n, size)
		tensor.Dropout(y, ones, tensor.Mask{P: p, Seed: 3})
		kept := 0
		for i, v := range y.Data {
			switch v {
			case 0:
			case float32(1 / (1 - p)):
				kept++
			default:
				t.Fatalf("P %v: element %d: got %v, want 0 or %v", p, i, v, 1/(1-p))
			}
		}
		rate, deviation := 1-float64(kept)/(n*size), math.Sqrt(p*(1-p)/(n*size))
		if math.Abs(rate-p) > 4*deviation {
			t.Errorf("P %v: dropped %v of all, more than 4 standard deviations (%.2g) off", p, rate, deviation)
		}
	}
}

func TestDropoutMask(t *testing.T) {
	x := random(1, 5, 3, 7, 3)
	mask := tensor.Mask{P: 0.4, Seed: 7, First: 100, Step: 9}
	y := undefined(x.Shape...)
	tensor.Dropout(y, x, mask)

	t.Run("does not depend on the split of a batch", func(t *testing.T) {
		for i := range 5 {
			part, m := undefined(1, 3, 7, 3), mask
			m.First += uint64(i)
			tensor.Dropout(part, images(x, i, i+1), m)
			identical(t, "y", part.Data, images(y, i, i+1).Data)
		}
	})
	t.Run("depends on seed, step and image", func(t *testing.T) {
		seen := [][]bool{dropped(y)}
		for _, m := range []tensor.Mask{{P: 0.4, Seed: 8, First: 100, Step: 9}, {P: 0.4, Seed: 7, First: 200, Step: 9}, {P: 0.4, Seed: 7, First: 100, Step: 10}} {
			other := undefined(x.Shape...)
			tensor.Dropout(other, x, m)
			for _, s := range seen {
				if slices.Equal(s, dropped(other)) {
					t.Errorf("mask %+v drops what another does", m)
				}
			}
			seen = append(seen, dropped(other))
		}
		if slices.Equal(dropped(images(y, 0, 1)), dropped(images(y, 1, 2))) {
			t.Error("two images of a batch drop the same")
		}
	})
	t.Run("is the gradient's", func(t *testing.T) {
		dx, dy := tensor.New(x.Shape...), random(2, x.Shape...)
		want := size64(x)
		for i, v := range dy.Data {
			if y.Data[i] != 0 {
				want[i] = float64(v) / 0.6
			}
		}
		for _, factor := range []float64{1, 2} {
			tensor.DropoutGrad(dx, dy, mask)
			near(t, "dx", dx, want, factor, unitTolerance)
		}
	})
}

func dropped(y Tensor) []bool {
	d := make([]bool, len(y.Data))
	for i, v := range y.Data {
		d[i] = v == 0
	}
	return d
}
