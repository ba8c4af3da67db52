package tensor_test

import (
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"ddpm/internal/par"
	"ddpm/internal/rng"
	"ddpm/tensor"
)

// Tensor is short for the type all these tests are about.
type Tensor = tensor.Tensor

// Every test of this package runs with poisoned memory: a value read before it was written is NaN and fails.
// Benchmarks do not, as the poison would be part of what they measure.
func TestMain(m *testing.M) {
	flag.Parse()
	par.Poison = flag.Lookup("test.bench").Value.String() == ""
	os.Exit(m.Run())
}

// Tolerances. The inputs of the tests are standard normal, so that a sum of depth products is of size √depth, and its
// rounding errors, one of half a unit in the last place (6e-8) at every step, add up as a random walk: errors are
// given in units of √depth.
const (
	// directTolerance is for sums in the order of the definition: √depth·6e-8 is below 3e-6 for the depths tested, of
	// up to 2,000.
	directTolerance = 1e-5
	// winograd2Tolerance is for F(2×2, 3×3), whose transforms add up to four inputs before and nine products after.
	winograd2Tolerance = 1e-5
	// winograd4Tolerance is for F(4×4, 3×3), whose transforms have factors of up to 8, which amplify rounding.
	winograd4Tolerance = 3e-5
	// unitTolerance is for a handful of operations on numbers of size 1, with factors of up to 10: a few units in the
	// last place.
	unitTolerance = 2e-6
)

var methods = []struct {
	name      string
	method    tensor.Method
	tolerance float64
}{
	{"auto", tensor.Auto, winograd4Tolerance},
	{"direct", tensor.Direct, directTolerance},
	{"winograd2", tensor.Winograd2, winograd2Tolerance},
	{"winograd4", tensor.Winograd4, winograd4Tolerance},
}

// random returns standard normal numbers, a function of seed and shape.
func random(seed uint64, shape ...int) Tensor {
	x := tensor.New(shape...)
	s := rng.New(seed, rng.Noise, 0, 0)
	s.Normal(x.Data)
	return x
}

// undefined returns a tensor full of NaN, for results that must be overwritten.
func undefined(shape ...int) Tensor {
	x := tensor.New(shape...)
	for i := range x.Data {
		x.Data[i] = float32(math.NaN())
	}
	return x
}

// images returns images n0…n1 of x, which share its memory.
func images(x Tensor, n0, n1 int) Tensor {
	size := len(x.Data) / x.Shape[0]
	return tensor.From(x.Data[n0*size:n1*size], append([]int{n1 - n0}, x.Shape[1:]...)...)
}

// near fails t unless every element of got is within tolerance of factor·want. NaN is never near.
func near(t *testing.T, what string, got Tensor, want []float64, factor, tolerance float64) {
	t.Helper()
	if len(got.Data) != len(want) {
		t.Fatalf("%s: got %d elements, want %d", what, len(got.Data), len(want))
	}
	for i, w := range want {
		if d := math.Abs(float64(got.Data[i]) - factor*w); !(d <= factor*tolerance) {
			t.Fatalf("%s: element %d of %v: got %v, want %v (difference %.2g, want at most %.2g)", what, i, got.Shape, got.Data[i], factor*w, d, factor*tolerance)
		}
	}
}

// identical fails t unless got and want are the same bits.
func identical(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: got %d elements, want %d", what, len(got), len(want))
	}
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) || got[i] != got[i] {
			t.Fatalf("%s: element %d: got %v (%08x), want %v (%08x)", what, i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

// panics fails t unless f panics with a message that starts with "tensor: op" and says what it got and what it wants.
func panics(t *testing.T, op string, f func()) (ok bool) {
	t.Helper()
	defer func() {
		t.Helper()
		s := fmt.Sprint(recover())
		ok = strings.HasPrefix(s, "tensor: "+op) && strings.Contains(s, ": got ") && strings.Contains(s, ", want ")
		if !ok {
			t.Errorf("got panic %q, want the form \"tensor: %s: got …, want …\"", s, op)
		}
	}()
	f()
	return
}
