package tensor_test

import (
	"math"
	"testing"

	"ddpm/tensor"
)

// Lengths around those at which elementwise work is cut, and of nothing at all.
var lengths = []int{0, 1, 7, 33, 1<<15 - 1, 1 << 15, 1<<15 + 1, 3<<15 + 5}

func TestElementwiseDefinition(t *testing.T) {
	for _, n := range lengths {
		a, b, dy := random(1, n), random(2, n), random(3, n)
		a64, b64, dy64 := float64s(a), float64s(b), float64s(dy)
		each := func(f func(i int) float64) []float64 {
			y := make([]float64, n)
			for i := range y {
				y[i] = f(i)
			}
			return y
		}
		y := undefined(n)
		tensor.Add(y, a, b)
		near(t, "Add", y, each(func(i int) float64 { return a64[i] + b64[i] }), 1, unitTolerance)
		tensor.Add(y, y, b)
		near(t, "Add in place", y, each(func(i int) float64 { return a64[i] + 2*b64[i] }), 1, unitTolerance)
		y = a.Clone()
		tensor.Accumulate(y, true, b)
		near(t, "Accumulate", y, each(func(i int) float64 { return a64[i] + b64[i] }), 1, unitTolerance)
		y = undefined(n)
		tensor.Scale(y, a, -1.5)
		near(t, "Scale", y, each(func(i int) float64 { return -1.5 * a64[i] }), 1, unitTolerance)
		y = undefined(n)
		tensor.SiLU(y, a)
		near(t, "SiLU", y, each(func(i int) float64 { return a64[i] * sigmoid(a64[i]) }), 1, unitTolerance)

		dx := tensor.New(n)
		for _, factor := range []float64{1, 2} {
			tensor.ScaleGrad(dx, dy, -1.5)
			near(t, "ScaleGrad", dx, each(func(i int) float64 { return -1.5 * dy64[i] }), factor, unitTolerance)
		}
		dx = tensor.New(n)
		for _, factor := range []float64{1, 2} {
			tensor.SiLUGrad(dx, a, dy)
			near(t, "SiLUGrad", dx, each(func(i int) float64 {
				s := sigmoid(a64[i])
				return dy64[i] * s * (1 + a64[i]*(1-s))
			}), factor, unitTolerance)
		}
	}
}

func TestSiLUByHand(t *testing.T) {
	x := tensor.From([]float32{0, 1, -1, 40, -40, 1000, -1000}, 7)
	y := undefined(7)
	tensor.SiLU(y, x)
	e := 1 / (1 + 1/math.E)
	near(t, "SiLU", y, []float64{0, e, e - 1, 40, -40 * math.Exp(-40), 1000, 0}, 1, unitTolerance)
	dx, dy := tensor.New(7), tensor.From([]float32{1, 1, 1, 1, 1, 1, 1}, 7)
	tensor.SiLUGrad(dx, x, dy)
	near(t, "SiLUGrad", dx, []float64{0.5, e * (2 - e), (1 - e) * (1 - e), 1, 0, 1, 0}, 1, unitTolerance)
}

func TestPerImageByHand(t *testing.T) {
	x := tensor.From([]float32{ // two images of two pixels of two channels
		1, 2, 3, 4,
		5, 6, 7, 8,
	}, 2, 1, 2, 2)
	e := tensor.From([]float32{10, 20, 30, 40}, 2, 2)
	y := undefined(2, 1, 2, 2)
	tensor.AddPerImage(y, x, e)
	near(t, "AddPerImage", y, []float64{11, 22, 13, 24, 35, 46, 37, 48}, 1, 0)
	de := tensor.New(2, 2)
	for _, factor := range []float64{1, 2} {
		tensor.AddPerImageGrad(de, x)
		near(t, "AddPerImageGrad", de, []float64{4, 6, 12, 14}, factor, 0)
	}

	e = tensor.From([]float32{
		1, 0, 100, 200, // image 0: scales 2 and 1, shifts 100 and 200
		-1, -2, 300, 400, // image 1: scales 0 and −1
	}, 2, 4)
	y = undefined(2, 1, 2, 2)
	tensor.ScaleShift(y, x, e)
	near(t, "ScaleShift", y, []float64{102, 202, 106, 204, 300, 394, 300, 392}, 1, 0)
	dx, de := tensor.New(2, 1, 2, 2), tensor.New(2, 4)
	dy := tensor.From([]float32{1, 0, 0, 1, 1, 1, 1, 1}, 2, 1, 2, 2)
	for _, factor := range []float64{1, 2} {
		tensor.ScaleShiftGrad(dx, de, x, e, dy)
		near(t, "ScaleShiftGrad dx", dx, []float64{2, 0, 0, 1, 0, -1, 0, -1}, factor, 0)
		near(t, "ScaleShiftGrad de", de, []float64{1, 4, 1, 1, 12, 14, 2, 2}, factor, 0)
	}
}

func TestPerImageDefinition(t *testing.T) {
	for _, s := range [][4]int{{1, 1, 1, 1}, {2, 3, 5, 33}, {17, 2, 1, 5}, {33, 7, 3, 32}, {3, 8, 8, 96}} {
		n, h, w, c := s[0], s[1], s[2], s[3]
		x, e, e2, dy := random(1, n, h, w, c), random(2, n, c), random(3, n, 2*c), random(4, n, h, w, c)
		sum, shifted := size64(x), size64(x)
		de, de2, dx := size64(e), size64(e2), size64(x)
		for i := range x.Data {
			b, ch := i/(h*w*c), i%c
			scale, shift := float64(e2.Data[2*b*c+ch]), float64(e2.Data[(2*b+1)*c+ch])
			xi, d := float64(x.Data[i]), float64(dy.Data[i])
			sum[i] = xi + float64(e.Data[b*c+ch])
			shifted[i] = xi*(1+scale) + shift
			de[b*c+ch] += d
			dx[i] = d * (1 + scale)
			de2[2*b*c+ch] += d * xi
			de2[(2*b+1)*c+ch] += d
		}
		y := undefined(n, h, w, c)
		tensor.AddPerImage(y, x, e)
		near(t, "AddPerImage", y, sum, 1, unitTolerance)
		y = undefined(n, h, w, c)
		tensor.ScaleShift(y, x, e2)
		near(t, "ScaleShift", y, shifted, 1, unitTolerance)
		gotE, gotE2, gotX := tensor.New(n, c), tensor.New(n, 2*c), tensor.New(n, h, w, c)
		for _, factor := range []float64{1, 2} {
			tensor.AddPerImageGrad(gotE, dy)
			tensor.ScaleShiftGrad(gotX, gotE2, x, e2, dy)
			near(t, "AddPerImageGrad", gotE, de, factor, directTolerance*math.Sqrt(float64(h*w)))
			near(t, "ScaleShiftGrad dx", gotX, dx, factor, unitTolerance)
			near(t, "ScaleShiftGrad de", gotE2, de2, factor, directTolerance*math.Sqrt(float64(h*w)))
		}
	}
}
