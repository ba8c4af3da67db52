package tensor_test

import (
	"fmt"
	"math"
	"testing"

	"ddpm/tensor"
)

// matrix is a matrix of float64, for definitions.
type matrix struct {
	rows, cols int
	data       []float64
}

func matrixOf(x Tensor, cols int) matrix {
	return matrix{len(x.Data) / cols, cols, float64s(x)}
}

func (a matrix) transposed() matrix {
	t := matrix{a.cols, a.rows, make([]float64, len(a.data))}
	for i, v := range a.data {
		t.data[i%a.cols*a.rows+i/a.cols] = v
	}
	return t
}

// times returns a·b + bias, which may be empty.
func (a matrix) times(b matrix, bias []float64) matrix {
	y := matrix{a.rows, b.cols, make([]float64, a.rows*b.cols)}
	for i := range y.data {
		if bias != nil {
			y.data[i] = bias[i%b.cols]
		}
		for k := range a.cols {
			y.data[i] += a.data[i/b.cols*a.cols+k] * b.data[k*b.cols+i%b.cols]
		}
	}
	return y
}

func (a matrix) columnSums() []float64 {
	s := make([]float64, a.cols)
	for i, v := range a.data {
		s[i%a.cols] += v
	}
	return s
}

// A LinearPair is two linear maps, one after the other, and so are its gradients.
func TestLinearPairDefinition(t *testing.T) {
	for _, s := range []struct {
		n, positions, in, mid, out int
	}{
		{1, 1, 1, 1, 1}, {2, 49, 32, 32, 32}, {17, 3, 5, 33, 7}, {33, 2, 64, 16, 40}, {1, 113, 31, 96, 3}, {130, 2, 3, 5, 65},
	} {
		for _, transposed := range []bool{false, true} {
			for _, biased := range []bool{false, true} {
				x, dy := random(1, s.n, s.positions, s.in), random(2, s.n, s.positions, s.out)
				p := tensor.Pair{W1: random(3, s.in, s.mid), W2: random(4, s.mid, s.out), Transposed: transposed}
				second := matrixOf(p.W2, s.out)
				if transposed {
					p.W2 = random(4, s.out, s.mid)
					second = matrixOf(p.W2, s.mid).transposed()
				}
				var b1, b2 []float64
				if biased {
					p.B1, p.B2 = random(5, s.mid), random(6, s.out)
					b1, b2 = float64s(p.B1), float64s(p.B2)
				}
				what := func(name string) string {
					return fmt.Sprintf("%+v transposed=%v biased=%v: %s", s, transposed, biased, name)
				}

				xs, dys, first := matrixOf(x, s.in), matrixOf(dy, s.out), matrixOf(p.W1, s.mid)
				h := xs.times(first, b1)
				dh := dys.times(second.transposed(), nil)
				dw2 := h.transposed().times(dys, nil)
				if transposed {
					dw2 = dw2.transposed()
				}
				// An element of y is a sum of in·mid products, and one of the gradients one over rows as well.
				depth := math.Sqrt(float64(s.in * s.mid))
				rows := math.Sqrt(float64(s.n * s.positions))

				y := undefined(dy.Shape...)
				tensor.LinearPair(y, x, p, nil)
				near(t, what("y"), y, h.times(second, b2).data, 1, directTolerance*depth)
				packs := tensor.NewPacks(math.MaxInt)
				for range 3 {
					again := undefined(dy.Shape...)
					tensor.LinearPair(again, x, p, packs)
					identical(t, what("y with Packs"), again.Data, y.Data)
				}
				residual := p
				residual.Residual = random(7, dy.Shape...)
				sum := h.times(second, b2)
				for i, v := range residual.Residual.Data {
					sum.data[i] += float64(v)
				}
				tensor.LinearPair(y, x, residual, packs)
				near(t, what("y with a residual"), y, sum.data, 1, directTolerance*depth)

				dx, d := undefined(x.Shape...), tensor.PairGrad{W1: tensor.New(p.W1.Shape...), W2: tensor.New(p.W2.Shape...)}
				if biased {
					d.B1, d.B2 = tensor.New(s.mid), tensor.New(s.out)
				}
				for k, factor := range []float64{1, 2} { // overwritten, then added to
					tensor.LinearPairGrad(dx, k > 0, d, x, p, dy, packs)
					near(t, what("dx"), dx, dh.times(first.transposed(), nil).data, factor, directTolerance*math.Sqrt(float64(s.mid*s.out)))
					near(t, what("dW1"), d.W1, xs.transposed().times(dh, nil).data, factor, directTolerance*rows*math.Sqrt(float64(s.out)))
					near(t, what("dW2"), d.W2, dw2.data, factor, directTolerance*rows*math.Sqrt(float64(s.in+1)))
					if biased {
						near(t, what("dB1"), d.B1, dh.columnSums(), factor, directTolerance*rows*math.Sqrt(float64(s.out)))
						near(t, what("dB2"), d.B2, dys.columnSums(), factor, directTolerance*rows)
					}
				}
				tensor.LinearPairGrad(Tensor{}, false, tensor.PairGrad{}, x, p, dy, nil) // wants nothing
			}
		}
	}
}

// Packs tells Pairs apart that share one of their weights.
func TestPacksOfPairs(t *testing.T) {
	x, a, b, c := random(1, 2, 3, 5), random(2, 5, 5), random(3, 5, 5), random(4, 5, 5)
	packs := tensor.NewPacks(math.MaxInt)
	pairs := []tensor.Pair{{W1: a, W2: b}, {W1: a, W2: c}, {W1: b, W2: c}, {W1: a, W2: b, Transposed: true}}
	for i := range 3 * len(pairs) {
		p := pairs[i%len(pairs)]
		y, want := undefined(x.Shape...), undefined(x.Shape...)
		tensor.LinearPair(y, x, p, packs)
		tensor.LinearPair(want, x, p, nil)
		identical(t, "y", y.Data, want.Data)
		tensor.LinearPairGrad(y, false, tensor.PairGrad{}, x, p, x, packs)
		tensor.LinearPairGrad(want, false, tensor.PairGrad{}, x, p, x, nil)
		identical(t, "dx", y.Data, want.Data)
	}
}
