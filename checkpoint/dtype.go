package checkpoint

// Element types of safetensors: their sizes, and the conversion to float32 of those that are floating point.

import (
	"encoding/binary"
	"math"
)

// dtypeBits is the size of one element of every type the format knows. A tensor of any of them is listed and its
// offsets checked; those in decoders can also be read.
var dtypeBits = map[string]uint64{
	"BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
	"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
	"F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
}

// decoders convert little-endian elements to float32, as many as dst has room for.
var decoders = map[string]func(dst []float32, src []byte){
	"F32": func(dst []float32, src []byte) {
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	},
	"F16": func(dst []float32, src []byte) {
		for i := range dst {
			dst[i] = float16(binary.LittleEndian.Uint16(src[2*i:]))
		}
	},
	"BF16": func(dst []float32, src []byte) {
		for i := range dst {
			dst[i] = bfloat16(binary.LittleEndian.Uint16(src[2*i:]))
		}
	},
	"F64": func(dst []float32, src []byte) {
		for i := range dst {
			dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:])))
		}
	},
}

// float16 returns the value of an IEEE 754 binary16: 1 bit of sign, 5 of exponent (bias 15), 10 of fraction.
// float32 holds every one exactly.
func float16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	magnitude := uint32(h&0x7fff) << 13 // exponent and fraction where float32 has its own
	if h&0x7c00 == 0x7c00 {             // Inf and NaN: all ones in the exponent stay all ones
		return math.Float32frombits(sign | 0x7f800000 | magnitude)
	}
	// The exponent is still biased by 15 instead of 127. Multiplying by 2^(127-15) puts that right, subnormals included.
	return math.Float32frombits(sign | math.Float32bits(math.Float32frombits(magnitude)*0x1p112))
}

// bfloat16 returns the value of a brain float: the upper half of a float32.
func bfloat16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }
