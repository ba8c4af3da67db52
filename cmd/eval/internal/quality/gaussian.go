// Package quality compares sets of points: what a classifier sees in generated images with what it sees in real ones.
//
// Points are the rows of a tensor [N …]; its other dimensions count as one, D. Points are compared as the metrics of the
// literature are, but in another feature space, so the numbers are comparable with each other and with nothing else.
package quality

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"ddpm/tensor"
)

// Gaussian is the normal distribution with the mean and covariance of a set of points.
type Gaussian struct {
	mean []float64
	cov  *mat.SymDense
}

// Fit returns the Gaussian of points x [N D]; its covariance is the unbiased one, divided by N-1. It panics if there are
// fewer than two.
func Fit(x tensor.Tensor) Gaussian {
	n, d := rows(x)
	if n < 2 {
		panic(fmt.Sprintf("quality: Fit: got %d points, want at least 2", n))
	}
	points := mat.NewDense(n, d, nil)
	for i, v := range x.Data {
		points.Set(i/d, i%d, float64(v))
	}
	g := Gaussian{mean: make([]float64, d), cov: mat.NewSymDense(d, nil)}
	for j := range g.mean {
		g.mean[j] = stat.Mean(mat.Col(nil, j, points), nil)
	}
	stat.CovarianceMatrix(g.cov, points, nil)
	return g
}

// Frechet returns the squared Fréchet distance of two Gaussians (Dowson and Landau 1982), which Heusel et al.
// (arXiv:1706.08500, eq. 6) compare images by, in features of another network than here:
//
//	|m_a - m_b|² + tr Σ_a + tr Σ_b - 2·tr √(Σ_a·Σ_b)
//
// √(Σ_a·Σ_b) is not symmetric, but has the eigenvalues of √(√Σ_a·Σ_b·√Σ_a), which is: their sum is the trace. So singular
// covariances, of fewer points than dimensions, need no correction on the diagonal.
func Frechet(a, b Gaussian) float64 {
	sum := 0.0
	for i, m := range a.mean {
		sum += (m - b.mean[i]) * (m - b.mean[i])
	}
	values, vectors := eigen(a.cov)
	d := len(values)
	root := mat.NewDense(d, d, nil) // √Σ_a = V·√λ·Vᵀ
	root.Apply(func(_, j int, v float64) float64 { return v * math.Sqrt(values[j]) }, vectors)
	root.Mul(root, vectors.T())
	var product mat.Dense
	product.Product(root, b.cov, root)
	symmetric := mat.NewSymDense(d, nil)
	for i := range d {
		for j := i; j < d; j++ {
			symmetric.SetSym(i, j, (product.At(i, j)+product.At(j, i))/2)
		}
	}
	values, _ = eigen(symmetric)
	trace := 0.0
	for _, v := range values {
		trace += math.Sqrt(v)
	}
	return max(0, sum+mat.Trace(a.cov)+mat.Trace(b.cov)-2*trace) // rounding can make 0 negative
}

// eigen returns the eigenvalues of a positive semidefinite matrix, those that rounding made negative as 0, and its
// eigenvectors as columns.
func eigen(x *mat.SymDense) ([]float64, *mat.Dense) {
	var e mat.EigenSym
	if !e.Factorize(x, true) {
		panic("quality: Frechet: the eigenvalues of a covariance do not converge; got points that are not finite?")
	}
	values := e.Values(nil)
	for i, v := range values {
		values[i] = max(v, 0)
	}
	var vectors mat.Dense
	e.VectorsTo(&vectors)
	return values, &vectors
}

// rows returns how many points x holds and of how many numbers each.
func rows(x tensor.Tensor) (n, d int) {
	if n = x.Shape[0]; n > 0 {
		d = len(x.Data) / n
	}
	return n, d
}

// row returns point i of x.
func row(x tensor.Tensor, i int) []float32 {
	_, d := rows(x)
	return x.Data[i*d:][:d]
}
