package data

import (
	"slices"
	"testing"

	"ddpm/tensor"
)

func TestOrder(t *testing.T) {
	// What a seed means never changes: a resumed run depends on it.
	if got, want := Order(1, 2, 8), []int{4, 0, 1, 7, 6, 3, 5, 2}; !slices.Equal(got, want) {
		t.Errorf("Order(1, 2, 8) = %v, want %v", got, want)
	}
	base := Order(3, 0, 100)
	if !slices.Equal(base, Order(3, 0, 100)) {
		t.Error("the same seed and epoch gave two orders")
	}
	for name, other := range map[string][]int{"epoch": Order(3, 1, 100), "seed": Order(4, 0, 100)} {
		if slices.Equal(base, other) {
			t.Errorf("another %s gave the same order", name)
		}
	}
	for _, n := range []int{1, 2, 17} {
		got := slices.Sorted(slices.Values(Order(9, 9, n)))
		for i, v := range got {
			if v != i {
				t.Fatalf("n = %d: sorted order is %v", n, got)
			}
		}
	}
}

func TestStreamFollowsItsDefinition(t *testing.T) {
	for _, n := range []int{1, 2, 7} {
		for _, batch := range []int{1, 3, 7, 20} {
			s := NewStream(5, n)
			index := make([]int, batch)
			for step := range 6 {
				first := uint64(step * batch)
				s.Indices(index, first)
				for j, got := range index {
					sample := step*batch + j
					if want := Order(5, uint32(sample/n), n)[sample%n]; got != want {
						t.Fatalf("n %d, batch %d: sample %d is image %d, want %d", n, batch, sample, got, want)
					}
				}
			}
		}
	}
}

// TestStreamVisitsAllImages cuts a stream in batches that do not divide the set and counts visits across the borders.
func TestStreamVisitsAllImages(t *testing.T) {
	const n, batch, epochs = 10, 4, 6
	s, visits, index := NewStream(1, n), make([]int, n), make([]int, batch)
	for first := 0; first < n*epochs; first += batch {
		s.Indices(index, uint64(first))
		for _, i := range index {
			visits[i]++
		}
	}
	for i, v := range visits {
		if v != epochs {
			t.Errorf("image %d was seen %d times in %d epochs", i, v, epochs)
		}
	}
}

func TestStreamResumes(t *testing.T) {
	whole, part := make([]int, 50), make([]int, 13)
	NewStream(2, 9).Indices(whole, 0)
	for _, first := range []int{37, 4, 17} { // backwards too
		s := NewStream(2, 9)
		s.Indices(part, uint64(first))
		if want := whole[first : first+13]; !slices.Equal(part, want) {
			t.Errorf("from sample %d: got %v, want %v", first, part, want)
		}
		s.Indices(part, 0)
		if !slices.Equal(part, whole[:13]) {
			t.Errorf("going back from sample %d: got %v, want %v", first, part, whole[:13])
		}
	}
	last := make([]int, 1)
	NewStream(2, 3).Indices(last, 3<<32-1) // the last sample of epoch 2³²-1
	if want := Order(2, 1<<32-1, 3)[2]; last[0] != want {
		t.Errorf("last sample: got %d, want %d", last[0], want)
	}
}

func TestFlip(t *testing.T) {
	const n, h, w, c = 400, 2, 3, 2
	x := tensor.New(n, h, w, c)
	for i := range x.Data {
		x.Data[i] = float32(i)
	}
	flipped := x.Clone()
	Flip(flipped, 11, 1000)
	count := 0
	for j := range n {
		mirrored := flipped.Data[j*h*w*c] != x.Data[j*h*w*c]
		if mirrored {
			count++
		}
		for y := range h {
			for col := range w {
				for k := range c {
					from := col
					if mirrored {
						from = w - 1 - col
					}
					got, want := flipped.Data[((j*h+y)*w+col)*c+k], x.Data[((j*h+y)*w+from)*c+k]
					if got != want {
						t.Fatalf("image %d, pixel %d,%d,%d: got %v, want %v", j, y, col, k, got, want)
					}
				}
			}
		}
	}
	// 400 fair coins lie within 5σ = 50 of 200 but for one seed in a million.
	if count < 150 || count > 250 {
		t.Errorf("%d of %d images were mirrored, want about half", count, n)
	}

	parts := x.Clone()
	const split = 123 * h * w * c
	Flip(tensor.From(parts.Data[:split], 123, h, w, c), 11, 1000)
	Flip(tensor.From(parts.Data[split:], n-123, h, w, c), 11, 1123)
	if !slices.Equal(parts.Data, flipped.Data) {
		t.Error("flips depend on how the samples are cut in batches")
	}
	other := x.Clone()
	Flip(other, 12, 1000)
	if slices.Equal(other.Data, flipped.Data) {
		t.Error("another seed gave the same flips")
	}
}
