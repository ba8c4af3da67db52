// Package data holds training sets: images as bytes in memory, batches of them as tensors, and the order in which
// training sees them.
//
// Open reads a set: one of the two embedded in the program, or a directory of IDX files (MNIST and its kin), of CIFAR-10
// binary files or of pictures. Nothing a file claims is believed before it is checked, and no memory is allocated for
// a claim. The way back, from tensors to PNG and GIF files, is here too.
package data

import (
	"fmt"
	"math"
	"slices"

	"ddpm/tensor"
)

// A Set is a training set in memory.
type Set struct {
	Name       string
	H, W, C    int      // C is 1 (grey) or 3 (RGB)
	Pixels     []byte   // [N H W C], 0 is black
	Labels     []int    // [N], each in 0…Classes-1; nil: the images have none
	Classes    int      // number of classes; 0: the images have no labels
	ClassNames []string // [Classes]; nil: the classes are known by their numbers
}

// Len returns the number of images.
func (s *Set) Len() int { return len(s.Pixels) / (s.H * s.W * s.C) }

// Batch copies the images with the given indices to dst [len(index) H W C], a byte v becoming Value(v). It panics if
// dst has another shape or an index is out of range.
func (s *Set) Batch(dst tensor.Tensor, index []int) {
	if want := []int{len(index), s.H, s.W, s.C}; !slices.Equal(dst.Shape, want) {
		panic(fmt.Sprintf("data: Batch: got shape %v, want %v", dst.Shape, want))
	}
	size := s.H * s.W * s.C
	for j, i := range index {
		s.checkIndex("Batch", i)
		image := dst.Data[j*size:][:size]
		for k, v := range s.Pixels[i*size:][:size] {
			image[k] = values[v]
		}
	}
}

// BatchLabels copies the labels with the given indices to dst [len(index)]. It panics if the set has no labels, dst
// has another length or an index is out of range.
func (s *Set) BatchLabels(dst, index []int) {
	if s.Labels == nil {
		panic("data: BatchLabels: got a set without labels, want one with labels")
	}
	if len(dst) != len(index) {
		panic(fmt.Sprintf("data: BatchLabels: got room for %d labels, want %d", len(dst), len(index)))
	}
	for j, i := range index {
		s.checkIndex("BatchLabels", i)
		dst[j] = s.Labels[i]
	}
}

func (s *Set) checkIndex(op string, i int) {
	if n := s.Len(); i < 0 || i >= n {
		panic(fmt.Sprintf("data: %s: got index %d, want 0…%d", op, i, n-1))
	}
}

// Value returns the number in [-1, 1] that stands for byte v in a tensor (DDPM §3.3):
//
//	v/127.5 − 1, computed as (2v − 255)/255 with a single rounding,
//
// so that Value(0) = -1, Value(255) = 1 and Value(255-v) = -Value(v) exactly.
func Value(v byte) float32 { return values[v] }

var values = func() (t [256]float32) {
	for v := range t {
		t[v] = float32(float64(2*v-255) / 255)
	}
	return t
}()

// Byte returns the byte that x stands for, as diffusers computes it in float32: x/2 + ½ clamped to [0, 1], times 255,
// rounded half to even. Byte(Value(v)) = v for all v. Not-a-number gives 0.
func Byte(x float32) byte {
	y := min(x/2+0.5, 1)
	if !(y > 0) { // catches NaN too
		return 0
	}
	return byte(math.RoundToEven(float64(y * 255)))
}

// ToPixels converts the numbers of x, of any shape, to bytes by Byte. It panics if dst has another length.
func ToPixels(dst []byte, x tensor.Tensor) {
	if len(dst) != len(x.Data) {
		panic(fmt.Sprintf("data: ToPixels: got room for %d bytes, want %d", len(dst), len(x.Data)))
	}
	for i, v := range x.Data {
		dst[i] = Byte(v)
	}
}
