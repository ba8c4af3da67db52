package simd

// Which implementation runs. A wrapper tests them in this order and falls
// through to plain Go when all are false, as they are on other machines and
// under the build tag purego. They are set once, at start, and written
// afterwards by tests only.
//
// GODEBUG switches them off, as golang.org/x/sys/cpu documents:
// GODEBUG=cpu.avx512f=off selects AVX2, and GODEBUG=cpu.avx2=off (or cpu.fma=off)
// plain Go, for useAVX512 implies useAVX2. On arm64 cpu.asimd=off does
// (and the runtime, which does not know the name, says so).
var useAVX512, useAVX2, useNEON = detect()

// byFours reports whether kernels for NEON, which do four channels at a time, can do c of them.
func byFours(c int) bool { return useNEON && c > 0 && c%4 == 0 }

// Implementation names the code in use: "avx512", "avx2", "neon" or "go".
func Implementation() string {
	switch {
	case useAVX512:
		return "avx512"
	case useAVX2:
		return "avx2"
	case useNEON:
		return "neon"
	}
	return "go"
}
