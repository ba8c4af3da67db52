package data

import (
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"io"
	"time"
)

// An Animation is a GIF in the making, which repeats for ever. GIF gives each frame 256 colours: a frame without colour
// takes all 256 greys and loses nothing; another takes the nearest of a fixed palette, the same for all frames, so
// that nothing flickers. The zero value shows ten frames a second and rests two seconds on the last.
type Animation struct {
	Delay time.Duration // of a frame, in hundredths of a second; 0 is 100 ms
	Hold  time.Duration // of the last frame; 0 is 2 s

	frames []*image.Paletted
}

// Add appends a frame. It panics if the size is not that of the frames before.
func (a *Animation) Add(m image.Image) {
	b := m.Bounds()
	if len(a.frames) > 0 && a.frames[0].Rect.Size() != b.Size() {
		panic(fmt.Sprintf("data: Add: got a frame of %v, want %v", b.Size(), a.frames[0].Rect.Size()))
	}
	rect := image.Rect(0, 0, b.Dx(), b.Dy())
	a.frames = append(a.frames, &image.Paletted{Rect: rect, Stride: b.Dx()})
	f := a.frames[len(a.frames)-1]
	f.Pix, f.Palette = make([]uint8, b.Dx()*b.Dy()), greys
	for y := range b.Dy() {
		for x := range b.Dx() {
			c := rgbAt(m, b.Min.X+x, b.Min.Y+y)
			if c.R != c.G || c.R != c.B {
				quantise(f, m)
				return
			}
			f.Pix[y*f.Stride+x] = c.R
		}
	}
}

// Len returns the number of frames.
func (a *Animation) Len() int { return len(a.frames) }

// Encode writes the GIF. It panics if there is no frame.
func (a *Animation) Encode(w io.Writer) error {
	if len(a.frames) == 0 {
		panic("data: Encode: got no frames, want at least one")
	}
	delay, hold := a.Delay, a.Hold
	if delay == 0 {
		delay = 100 * time.Millisecond
	}
	if hold == 0 {
		hold = 2 * time.Second
	}
	g := gif.GIF{Image: a.frames, Delay: make([]int, len(a.frames)), LoopCount: 0 /* for ever */}
	for i := range g.Delay {
		g.Delay[i] = hundredths(delay)
	}
	g.Delay[len(g.Delay)-1] = hundredths(hold)
	// Frames with the palette of the whole file carry none of their own.
	size := a.frames[0].Rect.Size()
	g.Config = image.Config{ColorModel: a.frames[0].Palette, Width: size.X, Height: size.Y}
	return gif.EncodeAll(w, &g)
}

// WriteFile writes the GIF to a file, whole or not at all.
func (a *Animation) WriteFile(path string) error { return writeFile(path, a.Encode) }

// hundredths rounds to GIF's unit. Viewers take less than two for a mistake and show the frame for ten.
func hundredths(d time.Duration) int {
	return max(2, int((d+5*time.Millisecond)/(10*time.Millisecond)))
}

// greys is all 256 of them; index and level are the same number.
var greys = func() (p color.Palette) {
	for v := range 256 {
		p = append(p, color.RGBA{uint8(v), uint8(v), uint8(v), 255})
	}
	return p
}()

// The palette of frames with colour: first a cube of six levels 0, 51, …, 255 in each of red, green and blue, then 40
// greys between those of the cube's diagonal, eight in each of its five intervals.
const (
	cubeLevels = 6
	cubeStep   = 255 / (cubeLevels - 1)
	cubeSize   = cubeLevels * cubeLevels * cubeLevels
	extraGreys = (256 - cubeSize) / (cubeLevels - 1)
)

var cube = func() (p color.Palette) {
	for i := range cubeSize {
		r, g, b := i/(cubeLevels*cubeLevels), i/cubeLevels%cubeLevels, i%cubeLevels
		p = append(p, color.RGBA{uint8(r * cubeStep), uint8(g * cubeStep), uint8(b * cubeStep), 255})
	}
	for i := range (cubeLevels - 1) * extraGreys {
		v := uint8(i/extraGreys*cubeStep + (i%extraGreys+1)*cubeStep/(extraGreys+1))
		p = append(p, color.RGBA{v, v, v, 255})
	}
	return p
}()

// quantise redraws m on f with the colours of cube.
func quantise(f *image.Paletted, m image.Image) {
	f.Palette = cube
	b := m.Bounds()
	for y := range b.Dy() {
		for x := range b.Dx() {
			f.Pix[y*f.Stride+x] = nearest(rgbAt(m, b.Min.X+x, b.Min.Y+y))
		}
	}
}

// nearest returns the index in cube of the colour at the least Euclidean distance from c. The nearest of the cube
// proper is found by rounding each channel, the nearest of the extra greys lies next to the mean of the three.
func nearest(c color.RGBA) uint8 {
	round := func(v uint8) int { return (int(v) + cubeStep/2) / cubeStep }
	best := (round(c.R)*cubeLevels+round(c.G))*cubeLevels + round(c.B)
	least := distance(c, cube[best].(color.RGBA))
	mean := (int(c.R) + int(c.G) + int(c.B)) / 3
	interval := min(mean/cubeStep, cubeLevels-2)
	for i := range extraGreys {
		j := cubeSize + interval*extraGreys + i
		if d := distance(c, cube[j].(color.RGBA)); d < least {
			best, least = j, d
		}
	}
	return uint8(best)
}

func distance(a, b color.RGBA) int {
	r, g, bl := int(a.R)-int(b.R), int(a.G)-int(b.G), int(a.B)-int(b.B)
	return r*r + g*g + bl*bl
}

// rgbAt returns a pixel without its alpha.
func rgbAt(m image.Image, x, y int) color.RGBA {
	switch m := m.(type) {
	case *image.Gray:
		v := m.GrayAt(x, y).Y
		return color.RGBA{v, v, v, 255}
	case *image.RGBA:
		return m.RGBAAt(x, y)
	}
	return color.RGBAModel.Convert(m.At(x, y)).(color.RGBA)
}
