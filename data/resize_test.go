package data

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// randomSet returns a set of n unlabelled images of noise.
func randomSet(n, h, w, c int) *Set {
	r := rand.New(rand.NewPCG(1, uint64(n*h*w*c)))
	s := &Set{Name: "random", H: h, W: w, C: c, Pixels: make([]byte, n*h*w*c)}
	for i := range s.Pixels {
		s.Pixels[i] = byte(r.Uint32())
	}
	return s
}

// coverage is how much of old pixel i lies under new pixel o.
func coverage(i, o, in, out int) float64 {
	scale := float64(in) / float64(out)
	begin, end := float64(o)*scale, float64(o+1)*scale
	return max(0, min(end, float64(i+1))-max(begin, float64(i))) / scale
}

// hat is the weight of old pixel i at the centre of new pixel o in linear interpolation, the outermost pixels reaching
// on for ever.
func hat(i, o, in, out int) float64 {
	x := (float64(o)+0.5)*float64(in)/float64(out) - 0.5
	x = min(max(x, 0), float64(in-1))
	return max(0, 1-math.Abs(x-float64(i)))
}

// resizeSlow is the definition: each new pixel a weighted sum over all old ones, in float64.
func resizeSlow(src []byte, size, side, c int) []float64 {
	weight := coverage
	if side > size {
		weight = hat
	}
	dst := make([]float64, side*side*c)
	for y := range side {
		for x := range side {
			for i := range size {
				for j := range size {
					for k := range c {
						dst[(y*side+x)*c+k] += weight(i, y, size, side) * weight(j, x, size, side) * float64(src[(i*size+j)*c+k])
					}
				}
			}
		}
	}
	return dst
}

// halfUnit is the rounding to a byte, and the error of the float64 sums, which decides ties either way.
const halfUnit = 0.5 + 1e-9

func TestResize(t *testing.T) {
	for _, c := range []int{1, 3} {
		for _, sizes := range [][2]int{
			{1, 1}, {1, 5}, {5, 1}, {4, 2}, {6, 4}, {7, 3}, {28, 8}, {13, 12}, {8, 32}, {5, 7}, {9, 10}, {28, 32}, {2, 3}, {16, 16},
		} {
			size, side := sizes[0], sizes[1]
			src := randomSet(1, size, size, c).Pixels
			got := make([]byte, side*side*c)
			newScaler(size, side).resize(got, src, c)
			for i, want := range resizeSlow(src, size, side, c) {
				if math.Abs(float64(got[i])-want) > halfUnit {
					t.Fatalf("%d → %d, %d channels: value %d is %d, want %.3f", size, side, c, i, got[i], want)
				}
			}
			if size == side && !slices.Equal(got, src) {
				t.Errorf("%d → %d changed the image", size, side)
			}
		}
	}
}

// TestResizeIsExact holds the extremes: white stays white at sizes where sums of 32 bits would overflow.
func TestResizeIsExact(t *testing.T) {
	for _, sizes := range [][2]int{{5000, 7}, {700, 699}, {1, maxSide}, {299, 300}} {
		src := make([]byte, sizes[0]*sizes[0])
		for i := range src {
			src[i] = 255
		}
		dst := make([]byte, sizes[1]*sizes[1])
		newScaler(sizes[0], sizes[1]).resize(dst, src, 1)
		for i, v := range dst {
			if v != 255 {
				t.Fatalf("%v: pixel %d of a white image is %d", sizes, i, v)
			}
		}
	}
}

func TestToSide(t *testing.T) {
	// A 2×4 image is cropped to its middle columns, then halved: the mean of 20, 30, 60, 70.
	s := &Set{H: 2, W: 4, C: 1, Pixels: []byte{10, 20, 30, 40, 50, 60, 70, 80}}
	got, err := s.toSide(1)
	if err != nil {
		t.Fatal(err)
	}
	if want := []byte{45}; !slices.Equal(got.Pixels, want) || got.H != 1 || got.W != 1 {
		t.Errorf("got %v, %d×%d, want %v, 1×1", got.Pixels, got.H, got.W, want)
	}
	// A 3×2 image loses its bottom line: an odd remainder goes below.
	s = &Set{H: 3, W: 2, C: 1, Pixels: []byte{1, 2, 3, 4, 5, 6}}
	if got, err = s.toSide(2); err != nil || !slices.Equal(got.Pixels, []byte{1, 2, 3, 4}) {
		t.Errorf("got %v, %v, want [1 2 3 4]", got.Pixels, err)
	}

	s = randomSet(3, 28, 28, 1)
	padded, err := s.toSide(32)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		for y := range 32 {
			for x := range 32 {
				want := byte(0)
				if y >= 2 && y < 30 && x >= 2 && x < 30 {
					want = s.Pixels[(i*28+y-2)*28+x-2]
				}
				if got := padded.Pixels[(i*32+y)*32+x]; got != want {
					t.Fatalf("image %d, pixel %d,%d: got %d, want %d", i, y, x, got, want)
				}
			}
		}
	}

	huge := &Set{Name: "huge", H: 1, W: 1, C: 1, Pixels: make([]byte, 1000)}
	_, err = huge.toSide(maxSide)
	wantError(t, err, "huge", "more than the limit")
}

func TestToChannels(t *testing.T) {
	rgb := &Set{H: 1, W: 4, C: 3, Pixels: []byte{255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9}}
	grey, err := rgb.toChannels(1)
	if err != nil {
		t.Fatal(err)
	}
	if want := []byte{76, 150, 29, 9}; !slices.Equal(grey.Pixels, want) || grey.C != 1 {
		t.Errorf("got %v, want %v", grey.Pixels, want)
	}
	back, err := grey.toChannels(3)
	if err != nil {
		t.Fatal(err)
	}
	if want := []byte{76, 76, 76, 150, 150, 150, 29, 29, 29, 9, 9, 9}; !slices.Equal(back.Pixels, want) || back.C != 3 {
		t.Errorf("got %v, want %v", back.Pixels, want)
	}
}

func BenchmarkResize(b *testing.B) {
	const size, side = 1024, 64
	src, dst := randomSet(1, size, size, 3).Pixels, make([]byte, side*side*3)
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		newScaler(size, side).resize(dst, src, 3)
	}
}
