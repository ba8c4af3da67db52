package simd

import "fmt"

// The vector primitives, in the files vec_*.go, are loops over equally long
// float32 slices or over images [pixels c] with one coefficient for each of the
// c channels. The destination comes first. It may be one of the sources, but
// must not overlap one in part.
//
// Each has the same bits in AVX-512 and AVX2, and unless it involves exp in plain
// Go, on every machine. Three habits of the Go code, which is the definition,
// make that possible:
//
//   - A product is rounded before it is added to: float32(a*b) + c, where a plain
//     a*b + c would let the compiler fuse the two, and on some machines it does.
//   - Long sums are kept in 16 lanes, element i in lane i mod 16, and the lanes
//     folded by fold.
//   - Sums over the pixels of a channel are kept in two chains, of even and odd
//     pixels, for blockPixels pixels, then added to the result.
//
// NaN is passed on, though not which NaN it was. An assembly function can't be
// interrupted by the garbage collector, so hand over large vectors in pieces of
// a megabyte or so.

//go:generate go run -C _asm ./vec -out ../vec_amd64.s -stubs ../vec_amd64.go -noasm ../vec_noasm.go -pkg simd
//go:generate go run -C _asm ./vecneon -out ../vec_arm64.s

const (
	lanes       = 16
	blockPixels = 64
)

// fold adds lane l+8 to lane l, then l+4, l+2 and l+1.
func fold[T float32 | float64](sum *[lanes]T) T {
	for w := lanes / 2; w > 0; w /= 2 {
		for l := range w {
			sum[l] += sum[l+w]
		}
	}
	return sum[0]
}

// sameLen panics unless the other slices have the length of the first.
func sameLen(op string, first []float32, others ...[]float32) {
	for i, s := range others {
		if len(s) != len(first) {
			panic(fmt.Sprintf("simd: %s: got length %d in slice %d, want %d as in the first", op, len(s), i+2, len(first)))
		}
	}
}

// pixels is how many pixels of as many channels as row has are in the images.
// It panics unless they are equally long and whole.
func pixels(op string, row, image []float32, others ...[]float32) int {
	sameLen(op, image, others...)
	if len(row) == 0 || len(image)%len(row) != 0 {
		panic(fmt.Sprintf("simd: %s: got %d elements, want whole pixels of %d channels", op, len(image), len(row)))
	}
	return len(image) / len(row)
}
