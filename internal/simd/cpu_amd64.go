//go:build !purego

package simd

import "golang.org/x/sys/cpu"

// detect requires of AVX-512 what every machine since Skylake-X has: the
// foundation, and byte, doubleword and short-vector instructions.
func detect() (avx512, avx2, neon bool) {
	avx2 = cpu.X86.HasAVX2 && cpu.X86.HasFMA
	avx512 = avx2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL
	return avx512, avx2, false
}
