//go:build purego || !(amd64 || arm64)

package simd

func (g *Gemm) run() { g.runGo() }
