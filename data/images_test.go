package data

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

// pngOf encodes a picture.
func pngOf(t *testing.T, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// grey1 returns a grey picture whose pixels are 10, 20, 30, … from the top left on.
func grey1(w, h int) *image.Gray {
	m := image.NewGray(image.Rect(0, 0, w, h))
	for i := range m.Pix {
		m.Pix[i] = byte(10 * (i + 1))
	}
	return m
}

// colours returns a picture of noise.
func colours(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	noise := randomSet(1, h, w, 3).Pixels
	for i := range w * h {
		copy(m.Pix[4*i:], noise[3*i:][:3])
		m.Pix[4*i+3] = 255
	}
	return m
}

// hugePNG is the beginning of a PNG that claims w×h pixels.
func hugePNG(w, h uint32) []byte {
	header := binary.BigEndian.AppendUint32([]byte("IHDR"), w)
	header = binary.BigEndian.AppendUint32(header, h)
	header = append(header, 8, 2, 0, 0, 0)
	b := binary.BigEndian.AppendUint32([]byte("\x89PNG\r\n\x1a\n"), uint32(len(header)-4))
	return binary.BigEndian.AppendUint32(append(b, header...), crc32.ChecksumIEEE(header))
}

func TestImagesKeepTheirPixels(t *testing.T) {
	dir := t.TempDir()
	a, b := colours(5, 3), grey1(5, 3)
	write(t, dir, "b.png", pngOf(t, b))
	write(t, dir, "a.jpeg", pngOf(t, a)) // told by its content, not by its name
	write(t, dir, ".hidden", []byte("x"))
	write(t, dir, "Thumbs.db", []byte("x"))
	write(t, dir, ".DS_Store", []byte("x"))
	s := mustOpen(t, dir, Options{})
	if s.Len() != 2 || s.H != 3 || s.W != 5 || s.C != 3 || s.Labels != nil || s.Classes != 0 {
		t.Fatalf("got %d images %d×%d×%d, labels %v", s.Len(), s.H, s.W, s.C, s.Labels)
	}
	for i := range 15 {
		if got, want := s.Pixels[3*i:][:3], a.Pix[4*i:][:3]; !slices.Equal(got, want) {
			t.Errorf("a, pixel %d: got %v, want %v", i, got, want)
		}
		if got, want := s.Pixels[45+3*i:][:3], []byte{b.Pix[i], b.Pix[i], b.Pix[i]}; !slices.Equal(got, want) {
			t.Errorf("b, pixel %d: got %v, want %v", i, got, want)
		}
	}
}

func TestGreyImages(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "grey.png", pngOf(t, grey1(2, 2)))
	rgb := image.NewRGBA(image.Rect(0, 0, 2, 2)) // grey pixels in a colour file
	for i := range rgb.Pix {
		rgb.Pix[i] = 255
	}
	write(t, dir, "rgb.png", pngOf(t, rgb))
	var b bytes.Buffer
	if err := jpeg.Encode(&b, grey1(2, 2), nil); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "zgrey.jpg", b.Bytes())
	s := mustOpen(t, dir, Options{})
	if want := []byte{10, 20, 30, 40, 255, 255, 255, 255}; s.C != 1 || !slices.Equal(s.Pixels[:8], want) {
		t.Errorf("got %d channels, pixels %v, want 1, %v", s.C, s.Pixels, want)
	}
	if s := mustOpen(t, dir, Options{Channels: 3}); s.C != 3 || s.Len() != 3 {
		t.Errorf("asked for RGB: got %d images of %d channels", s.Len(), s.C)
	}
	write(t, dir, "colour.png", pngOf(t, colours(2, 2)))
	if s := mustOpen(t, dir, Options{}); s.C != 3 {
		t.Error("one coloured picture, but the set is grey")
	}
	if s := mustOpen(t, dir, Options{Channels: 1}); s.C != 1 || s.Len() != 4 {
		t.Errorf("asked for grey: got %d images of %d channels", s.Len(), s.C)
	}
}

func TestGrey(t *testing.T) {
	for _, c := range []struct {
		last []byte
		want bool
	}{{[]byte{7, 7, 7}, true}, {[]byte{8, 7, 7}, false}, {[]byte{7, 8, 7}, false}, {[]byte{7, 7, 8}, false}} {
		if got := grey(append([]byte{1, 1, 1}, c.last...)); got != c.want {
			t.Errorf("%v: got %v, want %v", c.last, got, c.want)
		}
	}
}

func TestAlphaLiesOnWhite(t *testing.T) {
	m := image.NewNRGBA(image.Rect(0, 0, 3, 1))
	m.SetNRGBA(0, 0, color.NRGBA{200, 0, 0, 0})
	m.SetNRGBA(1, 0, color.NRGBA{255, 0, 0, 128})
	m.SetNRGBA(2, 0, color.NRGBA{1, 2, 3, 255})
	dir := t.TempDir()
	write(t, dir, "a.png", pngOf(t, m))
	s := mustOpen(t, dir, Options{})
	if want := []byte{255, 255, 255, 255, 127, 127, 1, 2, 3}; !slices.Equal(s.Pixels, want) {
		t.Errorf("got %v, want %v", s.Pixels, want)
	}
}

// TestImagesAreCroppedAndResized compares with cropping and resizing the bytes.
func TestImagesAreCroppedAndResized(t *testing.T) {
	dir := t.TempDir()
	wide, small := colours(13, 6), grey1(2, 3)
	write(t, dir, "0.png", pngOf(t, wide))
	write(t, dir, "1.png", pngOf(t, small))
	_, err := Open(dir, Options{})
	wantError(t, err, filepath.Join(dir, "1.png"), "is 2×3 pixels, but 0.png is 13×6")

	s := mustOpen(t, dir, Options{Side: 4})
	square := make([]byte, 6*6*3)
	for y := range 6 {
		for x := range 6 {
			copy(square[(y*6+x)*3:][:3], wide.Pix[wide.PixOffset(x+3, y):])
		}
	}
	want := make([]byte, 4*4*3)
	newScaler(6, 4).resize(want, square, 3)
	if !slices.Equal(s.Pixels[:48], want) {
		t.Errorf("wide: got %v, want %v", s.Pixels[:48], want)
	}
	grey := make([]byte, 16)
	newScaler(2, 4).resize(grey, []byte{10, 20, 30, 40}, 1)
	for i, v := range grey {
		if s.Pixels[48+3*i] != v {
			t.Errorf("tall: pixel %d is %d, want %d", i, s.Pixels[48+3*i], v)
		}
	}
}

func TestClassFolders(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"dog/2.png", "dog/1.png", "cat/9.png"} {
		write(t, dir, name, pngOf(t, grey1(2, 2)))
	}
	write(t, dir, "cat/.DS_Store", nil)
	write(t, dir, "__MACOSX/x", nil)
	s := mustOpen(t, dir, Options{})
	if !slices.Equal(s.ClassNames, []string{"cat", "dog"}) || !slices.Equal(s.Labels, []int{0, 1, 1}) || s.Classes != 2 {
		t.Errorf("got classes %v, labels %v", s.ClassNames, s.Labels)
	}
	_, err := Open(dir, Options{Split: "test"})
	wantError(t, err, dir, "holds no folder test")

	split := t.TempDir()
	for _, name := range []string{"train/a/1.png", "train/b/1.png", "train/b/2.png", "test/a/1.png"} {
		write(t, split, name, pngOf(t, grey1(2, 2)))
	}
	if s := mustOpen(t, split, Options{}); s.Len() != 3 || s.Classes != 2 {
		t.Errorf("train: got %d images, %d classes", s.Len(), s.Classes)
	}
	if s := mustOpen(t, split, Options{Split: "test"}); s.Len() != 1 || s.Classes != 1 {
		t.Errorf("test: got %d images, %d classes", s.Len(), s.Classes)
	}
	if err := os.RemoveAll(filepath.Join(split, "test")); err != nil {
		t.Fatal(err)
	}
	_, err = Open(split, Options{Split: "test"})
	wantError(t, err, split, "holds no folder test")
}

func TestImagesRefused(t *testing.T) {
	good := pngOf(t, colours(20, 20))
	var jpg bytes.Buffer
	if err := jpeg.Encode(&jpg, colours(40, 40), nil); err != nil {
		t.Fatal(err)
	}
	badHeader := slices.Clone(good)
	badHeader[20] ^= 1 // within IHDR, whose checksum then fails
	for _, c := range []struct {
		name, file string
		content    []byte
		detail     string
	}{
		{"text file", "notes.txt", []byte("some notes"), "is neither PNG nor JPEG"},
		{"empty file", "empty.png", nil, "is neither PNG nor JPEG"},
		{"GIF", "x.png", []byte("GIF89a0123456789"), "is neither PNG nor JPEG"},
		{"50 gigapixels", "huge.png", hugePNG(250_000, 200_000), "claims 250000×200000 pixels, the limit is 67108864"},
		{"product overflows 32 bits", "huge.png", hugePNG(1<<16, 1<<16), "claims 65536×65536 pixels"},
		{"damaged header", "bad.png", badHeader, "has a damaged header"},
		{"PNG header cut short", "bad.png", good[:20], "has a damaged header"},
		{"truncated PNG", "cut.png", good[:len(good)/2], "cannot be decoded"},
		{"truncated JPEG", "cut.jpg", jpg.Bytes()[:jpg.Len()*3/4], "cannot be decoded"},
		{"JPEG header cut short", "cut.jpg", jpg.Bytes()[:8], "has a damaged header"},
	} {
		dir := t.TempDir()
		for _, name := range []string{"a.png", "z.png"} {
			write(t, dir, name, good)
		}
		path := write(t, dir, c.file, c.content)
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(dir, Options{Side: 8})
			wantError(t, err, path, c.detail)
		})
	}
}

func TestFoldersRefused(t *testing.T) {
	picture := pngOf(t, grey1(2, 2))
	mixed := t.TempDir()
	write(t, mixed, "a.png", picture)
	write(t, mixed, "cat/b.png", picture)
	_, err := Open(mixed, Options{})
	wantError(t, err, mixed, "holds both files (a.png) and folders (cat)")

	deep := t.TempDir()
	write(t, deep, "cat/black/b.png", picture)
	_, err = Open(deep, Options{})
	wantError(t, err, filepath.Join(deep, "cat", "black"), "is a folder within the folder of a class")

	hollow := t.TempDir()
	write(t, hollow, "cat/b.png", picture)
	write(t, hollow, "dog/.DS_Store", nil)
	_, err = Open(hollow, Options{})
	wantError(t, err, filepath.Join(hollow, "dog"), "holds no images")

	if runtime.GOOS != "windows" {
		dangling := t.TempDir()
		write(t, dangling, "a.png", picture)
		if err := os.Symlink("nowhere", filepath.Join(dangling, "b.png")); err != nil {
			t.Fatal(err)
		}
		_, err = Open(dangling, Options{})
		wantError(t, err, filepath.Join(dangling, "b.png"), "cannot be read")
	}
}
