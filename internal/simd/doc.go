// Package simd holds the float32 loops in which the time goes: a matrix
// product, the Winograd transforms and vector primitives, on plain slices.
// It knows no shapes, starts no goroutines and allocates nothing.
//
// Each operation is a checked Go function that chooses between assembly and a
// Go version. The Go version is the definition: it runs on every machine, and
// tests hold the assembly to it. Assembly trusts its caller, so the checks in
// the wrappers are what keeps memory safe.
//
// The amd64 assembly is written by the programs in _asm, which use avo and are
// a module of their own; `go generate` runs them.
package simd
