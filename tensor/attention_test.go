package tensor_test

import (
	"fmt"
	"math"
	"testing"

	"ddpm/tensor"
)

// Two positions of one head with one channel. The first query, 0, is indifferent and takes the mean of the values; the
// second, ln 3, prefers the second key, at 1, to the first, at 0, three to one.
func TestAttentionByHand(t *testing.T) {
	q := tensor.From([]float32{0, float32(math.Log(3))}, 1, 2, 1)
	k := tensor.From([]float32{0, 1}, 1, 2, 1)
	v := tensor.From([]float32{4, 8}, 1, 2, 1)
	y := undefined(1, 2, 1)
	tensor.Attention(y, q, k, v, 1)
	near(t, "y", y, []float64{6, 7}, 1, unitTolerance)
	// Of two heads with one channel each, neither sees the other's keys or values.
	join := func(a, b Tensor) Tensor {
		return tensor.From([]float32{a.Data[0], b.Data[0], a.Data[1], b.Data[1]}, 1, 2, 2)
	}
	y2 := undefined(1, 2, 2)
	tensor.Attention(y2, join(q, k), join(k, k), join(v, q), 2)
	e := math.E / (1 + math.E)
	near(t, "second head", y2, []float64{6, math.Log(3) / 2, 7, math.Log(3) * e}, 1, unitTolerance)
}

func TestAttentionDefinition(t *testing.T) {
	for _, s := range []struct{ n, t, heads, d int }{
		{1, 1, 1, 1}, {2, 5, 1, 33}, {17, 4, 3, 5}, {33, 2, 2, 32}, {1, 49, 2, 32}, {2, 65, 4, 8}, {1, 130, 1, 3},
	} {
		shape := []int{s.n, s.t, s.heads * s.d}
		q, k, v, dy := random(1, shape...), random(2, shape...), random(3, shape...), random(4, shape...)
		want := attentionReference(q, k, v, dy, s.heads)
		what := func(name string) string { return fmt.Sprintf("%+v: %s", s, name) }
		// Scores are of size 1 to 5; their rounding, at depth d, is a relative error of the weights, and those sum to 1.
		tolerance := directTolerance * math.Sqrt(float64(s.d))
		y := undefined(shape...)
		tensor.Attention(y, q, k, v, s.heads)
		near(t, what("y"), y, want.y, 1, tolerance)
		dq, dk, dv := undefined(shape...), undefined(shape...), undefined(shape...)
		for _, factor := range []float64{1, 2} { // overwritten, then added to
			add := factor > 1
			tensor.AttentionGrad(tensor.AttentionGrads{Q: dq, K: dk, V: dv, AddQ: add, AddK: add, AddV: add}, q, k, v, dy, s.heads)
			near(t, what("dq"), dq, want.dq, factor, 4*tolerance)
			near(t, what("dk"), dk, want.dk, factor, 4*tolerance)
			near(t, what("dv"), dv, want.dv, factor, 4*tolerance)
		}
		only := undefined(shape...)
		tensor.AttentionGrad(tensor.AttentionGrads{K: only}, q, k, v, dy, s.heads)
		near(t, what("dk alone"), only, want.dk, 1, 4*tolerance)
		only = undefined(shape...)
		tensor.AttentionGrad(tensor.AttentionGrads{V: only}, q, k, v, dy, s.heads)
		near(t, what("dv alone"), only, want.dv, 1, 4*tolerance)
	}
}

// Scores of hundreds would overflow e^s; the softmax takes the largest off first.
func TestAttentionOfLargeScores(t *testing.T) {
	q, k, v, dy := random(1, 2, 7, 8), random(2, 2, 7, 8), random(3, 2, 7, 8), random(4, 2, 7, 8)
	for i := range q.Data {
		q.Data[i] *= 100
	}
	want := attentionReference(q, k, v, dy, 2)
	y := undefined(2, 7, 8)
	tensor.Attention(y, q, k, v, 2)
	const tolerance = 1e-3 // a unit in the last place of a score of 300 is 3e-5, and so is the weights' relative error
	near(t, "y", y, want.y, 1, tolerance)
	huge := undefined(2, 7, 8)
	for i := range q.Data {
		q.Data[i] *= 1e6
	}
	tensor.Attention(huge, q, k, v, 2)
	for i, y := range huge.Data { // each is one of the values
		if !(math.Abs(float64(y)) < 10) {
			t.Fatalf("element %d: got %v, want a value", i, y)
		}
	}
}
