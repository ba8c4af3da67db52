package data

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"

	"ddpm/tensor"
)

// background is the grey between the pictures of a Grid: the colour of 0, the middle of the range.
const background = 128

// Image returns x [H W C], C = 1 grey or 3 RGB, as a picture, number by number through Byte. It panics on another
// shape.
func Image(x tensor.Tensor) image.Image {
	if len(x.Shape) != 3 || x.Shape[2] != 1 && x.Shape[2] != 3 {
		panic(fmt.Sprintf("data: Image: got shape %v, want [H W 1] or [H W 3]", x.Shape))
	}
	h, w, c := x.Shape[0], x.Shape[1], x.Shape[2]
	m := newPicture(w, h, c)
	paint(m, x.Data, w, h, c, image.Point{}, 1)
	return m
}

// Grid lays the images x [N H W C] out in rows of the given number of columns, 0 for about as many as rows. Each pixel
// becomes a block of scale×scale, and gap pixels of neutral grey lie between the images and around them. It panics
// unless C is 1 or 3, N and scale are positive, and columns and gap are not negative.
func Grid(x tensor.Tensor, columns, scale, gap int) image.Image {
	n, h, w, c := x.Dims4()
	if n < 1 || c != 1 && c != 3 {
		panic(fmt.Sprintf("data: Grid: got shape %v, want [N H W 1] or [N H W 3] with N > 0", x.Shape))
	}
	if columns < 0 || scale < 1 || gap < 0 {
		panic(fmt.Sprintf("data: Grid: got columns %d, scale %d, gap %d, want ≥ 0, ≥ 1, ≥ 0", columns, scale, gap))
	}
	if columns == 0 {
		columns = int(math.Ceil(math.Sqrt(float64(n))))
	}
	columns = min(columns, n)
	rows := (n + columns - 1) / columns
	stepX, stepY := w*scale+gap, h*scale+gap
	m := newPicture(columns*stepX+gap, rows*stepY+gap, c)
	draw.Draw(m, m.Bounds(), image.NewUniform(color.Gray{Y: background}), image.Point{}, draw.Src)
	for i := range n {
		at := image.Pt(gap+i%columns*stepX, gap+i/columns*stepY)
		paint(m, x.Data[i*h*w*c:][:h*w*c], w, h, c, at, scale)
	}
	return m
}

// Beside sets pictures side by side, aligned at the top, with gap pixels of neutral grey between them. The result is
// grey if all are *image.Gray. It panics if there is none or gap is negative.
func Beside(gap int, pictures ...image.Image) image.Image {
	if len(pictures) == 0 || gap < 0 {
		panic(fmt.Sprintf("data: Beside: got %d pictures, gap %d, want at least one and ≥ 0", len(pictures), gap))
	}
	c, width, height := 1, -gap, 0
	for _, p := range pictures {
		if _, ok := p.(*image.Gray); !ok {
			c = 3
		}
		width += gap + p.Bounds().Dx()
		height = max(height, p.Bounds().Dy())
	}
	m := newPicture(width, height, c)
	draw.Draw(m, m.Bounds(), image.NewUniform(color.Gray{Y: background}), image.Point{}, draw.Src)
	x := 0
	for _, p := range pictures {
		b := p.Bounds()
		draw.Draw(m, image.Rect(x, 0, x+b.Dx(), b.Dy()), p, b.Min, draw.Src)
		x += b.Dx() + gap
	}
	return m
}

// WritePNG writes a picture to a file, whole or not at all: under a temporary name in the same directory, then renamed.
func WritePNG(path string, m image.Image) error {
	return writeFile(path, func(w io.Writer) error { return png.Encode(w, m) })
}

// newPicture returns an empty picture for c channels. Its PNG has 8 bits of grey or 24 of RGB a pixel: the encoder
// leaves out an alpha that is 255 everywhere.
func newPicture(w, h, c int) draw.Image {
	if c == 1 {
		return image.NewGray(image.Rect(0, 0, w, h))
	}
	return image.NewRGBA(image.Rect(0, 0, w, h))
}

// paint draws x [H W C] on m, its top left corner at the given point, each pixel as a block of scale×scale.
func paint(m draw.Image, x []float32, w, h, c int, at image.Point, scale int) {
	for row := range h {
		for col := range w {
			v := x[(row*w+col)*c:][:c]
			r := Byte(v[0])
			rgb := color.RGBA{r, r, r, 255}
			if c == 3 {
				rgb.G, rgb.B = Byte(v[1]), Byte(v[2])
			}
			left, top := at.X+col*scale, at.Y+row*scale
			for y := top; y < top+scale; y++ {
				for x := left; x < left+scale; x++ {
					switch m := m.(type) {
					case *image.Gray:
						m.SetGray(x, y, color.Gray{Y: r})
					case *image.RGBA:
						m.SetRGBA(x, y, rgb)
					}
				}
			}
		}
	}
}

// writeFile writes a file under a temporary name, then renames it.
func writeFile(path string, write func(io.Writer) error) (err error) {
	temporary := filepath.Join(filepath.Dir(path), fmt.Sprintf(".tmp-%d-%s", os.Getpid(), filepath.Base(path)))
	defer func() {
		if err != nil {
			os.Remove(temporary)
			err = fmt.Errorf("data: writing %s: %w", path, err)
		}
	}()
	f, err := os.Create(temporary)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}
