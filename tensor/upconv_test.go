package tensor_test

import (
	"fmt"
	"math"
	"testing"

	"ddpm/tensor"
)

// One pixel becomes four, each of which sees the kernel's nine taps fall on its four neighbours and itself, or on the
// border.
func TestUpConvByHand(t *testing.T) {
	kernel := []float32{
		1, 2, 4,
		8, 16, 32,
		64, 128, 256,
	}
	y := undefined(1, 2, 2, 1)
	tensor.UpConv(y, tensor.From([]float32{1}, 1, 1, 1, 1), tensor.From(kernel, 3, 3, 1, 1), Tensor{}, tensor.Auto, nil)
	near(t, "y", y, []float64{16 + 32 + 128 + 256, 8 + 16 + 64 + 128, 2 + 4 + 16 + 32, 1 + 2 + 8 + 16}, 1, 0)
}

// UpConv is a convolution of the enlarged image, and its gradients those of the two one after the other.
func TestUpConvIsConvOfUpsample(t *testing.T) {
	for _, s := range []struct{ n, h, w, cin, cout int }{
		{1, 1, 1, 1, 1}, {2, 1, 5, 3, 33}, {17, 2, 3, 5, 3}, {33, 3, 2, 33, 1}, {1, 7, 7, 64, 64}, {3, 8, 5, 32, 96}, {1, 17, 9, 5, 32}, {18, 4, 6, 33, 64}, {2, 4, 4, 160, 128}, {1, 40, 36, 3, 2}, {9, 12, 11, 3, 5},
	} {
		x, w, b := random(1, s.n, s.h, s.w, s.cin), random(2, 3, 3, s.cin, s.cout), random(3, s.cout)
		dy := random(4, s.n, 2*s.h, 2*s.w, s.cout)
		large := undefined(s.n, 2*s.h, 2*s.w, s.cin)
		tensor.Upsample(large, x)
		want := convReference(large, w, b, dy, tensor.Same3)
		dx64 := size64(x)
		for i, d := range want.dx {
			p := i / s.cin
			n, r, c := p/(4*s.h*s.w), p/(2*s.w)%(2*s.h), p%(2*s.w)
			dx64[((n*s.h+r/2)*s.w+c/2)*s.cin+i%s.cin] += d
		}
		for _, m := range methods {
			what := func(name string) string { return fmt.Sprintf("%+v %s: %s", s, m.name, name) }
			y := undefined(dy.Shape...)
			tensor.UpConv(y, x, w, b, m.method, nil)
			near(t, what("y"), y, want.y, 1, m.tolerance*math.Sqrt(float64(9*s.cin)))
			packs := tensor.NewPacks(math.MaxInt)
			for range 3 {
				again := undefined(dy.Shape...)
				tensor.UpConv(again, x, w, b, m.method, packs)
				identical(t, what("y with Packs"), again.Data, y.Data)
			}
			dx, dw, db := undefined(x.Shape...), tensor.New(w.Shape...), tensor.New(b.Shape...)
			rows := math.Sqrt(float64(s.n * 4 * s.h * s.w))
			for k, factor := range []float64{1, 2} {
				tensor.UpConvGrad(dx, k > 0, dw, db, x, w, dy, m.method, nil, nil)
				near(t, what("dx"), dx, dx64, factor, m.tolerance*math.Sqrt(float64(36*s.cout)))
				near(t, what("dw"), dw, want.dw, factor, m.tolerance*rows)
				near(t, what("db"), db, want.db, factor, directTolerance*rows)
			}
			only := tensor.New(w.Shape...)
			tensor.UpConvGrad(Tensor{}, false, only, Tensor{}, x, w, dy, m.method, nil, nil)
			near(t, what("dw alone"), only, want.dw, 1, m.tolerance*rows)
			only = undefined(x.Shape...)
			tensor.UpConvGrad(only, false, Tensor{}, Tensor{}, x, w, dy, m.method, nil, nil)
			near(t, what("dx alone"), only, dx64, 1, m.tolerance*math.Sqrt(float64(36*s.cout)))
		}
	}
}
