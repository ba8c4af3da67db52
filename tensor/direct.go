package tensor

import (
	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// The direct form computes a convolution as its definition has it: for any kernel and stride, and as the reference for
// Winograd's. Images are unfolded along their rows, the taps of a kernel row side by side for each pixel of the result:
//
//	u[y j kw ci] = x̄[y, j·s+kw, ci]
//
// Row i of the result is then Σ_kh of the products of row i·s+kh of u with kernel row kh. Rows of u whose numbers leave
// the same remainder by s follow one another, so those that a tap takes for neighbouring rows of the result are
// neighbours too, and one call of simd.Gemm makes a band of the result: products of [rows·OW KW·Cin] with [KW·Cin Cout].
// u is KW/s times as large as the image, so it exists for a few rows at a time, in the cache.

// unfoldedSize is the number of floats of u that stay in the L2 cache beside weights and results.
const unfoldedSize = 1 << 17

// unfoldedPixel is the number of floats from pixel to pixel of u: an odd number of cache lines, for at a multiple of a
// power of two the pixels would compete for few sets of the L1 cache.
func (d convDims) unfoldedPixel() int { return ((d.tapRow+cacheLine-1)/cacheLine | 1) * cacheLine }

// unfoldedRow is the number of floats in a row of u.
func (d convDims) unfoldedRow() int { return d.ow * d.unfoldedPixel() }

// unfoldedRows is the number of rows of u for so many rows of the result, a multiple of the stride.
func (d convDims) unfoldedRows(rows int) int {
	return ((rows-1)*d.Stride + d.kh + d.Stride - 1) / d.Stride * d.Stride
}

// unfoldedBand is the number of rows of the result whose u has about size floats: equal bands of the image.
func (d convDims) unfoldedBand(size int) int {
	most := max(1, (size/max(1, d.unfoldedRow())-d.kh)/d.Stride+1)
	bands := max(1, (d.oh+most-1)/most)
	return (d.oh + bands - 1) / bands
}

// unfoldedAt returns where row y of u begins, made for bands of so many rows.
func (d convDims) unfoldedAt(y, band int) int {
	return (y%d.Stride*d.unfoldedRows(band)/d.Stride + y/d.Stride) * d.unfoldedRow()
}

// unfoldedTaps returns where the products with each kernel row begin in u, made for bands of so many rows.
func (d convDims) unfoldedTaps(band int) []int {
	off := make([]int, d.kh)
	for k := range off {
		off[k] = d.unfoldedAt(k, band)
	}
	return off
}

// unfold writes u, made for bands of so many rows, for count rows of the result from r on. They read the bordered image
// n of s from row y0 and column x0 on.
func (d convDims) unfold(u []float32, s *source, n, r, count, band, y0, x0 int, mem *par.Scratch) {
	line := mem.Floats(d.cols * d.cin)
	for y := range (count-1)*d.Stride + d.kh {
		top := y0 + r*d.Stride + y
		s.fill(line, len(line), n, top, top+1, d.Top, d.Left)
		simd.CopyPixels(u[d.unfoldedAt(y, band):], d.unfoldedPixel(), line[x0*d.cin:], d.Stride*d.cin, d.ow, d.tapRow, false)
	}
}

// directConv is a convolution in the direct form, and where its results go.
type directConv struct {
	convDims
	s      *source
	y0, x0 int       // the first row and column of the bordered images that are read
	w      []float32 // [KH·KW·Cin Cout] in panels
	e      epilogue
	add    bool // to what is there, instead of e

	to                []float32
	pixel, row, image int // floats from one of the result to the next

	band       int
	aOff, bOff []int
}

var directConvs frames[directConv]

// take returns c with what follows from it, in a frame.
func (c directConv) take() *directConv {
	c.band = c.unfoldedBand(unfoldedSize)
	c.aOff, c.bOff = c.unfoldedTaps(c.band), make([]int, c.kh)
	for k := range c.bOff {
		c.bOff[k] = k * c.tapRow * panelWidth
	}
	return directConvs.take(c)
}

// direct computes y = the convolution of the images that s makes, + e.
func (d convDims) direct(y Tensor, s *source, w Tensor, e epilogue, packs *Packs) {
	depth := d.kh * d.tapRow
	wp := packs.packed(w, panels, panelSize(depth, d.cout), func(p []float32) { packPanels(p, w.Data, depth, d.cout) })
	c := directConv{convDims: d, s: s, e: e, to: y.Data, pixel: d.cout, row: d.outRow, image: d.oh * d.outRow}
	runDirect(s, d.n, d.oh, wp.data, c.take())
	wp.done()
}

// runDirect computes convolutions of n images, with so many rows in each result, one after the other for every piece. w
// holds their weights end to end, and s is what they read.
func runDirect(s *source, n, rows int, w []float32, convs ...*directConv) {
	const size = 5 << 15 // floats of u: 5/8 of an L2 cache of 1 MiB
	group := max(1, n)
	for _, c := range convs {
		c.w = w
		w = w[panelSize(c.kh*c.tapRow, c.cout):]
		group = min(group, imageGroup(n, max(1, size/max(1, c.unfolded()))))
	}
	eachBand(n, group, rows, s, func(n0, n1, r0, r1 int, mem *par.Scratch) {
		for _, c := range convs {
			mem.Within(func() { c.rows(n0, n1, r0, min(r1, c.oh), mem) })
		}
	})
	for _, c := range convs {
		directConvs.give(c)
	}
}

// unfolded is the number of floats in u for a band of an image.
func (c *directConv) unfolded() int { return c.unfoldedRows(c.band) * c.unfoldedRow() }

// rows computes rows r0…r1 of the results for images n0…n1.
func (c *directConv) rows(n0, n1, r0, r1 int, mem *par.Scratch) {
	if c.kh*c.kw == 0 {
		c.clear(n0, n1, r0, r1)
		return
	}
	var soon simd.Ahead
	c.ahead(&soon, n1)
	soon.During((n1 - n0) * (r1 - r0) * c.ow * c.kh * c.tapRow * c.cout)
	u, starts := mem.Floats((n1-n0)*c.unfolded()), mem.Floats((n1-n0)*c.cout)
	for n := n0; n < n1; n++ {
		c.e.sumStart(starts[(n-n0)*c.cout:][:c.cout], n)
	}
	for r := r0; r < r1; r += c.band {
		count := min(c.band, r1-r)
		for n := n0; n < n1; n++ {
			mem.Within(func() { c.unfold(u[(n-n0)*c.unfolded():], c.s, n, r, count, c.band, c.y0, c.x0, mem) })
		}
		mem.Within(func() { c.multiply(u, starts, n0, n1, r, count, &soon, mem) })
	}
}

// clear is rows where the kernel has no taps.
func (c *directConv) clear(n0, n1, r0, r1 int) {
	for n := n0; n < n1 && !c.add; n++ {
		for i := range max(0, r1-r0) * c.ow {
			clear(c.to[n*c.image+(r0+i/c.ow)*c.row+i%c.ow*c.pixel:][:c.cout])
		}
	}
}

// ahead lists what is probably needed next: image n and its result.
func (c *directConv) ahead(soon *simd.Ahead, n int) {
	fetchImages(soon, n, n+1, c.s.x, c.s.join, c.e.residual)
	if at := n * c.image; at < len(c.to) {
		soon.Add(c.to[at:min(at+c.image, len(c.to))])
	}
}

// multiply computes count rows of the results from r on. Those whose pixels do not follow one another are computed apart
// and then copied, for a product of a single row is short.
func (c *directConv) multiply(u, starts []float32, n0, n1, r, count int, soon *simd.Ahead, mem *par.Scratch) {
	depth := c.kh * c.tapRow
	columns := cachedColumns(depth)
	var apart []float32
	if c.pixel > c.cout {
		apart = mem.Floats(count * c.outRow)
	}
	for c0 := 0; c0 < c.cout; c0 += columns {
		for n := n0; n < n1; n++ {
			at := n*c.image + r*c.row + c0
			g := simd.Gemm{
				M: count * c.ow, N: min(columns, c.cout-c0), K: c.tapRow,
				A: u[(n-n0)*c.unfolded():], ARow: c.unfoldedPixel(), AK: 1, AOff: c.aOff,
				B: c.w[c0*depth:], BRow: panelWidth, BPanel: panelWidth * depth, BOff: c.bOff,
				CRow:  c.cout,
				Ahead: soon,
			}
			if apart != nil {
				g.C = apart
			} else {
				g.C, g.Add = c.to[at:], c.add
			}
			if !c.add {
				c.e.begin(&g, at, count*c.outRow, c0, starts[(n-n0)*c.cout:][:c.cout])
			}
			g.Run()
			for i := 0; i < count && apart != nil; i++ {
				simd.CopyPixels(c.to[at+i*c.row:], c.pixel, apart[i*c.outRow:], c.cout, c.ow, g.N, c.add)
			}
		}
	}
}

// cachedColumns is the number of columns of a matrix with depth rows, in whole panels, that the L2 cache holds while
// rows are multiplied by them, with room for those.
func cachedColumns(depth int) int {
	const l2 = 3 << 15 // floats: 3/8 of an L2 cache of 1 MiB
	return max(1, l2/(depth*panelWidth)) * panelWidth
}

// directInputGrad computes dx[n y x ci] (+)= Σ dy[n i j co]·w[kh kw ci co] over all i·s+kh = y+top, j·s+kw = x+left.
// Pixels whose y+top leave the same remainder by s see the same kernel rows; so for each of the s·s phases it is a
// convolution of dy with stride 1, by the kernel's taps of that phase turned by half a turn.
func (d convDims) directInputGrad(dx Tensor, add bool, w, dy Tensor, packs *Packs) {
	wt := packs.packed(w, phasesGrad, d.kh*d.kw*panelSize(d.cout, d.cin), func(p []float32) { d.packPhases(p, w.Data) })
	s := source{x: dy}
	phases := make([]*directConv, d.Stride*d.Stride)
	for i := range phases {
		phases[i] = d.gradPhase(i/d.Stride, i%d.Stride, dx, add, &s)
	}
	runDirect(&s, d.n, (d.h+d.Stride-1)/d.Stride, wt.data, phases...)
	wt.done()
}

// gradPhase returns the input gradient of the pixels with (y+top)%s = py, (x+left)%s = px.
func (d convDims) gradPhase(py, px int, dx Tensor, add bool, dy *source) *directConv {
	s := d.Stride
	y0, x0 := ((py-d.Top)%s+s)%s, ((px-d.Left)%s+s)%s // the first of the pixels
	f := convDims{
		Window: Window{Stride: 1}, n: d.n, h: d.oh, w: d.ow, cin: d.cout,
		kh: max(0, d.kh-py+s-1) / s, kw: max(0, d.kw-px+s-1) / s,
		oh: (d.h - y0 + s - 1) / s, ow: (d.w - x0 + s - 1) / s, cout: d.cin,
	}
	// Tap kh = py + s·m reads row (y+top-kh)/s = (y+top-py)/s - m of dy. Turned, the last tap comes first; with as many
	// rows of zeros above dy as it looks back, the first pixel reads from row (y0+top-py)/s on.
	f.Top, f.Left = max(0, f.kh-1), max(0, f.kw-1)
	c := directConv{
		s: dy, y0: (y0 + d.Top - py) / s, x0: (x0 + d.Left - px) / s, add: add,
		to: dx.Data[min(len(dx.Data), (y0*d.w+x0)*d.cin):], pixel: s * d.cin, row: s * d.w * d.cin, image: d.h * d.w * d.cin,
	}
	f.cols = max(f.Left+f.w, c.x0+f.ow+f.kw-1)
	f.tapRow, f.outRow = f.kw*f.cin, f.ow*f.cout
	c.convDims = f
	return c.take()
}

// packPhases packs the kernels of all phases, one after the other.
func (d convDims) packPhases(p, w []float32) {
	s := d.Stride
	for i := range s * s {
		py, px := i/s, i%s
		kh, kw := max(0, d.kh-py+s-1)/s, max(0, d.kw-px+s-1)/s
		depth := kh * kw * d.cout
		for t := range kh * kw {
			tap := (py+s*(t/kw))*d.kw + px + s*(t%kw)
			packTransposed(p[(kh*kw-1-t)*d.cout*panelWidth:], depth, w[tap*d.cin*d.cout:], d.cin, d.cout)
		}
		p = p[panelSize(depth, d.cin):]
	}
}
