//go:build purego || !(amd64 || arm64)

package simd

func detect() (avx512, avx2, neon bool) { return false, false, false }
