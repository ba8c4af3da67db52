package data

// taps says which pixels of a line a resized pixel is the weighted mean of: first, first+1, …. The weights are whole
// numbers with the same sum for every pixel of the line, so a resized image is exact up to one rounding.
type taps struct {
	first  int
	weight []uint32
}

// lineTaps returns the taps that resize a line of in pixels to out, and the sum of each one's weights.
//
// A smaller line is the mean over the area each new pixel covers: in units of 1/out of an old pixel, new pixel o covers
// o·in … (o+1)·in and old pixel i covers i·out … (i+1)·out; the overlap is the weight. It lets no frequency alias and,
// unlike Lanczos or bicubic filters, overshoots no edge. A larger line is linear between the centres of old pixels and
// constant beyond the outermost: in units of 1/(2·out), the centre of new pixel o lies (2o+1)·in − out from the centre
// of old pixel 0.
func lineTaps(in, out int) (line []taps, sum uint32) {
	line = make([]taps, out)
	if out <= in {
		for o := range line {
			begin, end := o*in, (o+1)*in
			first := begin / out
			t := taps{first: first}
			for i := first; i*out < end; i++ {
				t.weight = append(t.weight, uint32(min(end, (i+1)*out)-max(begin, i*out)))
			}
			line[o] = t
		}
		return line, uint32(in)
	}
	whole := 2 * out
	for o := range line {
		centre := (2*o+1)*in - out
		i, rest := centre/whole, centre%whole
		switch {
		case centre < 0:
			line[o] = taps{0, []uint32{uint32(whole)}}
		case i == in-1:
			line[o] = taps{i, []uint32{uint32(whole)}}
		default:
			line[o] = taps{i, []uint32{uint32(whole - rest), uint32(rest)}}
		}
	}
	return line, uint32(whole)
}

// A scaler resizes square images of one size to another.
type scaler struct {
	size, side int
	line       []taps // [side], for lines and columns alike
	sum        uint32
}

func newScaler(size, side int) scaler {
	line, sum := lineTaps(size, side)
	return scaler{size, side, line, sum}
}

// resize scales src [size size C] to dst [side side C]: lines first, then columns, with one rounding (half up) at the
// end. It works on the bytes as they are, gamma-encoded, as the common data sets were resized. The sums are exact
// for any size below 2²⁴.
func (s scaler) resize(dst, src []byte, c int) {
	in, out := s.size*c, s.side*c
	rows := make([]uint32, s.size*out)
	for y := range s.size {
		from, to := src[y*in:][:in], rows[y*out:][:out]
		for x, t := range s.line {
			for i, w := range t.weight {
				for k, v := range from[(t.first+i)*c:][:c] {
					to[x*c+k] += w * uint32(v)
				}
			}
		}
	}
	total := uint64(s.sum) * uint64(s.sum)
	sums := make([]uint64, out)
	for y, t := range s.line {
		clear(sums)
		for i, w := range t.weight {
			for k, v := range rows[(t.first+i)*out:][:out] {
				sums[k] += uint64(w) * uint64(v)
			}
		}
		for k, v := range sums {
			dst[y*out+k] = byte((v + total/2) / total)
		}
	}
}

// crop copies the centred square of src [H W C] to dst [S S C], S = min(H, W).
func crop(dst, src []byte, h, w, c int) {
	s := min(h, w)
	top, left := (h-s)/2, (w-s)/2
	for y := range s {
		copy(dst[y*s*c:][:s*c], src[((top+y)*w+left)*c:])
	}
}

// toSide returns a set's images as squares of the given side. A set that has them already is returned as it is. MNIST's
// 28×28 pixels become 32×32 by two black pixels on each side, as is customary: every pixel stays what it was. All
// others are cropped to the centred square and resized.
func (s *Set) toSide(side int) (*Set, error) {
	if side == 0 || s.H == side && s.W == side {
		return s, nil
	}
	n, size := s.Len(), min(s.H, s.W)
	pixels, err := allocate(s.Name, n, side, side, s.C)
	if err != nil {
		return nil, err
	}
	from, to := s.H*s.W*s.C, side*side*s.C
	square, scale := make([]byte, size*size*s.C), newScaler(size, side)
	for i := range n {
		src, dst := s.Pixels[i*from:][:from], pixels[i*to:][:to]
		if s.H == 28 && s.W == 28 && side == 32 {
			pad(dst, src, s.H, s.W, s.C, 2)
			continue
		}
		crop(square, src, s.H, s.W, s.C)
		scale.resize(dst, square, s.C)
	}
	t := *s
	t.H, t.W, t.Pixels = side, side, pixels
	return &t, nil
}

// pad copies src [H W C] into the middle of dst [H+2·border W+2·border C].
func pad(dst, src []byte, h, w, c, border int) {
	for y := range h {
		copy(dst[((border+y)*(w+2*border)+border)*c:], src[y*w*c:][:w*c])
	}
}
