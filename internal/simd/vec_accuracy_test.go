package simd

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The primitives against their formulas in float64.

// ulps is |got-want| in units of the last place of a float32 of want's size.
func ulps(got float32, want float64) float64 {
	_, e := math.Frexp(want)
	return math.Abs(float64(got)-want) / math.Ldexp(1, max(e, -125)-24)
}

const (
	expUlps  = 1.1 // 0.5 for the last addition, the rest for r and the polynomial; 0.9 with fused multiply-add
	siluUlps = 2.5 // exp's error, the addition and the division

	// epsilon is the rounding error of one float32 operation, relative.
	epsilon = 1.0 / (1 << 24)
)

// sweep calls f with about two million arguments, as dense everywhere as float32 is.
func sweep(low, high float32, f func(x []float32)) {
	const step = 1009 // prime, so that all low bits occur
	x := make([]float32, 0, 4096)
	add := func(v float32) {
		if x = append(x, v); len(x) == cap(x) {
			f(x)
			x = x[:0]
		}
	}
	for b := uint32(0); b <= math.Float32bits(high); b += step {
		add(math.Float32frombits(b))
	}
	for b := uint32(0); b <= math.Float32bits(-low); b += step {
		add(-math.Float32frombits(b))
	}
	f(x)
}

func TestExpError(t *testing.T) { implementations(t, checkExpError) }

func checkExpError(t *testing.T) {
	y := make([]float32, 4096)
	worst, at := 0.0, float32(0)
	sweep(expMin, expMax, func(x []float32) {
		Exp(y[:len(x)], x)
		for i, x := range x {
			if u := ulps(y[i], math.Exp(float64(x))); !(u <= worst) {
				worst, at = u, x
			}
		}
	})
	t.Logf("largest error %.3f ulp, at %g", worst, at)
	if !(worst <= expUlps) {
		t.Fatalf("exp(%g): error %.3f ulp, want at most %.3f", at, worst, expUlps)
	}
}

func TestSiLUError(t *testing.T) { implementations(t, checkSiLUError) }

func checkSiLUError(t *testing.T) {
	y := make([]float32, 4096)
	worst, at := 0.0, float32(0)
	sweep(-siluMax, siluMax, func(x []float32) {
		SiLU(y[:len(x)], x)
		for i, x := range x {
			x64 := float64(x)
			if u := ulps(y[i], x64/(1+math.Exp(-x64))); !(u <= worst) {
				worst, at = u, x
			}
		}
	})
	t.Logf("largest error %.3f ulp, at %g", worst, at)
	if !(worst <= siluUlps) {
		t.Fatalf("silu(%g): error %.3f ulp, want at most %.3f", at, worst, siluUlps)
	}
}

func slope64(x float64) float64 {
	s := 1 / (1 + math.Exp(-x))
	return s * (1 + x*(1-s))
}

// The slope is zero at -1.28 and its terms cancel about there, so its error is
// measured against the sum of their sizes.
func TestSiLUGradError(t *testing.T) { implementations(t, checkSiLUGradError) }

func checkSiLUGradError(t *testing.T) {
	const tolerance = 6 * epsilon // exp, 1+e, 1/, and three products, in a walk
	dx, dy := make([]float32, 4096), make([]float32, 4096)
	for i := range dy {
		dy[i] = 1
	}
	sweep(-siluMax, siluMax, func(x []float32) {
		clear(dx)
		SiLUGrad(dx[:len(x)], x, dy[:len(x)])
		for i, x := range x {
			x := float64(x)
			s := 1 / (1 + math.Exp(-x))
			size := s * (1 + math.Abs(x)*(1-s))
			if d := math.Abs(float64(dx[i]) - slope64(x)); !(d <= tolerance*size) {
				t.Fatalf("slope at %g: got %g, want %g", x, dx[i], slope64(x))
			}
		}
	})
}

func TestExpLimits(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	implementations(t, func(t *testing.T) {
		least := []float32{-siluMax}
		SiLU(least, least)
		siluLeast := least[0]
		if siluLeast > 0 || siluLeast < -1.5e-36 {
			t.Fatalf("silu(-87): got %g, want almost 0", siluLeast)
		}
		for _, c := range []struct{ x, exp, silu, slope float32 }{
			{0, 1, 0, 0.5},
			{100, inf, 100, 1},
			{-100, 0, siluLeast, 0},
			{inf, inf, inf, 1},
			{-inf, 0, siluLeast, 0},
			{nan, nan, nan, nan},
			{math.Float32frombits(0xffffffff), nan, nan, nan}, // a NaN whose payload could spill into the exponent
			{math.Float32frombits(0x7f800001), nan, nan, nan},
			{math.MaxFloat32, inf, math.MaxFloat32, 1},
		} {
			x, y := []float32{c.x}, []float32{7}
			if Exp(y, x); !sameBits(y[0], c.exp) {
				t.Errorf("exp(%g): got %g, want %g", c.x, y[0], c.exp)
			}
			if SiLU(y, x); !sameBits(y[0], c.silu) {
				t.Errorf("silu(%g): got %g, want %g", c.x, y[0], c.silu)
			}
			y[0] = 2
			if SiLUGrad(y, x, []float32{3}); !sameBits(y[0], 2+3*c.slope) {
				t.Errorf("2 + 3·silu'(%g): got %g, want %g", c.x, y[0], 2+3*c.slope)
			}
		}
	})
}

func TestSoftmax(t *testing.T) { implementations(t, checkSoftmax) }

func checkSoftmax(t *testing.T) {
	const tolerance = 16 * epsilon // two exps and a sum
	r := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{1, 2, 16, 49, 196, 1024} {
		x := vecValues(r, n, false)
		y, dy, dx := make([]float32, n), vecValues(r, n, false), make([]float32, n)
		const scale = 1.7
		Softmax(y, x, scale)
		top, sum, total, mean, size := math.Inf(-1), 0.0, 0.0, 0.0, 0.0
		for _, x := range x {
			top = max(top, scale*float64(x))
		}
		for _, x := range x {
			sum += math.Exp(scale*float64(x) - top)
		}
		for i, x := range x {
			want := math.Exp(scale*float64(x)-top) / sum
			// Rounding scale·x moves the exponent by a share of itself.
			if !(math.Abs(float64(y[i])-want) <= (tolerance+2*epsilon*(math.Abs(scale*float64(x))+top))*want) {
				t.Fatalf("n = %d, element %d: got %g, want %g", n, i, y[i], want)
			}
			total += float64(y[i])
			mean += float64(y[i]) * float64(dy[i])
			size += float64(y[i]) * math.Abs(float64(dy[i]))
		}
		if !(math.Abs(total-1) <= tolerance) {
			t.Fatalf("n = %d: sum %.9g, want 1", n, total)
		}
		SoftmaxGrad(dx, y, dy, scale)
		for i := range dx {
			want := scale * float64(y[i]) * (float64(dy[i]) - mean)
			if !(math.Abs(float64(dx[i])-want) <= tolerance*scale*float64(y[i])*(size+math.Abs(float64(dy[i])))) {
				t.Fatalf("n = %d, gradient %d: got %g, want %g", n, i, dx[i], want)
			}
		}
	}
}

// Softmax doesn't change when a constant is added to all entries, and nothing that
// may lie beside them, such as the zeros of a masked tail, counts as the largest.
func TestSoftmaxShifted(t *testing.T) {
	implementations(t, func(t *testing.T) {
		for n := 1; n <= 70; n++ {
			x, low := make([]float32, n), make([]float32, n)
			for i := range x {
				x[i] = float32(i % 7)
				low[i] = x[i] - 512
			}
			Softmax(x, x, 1)
			Softmax(low, low, 1)
			for i := range x {
				if !sameBits(x[i], low[i]) {
					t.Fatalf("n = %d, element %d: got %g for entries less 512, want %g", n, i, low[i], x[i])
				}
			}
		}
	})
}

func TestSoftmaxMasked(t *testing.T) {
	inf := float32(math.Inf(1))
	implementations(t, func(t *testing.T) {
		y := make([]float32, 3)
		Softmax(y, []float32{1000, -inf, 1000}, 1)
		if y[0] != 0.5 || y[1] != 0 || y[2] != 0.5 {
			t.Errorf("two equal and one masked entry: got %v", y)
		}
		for _, bad := range [][]float32{{-inf, -inf, -inf}, {1, inf, 2}, {float32(math.NaN()), 1, 2}} {
			Softmax(y, bad, 1)
			for _, v := range y {
				if v == v {
					t.Errorf("softmax of %v: got %v, want NaN", bad, y)
					break
				}
			}
		}
	})
}

func TestNormGradients(t *testing.T) { implementations(t, checkNormGradients) }

func checkNormGradients(t *testing.T) {
	// Every operation on the way to a sum of n terms may add a rounding error of
	// the sum of their sizes.
	const tolerance = 16 * epsilon
	r := rand.New(rand.NewPCG(2, 2))
	const p, c = 150, 35
	x, da, du := vecValues(r, p*c, false), vecValues(r, p*c, false), make([]float32, p*c)
	y, act, plain := make([]float32, p*c), make([]float32, p*c), make([]float32, p*c)
	scale, shift := vecValues(r, c, false), vecValues(r, c, false)
	rows := make([]float32, 6*c)
	sum, sumX, sum2, sumX2 := rows[:c], rows[c:2*c], rows[2*c:3*c], rows[3*c:4*c]
	total, squares := rows[4*c:5*c], rows[5*c:]
	for j := range c {
		sum[j], sumX[j], sum2[j], sumX2[j], total[j], squares[j] = 1, 2, 3, 4, 5, 6 // added to
	}
	Norm(plain, x, scale, shift)
	NormSiLU(act, len(scale), x, len(scale), len(x)/len(scale), scale, shift)
	copy(du, da)
	NormSiLUGrad(du, c, x, c, p, scale, shift, sum, sumX)
	NormGrad(sum2, sumX2, x, da)
	ChannelSums(total, x)
	ChannelSquares(squares, x, shift)
	Affine3(y, c, da, c, x, c, p, scale, shift, sum, false)

	near := func(what string, got float32, want, size float64) {
		t.Helper()
		if !(math.Abs(float64(got)-want) <= tolerance*size) {
			t.Fatalf("%s: got %g, want %g", what, got, want)
		}
	}
	for j := range c {
		s, b := float64(scale[j]), float64(shift[j])
		wantSum, wantSumX, wantSum2, wantSumX2, wantTotal, wantSquares := 1.0, 2.0, 3.0, 4.0, 5.0, 6.0
		var size, sizeX float64
		for i := j; i < p*c; i += c {
			xi, di := float64(x[i]), float64(da[i])
			u := xi*s + b
			sizeU := math.Abs(xi*s) + math.Abs(b)
			near("Norm", plain[i], u, sizeU)
			near("NormSiLU", act[i], u/(1+math.Exp(-u)), (1+sizeU)*(1+math.Abs(u)))
			near("du", du[i], di*slope64(u), math.Abs(di)*(1+sizeU))
			near("Affine3", y[i], di*s+xi*b+float64(sum[j]), math.Abs(di*s)+math.Abs(xi*b)+math.Abs(float64(sum[j])))
			wantSum += di * slope64(u)
			wantSumX += di * slope64(u) * xi
			wantSum2 += di
			wantSumX2 += di * xi
			wantTotal += xi
			wantSquares += (xi - b) * (xi - b)
			size += math.Abs(di)*(1+sizeU) + math.Abs(xi)
			sizeX += (math.Abs(di)*(1+sizeU))*math.Abs(xi) + (xi-b)*(xi-b)
		}
		near("sum", sum[j], wantSum, size)
		near("sumX", sumX[j], wantSumX, sizeX)
		near("NormGrad sum", sum2[j], wantSum2, size)
		near("NormGrad sumX", sumX2[j], wantSumX2, sizeX)
		near("ChannelSums", total[j], wantTotal, size)
		near("ChannelSquares", squares[j], wantSquares, sizeX)
	}
}

// Sums in float64 are exact where every partial sum is.
func TestSumsExact(t *testing.T) { implementations(t, checkSumsExact) }

func checkSumsExact(t *testing.T) {
	const n = 100_001
	x, one := make([]float32, n), make([]float32, n)
	for i := range x {
		x[i], one[i] = float32(i), 1
	}
	d := make([]float32, n)
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"Sum", Sum(x), (n - 1) * n / 2},
		{"SumSquares", SumSquares(x), (n - 1) * n * (2*n - 1) / 6},
		{"Dot", Dot(x, one), (n - 1) * n / 2},
		{"SquaredError", SquaredError(d, x, one), (n-1)*n*(2*n-1)/6 - (n-1)*n + n},
		{"d", float64(d[n-1]), n - 2},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %.0f, want %.0f", c.name, c.got, c.want)
		}
	}
}

// Each element of a long vector must count: no lane, no tail is left out.
func TestAllFiniteFindsEach(t *testing.T) {
	implementations(t, func(t *testing.T) {
		x := make([]float32, 100)
		for i := range x {
			for _, bad := range []float32{float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())} {
				x[i] = bad
				if AllFinite(x) {
					t.Fatalf("%g in element %d: not seen", bad, i)
				}
			}
			x[i] = math.MaxFloat32
		}
		if !AllFinite(x) {
			t.Fatal("the largest finite numbers are called infinite")
		}
	})
}

// The first step of Adam has length StepSize in the direction of the gradient,
// whatever its size, and decay shrinks the weight before it.
func TestAdamFirstStep(t *testing.T) {
	const rate, beta1, beta2, tolerance = 1e-3, 0.9, 0.999, 4 * epsilon
	p := AdamParams{Beta1: beta1, Beta2: beta2, StepSize: rate / (1 - beta1), Corr2: 1 / math.Sqrt(1-beta2), Eps: 1e-12, Decay: 0.25, GradScale: 0.5}
	implementations(t, func(t *testing.T) {
		w, g := []float32{2, 2, 2}, []float32{5, -3e-4, 0}
		m, v := make([]float32, 3), make([]float32, 3)
		Adam(w, g, m, v, p)
		for i, want := range []float64{1.5 - rate, 1.5 + rate, 1.5} {
			if !(math.Abs(float64(w[i])-want) <= tolerance*want) {
				t.Errorf("w[%d]: got %.8f, want %.8f", i, w[i], want)
			}
		}
		for i, want := range []float64{(1 - beta2) * 2.5 * 2.5, (1 - beta2) * 1.5e-4 * 1.5e-4, 0} {
			if !(math.Abs(float64(v[i])-want) <= tolerance*want) {
				t.Errorf("v[%d]: got %.8g, want %.8g", i, v[i], want)
			}
		}
		if g[0] != 5 {
			t.Errorf("the gradient was changed to %g", g[0])
		}
	})
}

// Several steps against the algorithm in float64.
func TestAdamSteps(t *testing.T) { implementations(t, checkAdamSteps) }

func checkAdamSteps(t *testing.T) {
	const n, steps, rate, beta1, beta2, eps, decay = 37, 20, 1e-2, 0.9, 0.999, 0.3, 0.1
	const tolerance = 8 * steps * epsilon
	r := rand.New(rand.NewPCG(4, 4))
	w, m, v := vecValues(r, n, false), make([]float32, n), make([]float32, n)
	w64, m64, v64 := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range w {
		w64[i] = float64(w[i])
	}
	for s := 1; s <= steps; s++ {
		g := vecValues(r, n, false)
		c1, c2 := 1-math.Pow(beta1, float64(s)), 1-math.Pow(beta2, float64(s))
		Adam(w, g, m, v, AdamParams{beta1, beta2, rate / c1, 1 / math.Sqrt(c2), eps, rate * decay, 2})
		for i, g := range g {
			g := 2 * float64(g)
			m64[i] = beta1*m64[i] + (1-beta1)*g
			v64[i] = beta2*v64[i] + (1-beta2)*g*g
			w64[i] = w64[i]*(1-rate*decay) - rate*(m64[i]/c1)/(math.Sqrt(v64[i]/c2)+eps)
		}
	}
	for i := range w {
		if !(math.Abs(float64(w[i])-w64[i]) <= tolerance*(math.Abs(w64[i])+1)) {
			t.Errorf("w[%d]: got %g, want %g", i, w[i], w64[i])
		}
	}
}

func TestElementwiseByHand(t *testing.T) {
	implementations(t, func(t *testing.T) {
		a, b, y := []float32{1, 2, 3}, []float32{10, 20, 30}, make([]float32, 3)
		is := func(what string, want ...float32) {
			t.Helper()
			for i := range want {
				if y[i] != want[i] {
					t.Fatalf("%s: got %v, want %v", what, y, want)
				}
			}
		}
		Add(y, a, b)
		is("Add", 11, 22, 33)
		Axpy(y, 2, a)
		is("Axpy", 13, 26, 39)
		Scale(y, -1, a)
		is("Scale", -1, -2, -3)
		Lerp(y, b, 0.5)
		is("Lerp", 4.5, 9, 13.5)
		AddRows(y, []float32{1})
		is("AddRows", 5.5, 10, 14.5)
	})
}
