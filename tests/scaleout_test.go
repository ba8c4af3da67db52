package tests

import (
	"crypto/sha256"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// drawn is what the tests of shards draw: 24 images in a few steps of a sampler that adds noise.
var drawn = strings.Fields("-model run -n 24 -sampler dpmpp-sde -steps 3 -seed 5")

// withRun makes a directory with a run in it that has hardly learned.
func withRun(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	succeed(t, dir, "train", with(small, "-steps", "3", "-out", "run")...)
	return dir
}

// draw draws a shard to the directory out.
func draw(t testing.TB, dir, out, shard string, more ...string) string {
	t.Helper()
	return succeed(t, dir, "sample", with(with(drawn, "-dir", out, "-shard", shard), more...)...)
}

// merged joins the shards in out and returns the hash of all images.
func merged(t testing.TB, dir, out string) string {
	t.Helper()
	return hashOf(t, succeed(t, dir, "sample", "merge", out))
}

// hashOf finds the hash in what merge prints.
func hashOf(t testing.TB, printed string) string {
	t.Helper()
	found := regexp.MustCompile(`SHA-256 of all images: ([0-9a-f]{64})`).FindStringSubmatch(printed)
	require.NotNil(t, found, printed)
	return found[1]
}

// TestShardsAreOneDrawing draws in 1, 2 and 8 shards, in batches of 1, 7 and 64, on 1 and 2 processors: the images are
// always the same, and those of a drawing that knows of no shards.
func TestShardsAreOneDrawing(t *testing.T) {
	dir := withRun(t)
	succeed(t, dir, "sample", with(drawn, "-out", "", "-dir", "whole")...)
	want := hashOfPictures(t, filepath.Join(dir, "whole"), 24)
	for _, shards := range []int{1, 2, 8} {
		for _, batch := range []int{1, 7, 64} {
			for _, procs := range []int{1, 2} {
				out := fmt.Sprintf("in-%d-by-%d-on-%d", shards, batch, procs)
				for k := range shards {
					c := prepared(t, dir, "sample", with(drawn, "-dir", out, "-shard", fmt.Sprintf("%d/%d", k+1, shards), "-batch", fmt.Sprint(batch))...)
					c.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", procs))
					got := run(t, c)
					require.Zero(t, got.code, got.errors)
				}
				require.Equal(t, want, merged(t, dir, out), out)
				if shards == 8 && batch == 7 {
					require.Equal(t, want, hashOfPictures(t, filepath.Join(dir, out, "all"), 24))
					require.FileExists(t, filepath.Join(dir, out, "grid.png"))
				}
			}
		}
	}
}

// hashOfPictures computes what merge prints from PNG files: the SHA-256 of the SHA-256 of each one's pixels.
func hashOfPictures(t testing.TB, dir string, n int) string {
	t.Helper()
	all := sha256.New()
	for i := range n {
		f, err := os.Open(filepath.Join(dir, fmt.Sprintf("%05d.png", i)))
		require.NoError(t, err)
		m, _, err := image.Decode(f)
		f.Close()
		require.NoError(t, err)
		one := sha256.Sum256(m.(*image.Gray).Pix)
		all.Write(one[:])
	}
	list, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Len(t, list, n)
	return fmt.Sprintf("%x", all.Sum(nil))
}

// TestShardsAreDrawnOnce calls again for shards that are done, damaged, and of another drawing.
func TestShardsAreDrawnOnce(t *testing.T) {
	dir := withRun(t)
	draw(t, dir, "out", "1/2")
	draw(t, dir, "out", "2/2")
	want := merged(t, dir, "out")
	pixels := filepath.Join(dir, "out", "shard-001-of-002", "images.npy")
	before, err := os.Stat(pixels)
	require.NoError(t, err)

	require.Contains(t, draw(t, dir, "out", "1/2"), "already")
	after, err := os.Stat(pixels)
	require.NoError(t, err)
	require.True(t, os.SameFile(before, after), "a shard that is done is left alone")

	for _, damage := range []func(){
		func() { flipByte(t, pixels) },
		func() { require.NoError(t, os.Truncate(pixels, 100)) },
		func() { require.NoError(t, os.Remove(pixels)) },
		func() { edit(t, filepath.Join(filepath.Dir(pixels), "shard.json"), `"first": 0`, `"first": 1`) },
	} {
		damage()
		got := run(t, prepared(t, dir, "sample", "merge", "out"))
		require.Equal(t, 3, got.code)
		require.Contains(t, got.errors, "shard-001-of-002")
		got = run(t, prepared(t, dir, "sample", with(drawn, "-dir", "out", "-shard", "1/2")...))
		require.Zero(t, got.code, got.errors)
		require.Contains(t, got.errors, "drawing a shard again")
		require.Equal(t, want, merged(t, dir, "out"))
	}

	got := run(t, prepared(t, dir, "sample", with(drawn, "-seed", "6", "-dir", "out", "-shard", "1/2")...))
	require.Equal(t, 2, got.code)
	require.Contains(t, got.errors, "seed is 5, not 6")
}

// TestKilledShardIsDrawnAgain kills a task in the middle of its work, as a node that fails does.
func TestKilledShardIsDrawnAgain(t *testing.T) {
	dir := withRun(t)
	slow := with(drawn, "-sampler", "ddpm", "-steps", "1000", "-batch", "1", "-dir", "out", "-shard", "2/2")
	draw(t, dir, "out", "1/2", "-sampler", "ddpm", "-steps", "1000")
	c := prepared(t, dir, "sample", slow...)
	require.NoError(t, c.Start())
	require.Eventually(t, func() bool {
		files, _ := filepath.Glob(filepath.Join(dir, "out", ".tmp-*", "images.npy"))
		return len(files) == 1
	}, time.Minute, time.Millisecond)
	require.NoError(t, c.Process.Kill())
	c.Wait()

	got := run(t, prepared(t, dir, "sample", "merge", "out"))
	require.Equal(t, 3, got.code)
	require.Contains(t, got.errors, "2/2")
	succeed(t, dir, "sample", slow...)
	require.Contains(t, succeed(t, dir, "sample", "merge", "out", "-dir", "", "-out", "elsewhere/g.png"), "elsewhere")
	require.FileExists(t, filepath.Join(dir, "elsewhere", "g.png"))
	left, err := filepath.Glob(filepath.Join(dir, "out", ".*"))
	require.NoError(t, err)
	require.Empty(t, left, "what the killed task left is gone")
}

// TestMergeRefuses joins what is no whole drawing.
func TestMergeRefuses(t *testing.T) {
	dir := withRun(t)
	succeed(t, dir, "train", "-resume", "-out", "run", "-steps", "4")
	for _, shard := range []string{"1/4", "2/4", "4/4"} {
		draw(t, dir, "holes", shard)
	}
	draw(t, dir, "two", "1/2")
	draw(t, dir, "two", "3/3")
	for _, c := range []struct{ name, flags string }{
		{"seed", "-seed 6"}, {"n", "-n 25"}, {"steps", "-steps 4"}, {"sampler", "-sampler ddim"},
		{"sampler_sha256", "-spacing leading"}, {"model_sha256", "-model run/step-00000003"},
	} {
		draw(t, dir, c.name, "1/2")
		draw(t, dir, c.name, "2/2", strings.Fields(c.flags)...)
	}
	draw(t, dir, "forged", "1/1")
	forge(t, filepath.Join(dir, "forged", "shard-001-of-001"))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "empty"), 0o777))

	for _, c := range []struct {
		dir  string
		says string
	}{
		{"holes", "3/4"},
		{"two", "shards of 2 and of 3"},
		{"seed", "seed is 6, not 5"},
		{"n", "n is 25, not 24"},
		{"steps", "steps"},
		{"sampler", "sampler is ddim"},
		{"sampler_sha256", "sampler_sha256"},
		{"model_sha256", "model_sha256"},
		{"forged", "image 23 "},
		{"empty", "no shards"},
		{"nowhere", "nowhere"},
	} {
		got := run(t, prepared(t, dir, "sample", "merge", c.dir))
		require.Equal(t, 3, got.code, c.dir)
		require.Contains(t, got.errors, c.says)
		require.Equal(t, 1, strings.Count(got.errors, "\n"), got.errors)
	}
	for _, args := range []string{"merge", "merge a b", "merge -x a", "-n 2 -shard 1/3 -dir x", "-shard 1/3", "-shard 1/3 -dir x -gif y.gif"} {
		require.Equal(t, 2, run(t, prepared(t, dir, "sample", strings.Fields(args)...)).code, args)
	}
	require.LessOrEqual(t, strings.Count(succeed(t, dir, "sample", "merge", "-h"), "\n"), 48)
}

// forge changes a pixel of the last image of a shard, and the manifest with it.
func forge(t testing.TB, dir string) {
	path := filepath.Join(dir, "images.npy")
	old, err := os.ReadFile(path)
	require.NoError(t, err)
	flipByte(t, path)
	changed, err := os.ReadFile(path)
	require.NoError(t, err)
	edit(t, filepath.Join(dir, "manifest.json"), fmt.Sprintf("%x", sha256.Sum256(old)), fmt.Sprintf("%x", sha256.Sum256(changed)))
}
