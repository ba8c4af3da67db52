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

// unfolding is where the elements of u lie. Its columns, kw·ci, are cut in panels, about equal ones in each unit of so
// many columns; a panel is [y j column].
type unfolding struct {
	convDims
	band    int // rows of the result that u is made for
	unit    int // columns
	columns int // of a panel, the last of a unit may have fewer
}

// unfolding returns u for equal bands of the image of about size floats, with panels of at most so many columns.
func (d convDims) unfolding(unit, columns, size int) unfolding {
	panels := (unit + columns - 1) / columns
	u := unfolding{convDims: d, unit: unit, columns: (unit + panels - 1) / panels}
	most := max(1, (size/max(1, u.panels()*u.row())-d.kh)/d.Stride+1)
	bands := max(1, (d.oh+most-1)/most)
	u.band = (d.oh + bands - 1) / bands
	return u
}

// perUnit is the number of panels in a unit, and panels that in u.
func (u *unfolding) perUnit() int { return (u.unit + u.columns - 1) / u.columns }
func (u *unfolding) panels() int  { return u.tapRow / u.unit * u.perUnit() }

// at returns the columns of panel i, the first of them and how many.
func (u *unfolding) at(i int) (first, count int) {
	c := i % u.perUnit() * u.columns
	return i/u.perUnit()*u.unit + c, min(u.columns, u.unit-c)
}

// pixel is the number of floats from pixel to pixel: an odd number of cache lines, for at a multiple of a power of two
// the pixels would compete for few sets of the L1 cache.
func (u *unfolding) pixel() int { return ((u.columns+cacheLine-1)/cacheLine | 1) * cacheLine }

// row is the number of floats in a row of a panel.
func (u *unfolding) row() int { return u.ow * u.pixel() }

// height is the number of rows of u, a multiple of the stride.
func (u *unfolding) height() int {
	return ((u.band-1)*u.Stride + u.kh + u.Stride - 1) / u.Stride * u.Stride
}

// panel is the number of floats in a panel, and size that in u.
func (u *unfolding) panel() int { return u.height() * u.row() }
func (u *unfolding) size() int  { return u.panels() * u.panel() }

// start returns where row y begins in a panel.
func (u *unfolding) start(y int) int {
	return (y%u.Stride*u.height()/u.Stride + y/u.Stride) * u.row()
}

// kernelRows returns where the products with each kernel row begin in a panel.
func (u *unfolding) kernelRows() []int {
	off := make([]int, u.kh)
	for k := range off {
		off[k] = u.start(k)
	}
	return off
}

// fill writes u to dst for count rows of the result from r on. They read the bordered image n of s from row y0 and
// column x0 on.
func (u *unfolding) fill(dst []float32, s *source, n, r, count, y0, x0 int, mem *par.Scratch) {
	line := mem.Floats(u.cols * u.cin)
	for y := range (count-1)*u.Stride + u.kh {
		top := y0 + r*u.Stride + y
		s.fill(line, len(line), n, top, top+1, u.Top, u.Left)
		for i := range u.panels() {
			first, columns := u.at(i)
			simd.CopyPixels(dst[i*u.panel()+u.start(y):], u.pixel(), line[x0*u.cin+first:], u.Stride*u.cin, u.ow, columns, false)
		}
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

	u          unfolding // one panel
	aOff, bOff []int
}

var directConvs frames[directConv]

// take returns c with what follows from it, in a frame.
func (c directConv) take() *directConv {
	c.u = c.unfolding(max(1, c.tapRow), max(1, c.tapRow), unfoldedSize)
	c.aOff, c.bOff = c.u.kernelRows(), make([]int, c.kh)
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
		group = min(group, imageGroup(n, max(1, size/max(1, c.u.size()))))
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

// rows computes rows r0…r1 of the results for images n0…n1.
func (c *directConv) rows(n0, n1, r0, r1 int, mem *par.Scratch) {
	if c.kh*c.kw == 0 {
		c.clear(n0, n1, r0, r1)
		return
	}
	var soon simd.Ahead
	c.ahead(&soon, n1)
	soon.During((n1 - n0) * (r1 - r0) * c.ow * c.kh * c.tapRow * c.cout)
	u, starts := mem.Floats((n1-n0)*c.u.size()), mem.Floats((n1-n0)*c.cout)
	for n := n0; n < n1; n++ {
		c.e.sumStart(starts[(n-n0)*c.cout:][:c.cout], n)
	}
	for r := r0; r < r1; r += c.u.band {
		count := min(c.u.band, r1-r)
		for n := n0; n < n1; n++ {
			mem.Within(func() { c.u.fill(u[(n-n0)*c.u.size():], c.s, n, r, count, c.y0, c.x0, mem) })
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
				A: u[(n-n0)*c.u.size():], ARow: c.u.pixel(), AK: 1, AOff: c.aOff,
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
