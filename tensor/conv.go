package tensor

import (
	"runtime"

	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// Conv2D computes a convolution (a cross-correlation, as everywhere in this field):
//
//	y[n i j co] = b[co] + Σ_{kh kw ci} x̄[n, i·s+kh, j·s+kw, ci]·w[kh kw ci co]
//
// with x̄ = x bordered by zeros and s = v.Stride. x [N H W Cin], w [KH KW Cin Cout], b [Cout] or empty,
// y [N OH OW Cout] as v.Out says. packs may be nil.
//
// It never unfolds the image: in NHWC the taps of one kernel row and their channels are KW·Cin neighbouring floats,
// so a row of the result is a sum of KH matrix products of rows s·Cin apart.
func Conv2D(y, x, w, b Tensor, v Window, packs *Packs) {
	d := v.dims("Conv2D", y, x, w)
	checkOptional("Conv2D: bias", b, d.cout)
	d.conv(y, &source{x: x}, w, epilogue{bias: b}, packs)
}

// Conv2DGrad adds the gradients of Conv2D. dx is overwritten instead if add is false. packs may be nil.
func Conv2DGrad(dx Tensor, add bool, dw, db, x, w, dy Tensor, v Window, packs *Packs) {
	d := v.dims("Conv2DGrad", dy, x, w)
	checkOptional("Conv2DGrad: dx", dx, x.Shape...)
	checkOptional("Conv2DGrad: dw", dw, w.Shape...)
	checkOptional("Conv2DGrad: db", db, d.cout)
	if !dx.Empty() {
		if f := d.winograd(); f != nil {
			f.inputGrad(dx, add, w, dy, packs)
		} else {
			d.directInputGrad(dx, add, w, dy, packs)
		}
	}
	if !db.Empty() {
		addColumnSums(db.Data, dy)
	}
	if !dw.Empty() {
		d.weightGrad(dw, &source{x: x}, dy)
	}
}

// conv computes y = the convolution of the images that s makes, + e.
func (d convDims) conv(y Tensor, s *source, w Tensor, e epilogue, packs *Packs) {
	if f := d.winograd(); f != nil {
		f.conv(y, s, w, e, packs)
	} else if d.few() {
		d.toFew(y, s, w, e, packs)
	} else {
		d.direct(y, s, w, e, packs)
	}
}

// weightGrad adds the weight gradient for the images that s makes.
func (d convDims) weightGrad(dw Tensor, s *source, dy Tensor) {
	if f := d.winograd(); f != nil {
		f.addWeightGrad(dw, s, dy, nil, nil)
	} else {
		d.directWeightGrad(dw, s, dy)
	}
}

// epilogue is what a convolution's sums start from: bias [Cout], one vector per image [N Cout], an image [N H W Cout].
// Each may be empty.
type epilogue struct {
	bias, perImage, residual Tensor
}

// vector reports whether there is a vector to start from.
func (e epilogue) vector() bool { return !e.bias.Empty() || !e.perImage.Empty() }

// sumStart sets s to bias + perImage of image n.
func (e epilogue) sumStart(s []float32, n int) {
	clear(s)
	copy(s, e.bias.Data)
	if !e.perImage.Empty() {
		simd.Axpy(s, 1, e.perImage.Data[n*len(s):][:len(s)])
	}
}

// start returns bias + perImage of image n in the worker's memory, nil if there is neither.
func (e epilogue) start(n, cout int, mem *par.Scratch) []float32 {
	if !e.vector() {
		return nil
	}
	s := mem.Floats(cout)
	e.sumStart(s, n)
	return s
}

// begin has the product of a row of the result, n elements from at on, start from e: its columns from c0 on, after those
// before. start is that of the image.
func (e epilogue) begin(g *simd.Gemm, at, n, c0 int, start []float32) {
	if e.residual.Empty() {
		if e.vector() {
			g.Bias = start[c0:]
		}
		return
	}
	g.Add = true
	if c0 > 0 {
		return
	}
	copy(g.C[:n], e.residual.Data[at:])
	if e.vector() {
		simd.AddRows(g.C[:n], start)
	}
}

// cachedColumns is the number of columns of a matrix with depth rows, in whole panels, that the L2 cache holds while
// rows are multiplied by them, with room for those.
func cachedColumns(depth int) int {
	const l2 = 5 << 15 // floats: 5/8 of the 1 MiB that is common
	return max(1, l2/(depth*panelWidth)) * panelWidth
}

// bandRows is the number of result rows of an image of h rows that one piece of a convolution computes: all of them
// where there are images enough, for the border that neighbouring bands share is made twice.
func bandRows(n, h int) int {
	if n >= 2*runtime.GOMAXPROCS(0) {
		return h
	}
	return 8
}

// imageGroup is the number of images, of size floats each, that one piece takes: what the L2 cache holds beside weights,
// and so that all processors have equally many pieces.
func imageGroup(n, size int) int {
	const l2 = 1 << 16 // floats: a quarter of 1 MiB
	procs := runtime.GOMAXPROCS(0)
	most := max(1, l2/size)
	rounds := max(1, (n+most*procs-1)/(most*procs))
	return max(1, (n+rounds*procs-1)/(rounds*procs))
}

// eachBand calls one for result rows r0…r1 of images n0…n1, all of a group of images or a band of one, in parallel.
func (d convDims) eachBand(s *source, one func(n0, n1, r0, r1 int, mem *par.Scratch)) {
	if band := bandRows(d.n, d.oh); band < d.oh {
		s.beginAll()
		bands := (d.oh + band - 1) / band
		par.For(d.n*bands, func(i int, mem *par.Scratch) {
			one(i/bands, i/bands+1, i%bands*band, min((i%bands+1)*band, d.oh), mem)
		})
		return
	}
	group := imageGroup(d.n, d.rows*d.cols*d.cin)
	par.For((d.n+group-1)/group, func(i int, mem *par.Scratch) {
		n0, n1 := i*group, min((i+1)*group, d.n)
		s.begin(n0, n1, mem)
		one(n0, n1, 0, d.oh, mem)
	})
}

// direct is the convolution as its definition has it: the form for any kernel, and the reference for Winograd's.
func (d convDims) direct(y Tensor, s *source, w Tensor, e epilogue, packs *Packs) {
	depth := d.kh * d.tapRow
	wp := packs.packed(w, panels, panelSize(depth, d.cout), func(p []float32) { packPanels(p, w.Data, depth, d.cout) })
	defer wp.done()
	aOff, bOff := make([]int, d.kh), make([]int, d.kh)
	for k := range d.kh {
		aOff[k], bOff[k] = k*d.cols*d.cin, k*d.tapRow*panelWidth
	}
	columns := cachedColumns(depth)
	d.eachBand(s, func(n0, n1, r0, r1 int, mem *par.Scratch) {
		y0, y1 := r0*d.Stride, (r1-1)*d.Stride+d.kh
		pRow := d.cols * d.cin
		size := (y1 - y0) * pRow
		p, starts := mem.Floats((n1-n0)*size), mem.Floats((n1-n0)*d.cout)
		for n := n0; n < n1; n++ {
			s.fill(p[(n-n0)*size:], pRow, n, y0, y1, d.Top, d.Left)
			e.sumStart(starts[(n-n0)*d.cout:][:d.cout], n)
		}
		for c0 := 0; c0 < d.cout; c0 += columns {
			for i := range (n1 - n0) * (r1 - r0) {
				n, r := n0+i/(r1-r0), r0+i%(r1-r0)
				at := (n*d.oh+r)*d.outRow + c0
				g := simd.Gemm{
					M: d.ow, N: min(columns, d.cout-c0), K: d.tapRow,
					A: p[(n-n0)*size+(r-r0)*d.Stride*pRow:], ARow: d.Stride * d.cin, AK: 1, AOff: aOff,
					B: wp.data[c0*depth:], BRow: panelWidth, BPanel: panelWidth * depth, BOff: bOff,
					C: y.Data[at:], CRow: d.cout,
				}
				e.begin(&g, at, d.outRow, c0, starts[(n-n0)*d.cout:][:d.cout])
				g.Run()
			}
		}
	})
}

// directWeightGrad adds dw[kh kw ci co] += Σ_{n i j} x̄[n, i·s+kh, j·s+kw, ci]·dy[n i j co]: for each kernel row the
// product of a matrix of kw·ci rows, one float apart in x̄, with the rows of dy.
func (d convDims) directWeightGrad(dw Tensor, s *source, dy Tensor) {
	aOff, bOff := make([]int, d.oh), make([]int, d.oh)
	for r := range d.oh {
		aOff[r], bOff[r] = r*d.Stride*d.cols*d.cin, r*d.outRow
	}
	for n0 := 0; n0 < d.n; n0 += partialChunks * GradChunk {
		n1 := min(n0+partialChunks*GradChunk, d.n)
		p := s.padded(n0, n1, d.Top, d.Left, d.rows, d.cols)
		weightGrad(dw.Data, n1-n0, d.kh*d.tapRow, d.cout, func(dst []float32, i0, i1, r0, r1 int, mem *par.Scratch) {
			for row := r0; row < r1; { // rows of one kernel row at a time
				count := min(d.tapRow-row%d.tapRow, r1-row)
				d.kernelRowGrad(dst[(row-r0)*d.cout:], p, dy.Data[n0*d.oh*d.outRow:], aOff, bOff, i0, i1, row, count, mem)
				row += count
			}
		})
		giveWork(p)
	}
}

// narrow is the number of channels of a result below which its weight gradient is computed transposed: the kernel
// computes 32 columns at a time, and cout of them would leave most of a register empty.
const narrow = 8

// kernelRowGrad computes count rows of dw, of one kernel row, summed over images i0…i1 of p, bordered, and dy.
func (d convDims) kernelRowGrad(dst, p, dy []float32, aOff, bOff []int, i0, i1, row, count int, mem *par.Scratch) {
	pRow := d.cols * d.cin
	at := row/d.tapRow*pRow + row%d.tapRow
	transposed := d.cout < narrow && count >= panelWidth
	to := dst
	if transposed {
		to = mem.Floats(d.cout * count)
	}
	for i := i0; i < i1; i++ {
		g := simd.Gemm{
			M: count, N: d.cout, K: d.ow,
			A: p[i*d.rows*pRow+at:], ARow: 1, AK: d.Stride * d.cin, AOff: aOff,
			B: dy[i*d.oh*d.outRow:], BRow: d.cout, BPanel: panelWidth, BOff: bOff,
			C: to, CRow: d.cout, Add: i > i0,
		}
		if transposed {
			g.M, g.N, g.CRow = g.N, g.M, count
			g.A, g.B, g.AOff, g.BOff = g.B, g.A, bOff, aOff
			g.AK, g.BRow = g.BRow, g.AK
		}
		g.Run()
	}
	for r := range count {
		for c := 0; c < d.cout && transposed; c++ {
			dst[r*d.cout+c] = to[c*count+r]
		}
	}
}

// directInputGrad computes dx[n y x ci] (+)= Σ dy[n i j co]·w[kh kw ci co] over all i·s+kh = y+top, j·s+kw = x+left.
// Pixels whose y+top leave the same remainder by s see the same kernel rows; so for each of the s·s phases it is a
// convolution of dy, bordered by zeros, with stride 1.
func (d convDims) directInputGrad(dx Tensor, add bool, w, dy Tensor, packs *Packs) {
	taps := d.kh * d.kw
	panel := panelSize(d.cout, d.cin)
	wt := packs.packed(w, panelsGrad, taps*panel, func(p []float32) {
		for t := range taps {
			packTransposed(p[t*panel:], w.Data[t*d.cin*d.cout:][:d.cin*d.cout], d.cin, d.cout)
		}
	})
	defer wt.done()
	top, left := (d.kh-1)/d.Stride, (d.kw-1)/d.Stride // zeros before dy: the furthest that a tap looks back
	rows, cols := d.rows/d.Stride+top+1, d.cols/d.Stride+left+1
	src := source{x: dy}
	phases := make([]gradPhase, d.Stride*d.Stride)
	for i := range phases {
		phases[i] = d.gradPhase(i/d.Stride, i%d.Stride, top, left, cols)
	}
	size, columns := rows*cols*d.cout, cachedColumns(taps*d.cout)
	group := imageGroup(d.n, size)
	par.For((d.n+group-1)/group, func(i int, mem *par.Scratch) {
		n0, n1 := i*group, min((i+1)*group, d.n)
		p := mem.Floats((n1 - n0) * size)
		for n := n0; n < n1; n++ {
			src.fill(p[(n-n0)*size:], cols*d.cout, n, 0, rows, top, left)
		}
		for c0 := 0; c0 < d.cin; c0 += columns {
			for n := n0; n < n1; n++ {
				for _, f := range phases {
					d.inputGradPhase(dx, add, wt.data, p[(n-n0)*size:], n, f, cols, c0, min(c0+columns, d.cin))
				}
			}
		}
	})
}

// gradPhase is one phase of an input gradient: its first pixel, how many there are in a row, and for each tap that
// reaches them the offsets of dy and of the tap's weights.
type gradPhase struct {
	y0, x0, count int
	aOff, bOff    []int
}

// gradPhase returns the phase (y+top)%s = py, (x+left)%s = px, for dy bordered by top rows and left columns of zeros
// and cols wide.
func (d convDims) gradPhase(py, px, top, left, cols int) gradPhase {
	s, panel := d.Stride, panelSize(d.cout, d.cin)
	f := gradPhase{y0: ((py-d.Top)%s + s) % s, x0: ((px-d.Left)%s + s) % s}
	f.count = (d.w - f.x0 + s - 1) / s
	for kh := py; kh < d.kh; kh += s {
		for kw := px; kw < d.kw; kw += s {
			i, j := top-kh/s, left-kw/s+(f.x0+d.Left)/s
			f.aOff, f.bOff = append(f.aOff, (i*cols+j)*d.cout), append(f.bOff, (kh*d.kw+kw)*panel)
		}
	}
	return f
}

// inputGradPhase computes channels c0…c1, of whole panels, of the pixels of one phase of image n. p is dy bordered by
// zeros, cols wide.
func (d convDims) inputGradPhase(dx Tensor, add bool, wt, p []float32, n int, f gradPhase, cols, c0, c1 int) {
	s := d.Stride
	for y := f.y0; y < d.h && f.count > 0; y += s {
		c := dx.Data[((n*d.h+y)*d.w+f.x0)*d.cin+c0:]
		if len(f.aOff) == 0 { // no tap reaches these pixels
			for k := 0; k < f.count && !add; k++ {
				clear(c[k*s*d.cin:][:c1-c0])
			}
			continue
		}
		g := simd.Gemm{
			M: f.count, N: c1 - c0, K: d.cout,
			A: p[(y+d.Top)/s*cols*d.cout:], ARow: d.cout, AK: 1, AOff: f.aOff,
			B: wt[c0*d.cout:], BRow: panelWidth, BPanel: panelWidth * d.cout, BOff: f.bOff,
			C: c, CRow: s * d.cin, Add: add,
		}
		g.Run()
	}
}
