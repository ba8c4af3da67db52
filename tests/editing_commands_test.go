package tests

import (
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// edited is a directory with a small model and pictures to edit: a, b of its own size, and photo, in colour and larger, with
// masks that keep the upper half of each.
func edited(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	succeed(t, dir, "train", with(small, "-steps", "40", "-lr", "0.01", "-warmup", "0", "-ema", "0.5", "-out", "run")...)
	picture(t, dir, "a.png", 8, 8, func(x, y int) color.Color { return color.Gray{uint8(30 * x)} })
	picture(t, dir, "b.png", 8, 8, func(x, y int) color.Color { return color.Gray{uint8(255 - 30*y)} })
	picture(t, dir, "photo.png", 40, 32, func(x, y int) color.Color { return color.RGBA{uint8(6 * x), uint8(6 * y), 0, 255} })
	upper := func(h int) func(x, y int) color.Color {
		return func(_, y int) color.Color {
			if y < h/2 {
				return color.White
			}
			return color.Black
		}
	}
	picture(t, dir, "mask.png", 8, 8, upper(8))
	picture(t, dir, "photo-mask.png", 40, 32, upper(32))
	return dir
}

func picture(t *testing.T, dir, name string, w, h int, at func(x, y int) color.Color) {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.Set(x, y, at(x, y))
		}
	}
	f, err := os.Create(filepath.Join(dir, name))
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, m))
	require.NoError(t, f.Close())
}

// greys runs sample and returns the pixels of the n images it draws.
func greys(t *testing.T, dir string, n int, args string) (images [][]byte) {
	t.Helper()
	out := t.TempDir()
	succeed(t, dir, "sample", append(strings.Fields("-model run -out= -dir "+out+" -n "+fmt.Sprint(n)), strings.Fields(args)...)...)
	for i := range n {
		images = append(images, pixels(t, filepath.Join(out, fmt.Sprintf("%05d.png", i))))
	}
	return images
}

func pixels(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	m, err := png.Decode(f)
	require.NoError(t, err)
	var grey []byte
	for y := range m.Bounds().Dy() {
		for x := range m.Bounds().Dx() {
			grey = append(grey, color.GrayModel.Convert(m.At(x, y)).(color.Gray).Y)
		}
	}
	return grey
}

// apart returns the mean distance of two images in grey levels.
func apart(a, b []byte) float64 {
	sum := 0.0
	for i := range a {
		sum += max(float64(a[i])-float64(b[i]), float64(b[i])-float64(a[i]))
	}
	return sum / float64(len(a))
}

// TestFromAPicture holds that the less noise a picture gets, the more of it is left, and that every image has its own.
func TestFromAPicture(t *testing.T) {
	dir := edited(t)
	a := pixels(t, filepath.Join(dir, "a.png"))
	before := 0.0
	for _, strength := range []string{"0.001", "0.2", "1"} {
		got := greys(t, dir, 3, "-from a.png -strength "+strength)
		require.NotEqual(t, got[0], got[1])
		require.Greater(t, apart(got[0], a), before, strength)
		before = apart(got[0], a)
	}
	require.Less(t, apart(greys(t, dir, 1, "-from a.png -strength 0.001")[0], a), 3.0, "a step of a thousand")
	require.Equal(t, greys(t, dir, 3, "-from a.png -steps 10"), greys(t, dir, 3, "-from a.png -steps 10 -batch 1"))
	require.Equal(t, greys(t, dir, 3, "-from mnist -steps 10"), greys(t, dir, 3, "-from mnist -steps 10 -batch 1"), "a picture for each image")
	greys(t, dir, 2, "-from photo.png -sampler dpmpp")
	require.Contains(t, succeed(t, dir, "sample", strings.Fields("-model run -from mnist -sampler dpmpp")...), "64 images")
}

// TestInpainting holds that what is to stay stays to the bit, and that the rest is painted.
func TestInpainting(t *testing.T) {
	dir := edited(t)
	a := pixels(t, filepath.Join(dir, "a.png"))
	const flags = "-inpaint a.png -mask mask.png -steps 12 -resample 3 -jump 4"
	got := greys(t, dir, 3, flags)
	for _, image := range got {
		require.Equal(t, a[:32], image[:32])
		require.Greater(t, apart(image[32:], a[32:]), 5.0)
	}
	require.NotEqual(t, got[0], got[1])
	require.Equal(t, got, greys(t, dir, 3, flags+" -batch 2"))
	require.NotEqual(t, got, greys(t, dir, 3, "-inpaint a.png -mask mask.png -steps 12 -resample 1"))
	greys(t, dir, 1, "-inpaint photo.png -mask photo-mask.png -steps 5") // jumps of at most so many steps
}

// TestInterpolation holds that the ends are the two pictures, and that what lies between is neither.
func TestInterpolation(t *testing.T) {
	dir := edited(t)
	ends := [][]byte{pixels(t, filepath.Join(dir, "a.png")), pixels(t, filepath.Join(dir, "b.png"))}
	got := greys(t, dir, 5, "-steps 100 -interpolate a.png b.png -gif x.gif")
	const close = 3 // grey levels; the way back to noise and forth again is not exact
	require.Less(t, apart(got[0], ends[0]), float64(close))
	require.Less(t, apart(got[4], ends[1]), float64(close))
	for _, end := range ends {
		require.Greater(t, apart(got[2], end), 5.0*close)
	}
	require.Equal(t, got, greys(t, dir, 5, "-steps 100 -interpolate a.png b.png -batch 2"))

	f, err := os.Open(filepath.Join(dir, "x.gif"))
	require.NoError(t, err)
	defer f.Close()
	animation, err := gif.DecodeAll(f)
	require.NoError(t, err)
	require.Len(t, animation.Image, 10, "there and back")
}

// TestImpossibleEdits gives sample what this model, or these pictures, cannot do.
func TestImpossibleEdits(t *testing.T) {
	dir := edited(t)
	succeed(t, dir, "train", with(small, "-steps", "1", "-classes", "-out", "classes")...)
	succeed(t, dir, "train", with(small, "-steps", "1", "-prediction", "v", "-zero-snr", "-out", "zero")...)
	put(t, dir, "text.png", []byte("no picture"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cut.png"), []byte("\x89PNG\r\n\x1a\n cut"), 0o666))
	for _, c := range []struct {
		args string
		code int
		says []string
	}{
		{"-model run -inpaint a.png -mask photo-mask.png", 2, []string{"40×32", "8×8"}},
		{"-model run -inpaint photo.png -mask mask.png", 2, []string{"40×32", "8×8"}},
		{"-model run -inpaint a.png -mask mask.png -steps 5 -jump 6", 2, []string{"-jump 6", "5 steps"}},
		{"-model run -inpaint a.png -mask mask.png -sampler heun -churn 10", 2, []string{"churn"}},
		{"-model run -from nowhere.png", 3, []string{"nowhere.png"}},
		{"-model run -from text.png", 3, []string{"text.png", "neither PNG nor JPEG"}},
		{"-model run -from cut.png", 3, []string{"cut.png", "header"}},
		{"-model run -interpolate a.png text.png", 3, []string{"text.png"}},
		{"-model classes -interpolate a.png b.png", 2, []string{"-class N"}},
		{"-model classes -class 10", 2, []string{"0…9"}},
		{"-model run -guidance 2", 2, []string{"-classes"}},
		{"-model run -x0-only -clip 0", 2, []string{"-threshold"}},
		{"-model run -clip 1 -threshold 0.9", 2, []string{"give one of them"}},
		{"-model run -spacing 5,4", 2, []string{"rising"}},
		{"-model run -spacing 5,1001", 2, []string{"1000"}},
		{"-model run -spacing 5,9 -steps 3", 2, []string{"-steps 3"}},
		{"-model run -variance range", 2, []string{"large or small"}},
		{"-model zero -sampler heun", 2, []string{"-sampler dpmpp or ddim"}},
	} {
		got := run(t, prepared(t, dir, "sample", strings.Fields(c.args)...))
		require.Equal(t, c.code, got.code, "%s: %s", c.args, got.errors)
		require.Equal(t, 1, strings.Count(got.errors, "\n"), got.errors)
		for _, word := range c.says {
			require.Contains(t, got.errors, word, c.args)
		}
	}
	for _, flags := range []string{"-sampler ddim -eta 0.5 -x0-only", "-threshold 0.995", "-spacing 1,10,100,1000", "-clip 0 -steps 3", "-steps 9 -spacing linspace"} {
		greys(t, dir, 1, flags)
	}
	for _, flags := range []string{"", "-sampler ddim", "-sampler dpmpp"} {
		succeed(t, dir, "sample", append(strings.Fields("-model zero -n 1 -steps 5 "), strings.Fields(flags)...)...)
	}
}
