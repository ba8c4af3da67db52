package data

import (
	"fmt"
	"math"

	"ddpm/internal/rng"
	"ddpm/tensor"
)

// Training sees samples numbered 0, 1, 2, … without end: step k of batches of b takes the samples k·b … k·b+b-1. Which
// image a sample is and whether it is mirrored depends on the seed and its number alone, so a resumed run, another
// batch size or gradient accumulation see the same samples.

// Order returns the order in which an epoch visits n images: a permutation of 0…n-1 that is a function of (seed,
// epoch, n) alone.
func Order(seed uint64, epoch uint32, n int) []int {
	r := rng.New(seed, rng.Shuffle, 0, epoch)
	return r.Perm(n)
}

// A Stream says which image of a set each sample of training is. Sample s is image
//
//	Order(seed, s div n, n)[s mod n]
//
// of the n images: epochs follow one another without a gap, a batch may lie across the border of two, and none is cut
// short. It is not for concurrent use.
type Stream struct {
	seed  uint64
	n     int
	epoch uint32
	order []int // Order of epoch; nil before the first use
}

// NewStream returns the stream of samples from n images. It panics if there are none.
func NewStream(seed uint64, n int) *Stream {
	if n < 1 {
		panic(fmt.Sprintf("data: NewStream: got %d images, want at least 1", n))
	}
	return &Stream{seed: seed, n: n}
}

// Indices writes to dst the images of the samples first, first+1, …. It panics past the last epoch, 2³²-1.
func (s *Stream) Indices(dst []int, first uint64) {
	n := uint64(s.n)
	for j := range dst {
		sample := first + uint64(j)
		epoch := sample / n
		if epoch > math.MaxUint32 {
			panic(fmt.Sprintf("data: Indices: got sample %d, want one of the first 2³² epochs of %d", sample, n))
		}
		if s.order == nil || s.epoch != uint32(epoch) {
			s.epoch, s.order = uint32(epoch), Order(s.seed, uint32(epoch), s.n)
		}
		dst[j] = s.order[sample%n]
	}
}

// Flip mirrors about half of the images of x [N H W C] left to right, in place: image j if a coin thrown for
// (seed, sample first+j) says so.
func Flip(x tensor.Tensor, seed, first uint64) {
	n, h, w, c := x.Dims4()
	for j := range n {
		coin := rng.New(seed, rng.Flip, first+uint64(j), 0)
		if coin.Uint32()&1 == 0 {
			continue
		}
		for y := range h {
			mirror(x.Data[(j*h+y)*w*c:][:w*c], c)
		}
	}
}

// mirror reverses the order of the pixels of a row [W C].
func mirror(row []float32, c int) {
	for l, r := 0, len(row)-c; l < r; l, r = l+c, r-c {
		for k := range c {
			row[l+k], row[r+k] = row[r+k], row[l+k]
		}
	}
}
