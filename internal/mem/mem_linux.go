package mem

import (
	"os"
	"reflect"
	"syscall"
)

// advise asks for large pages for x. That is advice: a kernel that does not take it changes nothing.
func advise(x []float32) {
	page := uintptr(os.Getpagesize())
	from := reflect.ValueOf(x).Pointer()
	to := from + 4*uintptr(len(x))
	from, to = from/page*page, (to+page-1)/page*page
	syscall.Syscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_HUGEPAGE)
}
