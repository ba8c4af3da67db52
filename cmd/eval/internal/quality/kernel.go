package quality

import (
	"fmt"
	"math"

	"ddpm/internal/par"
	"ddpm/internal/simd"
	"ddpm/tensor"
)

// folds is in how many parts the points are cut to estimate the error of a Kernel distance.
const folds = 20

// Kernel returns the squared maximum mean discrepancy of two sets of points a [N D] and b [M D] under the cubic kernel
// of Bińkowski et al. (arXiv:1801.01401, §4), who compare images by it in features of another network than here,
//
//	mean_{i≠j} k(a_i, a_j) + mean_{i≠j} k(b_i, b_j) - 2·mean_{i,j} k(a_i, b_j),  k(x, y) = (x·y/D + 1)³
//
// and its standard error. The estimate is unbiased for any number of points: for sets of one distribution it is as often
// negative as positive.
//
// The paper averages over random subsets. The average over all of them is the formula above on all points; the error is
// by the jackknife, from the estimates on subsets that each leave out a twentieth of a and of b. Where the distributions
// are equal that overstates it somewhat. It panics if a set has fewer than 4 points.
func Kernel(a, b tensor.Tensor) (distance, stdErr float64) {
	n, _ := rows(a)
	m, _ := rows(b)
	if n < 4 || m < 4 {
		panic(fmt.Sprintf("quality: Kernel: got %d and %d points, want at least 4 of each", n, m))
	}
	parts := min(folds, n/2, m/2)
	aa, bb, ab := kernelSums(a, a, parts, true), kernelSums(b, b, parts, true), kernelSums(a, b, parts, false)
	// without returns the estimate that leaves out part g of both sets.
	without := func(g int) float64 {
		na, nb := float64(n-size(n, parts, g)), float64(m-size(m, parts, g))
		return aa.without(g)/(na*(na-1)) + bb.without(g)/(nb*(nb-1)) - 2*ab.without(g)/(na*nb)
	}
	estimates, mean := make([]float64, parts), 0.0
	for g := range estimates {
		estimates[g] = without(g)
		mean += estimates[g] / float64(parts)
	}
	variance := 0.0
	for _, v := range estimates {
		variance += (v - mean) * (v - mean) * float64(parts-1) / float64(parts)
	}
	return without(-1), math.Sqrt(variance)
}

// sums holds, for parts g of one set and h of another, Σ k(x, y) over x in g and y in h: [parts][parts].
type sums [][]float64

// kernelSums returns the sums of two sets cut in parts. If they are the same set, no point is paired with itself.
func kernelSums(a, b tensor.Tensor, parts int, same bool) sums {
	n, d := rows(a)
	m, _ := rows(b)
	s := make(sums, parts)
	par.For(parts, func(g int, _ *par.Scratch) {
		s[g] = make([]float64, parts)
		for h := range s[g] {
			for i := part(n, parts, g); i < part(n, parts, g+1); i++ {
				for j := part(m, parts, h); j < part(m, parts, h+1); j++ {
					if same && i == j {
						continue
					}
					k := simd.Dot(row(a, i), row(b, j))/float64(d) + 1
					s[g][h] += k * k * k
				}
			}
		}
	})
	return s
}

// without returns the sum over all pairs that touch part g of neither set; g = -1 leaves nothing out.
func (s sums) without(g int) float64 {
	total := 0.0
	for i, row := range s {
		for j, v := range row {
			if i != g && j != g {
				total += v
			}
		}
	}
	return total
}

// part returns where part g of n points begins.
func part(n, parts, g int) int { return n * g / parts }

// size returns how many points part g has, 0 for no part.
func size(n, parts, g int) int {
	if g < 0 {
		return 0
	}
	return part(n, parts, g+1) - part(n, parts, g)
}
