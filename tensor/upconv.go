package tensor

import (
	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// UpConv computes a 3×3 convolution of an image enlarged two times by repeating its pixels,
//
//	y = Conv2D(Upsample(x), w, b, Same3),
//
// without making the enlarged image. Of its nine taps those that fall on the same pixel of x share one product: at an
// even row the tap above falls on the row above, the other two on the row itself; at an odd row the first two on the
// row itself, the last on the row below. So each of the four phases (row and column even or odd) is a 2×2 convolution
// of x, whose weights are sums of those of w, and 16 products per pixel of x do the work of 36. That is method Direct.
// Winograd's F(4×4, 3×3) on the enlarged image, of which a few rows exist at a time, needs 9, and on the phases 6¼,
// for which it takes four times the transformed weights.
//
// x [N H W Cin], w [3 3 Cin Cout], b [Cout] or empty, y [N 2H 2W Cout]. packs may be nil.
func UpConv(y, x, w, b Tensor, m Method, packs *Packs) {
	d := upDims("UpConv", y, x, w)
	checkOptional("UpConv: bias", b, d.cout)
	switch f, phases := d.winograd(m); {
	case phases:
		u := packs.packed(w, f.upForm, 4*f.kernelSize(d.cin, d.cout), func(u []float32) { f.packPhases(u, w, f.pack) })
		t := f.tiling(d.n, d.h, d.w, d.cin, d.cout)
		t.phased = resultPhases
		t.conv(y, &source{x: x}, u.data, epilogue{bias: b})
		u.done()
	case f != nil:
		f.conv(y, &source{x: x, up: true}, w, epilogue{bias: b}, packs)
	default:
		d.direct(y, x, w, b, packs)
	}
}

// direct computes y phase by phase, a row of each at a time.
func (d upConv) direct(y, x, w, b Tensor, packs *Packs) {
	wp := packs.packed(w, upForm, 4*d.panel, func(p []float32) {
		k := takeWork(4 * d.size)
		d.foldKernels(k, w.Data)
		par.For(4, func(phase int, _ *par.Scratch) {
			packPanels(p[phase*d.panel:], k[phase*d.size:], 4*d.cin, d.cout)
		})
		giveWork(k)
	})
	defer wp.done()
	pRow := (d.w + 2) * d.cin
	band := bandRows(d.n, d.h)
	bands := (d.h + band - 1) / band
	s := source{x: x}
	aOff, bOff := []int{0, pRow}, []int{0, 2 * d.cin * panelWidth}
	par.For(d.n*bands, func(i int, mem *par.Scratch) {
		n, r0 := i/bands, i%bands*band
		r1 := min(r0+band, d.h)
		p := mem.Floats((r1 - r0 + 2) * pRow)
		s.fill(p, pRow, n, r0, r1+2, 1, 1)
		for r := r0; r < r1; r++ {
			at := (n*d.h + r) * 4 * d.w * d.cout
			for phase := range 4 {
				py, px := phase/2, phase%2
				g := simd.Gemm{
					M: d.w, N: d.cout, K: 2 * d.cin,
					A: p[(r-r0+py)*pRow+px*d.cin:], ARow: d.cin, AK: 1, AOff: aOff,
					B: wp.data[phase*d.panel:], BRow: panelWidth, BPanel: panelWidth * 4 * d.cin, BOff: bOff,
					C: y.Data[at+(py*2*d.w+px)*d.cout:], CRow: 2 * d.cout, Bias: b.Data,
				}
				g.Run()
			}
		}
	})
}

// UpConvGrad adds the gradients of UpConv. dx is overwritten instead if add is false. packs may be nil.
func UpConvGrad(dx Tensor, add bool, dw, db, x, w, dy Tensor, m Method, packs *Packs) {
	d := upDims("UpConvGrad", dy, x, w)
	checkOptional("UpConvGrad: dx", dx, x.Shape...)
	checkOptional("UpConvGrad: dw", dw, w.Shape...)
	checkOptional("UpConvGrad: db", db, d.cout)
	if f, phases := d.winograd(m); f != nil {
		d.winogradGrad(f, phases, dx, add, dw, db, x, w, dy, packs)
		return
	}
	if !db.Empty() {
		addColumnSums(db.Data, dy)
	}
	if !dx.Empty() {
		d.inputGrad(dx, add, w, dy, packs)
	}
	if !dw.Empty() {
		d.weightGrad(dw, x, dy)
	}
}

// winograd returns the form that d is computed in, nil for the direct one, and whether in phases or on the enlarged
// image. The measured rule: with many channels the weights of four phases are read for too little work.
func (d upConv) winograd(m Method) (f *winograd, phases bool) {
	small := convDims{Window: Same3, h: d.h, w: d.w, cin: d.cin, kh: 3, kw: 3, cout: d.cout}
	small.Method = m
	if m != Auto {
		f = small.winograd()
		return f, f != nil
	}
	if f = fastest(d.h, d.w, d.cin, d.cout); f == &winograd4 && d.cin*d.cout <= 1<<14 {
		return f, true
	}
	if f = fastest(2*d.h, 2*d.w, d.cin, d.cout); f == &winograd4 {
		return f, false
	}
	return nil, false // F(2×2, 3×3) of the enlarged image would save little
}

// winogradGrad adds the gradients of w, b and x; the enlarged image's own exists for a group of images at a time.
func (d upConv) winogradGrad(f *winograd, phases bool, dx Tensor, add bool, dw, db, x, w, dy Tensor, packs *Packs) {
	g := upGrads.take(upGrad{dx: dx, add: add, dy: source{x: dy, half: phases}})
	s, t := source{x: x, up: !phases}, f.tiling(d.n, d.h, d.w, d.cin, d.cout)
	if phases {
		t.phased = resultPhases
		g.t = f.tiling(d.n, d.h, d.w, d.cout, d.cin)
		g.t.phased = inputPhases
	} else {
		t = f.tiling(d.n, 2*d.h, 2*d.w, d.cin, d.cout)
		g.t = f.tiling(d.n, 2*d.h, 2*d.w, d.cout, d.cin)
	}
	var back func(n0, n1 int, mem *par.Scratch)
	switch {
	case dx.Empty():
	case phases:
		g.u = packs.packed(w, f.upGradForm, 4*f.kernelSize(d.cout, d.cin), func(u []float32) { f.packPhases(u, w, f.packGrad) })
		back = g.backPhases
	default:
		g.u = f.packedGrad(w, packs)
		back = g.back
	}
	sums := takeWork(d.n * d.cout)
	t.addWeightGrad(dw, &s, dy, sums, back)
	if !db.Empty() {
		addImageSums(db.Data, sums)
	}
	giveWork(sums)
	g.u.done()
	upGrads.give(g)
}

// upGrad is the input gradient of UpConv in Winograd's form.
type upGrad struct {
	t   tiling // of the convolution of dy
	u   packed // the transformed kernels
	dx  Tensor
	add bool
	dy  source
}

var upGrads frames[upGrad]

// backPhases computes dx of images n0…n1 from the phases of dy.
func (g *upGrad) backPhases(n0, n1 int, mem *par.Scratch) {
	to := target{y: g.dx.Data}
	if g.add {
		to.residual = g.dx
	}
	g.t.run(tiledPiece{n0, n1, 0, g.t.th, 0, g.t.panels()}, &g.dy, g.u.data, mem, to)
}

// back computes dx of images n0…n1 from the gradient of the enlarged images.
func (g *upGrad) back(n0, n1 int, mem *par.Scratch) {
	_, h, w, c := g.dx.Dims4()
	large := mem.Floats((n1 - n0) * 4 * h * w * c)
	g.t.run(tiledPiece{n0, n1, 0, g.t.th, 0, g.t.panels()}, &g.dy, g.u.data, mem, target{y: large, first: n0})
	for r := range (n1 - n0) * h {
		foldRows(g.dx.Data[(n0*h+r)*w*c:][:w*c], g.add, large[r*4*w*c:], c)
	}
}

// upConv holds the sizes of an UpConv.
type upConv struct {
	n, h, w, cin, cout int
	size               int // of one phase's kernel [2 2 Cin Cout]
	panel              int // and packed
}

func upDims(op string, y, x, w Tensor) upConv {
	n, h, wd, cin := x.Dims4()
	_, _, _, cout := w.Dims4()
	checkShape(op, w, 3, 3, cin, cout)
	checkShape(op, y, n, 2*h, 2*wd, cout)
	return upConv{n, h, wd, cin, cout, 4 * cin * cout, panelSize(4*cin, cout)}
}

// upTap says on which of a phase's two taps tap k of the 3×3 kernel falls, in one dimension.
func upTap(phase, k int) int { return (k + 1 - phase) / 2 }

// eachTap calls f for every tap k of a 3×3 kernel and the tap [a b] of a phase's 2×2 kernel that it falls on.
func eachTap(phase int, f func(a, b, k int)) {
	for k := range 9 {
		f(upTap(phase/2, k/3), upTap(phase%2, k%3), k)
	}
}

// foldKernels computes the four kernels [4 2 2 Cin Cout] from w.
func (d upConv) foldKernels(kernels, w []float32) {
	clear(kernels)
	c := d.cin * d.cout
	for phase := range 4 {
		eachTap(phase, func(a, b, k int) { simd.Axpy(kernels[(phase*4+a*2+b)*c:][:c], 1, w[k*c:][:c]) })
	}
}

// inputGrad computes dx (+)= Σ over the 16 taps of the four phases, each reading dy two pixels apart.
func (d upConv) inputGrad(dx Tensor, add bool, w, dy Tensor, packs *Packs) {
	tapPanel := panelSize(d.cout, d.cin)
	wt := packs.packed(w, upFormGrad, 16*tapPanel, func(p []float32) {
		kernels := takeWork(4 * d.size)
		d.foldKernels(kernels, w.Data)
		par.For(16, func(i int, _ *par.Scratch) {
			packTransposed(p[i*tapPanel:], kernels[i*d.cin*d.cout:][:d.cin*d.cout], d.cin, d.cout)
		})
		giveWork(kernels)
	})
	defer wt.done()
	// dy is bordered by two rows and columns. Tap a of phase p reads x at row i+a+p−1 for the result in row 2i+p; so
	// row r of x reaches row 2(r−a−p+1)+p of dy.
	pRow := (2*d.w + 4) * d.cout
	var aOff, bOff []int
	for i := range 16 {
		py, px, a, b := i/8, i/4%2, i/2%2, i%2
		aOff = append(aOff, (4-2*a-py)*pRow+(4-2*b-px)*d.cout)
		bOff = append(bOff, i*tapPanel)
	}
	s := source{x: dy}
	band := bandRows(d.n, d.h)
	bands := (d.h + band - 1) / band
	par.For(d.n*bands, func(i int, mem *par.Scratch) {
		n, r0 := i/bands, i%bands*band
		r1 := min(r0+band, d.h)
		p := mem.Floats((2*(r1-r0) + 4) * pRow)
		s.fill(p, pRow, n, 2*r0, 2*r1+4, 2, 2)
		for r := r0; r < r1; r++ {
			g := simd.Gemm{
				M: d.w, N: d.cin, K: d.cout,
				A: p[2*(r-r0)*pRow:], ARow: 2 * d.cout, AK: 1, AOff: aOff,
				B: wt.data, BRow: panelWidth, BPanel: panelWidth * d.cout, BOff: bOff,
				C: dx.Data[(n*d.h+r)*d.w*d.cin:], CRow: d.cin, Add: add,
			}
			g.Run()
		}
	})
}

// weightGrad adds dw: the gradient of each phase's kernel, unfolded, chunk by chunk of images.
func (d upConv) weightGrad(dw, x, dy Tensor) {
	pRow := (d.w + 2) * d.cin
	size := (d.h + 2) * pRow
	s := source{x: x}
	kernels := takeWork(4 * d.size)
	defer giveWork(kernels)
	aOff, bOff := make([]int, d.h), make([]int, d.h) // of the rows of x and of dy
	for r := range d.h {
		aOff[r], bOff[r] = r*pRow, r*4*d.w*d.cout
	}
	for n0 := 0; n0 < d.n; n0 += GradChunk {
		n1 := min(n0+GradChunk, d.n)
		p := s.padded(n0, n1, 1, 1, d.h+2, d.w+2)
		blocks := max(1, d.cin/32) // rows 2·Cin of a kernel row in as many pieces
		par.For(8*blocks, func(i int, _ *par.Scratch) {
			phase, a, block := i/(2*blocks), i/blocks%2, i%blocks
			c0, c1 := block*2*d.cin/blocks, (block+1)*2*d.cin/blocks
			to := (phase/2+a)*pRow + phase%2*d.cin + c0
			from := (phase/2*2*d.w + phase%2) * d.cout
			d.kernelGrad(kernels[phase*d.size+(a*2*d.cin+c0)*d.cout:], p[to:], dy.Data[from:], aOff, bOff, n0, n1, c1-c0, size)
		})
		d.unfold(dw.Data, kernels)
		giveWork(p)
	}
}

// kernelGrad computes count rows of a kernel's gradient, summed over images n0…n1. p, of size floats an image, and dy
// begin where the first row's first products lie.
func (d upConv) kernelGrad(dst, p, dy []float32, aOff, bOff []int, n0, n1, count, size int) {
	for n := n0; n < n1; n++ {
		g := simd.Gemm{
			M: count, N: d.cout, K: d.w,
			A: p[(n-n0)*size:], ARow: 1, AK: d.cin, AOff: aOff,
			B: dy[n*4*d.h*d.w*d.cout:], BRow: 2 * d.cout, BPanel: panelWidth, BOff: bOff,
			C: dst, CRow: d.cout, Add: n > n0,
		}
		g.Run()
	}
}

// unfold adds the kernels' gradients to dw: the gradient of foldKernels.
func (d upConv) unfold(dw, kernels []float32) {
	c := d.cin * d.cout
	rows := (d.cin + 15) / 16
	par.For(rows, func(i int, _ *par.Scratch) {
		lo, hi := i*c/rows, (i+1)*c/rows
		for phase := range 4 {
			eachTap(phase, func(a, b, k int) {
				kernel := kernels[(phase*4+a*2+b)*c:]
				simd.Axpy(dw[k*c+lo:k*c+hi], 1, kernel[lo:hi])
			})
		}
	})
}
