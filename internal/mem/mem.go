// Package mem allocates the memory that kernels work in.
package mem

// Floats returns n zeroed floats. A large block of them lies on pages of two megabytes, where the system has such and
// gives them to who asks: the transforms of a convolution write to dozens of places far apart in turn, more than a core
// finds the pages of at once (a training step takes 1 to 3 % less on an Emerald Rapids Xeon), and memory that is used for
// the first time costs one fault for 512.
func Floats(n int) []float32 {
	x := make([]float32, n)
	if n >= large {
		advise(x)
	}
	return x
}

// large is the least number of floats that large pages are asked for, half of one. Less seldom fills a page, and much more
// leaves out what a small network works in.
const large = 1 << 18
