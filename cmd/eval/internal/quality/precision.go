package quality

import (
	"fmt"

	"ddpm/internal/par"
	"ddpm/internal/simd"
	"ddpm/tensor"
)

// hood is the number of neighbours that reach as far as a point's surroundings: 3 in the paper.
const hood = 3

// PrecisionRecall compares generated points with real ones (Kynkäänniemi et al., arXiv:1904.06991, eq. 1–2). The
// surroundings of a point are the ball that just holds its third-nearest neighbour of its own set;
//
//	precision: share of the generated points within the surroundings of a real one: how many look real
//	recall:    share of the real points within the surroundings of a generated one: how much of reality is covered
//
// Both grow with the number of points; use as many of one as of the other. generated [N D], real [M D]. It panics if a
// set has no more than 3 points.
func PrecisionRecall(generated, real tensor.Tensor) (precision, recall float64) {
	if n, m := generated.Shape[0], real.Shape[0]; n <= hood || m <= hood {
		panic(fmt.Sprintf("quality: PrecisionRecall: got %d and %d points, want more than %d of each", n, m, hood))
	}
	return within(generated, real, reach(real)), within(real, generated, reach(generated))
}

// reach returns for each point the square of its distance to the third-nearest other one.
func reach(x tensor.Tensor) []float64 {
	n, _ := rows(x)
	self := make([]int, n)
	for i := range self {
		self[i] = i
	}
	s := NewSearch(x, hood, self)
	s.Add(x, 0)
	square := make([]float64, n)
	for i, list := range s.Nearest {
		square[i] = list[hood-1].Square
	}
	return square
}

// within returns the share of points x that lie in one of the balls about centres with squared radii.
func within(x, centres tensor.Tensor, squares []float64) float64 {
	n, _ := rows(x)
	inside := make([]bool, n)
	par.For(n, func(i int, _ *par.Scratch) {
		for j, square := range squares {
			if simd.SquaredError(nil, row(x, i), row(centres, j)) <= square {
				inside[i] = true
				return
			}
		}
	})
	count := 0
	for _, in := range inside {
		if in {
			count++
		}
	}
	return float64(count) / float64(n)
}
