//go:build !purego

package simd

import "golang.org/x/sys/cpu"

func detect() (avx512, avx2, neon bool) {
	return false, false, cpu.ARM64.HasASIMD
}
