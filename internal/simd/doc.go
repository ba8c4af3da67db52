// Package simd holds the float32 loops in which the time goes: a matrix
// product, the Winograd transforms and vector primitives, on plain slices.
// It knows no shapes, starts no goroutines and allocates nothing.
//
// Each operation is a checked Go function that chooses between assembly and a
// Go version. The Go version is the definition: it runs on every machine, and
// tests hold the assembly to it. Assembly trusts its caller, so the checks in
// the wrappers are what keeps memory safe.
//
// The assembly is written by the programs in _asm, which use avo for amd64 and
// are a module of their own; `go generate` runs them. amd64 has AVX-512 and AVX2
// for everything; arm64 has NEON for the matrix product, the transforms of
// F(4×4, 3×3), and the primitives that a training step spends most on.
package simd
