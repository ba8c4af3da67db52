package tests

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat"
)

// TestTrainingCurvesOfAllConvolutions trains the same network with each way to compute a convolution. Rounding is all
// that they differ in: the losses start the same, and as training amplifies every difference (an Adam step divides by
// the gradient's own size, however small), later stay together as curves, not in their digits.
func TestTrainingCurvesOfAllConvolutions(t *testing.T) {
	const steps, first, tail = 100, 20, 40
	dir := t.TempDir()
	curve := func(method string) (loss []float64) {
		succeed(t, dir, "train", strings.Fields(fmt.Sprintf("-preset digits -batch 16 -steps %d -sample-every 0 -convolution %s -out %s", steps, method, method))...)
		for _, line := range readMetrics(t, filepath.Join(dir, method, "metrics.jsonl")) {
			loss = append(loss, line["loss"].(float64))
		}
		return loss
	}
	want := curve("direct")
	require.Len(t, want, steps)
	require.Less(t, stat.Mean(want[steps-tail:], nil), 0.5*want[0], "it learns")
	for _, method := range []string{"winograd2", "winograd4", "auto"} {
		got := curve(method)
		for i := range first {
			require.InEpsilon(t, want[i], got[i], 1e-5, "%s, step %d", method, i+1)
		}
		require.InEpsilon(t, stat.Mean(want[steps-tail:], nil), stat.Mean(got[steps-tail:], nil), 0.01, "%s, mean of the last %d steps", method, tail)
	}
}
