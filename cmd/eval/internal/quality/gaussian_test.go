package quality

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"

	"ddpm/tensor"
)

// exact is how far float64 arithmetic on a few dozen dimensions may be off, for distances near 1.
const exact = 1e-9

func diagonal(mean []float64, variance ...float64) Gaussian {
	g := Gaussian{mean, mat.NewSymDense(len(mean), nil)}
	for i, v := range variance {
		g.cov.SetSym(i, i, v)
	}
	return g
}

// TestFrechetClosedForm: for diagonal covariances the distance is |m_a - m_b|² + Σ (σ_a - σ_b)².
func TestFrechetClosedForm(t *testing.T) {
	a := diagonal([]float64{0, 1, 2}, 1, 4, 0)
	b := diagonal([]float64{0, 1, 2}, 9, 1, 0.25)
	c := diagonal([]float64{3, 1, -2}, 1, 4, 0)
	near(t, "same mean", Frechet(a, b), 4+1+0.25, exact)
	near(t, "other way round", Frechet(b, a), 4+1+0.25, exact)
	near(t, "same covariance", Frechet(a, c), 9+16, exact)
	near(t, "itself", Frechet(b, b), 0, exact)
}

// TestFrechetTurned turns both Gaussians, and only one. Turned by 45°, variances 9 and 1 become 5, 5 with covariance 4;
// for two dimensions tr √M = √(tr M + 2√det M).
func TestFrechetTurned(t *testing.T) {
	g := func(xx, xy, yy float64) Gaussian {
		return Gaussian{[]float64{0, 0}, mat.NewSymDense(2, []float64{xx, xy, xy, yy})}
	}
	near(t, "both", Frechet(g(5, 4, 5), g(2.5, -1.5, 2.5)), frechet2(5, 4, 5, 2.5, -1.5, 2.5), exact)
	near(t, "by hand", Frechet(g(5, 4, 5), g(10, 6, 10)), (3-4)*(3-4)+(1-2)*(1-2), exact) // 9, 1 and 16, 4 on the same axes
	near(t, "singular", Frechet(g(1, 1, 1), g(1, -1, 1)), 4, exact)                       // lines at right angles: no overlap
}

// frechet2 is the distance in two dimensions, from trace and determinant of Σ_a·Σ_b.
func frechet2(axx, axy, ayy, bxx, bxy, byy float64) float64 {
	trace := axx*bxx + 2*axy*bxy + ayy*byy
	det := (axx*ayy - axy*axy) * (bxx*byy - bxy*bxy)
	return axx + ayy + bxx + byy - 2*math.Sqrt(trace+2*math.Sqrt(det))
}

// TestFrechetOfPoints checks the fit: identical sets are at distance 0, also where there are fewer points than
// dimensions; a shift by δ in each of d dimensions is d·δ²; samples of N(0, 1) and N(0, 2²) come close to d.
func TestFrechetOfPoints(t *testing.T) {
	for _, n := range []int{10, 500} {
		x := normal(1, n, 64, 0, 1)
		near(t, "identical", Frechet(Fit(x), Fit(x)), 0, 1e-6) // eigenvalues near 0 are known to √ of float64's precision
		y := x.Clone()
		for i := range y.Data {
			y.Data[i] += 0.5
		}
		near(t, "shifted", Frechet(Fit(x), Fit(y)), 64*0.25, 1e-4) // points are float32
	}
	a, b := normal(1, 20000, 4, 0, 1), normal(2, 20000, 4, 0, 2)
	near(t, "wider", Frechet(Fit(a), Fit(b)), 4, 0.1) // 4 deviations of four σ estimates, each ±0.01
	g := Fit(tensor.From([]float32{1, 0, 3, 0, 5, 6}, 3, 2))
	near(t, "mean", g.mean[0], 3, exact)
	near(t, "variance", g.cov.At(0, 0), 4, exact) // of 1, 3, 5, divided by N-1
	near(t, "covariance", g.cov.At(0, 1), 6, exact)
}
