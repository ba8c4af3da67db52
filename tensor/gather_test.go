package tensor_test

import (
	"testing"

	"ddpm/tensor"
)

func TestConcatByHand(t *testing.T) {
	a := tensor.From([]float32{1, 2, 3, 4}, 2, 2)
	b := tensor.From([]float32{10, 20}, 2, 1)
	y := undefined(2, 3)
	tensor.Concat(y, a, b)
	near(t, "y", y, []float64{1, 2, 10, 3, 4, 20}, 1, 0)
	da, db := undefined(2, 2), tensor.From([]float32{100, 100}, 2, 1)
	tensor.ConcatGrad(da, false, db, true, y, 2) // one overwritten, the other added to
	near(t, "da", da, []float64{1, 2, 3, 4}, 1, 0)
	near(t, "db", db, []float64{110, 120}, 1, 0)
}

func TestConcatDefinition(t *testing.T) {
	for _, s := range [][5]int{{1, 1, 1, 1, 1}, {2, 3, 5, 33, 1}, {17, 2, 1, 5, 32}, {3, 7, 7, 64, 96}} {
		n, h, w, ca, cb := s[0], s[1], s[2], s[3], s[4]
		a, b, dy := random(1, n, h, w, ca), random(2, n, h, w, cb), random(3, n, h, w, ca+cb)
		want, da, db := size64(dy), size64(a), size64(b)
		for i := range want {
			p, c := i/(ca+cb), i%(ca+cb)
			if c < ca {
				want[i], da[p*ca+c] = float64(a.Data[p*ca+c]), float64(dy.Data[i])
			} else {
				want[i], db[p*cb+c-ca] = float64(b.Data[p*cb+c-ca]), float64(dy.Data[i])
			}
		}
		y := undefined(n, h, w, ca+cb)
		tensor.Concat(y, a, b)
		near(t, "y", y, want, 1, 0)
		ga, gb := undefined(a.Shape...), undefined(b.Shape...)
		for k, factor := range []float64{1, 2} {
			tensor.ConcatGrad(ga, k > 0, gb, k > 0, dy, ca)
			near(t, "da", ga, da, factor, 0)
			near(t, "db", gb, db, factor, 0)
		}
		tensor.ConcatGrad(Tensor{}, false, gb, false, dy, ca)
		near(t, "db alone", gb, db, 1, 0)
	}
}

func TestUpsampleByHand(t *testing.T) {
	y := undefined(1, 2, 4, 1)
	tensor.Upsample(y, tensor.From([]float32{1, 2}, 1, 1, 2, 1))
	near(t, "y", y, []float64{1, 1, 2, 2, 1, 1, 2, 2}, 1, 0)
	dx := tensor.New(1, 1, 2, 1)
	for _, factor := range []float64{1, 2} {
		tensor.UpsampleGrad(dx, tensor.From([]float32{1, 2, 3, 4, 5, 6, 7, 8}, 1, 2, 4, 1))
		near(t, "dx", dx, []float64{1 + 2 + 5 + 6, 3 + 4 + 7 + 8}, factor, 0)
	}
}

func TestUpsampleDefinition(t *testing.T) {
	for _, s := range [][4]int{{1, 1, 1, 1}, {2, 3, 5, 33}, {17, 2, 1, 5}, {3, 7, 7, 64}} {
		n, h, w, c := s[0], s[1], s[2], s[3]
		x, dy := random(1, n, h, w, c), random(2, n, 2*h, 2*w, c)
		want, dx := size64(dy), size64(x)
		for i := range want {
			p := i / c
			b, row, col := p/(4*h*w), p/(2*w)%(2*h), p%(2*w)
			at := ((b*h+row/2)*w+col/2)*c + i%c
			want[i] = float64(x.Data[at])
			dx[at] += float64(dy.Data[i])
		}
		y := undefined(dy.Shape...)
		tensor.Upsample(y, x)
		near(t, "y", y, want, 1, 0)
		got := tensor.New(x.Shape...)
		for _, factor := range []float64{1, 2} {
			tensor.UpsampleGrad(got, dy)
			near(t, "dx", got, dx, factor, 4*unitTolerance)
		}
	}
}

func TestEmbedByHand(t *testing.T) {
	table := tensor.From([]float32{1, 2, 3, 4, 5, 6}, 3, 2)
	ids := []int{2, 0, 2}
	y := undefined(3, 2)
	tensor.Embed(y, table, ids)
	near(t, "y", y, []float64{5, 6, 1, 2, 5, 6}, 1, 0)
	dtable := tensor.New(3, 2)
	for _, factor := range []float64{1, 2} { // a row used twice has the sum of both gradients
		tensor.EmbedGrad(dtable, tensor.From([]float32{1, 2, 3, 4, 5, 6}, 3, 2), ids)
		near(t, "dtable", dtable, []float64{3, 4, 0, 0, 6, 8}, factor, 0)
	}
}
