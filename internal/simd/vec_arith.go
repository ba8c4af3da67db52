package simd

// Add sets y = a + b, elementwise.
func Add(y, a, b []float32) {
	sameLen("Add", y, a, b)
	switch {
	case useAVX512:
		addAVX512(y, a, b)
	case useAVX2:
		addAVX2(y, a, b)
	default:
		addGo(y, a, b)
	}
}

func addGo(y, a, b []float32) {
	for i := range y {
		y[i] = a[i] + b[i]
	}
}

// Axpy adds a·x to y, elementwise.
func Axpy(y []float32, a float32, x []float32) {
	sameLen("Axpy", y, x)
	switch {
	case useAVX512:
		axpyAVX512(y, a, x)
	case useAVX2:
		axpyAVX2(y, a, x)
	case useNEON:
		axpyFours(y, a, x)
	default:
		axpyGo(y, a, x)
	}
}

func axpyGo(y []float32, a float32, x []float32) {
	for i, x := range x {
		y[i] += float32(a * x)
	}
}

// Scale sets y = a·x, elementwise.
func Scale(y []float32, a float32, x []float32) {
	sameLen("Scale", y, x)
	switch {
	case useAVX512:
		scaleAVX512(y, a, x)
	case useAVX2:
		scaleAVX2(y, a, x)
	default:
		scaleGo(y, a, x)
	}
}

func scaleGo(y []float32, a float32, x []float32) {
	for i, x := range x {
		y[i] = a * x
	}
}

// Lerp moves y the fraction t of the way to x: y += t·(x - y). An exponential
// moving average of x with decay 1-t is this once a step.
func Lerp(y, x []float32, t float32) {
	sameLen("Lerp", y, x)
	switch {
	case useAVX512:
		lerpAVX512(y, x, t)
	case useAVX2:
		lerpAVX2(y, x, t)
	case useNEON:
		lerpFours(y, x, t)
	default:
		lerpGo(y, x, t)
	}
}

func lerpGo(y, x []float32, t float32) {
	for i, x := range x {
		y[i] += float32(t * (x - y[i]))
	}
}
