//go:build purego || !amd64

package simd

func fmaPeak() float64 { return 0 }
