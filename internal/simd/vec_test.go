package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// A vecCase is one primitive as it is called and as it is defined. Sources and
// destinations alike are in s and row, filled with numbers beforehand; what is in
// them afterwards, and the result if there is one, must have the same bits. Where
// exp is involved (near), this holds between AVX-512 and AVX2, and plain Go may
// differ in rounding.
type vecCase struct {
	near       bool
	name       string
	slices     int // equally long ones, images for a channel-wise primitive
	rows       int // slices [c] of a channel-wise primitive
	call, goes func(s, row [][]float32) float64
}

func none(f func(s, row [][]float32)) func(s, row [][]float32) float64 {
	return func(s, row [][]float32) float64 { f(s, row); return 0 }
}

func truth(ok bool) float64 {
	if ok {
		return 1
	}
	return 0
}

var testAdam = AdamParams{Beta1: 0.9, Beta2: 0.999, StepSize: 2e-3, Corr2: 7, Eps: 1e-2, Decay: 1e-3, GradScale: 0.7}

var elementCases = []vecCase{
	{true, "Exp", 2, 0, none(func(s, _ [][]float32) { Exp(s[0], s[1]) }), none(func(s, _ [][]float32) { expGo(s[0], s[1]) })},
	{true, "ExpInPlace", 1, 0, none(func(s, _ [][]float32) { Exp(s[0], s[0]) }), none(func(s, _ [][]float32) { expGo(s[0], s[0]) })},
	{true, "SiLU", 2, 0, none(func(s, _ [][]float32) { SiLU(s[0], s[1]) }), none(func(s, _ [][]float32) { siluGo(s[0], s[1]) })},
	{true, "SiLUGrad", 3, 0, none(func(s, _ [][]float32) { SiLUGrad(s[0], s[1], s[2]) }), none(func(s, _ [][]float32) { siluGradGo(s[0], s[1], s[2]) })},
	{true, "Softmax", 2, 0, none(func(s, _ [][]float32) { Softmax(s[0], s[1], 0.3) }), none(func(s, _ [][]float32) { softmaxGo(s[0], s[1], 0.3) })},
	{true, "SoftmaxNegativeScale", 2, 0, none(func(s, _ [][]float32) { Softmax(s[0], s[1], -0.3) }), none(func(s, _ [][]float32) { softmaxGo(s[0], s[1], -0.3) })},
	{true, "SoftmaxInPlace", 1, 0, none(func(s, _ [][]float32) { Softmax(s[0], s[0], 0.3) }), none(func(s, _ [][]float32) { softmaxGo(s[0], s[0], 0.3) })},
	{false, "SoftmaxGrad", 3, 0, none(func(s, _ [][]float32) { SoftmaxGrad(s[0], s[1], s[2], 0.3) }), none(func(s, _ [][]float32) { softmaxGradGo(s[0], s[1], s[2], 0.3) })},
	{false, "SoftmaxGradInPlace", 2, 0, none(func(s, _ [][]float32) { SoftmaxGrad(s[1], s[0], s[1], 0.3) }), none(func(s, _ [][]float32) { softmaxGradGo(s[1], s[0], s[1], 0.3) })},
	{false, "Add", 3, 0, none(func(s, _ [][]float32) { Add(s[0], s[1], s[2]) }), none(func(s, _ [][]float32) { addGo(s[0], s[1], s[2]) })},
	{false, "Axpy", 2, 0, none(func(s, _ [][]float32) { Axpy(s[0], 0.3, s[1]) }), none(func(s, _ [][]float32) { axpyGo(s[0], 0.3, s[1]) })},
	{false, "Scale", 2, 0, none(func(s, _ [][]float32) { Scale(s[0], 0.3, s[1]) }), none(func(s, _ [][]float32) { scaleGo(s[0], 0.3, s[1]) })},
	{false, "Lerp", 2, 0, none(func(s, _ [][]float32) { Lerp(s[0], s[1], 0.3) }), none(func(s, _ [][]float32) { lerpGo(s[0], s[1], 0.3) })},
	{false, "Sum", 1, 0, func(s, _ [][]float32) float64 { return Sum(s[0]) }, func(s, _ [][]float32) float64 { return sumGo(s[0]) }},
	{false, "SumSquares", 1, 0, func(s, _ [][]float32) float64 { return SumSquares(s[0]) }, func(s, _ [][]float32) float64 { return sumSquaresGo(s[0]) }},
	{false, "Dot", 2, 0, func(s, _ [][]float32) float64 { return Dot(s[0], s[1]) }, func(s, _ [][]float32) float64 { return dotGo(s[0], s[1]) }},
	{false, "SquaredError", 3, 0, func(s, _ [][]float32) float64 { return SquaredError(s[0], s[1], s[2]) }, func(s, _ [][]float32) float64 { return squaredErrorGo(s[0], s[1], s[2]) }},
	{false, "SquaredErrorOnly", 2, 0, func(s, _ [][]float32) float64 { return SquaredError(nil, s[0], s[1]) }, func(s, _ [][]float32) float64 { return squaredErrorGo(nil, s[0], s[1]) }},
	{false, "AllFinite", 1, 0, func(s, _ [][]float32) float64 { return truth(AllFinite(s[0])) }, func(s, _ [][]float32) float64 { return truth(allFiniteGo(s[0])) }},
	{false, "Adam", 4, 0, none(func(s, _ [][]float32) { Adam(s[0], s[1], s[2], s[3], testAdam) }), none(func(s, _ [][]float32) {
		k := testAdam.coefficients()
		adamGo(s[0], s[1], s[2], s[3], &k)
	})},
}

var channelCases = []vecCase{
	{false, "Norm", 2, 2, none(func(s, r [][]float32) { Norm(s[0], s[1], r[0], r[1]) }), none(func(s, r [][]float32) { normGo(s[0], s[1], r[0], r[1]) })},
	{true, "NormSiLU", 2, 2, activate(NormSiLU, 1), activate(normSiLUGo, 1)},
	{true, "NormSiLUOfHalf", 2, 2, activate(NormSiLU, 2), activate(normSiLUGo, 2)},
	{true, "NormSiLUGrad", 2, 4, slope(NormSiLUGrad, 1), slope(normSiLUGradGo, 1)},
	{true, "NormSiLUGradOfHalf", 2, 4, slope(NormSiLUGrad, 2), slope(normSiLUGradGo, 2)},
	{false, "NormGrad", 2, 2, none(func(s, r [][]float32) { NormGrad(r[0], r[1], s[0], s[1]) }), none(func(s, r [][]float32) { normGradGo(r[0], r[1], s[0], len(r[0]), s[1], len(r[0]), len(s[0])/len(r[0])) })},
	{false, "Affine3", 3, 3, affineOf(Affine3, 1, false), affineOf(affine3Go, 1, false)},
	{false, "Affine3Add", 3, 3, affineOf(Affine3, 1, true), affineOf(affine3Go, 1, true)},
	{false, "Affine3OfHalf", 3, 3, affineOf(Affine3, 2, false), affineOf(affine3Go, 2, false)},
	{false, "Affine3AddOfHalf", 3, 3, affineOf(Affine3, 2, true), affineOf(affine3Go, 2, true)},
	{false, "Affine3InPlace", 2, 3, none(func(s, r [][]float32) { affineInPlace(Affine3, s, r) }), none(func(s, r [][]float32) { affineInPlace(affine3Go, s, r) })},
	{false, "AddRows", 1, 1, none(func(s, r [][]float32) { AddRows(s[0], r[0]) }), none(func(s, r [][]float32) { addRowsGo(s[0], r[0]) })},
	{false, "CopyPixels", 2, 1, copyHalf(CopyPixels, false), copyHalf(copyPixelsGo, false)},
	{false, "CopyPixelsAdd", 2, 1, copyHalf(CopyPixels, true), copyHalf(copyPixelsGo, true)},
	{false, "ChannelSums", 1, 1, none(func(s, r [][]float32) { ChannelSums(r[0], s[0]) }), none(func(s, r [][]float32) { channelSumsGo(r[0], s[0]) })},
	{false, "ChannelSquares", 1, 2, none(func(s, r [][]float32) { ChannelSquares(r[0], s[0], r[1]) }), none(func(s, r [][]float32) { channelSquaresGo(r[0], s[0], r[1]) })},
}

// activate does the last of so many equal parts of each pixel's channels, and puts it where the first part is.
func activate(f func(y []float32, yPix int, x []float32, xPix, pixels int, scale, shift []float32), parts int) func(s, r [][]float32) float64 {
	return none(func(s, r [][]float32) {
		c := len(r[0])
		from := c - c/parts
		f(s[0], c, s[1][min(from, len(s[1])):], c, len(s[0])/c, r[0][from:], r[1][from:])
	})
}

// slope is NormSiLUGrad of the last of so many equal parts of da's channels; x has no others.
func slope(f func(da []float32, daPix int, x []float32, xPix, pixels int, scale, shift, sum, sumX []float32), parts int) func(s, r [][]float32) float64 {
	return none(func(s, r [][]float32) {
		c := len(r[0])
		part := c / parts
		from := c - part
		f(s[0][min(from, len(s[0])):], c, s[1], part, len(s[0])/c, r[0][from:], r[1][from:], r[2][from:], r[3][from:])
	})
}

type affine3 func(dx []float32, dxPix int, du []float32, duPix int, x []float32, xPix, pixels int, a, b, c []float32, add bool)

// affineOf is Affine3 for the last of so many equal parts of dx's channels; du has no others, and x some.
func affineOf(f affine3, parts int, add bool) func(s, r [][]float32) float64 {
	return none(func(s, r [][]float32) {
		c := len(r[0])
		part := c / parts
		from := c - part
		f(s[0][min(from, len(s[0])):], c, s[1], part, s[2], (part+c)/2, len(s[0])/c, r[0][from:], r[1][from:], r[2][from:], add)
	})
}

func affineInPlace(f affine3, s, r [][]float32) {
	c := len(r[0])
	f(s[0], c, s[0], c, s[1], c, len(s[0])/c, r[0], r[1], r[2], false)
}

// copyHalf moves the first half of each pixel's channels, and the middle one, to where the last half is.
func copyHalf(f func(y []float32, yPix int, x []float32, xPix, pixels, c int, add bool), add bool) func(s, r [][]float32) float64 {
	return none(func(s, r [][]float32) {
		c := len(r[0])
		f(s[0][min(c/2, len(s[0])):], c, s[1], c, len(s[0])/c, c-c/2, add)
	})
}

// vecGuard is how many elements on either side of a slice are watched. Any whole
// vector that a mask should have cut short reaches into them.
const vecGuard = 32

// A guarded slice lies at an offset within a buffer of canaries.
type guarded struct {
	buffer, slice []float32
	start         int
}

const canary = 12345.5

func guard(values []float32, offset int) guarded {
	g := guarded{start: vecGuard + offset}
	g.buffer = make([]float32, g.start+len(values)+vecGuard)
	for i := range g.buffer {
		g.buffer[i] = canary
	}
	end := g.start + len(values)
	g.slice = g.buffer[g.start:end:end]
	copy(g.slice, values)
	return g
}

// disturbed reports whether something outside the slice was written.
func (g guarded) disturbed() bool {
	for i, v := range g.buffer {
		if (i < g.start || i >= g.start+len(g.slice)) && v != canary {
			return true
		}
	}
	return false
}

func sameBits(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

// awkward are the values where something changes, and what may go wrong.
var awkward = []float32{
	0, float32(math.Copysign(0, -1)), 1e-40, -1e-40, 1e30, -1e30,
	float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), math.Float32frombits(0x7fc00001), math.Float32frombits(0xff812345),
	siluMax, -siluMax, 87.1, -87.1, expMin, -87.4, expMax, 88.8, 100, -100, 1000, -1000, 0.3465, -0.3466, 1, -1,
}

// vecValues is n numbers of the size activations have; some are awkward if asked.
func vecValues(r *rand.Rand, n int, special bool) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = 3 * float32(r.NormFloat64())
		if special && r.IntN(4) == 0 {
			v[i] = awkward[r.IntN(len(awkward))]
		}
	}
	return v
}

// run calls f on copies of the values that lie at offset, and returns them with
// f's result.
func run(t *testing.T, f func(s, row [][]float32) float64, values, rows [][]float32, offset int) ([][]float32, float64) {
	t.Helper()
	var guards []guarded
	place := func(from [][]float32, offset int) (s [][]float32) {
		for i, v := range from {
			g := guard(v, (offset+3*i)%16)
			guards, s = append(guards, g), append(s, g.slice)
		}
		return s
	}
	s, row := place(values, offset), place(rows, offset+7)
	result := f(s, row)
	for k, g := range guards {
		if g.disturbed() {
			t.Fatalf("length %d, offset %d: wrote outside slice %d", len(values[0]), offset, k)
		}
	}
	return append(s, row...), result
}

// holdTo compares the case with its definition.
func (c vecCase) holdTo(t *testing.T, values, rows [][]float32, offset int) {
	t.Helper()
	got, gotResult := run(t, c.call, values, rows, offset)
	want, wantResult := run(t, c.goes, values, rows, 0)
	where := fmt.Sprintf("%s: length %d, offset %d", c.name, len(values[0]), offset)
	if rows != nil {
		where += fmt.Sprintf(", %d channels", len(rows[0]))
	}
	if gotResult != wantResult && (gotResult == gotResult || wantResult == wantResult) {
		t.Fatalf("%s: got result %g, want %g", where, gotResult, wantResult)
	}
	equal := sameBits
	if c.near {
		tolerance := roundings(values, rows)
		equal = func(g, w float32) bool {
			return sameBits(g, w) || math.Abs(float64(g)-float64(w)) <= tolerance
		}
		if useAVX512 {
			useAVX512 = false
			narrow, _ := run(t, c.call, values, rows, offset+5)
			useAVX512 = true
			compare(t, where+", AVX-512 and AVX2", got, narrow, sameBits)
		}
	}
	compare(t, where, got, want, equal)
}

func compare(t *testing.T, where string, got, want [][]float32, equal func(g, w float32) bool) {
	t.Helper()
	for k := range want {
		for i, w := range want[k] {
			if g := got[k][i]; !equal(g, w) {
				t.Fatalf("%s: slice %d element %d: got %g (%#x), want %g (%#x)", where, k, i, g, math.Float32bits(g), w, math.Float32bits(w))
			}
		}
	}
}

// roundings is how far two ways of rounding may lead apart: four of products of
// two values, once for each pixel of a sum. It says nothing about values of 1e30,
// of which it leaves only to compare which are finite; the errors of ordinary
// values are in vec_accuracy_test.go.
func roundings(values, rows [][]float32) float64 {
	largest := 1.0
	for _, v := range append(append([][]float32(nil), values...), rows...) {
		for _, v := range v {
			if a := math.Abs(float64(v)); a <= math.MaxFloat32 {
				largest = max(largest, a)
			}
		}
	}
	pixels := 1
	if rows != nil {
		pixels += len(values[0]) / len(rows[0])
	}
	return 4 * epsilon * largest * largest * float64(pixels)
}

// Every length about the vector widths and every alignment must give the bits
// that plain Go does, and touch nothing else.
func TestElementwiseBits(t *testing.T) {
	const longest = 257
	implementations(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, c := range elementCases {
			for _, special := range []bool{false, true} {
				values := make([][]float32, c.slices)
				for i := range values {
					values[i] = vecValues(r, longest, special)
				}
				for n := 0; n <= longest; n++ {
					cut := make([][]float32, c.slices)
					for i := range cut {
						cut[i] = values[i][longest-n:]
					}
					for offset := range 16 {
						if n > 70 && offset%5 != n%5 {
							continue // all alignments for all of the lengths with new code paths
						}
						c.holdTo(t, cut, nil, offset)
					}
				}
			}
		}
	})
}

func TestChannelwiseBits(t *testing.T) {
	implementations(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, c := range channelCases {
			for _, channels := range []int{1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 96} {
				for _, pixels := range []int{0, 1, 2, 3, 4, 63, 64, 65, 66, 129} {
					for _, special := range []bool{false, true} {
						values, rows := make([][]float32, c.slices), make([][]float32, c.rows)
						for i := range values {
							values[i] = vecValues(r, pixels*channels, special)
						}
						for i := range rows {
							rows[i] = vecValues(r, channels, special)
						}
						c.holdTo(t, values, rows, r.IntN(16))
					}
				}
			}
		}
	})
}

// The bits must not depend on which other elements share a vector.
func TestVectorsHaveNoNeighbours(t *testing.T) {
	implementations(t, func(t *testing.T) {
		x := vecValues(rand.New(rand.NewPCG(5, 6)), 100, true)
		all, one := make([]float32, len(x)), make([]float32, 1)
		SiLU(all, x)
		for i := range x {
			if SiLU(one, x[i:i+1]); !sameBits(one[0], all[i]) {
				t.Fatalf("SiLU(%g): got %g alone and %g among others", x[i], one[0], all[i])
			}
		}
	})
}

func TestVectorChecks(t *testing.T) {
	four, five, six := make([]float32, 4), make([]float32, 5), make([]float32, 6)
	for name, f := range map[string]func(){
		"Exp":               func() { Exp(four, five) },
		"SiLU":              func() { SiLU(five, four) },
		"SiLUGrad":          func() { SiLUGrad(four, four, five) },
		"Softmax":           func() { Softmax(four, five, 1) },
		"SoftmaxGrad":       func() { SoftmaxGrad(four, five, four, 1) },
		"Add":               func() { Add(four, four, five) },
		"Axpy":              func() { Axpy(four, 1, five) },
		"Scale":             func() { Scale(four, 1, five) },
		"Lerp":              func() { Lerp(four, five, 1) },
		"Dot":               func() { Dot(four, five) },
		"SquaredError":      func() { SquaredError(nil, four, five) },
		"SquaredError d":    func() { SquaredError(five, four, four) },
		"Adam":              func() { Adam(four, four, four, five, testAdam) },
		"Norm":              func() { Norm(four, four, six[:2], six[:1]) },
		"Norm empty":        func() { Norm(four, four, nil, nil) },
		"Norm images":       func() { Norm(four, six, six[:2], six[:2]) },
		"NormSiLU":          func() { NormSiLU(five, 2, six, 2, 3, six[:2], six[:2]) },
		"NormSiLU rows":     func() { NormSiLU(six, 2, six, 2, 3, six[:2], six[:1]) },
		"NormSiLU yPix":     func() { NormSiLU(six, 1, six, 2, 3, six[:2], six[:2]) },
		"NormSiLUGrad":      func() { NormSiLUGrad(six, 3, six, 3, 2, six[:3], six[:3], six[:3], six[:2]) },
		"NormSiLUGrad da":   func() { NormSiLUGrad(six, 4, six, 3, 2, six[:3], six[:3], six[:3], six[:3]) },
		"NormSiLUGrad x":    func() { NormSiLUGrad(six, 3, six, 4, 2, six[:3], six[:3], six[:3], six[:3]) },
		"NormSiLUGrad xPix": func() { NormSiLUGrad(six, 3, six, 2, 2, six[:3], six[:3], six[:3], six[:3]) },
		"NormGrad":          func() { NormGrad(six[:3], six[:2], six, six) },
		"Affine3":           func() { Affine3(six, 3, six, 3, six, 3, 2, six[:3], six[:3], six[:2], true) },
		"Affine3 dx":        func() { Affine3(six, 4, six, 3, six, 3, 2, six[:3], six[:3], six[:3], true) },
		"Affine3 du":        func() { Affine3(six, 3, six, 4, six, 3, 2, six[:3], six[:3], six[:3], true) },
		"Affine3 x":         func() { Affine3(six, 3, six, 3, six, 4, 2, six[:3], six[:3], six[:3], true) },
		"Affine3 dxPix":     func() { Affine3(six, 2, six, 3, six, 3, 2, six[:3], six[:3], six[:3], true) },
		"Affine3 duPix":     func() { Affine3(six, 3, six, 2, six, 3, 2, six[:3], six[:3], six[:3], true) },
		"Affine3 xPix":      func() { Affine3(six, 3, six, 3, six, 2, 2, six[:3], six[:3], six[:3], true) },
		"AddRows":           func() { AddRows(five, six[:2]) },
		"CopyPixels":        func() { CopyPixels(five, 2, six, 3, 3, 2, false) },
		"CopyPixels far":    func() { CopyPixels(six, 2, six, 3, 3, 2, true) },
		"CopyPixels yPix":   func() { CopyPixels(six, 1, six, 1, 1, 2, true) },
		"ChannelSums":       func() { ChannelSums(six[:2], five) },
		"ChannelSquares":    func() { ChannelSquares(six[:2], six, six[:3]) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Fatal("lengths that do not match did not panic")
				}
			}()
			f()
		})
	}
}

func TestVectorsDoNotAllocate(t *testing.T) {
	implementations(t, func(t *testing.T) {
		n := testing.AllocsPerRun(10, func() {
			var a, b, c, d [40]float32
			var row [8]float32
			Softmax(a[:], b[:], 1)
			NormSiLU(a[:], 8, b[:], 8, 5, row[:], row[:])
			Adam(a[:], b[:], c[:], d[:], testAdam)
			SquaredError(a[:], b[:], c[:])
		})
		if n != 0 {
			t.Fatalf("got %g allocations, want 0", n)
		}
	})
}
