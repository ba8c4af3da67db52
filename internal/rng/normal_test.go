package rng

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"testing"
)

// seriesError is what the truncated series may be off by: their first omitted terms are 3.3e-14 (logarithm,
// relative), 2.6e-14 (sine, relative) and 1e-15 (cosine).
const seriesError = 1e-13

// TestLogUnit compares with math.Log at both ends, around powers of two and their multiples by √½, and in between.
func TestLogUnit(t *testing.T) {
	check := func(w uint32) {
		got, want := logUnit(w), math.Log(float64(uint64(w)+1)/(1<<32))
		if !(math.Abs(got-want) <= seriesError*math.Abs(want)) {
			t.Errorf("logUnit(%d) = %.17g, want %.17g", w, got, want)
		}
	}
	for d := range uint32(100) {
		check(d)
		check(^d)
		for e := range 32 {
			check(1<<e - 50 + d)
			check(uint32(math.Sqrt2*float64(uint32(1)<<e)) - 50 + d)
		}
	}
	for w := uint64(0); w < 1<<32; w += 65_521 {
		check(uint32(w))
	}
	if got := logUnit(math.MaxUint32); got != 0 {
		t.Errorf("ln 1 = %v", got)
	}
}

// TestSincosTurn compares with math.Sincos on a sweep, and around the borders of octants.
func TestSincosTurn(t *testing.T) {
	check := func(w uint32) {
		sin, cos := sincosTurn(w)
		wantSin, wantCos := math.Sincos(2 * math.Pi * float64(w) / (1 << 32))
		if !(math.Abs(sin-wantSin) <= seriesError && math.Abs(cos-wantCos) <= seriesError) {
			t.Errorf("sincosTurn(%#x) = %.17g, %.17g, want %.17g, %.17g", w, sin, cos, wantSin, wantCos)
		}
	}
	for octant := range uint32(8) {
		for d := range uint32(100) {
			check(octant<<29 - 50 + d)
		}
	}
	for w := uint64(0); w < 1<<32; w += 65_521 {
		check(uint32(w))
	}
}

// TestSameBitsEverywhere holds a hash of float64 results from before they are rounded to float32, where one fused
// multiplication shows.
func TestSameBitsEverywhere(t *testing.T) {
	hash := fnv.New64a()
	for w := uint64(0); w < 1<<32; w += 65_521 {
		sin, cos := sincosTurn(uint32(w))
		for _, x := range []float64{logUnit(uint32(w)), sin, cos} {
			binary.Write(hash, binary.LittleEndian, x)
		}
	}
	if got, want := hash.Sum64(), uint64(0x48cf663e157125ee); got != want {
		t.Errorf("hash of results = %#x, want %#x", got, want)
	}
}

// TestNormalIsBoxMuller checks the documented map from words to numbers, in the words of the standard library.
func TestNormalIsBoxMuller(t *testing.T) {
	const n = 1000
	words, s := New(9, Start, 1, 2), New(9, Start, 1, 2)
	got := make([]float32, n)
	s.Normal(got)
	for i := 0; i < n; i += 2 {
		r := math.Sqrt(-2 * math.Log((float64(words.Uint32())+1)/(1<<32)))
		sin, cos := math.Sincos(2 * math.Pi * float64(words.Uint32()) / (1 << 32))
		for j, want := range []float64{r * cos, r * sin} {
			if d := math.Abs(float64(got[i+j]) - want); d > 0x1p-24*math.Abs(want)+seriesError { // half an ulp of float32
				t.Errorf("number %d = %v, want %v", i+j, got[i+j], want)
			}
		}
	}
}

// TestNormalDistribution checks moments, tails and the Kolmogorov–Smirnov-like counts of 16 equally likely bins.
func TestNormalDistribution(t *testing.T) {
	const n = 1 << 18
	x := make([]float32, n)
	s := New(1, Noise, 0, 0)
	s.Normal(x)
	var moment [5]float64
	var bin [16]int
	for _, v := range x {
		p := 1.0
		for k := range moment {
			moment[k] += p / n
			p *= float64(v)
		}
		bin[int(16*0.5*math.Erfc(-float64(v)/math.Sqrt2))]++
	}
	// E x^k = 0, 1, 0, 3 and Var x^k = E x^2k - (E x^k)² = 1, 2, 15, 96.
	for k, want := range []struct{ mean, variance float64 }{1: {0, 1}, 2: {1, 2}, 3: {0, 15}, 4: {3, 96}} {
		if sd := math.Sqrt(want.variance / n); math.Abs(moment[k]-want.mean) > sigmas*sd && k > 0 {
			t.Errorf("moment %d = %v, want %v ± %.2g", k, moment[k], want.mean, sd)
		}
	}
	for k, c := range bin {
		if sd := math.Sqrt(n / 16.0 * 15 / 16); math.Abs(float64(c)-n/16) > sigmas*sd {
			t.Errorf("bin %d of 16 holds %d numbers, want %d ± %.0f", k, c, n/16, sd)
		}
	}
}

// TestNormalStreamsIndependent correlates the numbers of neighbouring streams, and a stream with itself shifted, both
// as they are and squared (the two numbers of a pair share their radius).
func TestNormalStreamsIndependent(t *testing.T) {
	const n = 1 << 16
	draw := func(s Stream) []float32 {
		x := make([]float32, n+8)
		s.Normal(x)
		return x
	}
	x := draw(New(5, Noise, 6, 7))
	pairs := map[string][]float32{
		"seed":         draw(New(6, Noise, 6, 7)),
		"high seed":    draw(New(5|1<<32, Noise, 6, 7)),
		"purpose":      draw(New(5, Start, 6, 7)),
		"i":            draw(New(5, Noise, 7, 7)),
		"high i":       draw(New(5, Noise, 6|1<<32, 7)),
		"t":            draw(New(5, Noise, 6, 8)),
		"i, t swapped": draw(New(5, Noise, 7, 6)),
		"shift 1":      x[1:],
		"shift 2":      x[2:],
		"shift 4":      x[4:],
	}
	for name, y := range pairs {
		var xy, x2y2 float64
		for i := range n {
			a, b := float64(x[i]), float64(y[i])
			xy += a * b
			x2y2 += (a*a - 1) * (b*b - 1)
		}
		if sd := math.Sqrt(n); math.Abs(xy) > sigmas*sd || math.Abs(x2y2) > sigmas*2*sd {
			t.Errorf("%s: Σxy = %.0f ± %.0f, Σ(x²-1)(y²-1) = %.0f ± %.0f, want 0", name, xy, sd, x2y2, 2*sd)
		}
	}
}
