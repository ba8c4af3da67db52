package mem

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLargePages asks the kernel what it was advised for a large block. Whether it takes the advice is its own affair, and
// that of how much memory lies together.
func TestLargePages(t *testing.T) {
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		t.Skip("this kernel knows no large pages: ", err)
	}
	x := Floats(16 << 20)
	smaps, err := os.ReadFile("/proc/self/smaps")
	require.NoError(t, err)
	for _, i := range []int{0, len(x) / 2, len(x) - 1} {
		require.Contains(t, flags(string(smaps), reflect.ValueOf(x[i:]).Pointer()), "hg", "flags of the mapping that float %d lies in", i)
	}
}

// flags returns the flags of the mapping of an address.
func flags(smaps string, address uintptr) []string {
	here := false
	for line := range strings.Lines(smaps) {
		var from, to uintptr
		if n, _ := fmt.Sscanf(line, "%x-%x ", &from, &to); n == 2 {
			here = from <= address && address < to
		}
		if f := strings.Fields(line); here && slices.Contains(f, "VmFlags:") {
			return f[1:]
		}
	}
	return nil
}
