package tensor

import (
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
// No image is unfolded in memory: in the direct form a few rows of one are at a time, in Winograd's a few rows of tiles
// transformed.
func Conv2D(y, x, w, b Tensor, v Window, packs *Packs) {
	d := v.dims("Conv2D", y, x, w)
	checkOptional("Conv2D: bias", b, d.cout)
	d.conv(y, &source{x: x}, w, epilogue{bias: b}, packs)
}

// Conv2DGrad adds the gradients of Conv2D, dw and db in turn. dx is overwritten instead if add is false. packs and turn may
// be nil.
func Conv2DGrad(dx Tensor, add bool, dw, db, x, w, dy Tensor, v Window, packs *Packs, turn *Turn) {
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
		addColumnSums(db.Data, dy, turn)
	}
	if !dw.Empty() {
		d.weightGrad(dw, &source{x: x}, dy, turn)
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

// weightGrad adds in turn the weight gradient for the images that s makes.
func (d convDims) weightGrad(dw Tensor, s *source, dy Tensor, turn *Turn) {
	if f := d.winograd(); f != nil {
		f.addWeightGrad(dw, false, s, dy, nil, back{}, turn)
	} else {
		d.directWeightGrad(dw, s, dy, turn)
	}
}

// epilogue is what a convolution's sums start from: bias [Cout], one vector per image [N Cout], an image [N H W Cout].
// Each may be empty.
type epilogue struct {
	bias, perImage, residual Tensor
}

// vector reports whether there is a vector to start from.
func (e *epilogue) vector() bool { return !e.bias.Empty() || !e.perImage.Empty() }

// sumStart sets s to bias + perImage of image n.
func (e *epilogue) sumStart(s []float32, n int) {
	clear(s)
	copy(s, e.bias.Data)
	if !e.perImage.Empty() {
		simd.Axpy(s, 1, e.perImage.Data[n*len(s):][:len(s)])
	}
}

// start returns bias + perImage of image n in the worker's memory, nil if there is neither.
func (e *epilogue) start(n, cout int, mem *par.Scratch) []float32 {
	if !e.vector() {
		return nil
	}
	s := mem.Floats(cout)
	e.sumStart(s, n)
	return s
}

// begin has the product of rows of the result, n elements from at on, start from e: its columns from c0 on, after those
// before. start is that of the image.
func (e *epilogue) begin(g *simd.Gemm, at, n, c0 int, start []float32) {
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

// eachBand calls one for rows r0…r1 of images n0…n1, all rows of all n images in pieces, in parallel: so many images, or
// bands of rows where there are few, for the border that neighbouring bands share is made twice. s is what the pieces
// read.
func eachBand(n, group, rows int, s *source, one func(n0, n1, r0, r1 int, mem *par.Scratch)) {
	const band = 8
	if rows <= band || n >= 2*par.Workers() {
		par.For((n+group-1)/group, func(i int, mem *par.Scratch) {
			n0, n1 := i*group, min((i+1)*group, n)
			s.begin(n0, n1, mem)
			one(n0, n1, 0, rows, mem)
		})
		return
	}
	s.beginAll()
	bands := (rows + band - 1) / band
	par.For(n*bands, func(i int, mem *par.Scratch) {
		one(i/bands, i/bands+1, i%bands*band, min((i%bands+1)*band, rows), mem)
	})
}

// imageGroup is the number of images that one piece takes, at most so many, so that all processors have equally many
// pieces.
func imageGroup(n, most int) int {
	procs := par.Workers()
	rounds := max(1, (n+most*procs-1)/(most*procs))
	return max(1, (n+rounds*procs-1)/(rounds*procs))
}
