package mem

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLargePages writes to a large block and looks at what the kernel put under the process.
func TestLargePages(t *testing.T) {
	const name = "/sys/kernel/mm/transparent_hugepage/enabled"
	enabled, err := os.ReadFile(name)
	if err != nil || strings.Contains(string(enabled), "[never]") {
		t.Skipf("no large pages here: %s says %q, %v", name, enabled, err)
	}
	before := largePages(t)
	x := Floats(16 << 20)
	for i := range x {
		x[i] = 1
	}
	require.GreaterOrEqual(t, largePages(t)-before, 32<<10, "of 64 MiB that were written, kB on large pages")
}

// largePages is how many kB of the process's memory lie on large pages.
func largePages(t *testing.T) (kB int) {
	f, err := os.Open("/proc/self/smaps_rollup")
	if err != nil {
		t.Skip("the kernel does not say what pages there are: ", err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if n, _ := fmt.Sscanf(lines.Text(), "AnonHugePages: %d kB", &kB); n == 1 {
			return kB
		}
	}
	t.Skip("the kernel does not say how many large pages there are")
	return 0
}
