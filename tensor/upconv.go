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
		k := kernels{f: f, w: w, phases: true}
		u := k.transformed(packs)
		t := f.tiling(d.n, d.h, d.w, d.cin, d.cout)
		t.phased = resultPhases
		t.conv(y, &source{x: x}, u, epilogue{bias: b})
		u.done()
	case f != nil:
		f.conv(y, &source{x: x, up: true}, w, epilogue{bias: b}, packs)
	default:
		d.direct(y, x, w, b, packs)
	}
}

// direct computes y phase by phase.
func (d upConv) direct(y, x, w, b Tensor, packs *Packs) {
	wp := packs.packed(w, upForm, 4*panelSize(4*d.cin, d.cout), func(p []float32) {
		k := takeWork(16 * d.cin * d.cout)
		d.foldKernels(k, w.Data)
		for phase := range 4 {
			packPanels(p[phase*panelSize(4*d.cin, d.cout):], k[phase*4*d.cin*d.cout:], 4*d.cin, d.cout)
		}
		giveWork(k)
	})
	s := source{x: x}
	var phases [4]*directConv
	for i := range phases {
		py, px := i/2, i%2
		phases[i] = directConv{
			convDims: d.phase(d.cin, d.cout), s: &s, y0: py, x0: px, e: epilogue{bias: b},
			to: y.Data[(py*2*d.w+px)*d.cout:], pixel: 2 * d.cout, row: 4 * d.w * d.cout, image: 4 * d.h * d.w * d.cout,
		}.take()
	}
	runDirect(&s, d.n, d.h, wp.data, phases[:]...)
	wp.done()
}

// phase returns the sizes of a phase's convolution. Tap a of phase p reads x at row i+a+p-1 for the result in row 2i+p:
// row i+a of the bordered image from row p on.
func (d upConv) phase(cin, cout int) convDims {
	v := Window{Stride: 1, Top: 1, Left: 1, Bottom: 1, Right: 1}
	return convDims{
		Window: v, n: d.n, h: d.h, w: d.w, cin: cin, kh: 2, kw: 2, oh: d.h, ow: d.w, cout: cout,
		rows: d.h + 2, cols: d.w + 2, tapRow: 2 * cin, outRow: d.w * cout,
	}
}

// UpConvGrad adds the gradients of UpConv, dw and db in turn. dx is overwritten instead if add is false. packs and turn may
// be nil.
func UpConvGrad(dx Tensor, add bool, dw, db, x, w, dy Tensor, m Method, packs *Packs, turn *Turn) {
	d := upDims("UpConvGrad", dy, x, w)
	checkOptional("UpConvGrad: dx", dx, x.Shape...)
	checkOptional("UpConvGrad: dw", dw, w.Shape...)
	checkOptional("UpConvGrad: db", db, d.cout)
	if f, phases := d.winograd(m); f != nil {
		d.winogradGrad(f, phases, dx, add, dw, db, x, w, dy, packs, turn)
		return
	}
	if !db.Empty() {
		addColumnSums(db.Data, dy, turn)
	}
	if !dx.Empty() {
		d.inputGrad(dx, add, w, dy, packs)
	}
	if !dw.Empty() {
		d.weightGrad(dw, x, dy, turn)
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
func (d upConv) winogradGrad(f *winograd, phases bool, dx Tensor, add bool, dw, db, x, w, dy Tensor, packs *Packs, turn *Turn) {
	g := upGrads.take(upGrad{dx: dx, add: add, dy: source{x: dy, half: phases}})
	s, t := source{x: x, up: !phases}, f.tiling(d.n, d.h, d.w, d.cin, d.cout)
	if phases {
		t.phased = resultPhases
		g.t = f.tiling(d.n, d.h, d.w, d.cout, d.cin)
		g.t.phased = inputPhases
	} else {
		t = f.tiling(d.n, 2*d.h, 2*d.w, d.cin, d.cout)
	}
	var input back
	switch {
	case dx.Empty():
	case phases:
		g.k = kernels{f: f, w: w, grad: true, phases: true}
		g.u = g.k.transformed(packs)
		input.do = g.backPhases
	default:
		g.k = kernels{f: f, w: w, grad: true}
		g.u = g.k.transformed(packs)
		input = back{u: g.u, then: [2]Tensor{dx}, do: g.fold, unit: panelWidth}
	}
	sums := takeWork(d.n * d.cout)
	t.addWeightGrad(dw, false, &s, dy, sums, input, turn)
	if !db.Empty() {
		addInTurn(db.Data, sums, turn)
	}
	giveWork(sums)
	g.u.done()
	upGrads.give(g)
}

// upGrad is the input gradient of UpConv in Winograd's form.
type upGrad struct {
	t   tiling      // of the convolution of dy, with phases
	u   transformed // the kernels
	k   kernels     // which
	dx  Tensor
	add bool
	dy  source
}

var upGrads frames[upGrad]

// backPhases computes dx of some images from the phases of dy.
func (g *upGrad) backPhases(r region, _ []float32, mem *par.Scratch) {
	to := &target{y: g.dx.Data}
	if g.add {
		to.residual = g.dx
	}
	g.t.run(tiledPiece{r.n0, r.n1, 0, g.t.th, 0, g.t.panels()}, &g.dy, g.u.in(mem), mem, to)
}

// fold computes a part of dx from the gradient of the enlarged images.
func (g *upGrad) fold(r region, large []float32, _ *par.Scratch) {
	_, h, w, all := g.dx.Dims4()
	c := r.c1 - r.c0
	for y := range (r.n1 - r.n0) * h {
		foldRows(g.dx.Data[(r.n0*h+y)*w*all+r.c0:], all, g.add, large[y*4*w*c:], w, c)
	}
}

// upConv holds the sizes of an UpConv.
type upConv struct{ n, h, w, cin, cout int }

func upDims(op string, y, x, w Tensor) upConv {
	n, h, wd, cin := x.Dims4()
	_, _, _, cout := w.Dims4()
	checkShape(op, w, 3, 3, cin, cout)
	checkShape(op, y, n, 2*h, 2*wd, cout)
	return upConv{n, h, wd, cin, cout}
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

// inputGrad computes dx (+)= the sum over phases of the gradient for their input: each a convolution of that phase of dy
// by the kernel turned by half a turn, from row 1-p of the bordered phase on.
func (d upConv) inputGrad(dx Tensor, add bool, w, dy Tensor, packs *Packs) {
	wt := packs.packed(w, upFormGrad, 4*panelSize(4*d.cout, d.cin), func(p []float32) {
		k := takeWork(16 * d.cin * d.cout)
		d.foldKernels(k, w.Data)
		for i := range 16 {
			to := p[i/4*panelSize(4*d.cout, d.cin)+(3-i%4)*d.cout*panelWidth:]
			packTransposed(to, 4*d.cout, k[i*d.cin*d.cout:], d.cin, d.cout)
		}
		giveWork(k)
	})
	var phases [4]*directConv
	for i := range phases {
		phases[i] = directConv{
			convDims: d.phase(d.cout, d.cin), s: &source{x: dy, half: true, phase: i}, y0: 1 - i/2, x0: 1 - i%2,
			to: dx.Data, add: add || i > 0, pixel: d.cin, row: d.w * d.cin, image: d.h * d.w * d.cin,
		}.take()
	}
	runDirect(&source{x: dy}, d.n, d.h, wt.data, phases[:]...)
	wt.done()
}

// weightGrad adds dw in turn: the gradients of the phases' kernels, chunk by chunk of images, unfolded.
func (d upConv) weightGrad(dw, x, dy Tensor, turn *Turn) {
	size := 4 * d.cin * d.cout
	chunkSums(d.n, d.cin, 16*d.cout, turn, func(dst []float32, n0, n1, c0, c1 int, mem *par.Scratch) {
		for i := range 4 {
			s, half := source{x: x}, source{x: dy, half: true, phase: i}
			mem.Within(func() {
				d.phase(d.cin, d.cout).channelsGrad(dst[i*size:], &s, &half, n0, n1, c0, c1, i/2, i%2, mem)
			})
		}
	}, func(part []float32, _, count int) {
		for ; count > 0; count-- {
			d.unfoldKernels(dw.Data, part)
			part = part[4*size:]
		}
	})
}

// unfoldKernels adds the kernels' gradients to dw: the gradient of foldKernels.
func (d upConv) unfoldKernels(dw, kernels []float32) {
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
