package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestProcessorsDoNotMatter trains the same on 1, 2 and 4 of them.
func TestProcessorsDoNotMatter(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for _, procs := range []string{"1", "2", "4"} {
		c := prepared(t, dir, "train", with(everything, "-steps", "10", "-batch", "48", "-out", "on"+procs)...)
		c.Env = append(os.Environ(), "GOMAXPROCS="+procs)
		got := run(t, c)
		require.Zero(t, got.code, got.errors)
		if want == nil {
			want = numbers(t, dir, "on"+procs, 10)
		}
		require.Equal(t, want, numbers(t, dir, "on"+procs, 10), "GOMAXPROCS=%s", procs)
	}
}

func TestSeedsMatter(t *testing.T) {
	dir := t.TempDir()
	succeed(t, dir, "train", with(everything, "-steps", "3", "-out", "a")...)
	succeed(t, dir, "train", with(everything, "-steps", "3", "-out", "b")...)
	succeed(t, dir, "train", with(everything, "-steps", "3", "-seed", "4", "-out", "c")...)
	require.Equal(t, numbers(t, dir, "a", 3), numbers(t, dir, "b", 3))
	require.NotEqual(t, numbers(t, dir, "a", 3), numbers(t, dir, "c", 3))
}

// TestAccumulationEqualsTheLargeBatch computes a step's images at once, and in parts as large as those that weight
// gradients are summed in.
func TestAccumulationEqualsTheLargeBatch(t *testing.T) {
	dir := t.TempDir()
	flags := with(everything, "-steps", "5", "-batch", "64")
	succeed(t, dir, "train", with(flags, "-accumulate", "1", "-out", "one")...)
	succeed(t, dir, "train", with(flags, "-accumulate", "4", "-out", "four")...)
	require.Equal(t, numbers(t, dir, "one", 5), numbers(t, dir, "four", 5))
}

// TestImagesDoNotDependOnTheirBatch draws the same images in batches of any size.
func TestImagesDoNotDependOnTheirBatch(t *testing.T) {
	dir := t.TempDir()
	succeed(t, dir, "train", with(small, "-steps", "3", "-out", "run")...)
	for _, sampler := range []string{"ddpm", "dpmpp-sde"} {
		images := map[string]bool{}
		for batch, procs := range map[int]string{1: "1", 3: "2", 64: "4"} {
			out := fmt.Sprint(sampler, batch)
			c := prepared(t, dir, "sample", "-model", "run", "-sampler", sampler, "-steps", "6", "-n", "7", "-batch", fmt.Sprint(batch), "-out", "", "-dir", out)
			c.Env = append(os.Environ(), "GOMAXPROCS="+procs)
			got := run(t, c)
			require.Zero(t, got.code, got.errors)
			all := ""
			for i := range 7 {
				data, err := os.ReadFile(filepath.Join(dir, out, fmt.Sprintf("%05d.png", i)))
				require.NoError(t, err)
				all += string(data)
			}
			images[all] = true
		}
		require.Len(t, images, 1, sampler)
	}
}
