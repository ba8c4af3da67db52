package data

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ddpm/tensor"
)

func TestImage(t *testing.T) {
	grey := Image(tensor.From([]float32{-1, 1, 0, Value(77), -9, 9}, 2, 3, 1)).(*image.Gray)
	if want := []byte{0, 255, 128, 77, 0, 255}; grey.Rect != image.Rect(0, 0, 3, 2) || !slices.Equal(grey.Pix, want) {
		t.Errorf("got %v %v, want 3×2, %v", grey.Rect, grey.Pix, want)
	}
	rgb := Image(tensor.From([]float32{-1, 0, 1, Value(1), Value(2), Value(3)}, 1, 2, 3)).(*image.RGBA)
	if want := []byte{0, 128, 255, 255, 1, 2, 3, 255}; !slices.Equal(rgb.Pix, want) {
		t.Errorf("got %v, want %v", rgb.Pix, want)
	}
}

// TestGrid compares every pixel with the definition: block, gap or empty cell.
func TestGrid(t *testing.T) {
	for _, c := range []int{1, 3} {
		const n, h, w, columns, scale, gap = 5, 2, 3, 3, 2, 1
		s := randomSet(n, h, w, c)
		x := tensor.New(n, h, w, c)
		s.Batch(x, []int{0, 1, 2, 3, 4})
		m := Grid(x, columns, scale, gap)
		if got, want := m.Bounds(), image.Rect(0, 0, 3*7+1, 2*5+1); got != want {
			t.Fatalf("got %v, want %v", got, want)
		}
		for y := range m.Bounds().Dy() {
			for col := range m.Bounds().Dx() {
				want := color.RGBA{background, background, background, 255}
				cellX, cellY, i := (col-gap)%7, (y-gap)%5, (y-gap)/5*columns+(col-gap)/7
				if col >= gap && y >= gap && cellX < 6 && cellY < 4 && i < n {
					p := s.Pixels[((i*h+cellY/scale)*w+cellX/scale)*c:]
					want = color.RGBA{p[0], p[c/2], p[c-1], 255}
				}
				if got := color.RGBAModel.Convert(m.At(col, y)); got != want {
					t.Fatalf("%d channels, pixel %d,%d: got %v, want %v", c, col, y, got, want)
				}
			}
		}
	}
	for _, c := range []struct{ n, columns, width, height int }{
		{16, 0, 4, 4}, {17, 0, 5, 4}, {1, 0, 1, 1}, {2, 8, 2, 1}, {3, 1, 1, 3},
	} {
		if got, want := Grid(tensor.New(c.n, 1, 1, 1), c.columns, 1, 0).Bounds(), image.Rect(0, 0, c.width, c.height); got != want {
			t.Errorf("%d images, %d columns: got %v, want %v", c.n, c.columns, got, want)
		}
	}
}

func TestBeside(t *testing.T) {
	a, b := grey1(2, 1), grey1(1, 2)
	m := Beside(1, a, b).(*image.Gray)
	if want := []byte{10, 20, background, 10, background, background, background, 20}; m.Rect.Dx() != 4 || !slices.Equal(m.Pix, want) {
		t.Errorf("got %v, want %v", m.Pix, want)
	}
	c := colours(2, 2)
	if got := Beside(0, a, c).(*image.RGBA).RGBAAt(3, 1); got != c.RGBAAt(1, 1) {
		t.Errorf("got %v, want %v", got, c.RGBAAt(1, 1))
	}
}

func TestWritePNG(t *testing.T) {
	dir := t.TempDir()
	for name, m := range map[string]image.Image{"grey.png": grey1(3, 2), "rgb.png": Image(tensor.New(2, 3, 3))} {
		path := filepath.Join(dir, name)
		write(t, dir, name, []byte("something older"))
		if err := WritePNG(path, m); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		c, err := png.DecodeConfig(f)
		f.Close()
		if want := m.ColorModel(); err != nil || c.Width != 3 || c.Height != 2 || c.ColorModel != want {
			t.Errorf("%s: got %v, %v", name, c, err)
		}
	}
	if err := WritePNG(filepath.Join(dir, "missing", "x.png"), grey1(1, 1)); err == nil {
		t.Error("writing to a missing directory succeeded")
	}
	if err := WritePNG(filepath.Join(dir, "empty.png"), grey1(0, 0)); err == nil {
		t.Error("a picture without pixels was written")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("got %v, %v, want the two pictures and no temporary file", entries, err)
	}
}
