package data

import (
	"math"
	"slices"
	"testing"

	"ddpm/tensor"
)

func TestValue(t *testing.T) {
	if Value(0) != -1 || Value(255) != 1 {
		t.Errorf("got %v … %v, want -1 … 1", Value(0), Value(255))
	}
	for v := range 256 {
		b := byte(v)
		if want := float32(float64(v)/127.5 - 1); Value(b) != want {
			t.Errorf("Value(%d) = %v, want %v", v, Value(b), want)
		}
		if Value(255-b) != -Value(b) {
			t.Errorf("Value(%d) = %v is not the negative of Value(%d) = %v", 255-b, Value(255-b), b, Value(b))
		}
		if got := Byte(Value(b)); got != b {
			t.Errorf("Byte(Value(%d)) = %d", v, got)
		}
	}
}

func TestByte(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, c := range []struct {
		x    float32
		want byte
	}{
		{-1, 0}, {1, 255}, {-1.5, 0}, {1.5, 255}, {-inf, 0}, {inf, 255}, {float32(math.NaN()), 0},
		{0, 128},    // 127.5, half to even
		{0.5, 191},  // 191.25
		{-0.5, 64},  // 63.75
		{-0.999, 0}, // 0.1275
	} {
		if got := Byte(c.x); got != c.want {
			t.Errorf("Byte(%v) = %d, want %d", c.x, got, c.want)
		}
	}
	// Every number that float32 arithmetic puts half-way between two bytes goes to the even one.
	ties := 0
	for k := range 255 {
		x := float32((float64(k)+0.5)/127.5 - 1)
		if y := x/2 + 0.5; float64(y*255) != float64(k)+0.5 {
			continue
		}
		ties++
		if got := Byte(x); got%2 != 0 || int(got) != k && int(got) != k+1 {
			t.Errorf("Byte(%v) = %d, want the even one of %d and %d", x, got, k, k+1)
		}
	}
	if ties < 100 {
		t.Errorf("only %d ties were tried, want at least 100", ties)
	}
}

func TestToPixelsInvertsBatch(t *testing.T) {
	s := randomSet(5, 3, 2, 3)
	x := tensor.New(5, 3, 2, 3)
	s.Batch(x, []int{0, 1, 2, 3, 4})
	got := make([]byte, len(s.Pixels))
	ToPixels(got, x)
	if !slices.Equal(got, s.Pixels) {
		t.Errorf("got %v, want %v", got, s.Pixels)
	}
}

func TestBatch(t *testing.T) {
	s := &Set{H: 1, W: 2, C: 1, Pixels: []byte{0, 255, 51, 204, 1, 2}, Labels: []int{7, 8, 9}, Classes: 10}
	x := tensor.New(4, 1, 2, 1)
	index := []int{2, 0, 0, 1}
	s.Batch(x, index)
	want := []float32{Value(1), Value(2), -1, 1, -1, 1, -0.6, 0.6}
	if !slices.Equal(x.Data, want) {
		t.Errorf("got %v, want %v", x.Data, want)
	}
	labels := make([]int, 4)
	s.BatchLabels(labels, index)
	if want := []int{9, 7, 7, 8}; !slices.Equal(labels, want) {
		t.Errorf("labels: got %v, want %v", labels, want)
	}
}

func TestBatchPanics(t *testing.T) {
	s := randomSet(3, 2, 2, 1)
	labelled := *s
	labelled.Labels = []int{0, 1, 2}
	for name, f := range map[string]func(){
		"shape":         func() { s.Batch(tensor.New(1, 2, 2, 3), []int{0}) },
		"count":         func() { s.Batch(tensor.New(1, 2, 2, 1), []int{0, 1}) },
		"index":         func() { s.Batch(tensor.New(1, 2, 2, 1), []int{3}) },
		"negative":      func() { s.Batch(tensor.New(1, 2, 2, 1), []int{-1}) },
		"no labels":     func() { s.BatchLabels(make([]int, 1), []int{0}) },
		"label count":   func() { labelled.BatchLabels(make([]int, 2), []int{0}) },
		"label index":   func() { labelled.BatchLabels(make([]int, 1), []int{3}) },
		"pixel count":   func() { ToPixels(make([]byte, 3), tensor.New(4)) },
		"no images":     func() { NewStream(1, 0) },
		"image shape":   func() { Image(tensor.New(2, 2, 2)) },
		"grid shape":    func() { Grid(tensor.New(0, 2, 2, 1), 1, 1, 0) },
		"grid scale":    func() { Grid(tensor.New(1, 2, 2, 1), 1, 0, 0) },
		"no pictures":   func() { Beside(1) },
		"no frames":     func() { new(Animation).Encode(nil) },
		"stream's end":  func() { NewStream(1, 1).Indices(make([]int, 1), 1<<32) },
		"frame of size": func() { a := new(Animation); a.Add(grey1(1, 1)); a.Add(grey1(2, 1)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
