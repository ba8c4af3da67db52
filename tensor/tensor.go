// Package tensor holds float32 tensors and the operations of a U-Net on them, each directly above its gradient.
//
// Images are NHWC: a pixel's channels are contiguous, so that a convolution, a linear layer and attention are all the
// same matrix product on the same layout. The last dimension of every tensor is contiguous; there are no strides and
// no views. An operation writes into tensors the caller made; none allocates its result.
//
// Gradient functions add into the parameter gradients (dw, db, dgamma, …) and into dx, and skip any destination that
// is empty: an empty Tensor says "not wanted".
package tensor

import (
	"fmt"
	"slices"
)

// Tensor is a dense row-major array. The zero Tensor is empty and stands for "none".
type Tensor struct {
	Data  []float32 // len(Data) is the product of Shape; the last dimension is contiguous
	Shape []int     // never modified once made, so tensors may share it
}

// New returns a zero tensor of the given shape. It panics if a dimension is negative.
func New(shape ...int) Tensor {
	return Tensor{Data: make([]float32, Size(shape)), Shape: slices.Clone(shape)}
}

// From wraps data in a tensor of the given shape, without copying. It panics if their sizes differ.
func From(data []float32, shape ...int) Tensor {
	if n := Size(shape); n != len(data) {
		panic(fmt.Sprintf("tensor: From: got %d values, want %d for shape %v", len(data), n, slices.Clone(shape)))
	}
	return Tensor{Data: data, Shape: slices.Clone(shape)}
}

// Size returns the number of elements in a tensor of the given shape: the product of its dimensions, 1 for none.
func Size(shape []int) int {
	n := 1
	for _, d := range shape {
		if d < 0 {
			panic(fmt.Sprintf("tensor: Size: got a negative dimension in %v", slices.Clone(shape)))
		}
		n *= d
	}
	return n
}

// Empty reports whether x is the zero Tensor, which stands for "none": a missing bias, a gradient nobody wants.
func (x Tensor) Empty() bool { return x.Data == nil }

// Clone returns a copy of x that shares no data with it.
func (x Tensor) Clone() Tensor { return Tensor{Data: slices.Clone(x.Data), Shape: x.Shape} }

// Reshape returns x's data under another shape of the same size.
func (x Tensor) Reshape(shape ...int) Tensor { return From(x.Data, shape...) }

// Dims2 returns the dimensions of a matrix. It panics if x has another rank.
func (x Tensor) Dims2() (rows, cols int) {
	x.checkRank("Dims2", 2)
	return x.Shape[0], x.Shape[1]
}

// Dims4 returns the dimensions of a batch of images [N H W C]. It panics if x has another rank.
func (x Tensor) Dims4() (n, h, w, c int) {
	x.checkRank("Dims4", 4)
	return x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
}

func (x Tensor) checkRank(op string, rank int) {
	if len(x.Shape) != rank {
		panic(fmt.Sprintf("tensor: %s: got shape %v, want %d dimensions", op, x.Shape, rank))
	}
}

// checkShape panics unless x has the shape want.
func checkShape(op string, x Tensor, want ...int) {
	if !slices.Equal(x.Shape, want) {
		panic(fmt.Sprintf("tensor: %s: got shape %v, want %v", op, x.Shape, slices.Clone(want)))
	}
}
