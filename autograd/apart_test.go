package autograd_test

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"ddpm/autograd"
	"ddpm/tensor"
)

// withProcs runs f on so many processors.
func withProcs(procs int, f func()) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
	f()
}

// shared is a network that uses parameters in every way: in operations that order what they add themselves, and in such
// as know nothing of shares. The gradient of scaled is a sum over shares of the sums over their images.
type shared struct {
	w, b, gamma, beta, table, matrix, scaled *autograd.Var
	again                                    bool // some are used twice
}

func newShared() shared {
	return shared{
		w: param(1, 3, 3, 32, 32), b: param(2, 32), gamma: param(3, 32), beta: param(4, 32),
		table: param(5, 3, 32), matrix: param(6, 32, 32), scaled: param(7, 32, 32),
	}
}

// grads returns the gradients of all but scaled.
func (s shared) grads() (all []float32) {
	for _, p := range []*autograd.Var{s.w, s.b, s.gamma, s.beta, s.table, s.matrix} {
		all = append(all, p.Grad.Data...)
	}
	return all
}

// forward computes images n0…n1, x.
func (s shared) forward(t tape, x *autograd.Var, n0, n1 int) *autograd.Var {
	m := autograd.Norm{Gamma: s.gamma, Beta: s.beta, Groups: 8, Eps: 1e-5}
	h := t.Conv2D(x, s.w, nil, tensor.Same3)
	if s.again {
		h = t.NormSiLUConv(h, autograd.Block{Norm: m, W: s.w, B: s.b, Residual: h})
		h = t.Linear(h, s.matrix, nil)
	}
	ids := make([]int, n1-n0)
	for i := range ids {
		ids[i] = (n0 + i) % 3
	}
	e := t.Linear(t.Embed(s.table, ids), s.matrix, nil)
	h = t.GroupNorm(t.AddPerImage(h, e), m)
	return t.Add(t.Linear(h, t.Scale(s.scaled, 0.5), nil), h)
}

// TestApart holds that shares of a batch add up to the same bits: the result, the gradients, in one part and in two, and
// the count of multiplications.
func TestApart(t *testing.T) {
	for k, n := range []int{32, 64, 75, 96, 32, 64, 75, 96} {
		x, target := random(1, n, 7, 7, 32), random(2, n, 7, 7, 32)
		run := func(procs int) (y, grads, scaled []float32, macs int) {
			withProcs(procs, func() {
				s, tp := newShared(), autograd.New()
				s.again = k >= 4
				for range 2 {
					h := tp.Apart(autograd.Const(x), s.forward)
					h = tp.Add(h, tp.Apart(autograd.Const(target), s.forward)) // twice on one tape
					y = slices.Clone(h.Data)
					macs = tp.MACs
					l, _ := tp.MSE(h, autograd.Const(target), nil)
					tp.Backward(l)
					tp.Rewind()
				}
				grads, scaled = s.grads(), s.scaled.Grad.Data
				require.Equal(t, s.again && tp.Shared(), tp.ReadsAgain(), "else shares wait for one another at each operation")
			})
			return y, grads, scaled, macs
		}
		y, grads, scaled, macs := run(1)
		for _, procs := range []int{2, 3, 4, 5} {
			gotY, gotGrads, gotScaled, gotMACs := run(procs)
			require.Equal(t, y, gotY, "%d images on %d processors", n, procs)
			require.Equal(t, grads, gotGrads, "%d images on %d processors", n, procs)
			require.Equal(t, macs, gotMACs, "%d images on %d processors", n, procs)
			require.InDeltaSlice(t, scaled, gotScaled, 1e-3*largest(scaled), "%d images on %d processors", n, procs)
			_, _, again, _ := run(procs)
			require.Equal(t, gotScaled, again, "%d images on %d processors", n, procs)
		}
	}
}

func largest(xs []float32) float64 {
	most := 0.0
	for _, x := range xs {
		most = max(most, math.Abs(float64(x)))
	}
	return most
}

// sharesOf returns the images of each share that is made of n.
func sharesOf(tp tape, n, procs int) []string {
	images := make([]string, procs)
	var count atomic.Int32
	withProcs(procs, func() {
		tp.Apart(autograd.Const(tensor.New(n, 1)), func(t tape, x *autograd.Var, n0, n1 int) *autograd.Var {
			images[count.Add(1)-1] = fmt.Sprintf("%d-%d of %d", n0, n1, x.Shape[0])
			return t.Scale(x, 1)
		})
	})
	images = images[:count.Load()]
	slices.Sort(images)
	return images
}

// TestShares looks at how images are shared out: evenly, or not at all.
func TestShares(t *testing.T) {
	record, infer := autograd.New(), autograd.NewInference()
	for _, c := range []struct {
		tp       tape
		n, procs int
		want     []string
	}{
		{record, 128, 1, []string{"0-128 of 128"}},
		{record, 64, 2, []string{"0-32 of 32", "32-64 of 32"}},
		{record, 60, 2, []string{"0-32 of 32", "32-60 of 28"}},
		{record, 31, 2, []string{"0-16 of 16", "16-31 of 15"}},
		{record, 16, 2, []string{"0-16 of 16"}},
		{record, 48, 2, []string{"0-48 of 48"}},
		{record, 64, 8, []string{"0-64 of 64"}},
		{infer, 4, 2, []string{"0-2 of 2", "2-4 of 2"}},
		{infer, 3, 3, []string{"0-1 of 1", "1-2 of 1", "2-3 of 1"}},
		{infer, 3, 2, []string{"0-3 of 3"}},
		{infer, 49, 3, []string{"0-16 of 16", "16-32 of 16", "32-49 of 17"}},
	} {
		require.Equal(t, c.want, sharesOf(c.tp, c.n, c.procs), "%d images on %d processors", c.n, c.procs)
	}
}

// TestApartOfResults holds that images with a gradient are not shared out, and that it flows on.
func TestApartOfResults(t *testing.T) {
	withProcs(2, func() {
		x, tp := param(1, 32, 4), autograd.New()
		calls := 0
		tp.Backward(loss(tp, tp.Apart(tp.Scale(x, 2), func(t tape, x *autograd.Var, n0, n1 int) *autograd.Var {
			calls++
			return t.Scale(x, 3)
		})))
		require.Equal(t, 1, calls)
		require.InDelta(t, 36*2*x.Data[0]/128, x.Grad.Data[0], 1e-6)
	})
}

// TestApartKeepsItsImages releases them before Backward, which reads them.
func TestApartKeepsItsImages(t *testing.T) {
	gradient := func(release bool) []float32 {
		w, tp := param(1, 8, 8), autograd.New()
		withProcs(2, func() {
			x := tp.Temp(32, 8)
			copy(x.Data, random(2, 32, 8).Data)
			y := tp.Apart(x, func(t tape, x *autograd.Var, _, _ int) *autograd.Var { return t.Linear(x, w, nil) })
			if release {
				tp.Release(x)
				clear(tp.Temp(32, 8).Data)
			}
			tp.Backward(loss(tp, y))
		})
		return w.Grad.Data
	}
	require.Equal(t, gradient(false), gradient(true))
}

// TestInferenceApart holds that a tape for inference needs no more memory the more often it is used, and gives the same
// result.
func TestInferenceApart(t *testing.T) {
	x, s := random(1, 10, 7, 7, 32), newShared()
	var want []float32
	for _, procs := range []int{1, 2, 5} {
		withProcs(procs, func() {
			tp, first := autograd.NewInference(), 0
			for pass := range 5 {
				y := slices.Clone(tp.Apart(autograd.Const(x), s.forward).Data)
				if want == nil {
					want = y
				}
				require.Equal(t, want, y, "%d processors", procs)
				tp.Reset()
				if pass == 0 {
					first = tp.ArenaBytes()
				}
				require.Equal(t, first, tp.ArenaBytes(), "%d processors", procs)
			}
		})
	}
}

// TestApartPanics has one share of three panic, in either direction: the panic reaches the caller, and no share waits for
// ever.
func TestApartPanics(t *testing.T) {
	for bad := range 3 {
		for _, forward := range []bool{true, false} {
			withProcs(3, func() {
				w, u, b, tp := param(1, 32, 32), param(3, 32, 32), param(2, 32), autograd.New()
				defer func() {
					require.True(t, strings.HasPrefix(fmt.Sprint(recover()), "tensor: "), "share %d, forward %v", bad, forward)
				}()
				y := tp.Apart(autograd.Const(random(2, 48, 4, 32)), func(t tape, x *autograd.Var, n0, n1 int) *autograd.Var {
					y := t.Linear(x, w, t.Scale(b, 2))
					if n0 == 16*bad {
						if forward {
							t.Linear(y, param(1, 5, 5), nil)
						}
						x.Shape = []int{1, 1} // of which the gradient of w cannot be made
					}
					return t.Linear(y, u, nil)
				})
				tp.Backward(loss(tp, y))
			})
		}
	}
}

func TestApartMisuse(t *testing.T) {
	withProcs(2, func() {
		x, w := autograd.Const(random(1, 32, 4)), param(2, 4, 4)
		panics(t, "autograd: Tape: got an operand of shape [32 4] that another tape has recorded, want one of this tape", func() {
			tp := autograd.New()
			before := tp.Linear(x, w, nil)
			tp.Apart(x, func(t tape, x *autograd.Var, _, _ int) *autograd.Var { return t.Scale(before, 2) })
		})
		panics(t, "autograd: Apart: got 1 operations for images 0…16 and 2 for images 16…32, want the same", func() {
			autograd.New().Apart(x, func(t tape, x *autograd.Var, n0, _ int) *autograd.Var {
				if n0 > 0 {
					x = t.Linear(x, w, nil)
				}
				return t.Linear(x, w, nil)
			})
		})
		panics(t, "autograd: Apart: got a result of shape [1] for images 0…16, want", func() {
			autograd.New().Apart(x, func(t tape, x *autograd.Var, _, _ int) *autograd.Var { return loss(t, t.Linear(x, w, nil)) })
		})
	})
}
