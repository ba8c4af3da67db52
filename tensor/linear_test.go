package tensor_test

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"ddpm/tensor"
)

func TestLinearByHand(t *testing.T) {
	x := tensor.From([]float32{
		1, 2,
		3, 4,
	}, 2, 2)
	w := tensor.From([]float32{
		1, 0, 10,
		0, 1, 100,
	}, 2, 3)
	b := tensor.From([]float32{0, 0.5, -1}, 3)
	y := undefined(2, 3)
	tensor.Linear(y, x, w, b, nil)
	near(t, "y", y, []float64{1, 2.5, 209, 3, 4.5, 429}, 1, 0)

	dy := tensor.From([]float32{
		1, 0, 0,
		0, 2, 1,
	}, 2, 3)
	dx, dw, db := undefined(2, 2), tensor.New(2, 3), tensor.New(3)
	tensor.LinearGrad(dx, false, dw, db, x, w, dy, nil, nil)
	near(t, "dx", dx, []float64{1, 0, 10, 102}, 1, 0)
	near(t, "dw", dw, []float64{1, 6, 3, 2, 8, 4}, 1, 0)
	near(t, "db", db, []float64{1, 2, 1}, 1, 0)
}

func TestLinearDefinition(t *testing.T) {
	for _, s := range []struct {
		n, positions, in, out int
	}{
		{1, 1, 1, 1}, {1, 1, 64, 256}, {17, 1, 5, 33}, {33, 3, 32, 64}, {2, 56, 33, 3}, {1, 113, 96, 31}, {5, 9, 3, 65},
		{16, 1, 128, 32}, {129, 1, 17, 5}, {130, 7, 1, 96},
	} {
		x, w, b := random(1, s.n, s.positions, s.in), random(2, s.in, s.out), random(3, s.out)
		dy := random(4, s.n, s.positions, s.out)
		// A linear layer is a convolution of images that are one pixel high, with a kernel of 1×1.
		want := convReference(x.Reshape(s.n, 1, s.positions, s.in), w.Reshape(1, 1, s.in, s.out), b, dy.Reshape(s.n, 1, s.positions, s.out), tensor.Window{Stride: 1})
		what := func(name string) string { return fmt.Sprintf("%+v: %s", s, name) }

		y := undefined(dy.Shape...)
		tensor.Linear(y, x, w, b, nil)
		near(t, what("y"), y, want.y, 1, directTolerance*math.Sqrt(float64(s.in)))
		packs := tensor.NewPacks(math.MaxInt)
		for range 3 {
			again := undefined(dy.Shape...)
			tensor.Linear(again, x, w, b, packs)
			identical(t, what("y with Packs"), again.Data, y.Data)
		}
		without := undefined(dy.Shape...)
		tensor.Linear(without, x, w, Tensor{}, nil)
		for i := range without.Data {
			without.Data[i] += b.Data[i%s.out]
		}
		near(t, what("y without bias, plus bias"), without, want.y, 1, directTolerance*math.Sqrt(float64(s.in)))

		dx, dw, db := undefined(x.Shape...), tensor.New(w.Shape...), tensor.New(b.Shape...)
		rows := math.Sqrt(float64(s.n * s.positions))
		for k, factor := range []float64{1, 2} {
			tensor.LinearGrad(dx, k > 0, dw, db, x, w, dy, nil, nil)
			near(t, what("dx"), dx, want.dx, factor, directTolerance*math.Sqrt(float64(s.out)))
			near(t, what("dw"), dw, want.dw, factor, directTolerance*rows)
			near(t, what("db"), db, want.db, factor, directTolerance*rows)
		}
	}
}

// The uses of all shares of a batch are one: none packs for keeping before the next.
func TestPacksOfShares(t *testing.T) {
	const shares = 3
	w, x := random(1, 8, 32), random(3, 5, 8)
	packs := tensor.NewPacks(math.MaxInt)
	packs.Shares(shares)
	before, y := undefined(5, 32), undefined(5, 32)
	tensor.Linear(before, x, w, Tensor{}, nil)
	for range shares {
		tensor.Linear(y, x, w, Tensor{}, packs)
		w.Data[0]++ // shows in the next, as nothing is kept
	}
	var wg sync.WaitGroup
	var ys [shares]Tensor
	for i := range ys {
		wg.Go(func() {
			ys[i] = undefined(5, 32)
			tensor.Linear(ys[i], x, w, Tensor{}, packs)
		})
	}
	wg.Wait()
	tensor.Linear(y, x, w, Tensor{}, nil)
	require.NotEqual(t, before.Data, y.Data)
	for _, got := range ys {
		identical(t, "second use", got.Data, y.Data)
	}
	w.Data[0]++
	kept := undefined(5, 32)
	tensor.Linear(kept, x, w, Tensor{}, packs)
	identical(t, "kept", kept.Data, y.Data)
}

// Weights that are kept, from their second use on, are not packed again before Forget, so a change of theirs goes
// unnoticed; beyond the limit nothing is kept, not even what was.
func TestPacksKeepNothingBeyondTheirLimit(t *testing.T) {
	w, other, x := random(1, 8, 32), random(2, 8, 32), random(3, 5, 8)
	y, before, after := undefined(5, 32), undefined(5, 32), undefined(5, 32)
	packs := tensor.NewPacks(len(w.Data))
	tensor.Linear(before, x, w, Tensor{}, packs)
	tensor.Linear(before, x, w, Tensor{}, packs)
	w.Data[0]++
	tensor.Linear(after, x, w, Tensor{}, nil)
	tensor.Linear(y, x, w, Tensor{}, packs)
	identical(t, "kept", y.Data, before.Data)
	tensor.Linear(y, x, other, Tensor{}, packs) // has no room
	tensor.Linear(y, x, w, Tensor{}, packs)
	identical(t, "no longer kept", y.Data, after.Data)
}
