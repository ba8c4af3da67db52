package tensor

import (
	"fmt"

	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// Window is how a convolution's kernel moves over an image: its stride, and how many rows and columns of zeros border
// the image on each side; and the way it is computed.
type Window struct {
	Stride                   int
	Top, Left, Bottom, Right int
	Method                   Method
}

var (
	// Same3 keeps the size of an image under a 3×3 kernel.
	Same3 = Window{Stride: 1, Top: 1, Left: 1, Bottom: 1, Right: 1}
	// Half3 halves an image under a 3×3 kernel, as torch.nn.Conv2d does with stride 2 and padding 1.
	Half3 = Window{Stride: 2, Top: 1, Left: 1, Bottom: 1, Right: 1}
	// HalfEnd3 halves an image bordered at the bottom and right only: TensorFlow's 'SAME', which the published DDPM
	// checkpoints were trained with.
	HalfEnd3 = Window{Stride: 2, Bottom: 1, Right: 1}
)

// Out returns the size of the result for an image of h×w under a kernel of kh×kw.
func (v Window) Out(h, w, kh, kw int) (oh, ow int) {
	return (h+v.Top+v.Bottom-kh)/v.Stride + 1, (w+v.Left+v.Right-kw)/v.Stride + 1
}

// source is what a convolution reads: images x [N H W C], as they are, enlarged, or normalised and activated on the way.
type source struct {
	x      Tensor
	join   Tensor // [N H W Cj] or empty: the images read are [x join], joined in channels as they are
	up     bool   // enlarged two times by repeating pixels
	half   bool   // every second row and column alone, those of a phase
	phase  int    // 0…3: from row phase/2 and column phase%2 on
	act    bool   // SiLU of the norm instead of x itself
	from   int    // fill makes channels from…to of these images;
	to     int    // 0: all
	stats  Tensor // of the norm, see Norm.StatsShape
	groups int    // of the norm

	// What is to be done with each image before it is read, while it comes to the cache; may be nil.
	prepare func(n int, mem *par.Scratch)
}

// dims returns the dimensions of the images that are read.
func (s *source) dims() (n, h, w, c int) {
	n, h, w, c = s.x.Shape[0], s.x.Shape[1], s.x.Shape[2], s.x.Shape[3]
	if s.up {
		h, w = 2*h, 2*w
	}
	if s.half {
		h, w = h/2, w/2
	}
	if len(s.join.Data) > 0 {
		c += s.join.Shape[3]
	}
	return n, h, w, c
}

// channels writes channels from…to, joined, of pixels p0… of all images, counted end to end, until dst is full.
func (s *source) channels(dst []float32, p0, from, to int) {
	ca, c := s.x.Shape[3], to-from
	pixels := len(dst) / c
	if from < ca {
		simd.CopyPixels(dst, c, s.x.Data[p0*ca+from:], ca, pixels, min(to, ca)-from, false)
	}
	if to > ca {
		first, cb := max(from-ca, 0), s.join.Shape[3]
		simd.CopyPixels(dst[ca+first-from:], c, s.join.Data[p0*cb+first:], cb, pixels, to-ca-first, false)
	}
}

// activated is channels, normalised and activated.
func (s *source) activated(dst []float32, p0, from, to int, scale, shift []float32) {
	ca, c := s.x.Shape[3], to-from
	pixels, first := len(dst)/c, max(0, min(to, ca)-from) // channels of x
	if first > 0 {
		simd.NormSiLU(dst, c, s.x.Data[p0*ca+from:], ca, pixels, scale[:first], shift[:first])
	}
	if first < c {
		at, cb := max(from-ca, 0), s.join.Shape[3]
		simd.NormSiLU(dst[first:], c, s.join.Data[p0*cb+at:], cb, pixels, scale[first:], shift[first:])
	}
}

// norm returns the norm of image n, nothing if there is none.
func (s *source) norm(n int) (scale, shift []float32) {
	if !s.act {
		return nil, nil
	}
	return affineOf(s.stats, s.groups, n)
}

// begin precedes the work of one piece on the whole of images n0…n1.
func (s *source) begin(n0, n1 int, mem *par.Scratch) {
	for n := n0; n < n1 && s.prepare != nil; n++ {
		mem.Within(func() { s.prepare(n, mem) })
	}
}

// beginAll does the same for all images, where pieces are parts of images.
func (s *source) beginAll() {
	if s.prepare != nil {
		par.For(s.x.Shape[0], func(i int, mem *par.Scratch) { s.begin(i, i+1, mem) })
	}
}

// fill writes rows y0…y1 of image n into the zero-bordered image p, whose rows are pRow floats long and whose first
// row and column lie top rows above and left columns left of the image. What lies outside the image becomes zero:
// the border is of the activated image, not of x.
func (s *source) fill(p []float32, pRow, n, y0, y1, top, left int) {
	s.border(p, pRow, y0, y1, top, left)
	s.inside(p, pRow, n, y0, y1, top, left)
}

// border writes what of that lies outside the image. It is the same for all images, so that an image that takes the
// place of another finds it there.
func (s *source) border(p []float32, pRow, y0, y1, top, left int) {
	_, h, w, c := s.dims()
	if s.to > 0 {
		c = s.to - s.from
	}
	for y := y0; y < y1; y++ {
		row := p[(y-y0)*pRow:][:pRow]
		if y < top || y >= top+h {
			clear(row)
			continue
		}
		clear(row[:left*c])
		clear(row[(left+w)*c:])
	}
}

// inside writes what lies inside. Rows that lie end to end are written as one.
func (s *source) inside(p []float32, pRow, n, y0, y1, top, left int) {
	_, h, w, all := s.dims()
	image := imageOf(s.x, n)
	scale, shift := s.norm(n)
	from, c := s.from, all
	if s.to > 0 {
		c = s.to - from
		if s.act {
			scale, shift = scale[from:s.to], shift[from:s.to]
		}
	}
	first, last, step := max(y0, top), min(y1, top+h), 1
	if pRow == w*c && !s.up && !s.half {
		step = last - first
	}
	for y := first; y < last; y += step {
		dst := p[(y-y0)*pRow+left*c:][:step*w*c]
		switch y := y - top; {
		case s.up:
			row := image[y/2*(w/2*all):][:w/2*all]
			enlargeRow(dst, row[from:], c, all)
		case s.half:
			first := (2*y+s.phase/2)*2*w + s.phase%2
			simd.CopyPixels(dst, c, image[first*c:], 2*c, w, c, false)
		case s.act:
			s.activated(dst, (n*h+y)*w, from, from+c, scale, shift)
		case s.to > 0 || !s.join.Empty():
			s.channels(dst, (n*h+y)*w, from, from+c)
		default:
			copy(dst, image[y*w*c:])
		}
	}
}

// rows returns rows y0…y1 of one image, or all of images n0…n1, where they lie or in the worker's memory.
func (s *source) rows(n0, n1, y0, y1 int, mem *par.Scratch) []float32 {
	_, h, w, c := s.dims()
	if !s.half && !s.act && !s.up && s.to == 0 && s.join.Empty() {
		return s.x.Data[(n0*h+y0)*w*c : ((n1-1)*h+y1)*w*c]
	}
	if s.to > 0 {
		c = s.to - s.from
	}
	size := (y1 - y0) * w * c
	p := mem.Floats((n1 - n0) * size)
	for n := n0; n < n1; n++ {
		s.fill(p[(n-n0)*size:], w*c, n, y0, y1, 0, 0)
	}
	return p
}

// convDims are the sizes of a convolution.
type convDims struct {
	Window
	n, h, w, cin   int
	kh, kw         int
	oh, ow, cout   int
	rows, cols     int // of the bordered image
	tapRow, outRow int // floats in a row of taps kw·cin, and of the result
}

// dims checks the shapes of a convolution and returns its sizes. y may be of any image count n; its images must fit.
func (v Window) dims(op string, y, x, w Tensor) convDims {
	n, h, wd, c := x.Dims4()
	return v.sizes(op, y, w, n, h, wd, c)
}

// sizes is dims for images of the given dimensions.
func (v Window) sizes(op string, y, w Tensor, n, h, wd, c int) convDims {
	if len(w.Shape) != 4 || w.Shape[2] != c {
		panic(fmt.Sprintf("tensor: %s: got weights %v, want [KH KW Cin Cout] with Cin %d", op, w.Shape, c))
	}
	d := convDims{Window: v, n: n, h: h, w: wd, cin: c, kh: w.Shape[0], kw: w.Shape[1], cout: w.Shape[3]}
	d.rows, d.cols = h+v.Top+v.Bottom, wd+v.Left+v.Right
	if v.Stride < 1 || d.rows < d.kh || d.cols < d.kw {
		panic(fmt.Sprintf("tensor: %s: got an image of %d×%d with window %+v, want room for a kernel of %d×%d", op, h, wd, v, d.kh, d.kw))
	}
	d.oh, d.ow = v.Out(h, wd, d.kh, d.kw)
	d.tapRow, d.outRow = d.kw*c, d.ow*d.cout
	checkShape(op, y, n, d.oh, d.ow, d.cout)
	return d
}
