//go:build linux || darwin

package simd

import (
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"unsafe"
)

// fenced returns n floats that end where unmapped memory begins or, if first
// is set, begin where it ends, so that reading outside them is a fault.
func fenced(t *testing.T, n int, first bool) []float32 {
	page := os.Getpagesize()
	size := (4*n + page - 1) / page * page
	mem, err := syscall.Mmap(-1, 0, page+size+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { syscall.Munmap(mem) })
	for _, fence := range [][]byte{mem[:page], mem[page+size:]} {
		if err := syscall.Mprotect(fence, syscall.PROT_NONE); err != nil {
			t.Skip(err)
		}
	}
	off := page
	if !first {
		off += size - 4*n
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&mem[off])), n)
}

// TestGemmFence runs products whose operands touch unmapped memory.
func TestGemmFence(t *testing.T) {
	implementations(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, first := range []bool{false, true} {
			for n := 1; n <= 66; n++ {
				p := newProblem(r, 1+n%17, n, 1+n%4, 1+n%3, func(n int) []float32 { return fenced(t, n, first) })
				p.Run()
				p.check(t)
			}
		}
	})
}
