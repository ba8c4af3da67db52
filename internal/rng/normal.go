package rng

import "math"

// Normal fills dst with independent standard normal numbers. It reads whole blocks: words 0 and 1 of a block make its
// first pair of numbers, words 2 and 3 the second, by the transform of Box and Muller (1958),
//
//	u = (w+1)/2³² ∈ (0, 1],  θ = 2π·w'/2³²:  √(-2 ln u)·cos θ,  √(-2 ln u)·sin θ,
//
// in float64, rounded to float32 at the end. No number exceeds √(64 ln 2) = 6.66; a normal number would once in
// 4·10¹⁰ draws.
func (s *Stream) Normal(dst []float32) {
	s.left = 0
	for ; len(dst) >= 4; dst = dst[4:] {
		w0, w1, w2, w3 := s.next()
		dst[0], dst[1] = normalPair(w0, w1)
		dst[2], dst[3] = normalPair(w2, w3)
	}
	if len(dst) > 0 {
		var last [4]float32
		w0, w1, w2, w3 := s.next()
		last[0], last[1] = normalPair(w0, w1)
		last[2], last[3] = normalPair(w2, w3)
		copy(dst, last[:])
	}
}

// normalPair makes two normal numbers of two words.
func normalPair(w, angle uint32) (x, y float32) {
	r := math.Sqrt(-2 * logUnit(w))
	sin, cos := sincosTurn(angle)
	return float32(r * cos), float32(r * sin)
}

// The two functions below exist, instead of math.Log and math.Sincos, because those differ in the last bits from one
// architecture to another. Each product that is added to something is converted to float64, which by the language
// specification keeps the compiler from fusing the two roundings into one. That goes for x in sincosTurn, too.

// logUnit returns ln((w+1)/2³²) within 1e-13 of its value, relatively.
//
// With (w+1)/2³² = 2ᵉ·m, √½ ≤ m < √2, it is e·ln 2 + 2 artanh(z), z = (m-1)/(m+1), |z| < 0.172; artanh by its Taylor
// series z + z³/3 + … + z¹⁵/15.
func logUnit(w uint32) float64 {
	const sqrtHalf = 0x3FE6A09E667F3BCD // bits of √½, rounded up
	b := math.Float64bits(float64(uint64(w) + 1))
	e := int64(b-sqrtHalf) >> 52
	m := math.Float64frombits(b - uint64(e)<<52)
	z := (m - 1) / (m + 1)
	q := z * z
	p := 1.0/13 + float64(q*(1.0/15))
	p = 1.0/11 + float64(q*p)
	p = 1.0/9 + float64(q*p)
	p = 1.0/7 + float64(q*p)
	p = 1.0/5 + float64(q*p)
	p = 1.0/3 + float64(q*p)
	artanh := z + float64(z*float64(q*p))
	return float64(float64(e-32)*math.Ln2) + 2*artanh
}

// sincosTurn returns sin and cos of 2π·w/2³² within 1e-13.
//
// The angle is parted in a number of quarter turns and a rest of at most an eighth of a turn either way, for which
// the Taylor series to x¹³ and x¹⁴ do. Quarter turns swap and negate sin and cos; that is done by index and by sign
// bit because the branches would be unpredictable.
func sincosTurn(w uint32) (sin, cos float64) {
	rest := int32(w<<2) >> 2
	quarter := (w - uint32(rest)) >> 30
	x := float64(float64(rest) * (2 * math.Pi / (1 << 32)))
	q := x * x

	s := 1.0/39916800 - float64(q*(1.0/6227020800)) // 11!, 13!
	s = 1.0/362880 - float64(q*s)
	s = 1.0/5040 - float64(q*s)
	s = 1.0/120 - float64(q*s)
	s = 1.0/6 - float64(q*s)
	s = x - float64(x*float64(q*s))

	c := 1.0/479001600 - float64(q*(1.0/87178291200)) // 12!, 14!
	c = 1.0/3628800 - float64(q*c)
	c = 1.0/40320 - float64(q*c)
	c = 1.0/720 - float64(q*c)
	c = 1.0/24 - float64(q*c)
	c = 1.0/2 - float64(q*c)
	c = 1 - float64(q*c)

	pair := [2]float64{s, c}
	sinSign := uint64(quarter>>1) << 63
	cosSign := uint64((quarter+1)>>1) << 63
	sin = math.Float64frombits(math.Float64bits(pair[quarter&1]) ^ sinSign)
	cos = math.Float64frombits(math.Float64bits(pair[quarter&1^1]) ^ cosSign)
	return sin, cos
}
