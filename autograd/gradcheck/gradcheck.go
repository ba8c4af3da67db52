// Package gradcheck compares the gradients of an operation with numeric ones. It serves tests.
package gradcheck

import (
	"math"
	"testing"

	"ddpm/autograd"
	"ddpm/internal/rng"
	"ddpm/tensor"
)

const (
	// step is the h of the central difference (L(x+h) − L(x−h))/2h: its error, of order h², and the float32 rounding
	// of L, over h, are then both near 1e-4 of the gradient.
	step = 1e-2
	// tolerance is the largest accepted difference, relative to the largest gradient of the same tensor: ten times
	// those errors.
	tolerance = 2e-3
	// samples is the number of elements of each input that are varied, and shortSamples with go test -short.
	samples, shortSamples = 60, 12
)

// Op computes a result from inputs on a tape.
type Op func(t *autograd.Tape, in []*autograd.Var) *autograd.Var

// Random returns a tensor of normally distributed numbers, a function of seed and shape.
func Random(seed uint64, shape ...int) tensor.Tensor {
	x := tensor.New(shape...)
	s := rng.New(seed, rng.Init, 0, 0)
	s.Normal(x.Data)
	return x
}

// Check fails t unless the gradients of L = mean((op(in) − target)²), target being random, agree with numeric ones
// for every input. Inputs are given twice to the tape's gradients, so it also sees gradients that overwrite instead of
// adding.
func Check(t testing.TB, op Op, in ...tensor.Tensor) {
	t.Helper()
	vars := make([]*autograd.Var, len(in))
	for i, x := range in {
		vars[i] = autograd.Param(x, tensor.New(x.Shape...))
	}
	var target tensor.Tensor
	loss := func() float64 {
		tape := autograd.NewInference()
		y := op(tape, vars)
		if target.Empty() {
			target = Random(99, y.Shape...)
		}
		sum := 0.0
		for i, v := range y.Data {
			d := float64(v) - float64(target.Data[i])
			sum += d * d
		}
		return sum / float64(len(y.Data))
	}
	loss()
	tape := autograd.New()
	for range 2 {
		l, _ := tape.MSE(op(tape, vars), autograd.Const(target), nil)
		tape.Backward(l)
		tape.Reset()
	}
	count := samples
	if testing.Short() {
		count = shortSamples
	}
	for i, v := range vars {
		largest := 0.0
		for _, g := range v.Grad.Data {
			largest = max(largest, math.Abs(float64(g))/2)
		}
		for k := range min(count, len(v.Data)) {
			j := k * len(v.Data) / min(count, len(v.Data))
			old := v.Data[j]
			v.Data[j] = old + step
			above, up := loss(), v.Data[j]
			v.Data[j] = old - step
			below, down := loss(), v.Data[j]
			v.Data[j] = old
			want := (above - below) / (float64(up) - float64(down))
			got := float64(v.Grad.Data[j]) / 2
			if !(math.Abs(got-want) <= tolerance*largest+1e-7) {
				t.Errorf("input %d, element %d: got gradient %g, want %g (largest %g)", i, j, got, want, largest)
			}
		}
	}
}
