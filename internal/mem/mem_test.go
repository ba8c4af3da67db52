package mem

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFloatsAreZero(t *testing.T) {
	for _, n := range []int{0, 1, large - 1, large, 3*large + 1} {
		x := Floats(n)
		require.Len(t, x, n)
		for i, v := range x {
			if v != 0 {
				t.Fatalf("float %d of %d: got %v, want 0", i, n, v)
			}
			x[i] = 1
		}
	}
}
