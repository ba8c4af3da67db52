package quality

import (
	"testing"

	"ddpm/tensor"
)

// share is how far a share of some hundreds of points may be off by chance.
const share = 0.1

func TestPrecisionRecall(t *testing.T) {
	left, right := normal(1, 300, 2, -20, 1), normal(2, 300, 2, 20, 1)
	both, again := join(left, right), join(normal(3, 300, 2, -20, 1), normal(4, 300, 2, 20, 1))
	for _, c := range []struct {
		name              string
		generated, real   tensor.Tensor
		precision, recall float64
		tolerance         float64
	}{
		{"identical", both, both, 1, 1, 0},
		{"disjoint", left, right, 0, 0, 0},
		{"same distribution", both, again, 1, 1, share},
		{"one of two modes dropped", join(left, normal(5, 300, 2, -20, 1)), again, 1, 0.5, share},
		{"half of it outside", join(left, normal(6, 300, 2, 60, 1)), again, 0.5, 0.5, share},
	} {
		precision, recall := PrecisionRecall(c.generated, c.real)
		near(t, c.name+": precision", precision, c.precision, c.tolerance)
		near(t, c.name+": recall", recall, c.recall, c.tolerance)
	}
}

// TestReach: on a line of integers the third neighbour of an inner point is 2 away, of the first 3.
func TestReach(t *testing.T) {
	x := tensor.From([]float32{0, 1, 2, 3, 4, 5}, 6, 1)
	for i, want := range []float64{9, 4, 4, 4, 4, 9} {
		if got := reach(x)[i]; got != want {
			t.Errorf("point %d: got squared reach %g, want %g", i, got, want)
		}
	}
	// A generated point counts up to and including the edge of a ball.
	precision, _ := PrecisionRecall(tensor.From([]float32{8, 8.5, -3, 7}, 4, 1), x)
	near(t, "on the edge", precision, 0.75, 0)
}
