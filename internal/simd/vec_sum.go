package simd

// Sums over whole vectors. Elements are converted to float64 first, where the
// product of two of them is exact and the additions leave a relative error below
// n/16·1.1e-16 of the sum of absolute values.

// Sum is Σ x.
func Sum(x []float32) float64 {
	switch {
	case useAVX512:
		return sumAVX512(x)
	case useAVX2:
		return sumAVX2(x)
	}
	return sumGo(x)
}

func sumGo(x []float32) float64 {
	var sum [lanes]float64
	for i, x := range x {
		sum[i%lanes] += float64(x)
	}
	return fold(&sum)
}

// SumSquares is Σ x².
func SumSquares(x []float32) float64 {
	switch {
	case useAVX512:
		return sumSquaresAVX512(x)
	case useAVX2:
		return sumSquaresAVX2(x)
	}
	return sumSquaresGo(x)
}

func sumSquaresGo(x []float32) float64 {
	var sum [lanes]float64
	for i, x := range x {
		sum[i%lanes] += float64(x) * float64(x)
	}
	return fold(&sum)
}

// Dot is Σ x·y.
func Dot(x, y []float32) float64 {
	sameLen("Dot", x, y)
	switch {
	case useAVX512:
		return dotAVX512(x, y)
	case useAVX2:
		return dotAVX2(x, y)
	}
	return dotGo(x, y)
}

func dotGo(x, y []float32) float64 {
	var sum [lanes]float64
	for i, x := range x {
		sum[i%lanes] += float64(x) * float64(y[i])
	}
	return fold(&sum)
}

// SquaredError is Σ (a-b)², the difference rounded to float32. It sets d = a - b
// unless d is nil.
func SquaredError(d, a, b []float32) float64 {
	sameLen("SquaredError", a, b)
	if d != nil {
		sameLen("SquaredError", a, d)
	}
	switch {
	case useAVX512 && d != nil:
		return squaredErrorAVX512(d, a, b)
	case useAVX512:
		return squaredDistanceAVX512(a, b)
	case useAVX2 && d != nil:
		return squaredErrorAVX2(d, a, b)
	case useAVX2:
		return squaredDistanceAVX2(a, b)
	}
	return squaredErrorGo(d, a, b)
}

func squaredErrorGo(d, a, b []float32) float64 {
	var sum [lanes]float64
	for i, a := range a {
		e := a - b[i]
		if d != nil {
			d[i] = e
		}
		sum[i%lanes] += float64(e) * float64(e)
	}
	return fold(&sum)
}

// AllFinite reports whether x holds neither NaN nor an infinity.
func AllFinite(x []float32) bool {
	switch {
	case useAVX512:
		return allFiniteAVX512(x)
	case useAVX2:
		return allFiniteAVX2(x)
	}
	return allFiniteGo(x)
}

func allFiniteGo(x []float32) bool {
	for _, x := range x {
		if x-x != 0 {
			return false
		}
	}
	return true
}
