package data

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func decodeGIF(t *testing.T, a *Animation) *gif.GIF {
	t.Helper()
	var b bytes.Buffer
	if err := a.Encode(&b); err != nil {
		t.Fatal(err)
	}
	g, err := gif.DecodeAll(&b)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGreyAnimationIsExact(t *testing.T) {
	frame := image.NewGray(image.Rect(0, 0, 16, 16))
	for i := range frame.Pix {
		frame.Pix[i] = byte(i)
	}
	rgb := image.NewRGBA(frame.Rect)
	for i, v := range frame.Pix {
		copy(rgb.Pix[4*i:], []byte{v, v, v, 255})
	}
	a := &Animation{Delay: 50 * time.Millisecond, Hold: time.Second}
	a.Add(frame)
	a.Add(rgb)
	a.Add(frame.SubImage(frame.Rect))
	g := decodeGIF(t, a)
	if !slices.Equal(g.Delay, []int{5, 5, 100}) || g.LoopCount != 0 || a.Len() != 3 {
		t.Errorf("delays %v, loops %d, %d frames", g.Delay, g.LoopCount, a.Len())
	}
	for i, f := range g.Image {
		for p, v := range frame.Pix {
			if got, want := f.At(p%16, p/16), (color.RGBA{v, v, v, 255}); got != want {
				t.Fatalf("frame %d, pixel %d: got %v, want %v", i, p, got, want)
			}
		}
	}
}

// TestColoursAreTheNearest searches the whole palette, which need not be as quick.
func TestColoursAreTheNearest(t *testing.T) {
	if len(cube) != 256 || len(greys) != 256 {
		t.Fatalf("palettes of %d and %d colours, want 256", len(cube), len(greys))
	}
	seen := map[color.Color]bool{}
	for _, c := range cube {
		seen[c] = true
	}
	if len(seen) != 256 {
		t.Errorf("%d different colours, want 256", len(seen))
	}
	check := func(c color.RGBA) {
		got, least := distance(c, cube[nearest(c)].(color.RGBA)), 1<<30
		for _, p := range cube {
			least = min(least, distance(c, p.(color.RGBA)))
		}
		if got != least {
			t.Errorf("%v: distance %d, the nearest has %d", c, got, least)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		check(color.RGBA{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), 255})
		v := r.IntN(250) // nearly grey
		check(color.RGBA{byte(v + r.IntN(6)), byte(v + r.IntN(6)), byte(v + r.IntN(6)), 255})
	}
	for v := range 256 {
		check(color.RGBA{byte(v), byte(v), byte(v), 255})
	}
}

func TestColourAnimation(t *testing.T) {
	m := colours(8, 8)
	a := new(Animation)
	a.Add(grey1(8, 8))
	a.Add(m)
	path := filepath.Join(t.TempDir(), "a.gif")
	if err := a.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	g := decodeGIF(t, a)
	if !slices.Equal(g.Delay, []int{10, 200}) {
		t.Errorf("delays %v, want the defaults 10, 200", g.Delay)
	}
	for p := range 64 {
		x, y := p%8, p/8
		if got, want := g.Image[1].At(x, y), cube[nearest(m.RGBAAt(x, y))]; got != want {
			t.Errorf("pixel %d,%d: got %v, want %v", x, y, got, want)
		}
		if got, want := g.Image[0].At(x, y).(color.RGBA).R, byte(10*(p+1)); got != want {
			t.Errorf("grey pixel %d,%d: got %d, want %d", x, y, got, want)
		}
	}
}

// TestOneColouredPixel holds that a frame is grey only if all three channels of every pixel agree.
func TestOneColouredPixel(t *testing.T) {
	for _, c := range []color.RGBA{{255, 0, 0, 255}, {0, 255, 0, 255}, {0, 0, 255, 255}} {
		m := image.NewRGBA(image.Rect(0, 0, 2, 1))
		m.SetRGBA(0, 0, color.RGBA{51, 51, 51, 255})
		m.SetRGBA(1, 0, c)
		a := new(Animation)
		a.Add(m)
		if got := decodeGIF(t, a).Image[0].At(1, 0); got != c {
			t.Errorf("got %v, want %v", got, c)
		}
	}
}

func TestHundredths(t *testing.T) {
	for d, want := range map[time.Duration]int{
		time.Millisecond: 2, 24 * time.Millisecond: 2, 25 * time.Millisecond: 3, time.Second: 100,
	} {
		if got := hundredths(d); got != want {
			t.Errorf("%v: got %d, want %d", d, got, want)
		}
	}
}
