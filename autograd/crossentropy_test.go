package autograd_test

import (
	"math"
	"testing"

	"ddpm/autograd"
	"ddpm/autograd/gradcheck"
	"ddpm/tensor"
)

// TestCrossEntropyGradient goes through two operations, so that the gradient is also passed on and added to.
func TestCrossEntropyGradient(t *testing.T) {
	labels := []int{3, 0, 1, 1, 2}
	gradcheck.Check(t, func(t tape, x vars) *autograd.Var {
		loss, _ := t.CrossEntropy(t.Add(t.Linear(x[0], x[1], x[2]), x[3]), labels)
		return loss
	}, random(1, 5, 1, 1, 6), random(2, 6, 4), random(3, 4), random(4, 5, 1, 1, 4))
}

// TestCrossEntropyResult checks that a classifier that knows nothing has a loss of ln K for every image.
func TestCrossEntropyResult(t *testing.T) {
	loss, per := autograd.New().CrossEntropy(autograd.Const(tensor.New(7, 10)), make([]int, 7))
	for _, v := range append(per, float64(loss.Data[0])) {
		if math.Abs(v-math.Log(10)) > 1e-6 {
			t.Errorf("got %v, want ln 10 = %v", v, math.Log(10))
		}
	}
}
