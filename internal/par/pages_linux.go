package par

import (
	"syscall"
	"unsafe"
)

// hugePages asks for x, which has not been touched yet, to lie in pages of 2 MiB as far as whole ones fit. The positions
// of Winograd's transforms lie some thousand bytes apart; of the usual pages each takes one, and together they exceed
// what the processor remembers of where pages are. A system that declines changes nothing but the speed.
func hugePages(x []float32) {
	const page = 2 << 20
	start := uintptr(unsafe.Pointer(unsafe.SliceData(x)))
	skip := -start % page
	if size := 4 * uintptr(len(x)); size >= skip+page {
		whole := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), size)[skip : skip+(size-skip)/page*page]
		_ = syscall.Madvise(whole, syscall.MADV_HUGEPAGE)
	}
}
