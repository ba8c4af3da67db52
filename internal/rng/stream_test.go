package rng

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
)

var _ rand.Source = (*Stream)(nil)

// sigmas bounds statistical tests: seeds are fixed, so a test either always passes or always fails, and among a few
// hundred fair statistics one beyond 4.5 standard deviations would be a 1 in 1000 accident.
const sigmas = 4.5

func TestPurposesKeepTheirNumbers(t *testing.T) {
	all := []Purpose{Init, Timestep, Noise, Start, SamplerNoise, Shuffle, Dropout, Label, Flip, Split}
	for i, p := range all {
		if int(p) != i+1 {
			t.Errorf("purpose %d of the list is %d: streams of old seeds would change", i+1, p)
		}
	}
}

// TestCounterLayout checks the documented place of every argument in Philox's counter and key.
func TestCounterLayout(t *testing.T) {
	const seed, i, step = 0x1122334455667788, 0xAABBCCDDEEFF01, 0x99887766
	s := New(seed, Label, i, step)
	for block := range uint32(3) {
		var want, got [4]uint32
		want[0], want[1], want[2], want[3] = philox(block, step, 0xDDEEFF01, uint32(Label)<<24|0xAABBCC, 0x55667788, 0x11223344)
		for j := range got {
			got[j] = s.Uint32()
		}
		if got != want {
			t.Errorf("block %d = %08x, want %08x", block, got, want)
		}
	}
}

// TestGolden holds the values of this package's own making that must never change: every seed means them.
func TestGolden(t *testing.T) {
	fresh := func() *Stream { s := New(42, Noise, 7, 3); return &s }
	if got, want := fresh().Uint64(), uint64(0xb8d125256ab4c6be); got != want {
		t.Errorf("Uint64 = %#x, want %#x", got, want)
	}
	if got, want := fresh().Float64(), 0.7219413009977016; got != want {
		t.Errorf("Float64 = %v, want %v", got, want)
	}
	ints := []int{fresh().Intn(6), fresh().Intn(1000), fresh().Intn(math.MaxInt32)}
	if want := []int{4, 721, 1550357137}; !slices.Equal(ints, want) {
		t.Errorf("Intn = %v, want %v", ints, want)
	}
	if got, want := fresh().Perm(10), []int{5, 9, 4, 1, 2, 0, 3, 8, 6, 7}; !slices.Equal(got, want) {
		t.Errorf("Perm = %v, want %v", got, want)
	}
	f := make([]float32, 6)
	fresh().Uniform(f, -1, 1)
	if want := []float32{-0.16635823, 0.44388258, 0.26803005, 0.45663762, 0.27189755, 0.5689877}; !slices.Equal(f, want) {
		t.Errorf("Uniform = %v, want %v", f, want)
	}
	fresh().Normal(f)
	if want := []float32{-0.23202716, -1.3024441, -0.12964769, -0.94581, 0.20460045, -0.92920023}; !slices.Equal(f, want) {
		t.Errorf("Normal = %v, want %v", f, want)
	}
}

// TestFillsReadWholeBlocks checks that fills are prefixes of one another, continue over multiples of four, and drop
// what is left of a block begun.
func TestFillsReadWholeBlocks(t *testing.T) {
	fills := map[string]func(*Stream, []float32){
		"Normal":  (*Stream).Normal,
		"Uniform": func(s *Stream, dst []float32) { s.Uniform(dst, 0, 1) },
	}
	for name, fill := range fills {
		want := make([]float32, 24)
		s := New(1, Noise, 2, 3)
		fill(&s, want)
		for n := range want {
			got := make([]float32, n)
			s := New(1, Noise, 2, 3)
			fill(&s, got)
			if !slices.Equal(got, want[:n]) {
				t.Fatalf("%s: the first %d values depend on how many are read", name, n)
			}
		}
		got := make([]float32, 24)
		s = New(1, Noise, 2, 3)
		fill(&s, got[:8])
		fill(&s, got[8:11]) // and its fourth number is lost
		fill(&s, got[12:])
		got[11] = want[11]
		if !slices.Equal(got, want) {
			t.Errorf("%s: three fills = %v, want %v", name, got, want)
		}
		s = New(1, Noise, 2, 3)
		s.Uint64()
		fill(&s, got[:20])
		if !slices.Equal(got[:20], want[4:]) {
			t.Errorf("%s: a fill after two words does not start with the next block", name)
		}
		after := s.Uint32()
		s = New(1, Noise, 2, 3)
		for range 4 * 6 {
			s.Uint32()
		}
		if after != s.Uint32() {
			t.Errorf("%s: a word read after a fill is not the next block's first", name)
		}
	}
}

func TestFloat64AndUniformRange(t *testing.T) {
	const n = 1 << 16
	s := New(1, Init, 0, 0)
	sum := 0.0
	for range n {
		f := s.Float64()
		if f < 0 || f >= 1 {
			t.Fatalf("Float64 = %v, want [0, 1)", f)
		}
		sum += f
	}
	if sd := 1 / math.Sqrt(12*n); math.Abs(sum/n-0.5) > sigmas*sd {
		t.Errorf("mean of Float64 = %v, want 0.5 ± %.2g", sum/n, sd)
	}
	x := make([]float32, n)
	s.Uniform(x, -2, 6)
	lo, hi, mean := slices.Min(x), slices.Max(x), 0.0
	for _, v := range x {
		mean += float64(v) / n
	}
	if lo < -2 || hi >= 6 || lo > -1.99 || hi < 5.99 {
		t.Errorf("Uniform(-2, 6) covers [%v, %v]", lo, hi)
	}
	if sd := 8 / math.Sqrt(12*n); math.Abs(mean-2) > sigmas*sd {
		t.Errorf("mean of Uniform(-2, 6) = %v, want 2 ± %.2g", mean, sd)
	}
}

// TestBitsAreFair counts the ones of each bit of Uint32, and how often two neighbouring streams agree in it: streams
// that differ by one in the seed, the purpose, i or t.
func TestBitsAreFair(t *testing.T) {
	const n = 1 << 14
	sd := math.Sqrt(n) / 2
	count := func(name string, word func(k uint32) uint32) {
		var ones [32]int
		for k := range uint32(n) {
			for w := word(k); w != 0; w &= w - 1 {
				ones[bits.TrailingZeros32(w)]++
			}
		}
		for bit, c := range ones {
			if math.Abs(float64(c)-n/2) > sigmas*sd {
				t.Errorf("%s: bit %d is one %d times of %d, want %d ± %.0f", name, bit, c, n, n/2, sd)
			}
		}
	}
	first := func(s Stream) uint32 { return s.Uint32() }
	base := New(5, Noise, 6, 7)
	count("one stream", func(uint32) uint32 { return base.Uint32() })
	for name, neighbour := range map[string]func() Stream{
		"seed":    func() Stream { return New(6, Noise, 6, 7) },
		"purpose": func() Stream { return New(5, Start, 6, 7) },
		"i":       func() Stream { return New(5, Noise, 7, 7) },
		"t":       func() Stream { return New(5, Noise, 6, 8) },
	} {
		a, b := New(5, Noise, 6, 7), neighbour()
		count("neighbour in "+name, func(uint32) uint32 { return a.Uint32() ^ b.Uint32() })
	}
	count("first words over i", func(k uint32) uint32 { return first(New(5, Noise, uint64(k), 7)) })
	count("first words over t", func(k uint32) uint32 { return first(New(5, Noise, 6, k)) })
}

// TestIntnUnbiased uses an n for which a quarter of all words must be rejected: without that, residues 0 and 1 mod 3
// would come up 3/8 of the time and residue 2 only 2/8.
func TestIntnUnbiased(t *testing.T) {
	if bits.UintSize == 64 {
		n := math.MaxInt/4*3 + 3 // 3·2⁶¹
		checkUniform(t, "Intn(3·2⁶¹) mod 3", 3, func(s *Stream) int {
			v := s.Intn(n)
			if v < 0 || v >= n {
				t.Fatalf("Intn(%d) = %d", n, v)
			}
			return v % 3
		})
	}
	for _, n := range []int{1, 2, 7, 10, 1000} {
		checkUniform(t, "Intn", n, func(s *Stream) int { return s.Intn(n) })
	}
}

// TestPerm checks that each of the 24 orders of four things is equally likely.
func TestPerm(t *testing.T) {
	number := map[[4]int]int{}
	checkUniform(t, "Perm(4)", 24, func(s *Stream) int {
		p := [4]int(s.Perm(4))
		if _, known := number[p]; !known {
			number[p] = len(number)
		}
		return number[p]
	})
	for _, n := range []int{0, 1, 2, 1000} {
		s := New(3, Shuffle, 0, uint32(n))
		p := s.Perm(n)
		seen := make([]bool, n)
		for _, v := range p {
			if seen[v] {
				t.Fatalf("Perm(%d) holds %d twice", n, v)
			}
			seen[v] = true
		}
		if len(p) != n {
			t.Fatalf("Perm(%d) has %d elements", n, len(p))
		}
	}
}

// checkUniform draws numbers in [0, n) and compares their counts with equal ones by Pearson's χ², whose mean is n-1
// and variance 2(n-1).
func checkUniform(t *testing.T, name string, n int, draw func(s *Stream) int) {
	t.Helper()
	s := New(11, Shuffle, uint64(n), 0)
	count := make([]int, n)
	each := 60_000 / n
	for range each * n {
		count[draw(&s)]++
	}
	chi2 := 0.0
	for _, c := range count {
		d := float64(c - each)
		chi2 += d * d / float64(each)
	}
	if dof := float64(n - 1); math.Abs(chi2-dof) > sigmas*math.Sqrt(2*dof) {
		t.Errorf("%s: χ² of %d values is %.1f, want %.0f ± %.1f", name, n, chi2, dof, math.Sqrt(2*dof))
	}
}

func TestMisusePanics(t *testing.T) {
	for want, f := range map[string]func(){
		"rng: New: got i = 72057594037927936, want less than 2^56": func() { New(0, Noise, 1<<56, 0) },
		"rng: Intn: got n = 0, want a positive number":             func() { s := New(0, Noise, 0, 0); s.Intn(0) },
		"rng: Stream: got a read beyond 2^32 blocks, want a new stream": func() {
			s := New(0, Noise, 1<<56-1, 0)
			s.block = 1<<32 - 1
			for range 5 { // the last block's four words, and one more
				s.Uint32()
			}
		},
	} {
		func() {
			defer func() {
				if got := recover(); got != want {
					t.Errorf("panic %v, want %v", got, want)
				}
			}()
			f()
		}()
	}
}

func TestFillsDoNotAllocate(t *testing.T) {
	dst := make([]float32, 1003)
	if n := testing.AllocsPerRun(10, func() {
		s := New(1, Noise, 2, 3)
		s.Normal(dst)
		s.Uniform(dst, 0, 1)
		s.Intn(10)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
