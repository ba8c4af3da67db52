package checkpoint

import (
	"encoding/binary"
	"math"
	"testing"
)

// binaryFloat is the definition of an IEEE 754 binary interchange format of 16 bits, in float64.
func binaryFloat(h uint16, fractionBits int) float64 {
	exponentBits := 15 - fractionBits
	sign := 1 - 2*float64(h>>15)
	exponent := int(h>>fractionBits) & (1<<exponentBits - 1)
	fraction := float64(h&(1<<fractionBits-1)) / float64(int(1)<<fractionBits)
	bias := 1<<(exponentBits-1) - 1
	switch {
	case exponent == 1<<exponentBits-1 && fraction != 0:
		return math.NaN()
	case exponent == 1<<exponentBits-1:
		return sign * math.Inf(1)
	case exponent == 0:
		return sign * math.Ldexp(fraction, 1-bias)
	}
	return sign * math.Ldexp(1+fraction, exponent-bias)
}

// Every float16 and every bfloat16 is a float32, so every one of the 65,536 must come out exactly, signed zeros too.
func TestHalfPrecisionIsExact(t *testing.T) {
	for _, format := range []struct {
		dtype        string
		fractionBits int
	}{{"F16", 10}, {"BF16", 7}} {
		src := make([]byte, 2<<16)
		for i := range 1 << 16 {
			binary.LittleEndian.PutUint16(src[2*i:], uint16(i))
		}
		got := make([]float32, 1<<16)
		decoders[format.dtype](got, src)
		for i, g := range got {
			want := binaryFloat(uint16(i), format.fractionBits)
			same := float64(g) == want && math.Signbit(float64(g)) == math.Signbit(want)
			if math.IsNaN(want) {
				same = g != g
			}
			if !same {
				t.Fatalf("%s %#04x: got %v, want %v", format.dtype, i, g, want)
			}
		}
	}
}

func TestDoublePrecisionIsRounded(t *testing.T) {
	values := []float64{0, math.Copysign(0, -1), 1, 1 + 0x1p-24, 1 + 0x1.8p-24, 0x1p-149, 0x1p-151, -1e300, math.Inf(1), math.NaN()}
	want := []float32{0, float32(math.Copysign(0, -1)), 1, 1, 1 + 0x1p-23, 0x1p-149, 0, float32(math.Inf(-1)), float32(math.Inf(1)), float32(math.NaN())}
	var src []byte
	for _, v := range values {
		src = binary.LittleEndian.AppendUint64(src, math.Float64bits(v))
	}
	got := make([]float32, len(values))
	decoders["F64"](got, src)
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && want[i] == want[i] {
			t.Errorf("%v: got %v, want %v", values[i], got[i], want[i])
		}
	}
}
