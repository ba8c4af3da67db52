package rng

// Multipliers of the two lanes and the Weyl increments of the two key words: Salmon et al. 2011, §3.3 and table 2.
const (
	mul0, mul1   = 0xD2511F53, 0xCD9E8D57
	weyl0, weyl1 = 0x9E3779B9, 0xBB67AE85 // ⌊2³²/φ⌋ odd, and ⌊2³²(√3-1)⌋
	rounds       = 10
)

// philox returns Philox4x32-10 of the counter c under the key k: a bijection of the 128-bit counter for every key.
// Words go in and come out as scalars because the compiler keeps those, and not arrays, in registers.
func philox(c0, c1, c2, c3, k0, k1 uint32) (uint32, uint32, uint32, uint32) {
	for range rounds {
		p0 := mul0 * uint64(c0)
		p1 := mul1 * uint64(c2)
		c0, c1, c2, c3 = uint32(p1>>32)^c1^k0, uint32(p1), uint32(p0>>32)^c3^k1, uint32(p0)
		k0 += weyl0
		k1 += weyl1
	}
	return c0, c1, c2, c3
}
