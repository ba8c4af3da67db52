package tensor

import (
	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// directWeightGrad adds dw[kh kw ci co] += Σ_{n i j} x̄[n, i·s+kh, j·s+kw, ci]·dy[n i j co]. The pieces are chunks of
// images, and blocks of input channels where these are few.
func (d convDims) directWeightGrad(dw Tensor, s *source, dy Tensor) {
	weightGrad(dw.Data, d.n, d.cin, d.kh*d.kw*d.cout, func(dst []float32, n0, n1, c0, c1 int, mem *par.Scratch) {
		d.channelsGrad(dst, s, &source{x: dy}, n0, n1, c0, c1, 0, 0, mem)
	})
}

// channelsGrad computes the weight gradient dst [KH KW Cin Cout] for images n0…n1 and input channels c0…c1. y0 and x0
// are as for unfold.
func (d convDims) channelsGrad(dst []float32, s, dy *source, n0, n1, c0, c1, y0, x0 int, mem *par.Scratch) {
	g := directGrad{convDims: d, dst: dst[c0*d.cout:], tap: d.cin * d.cout, s: *s, dy: *dy, y0: y0, x0: x0}
	if c1-c0 < d.cin {
		g.s.from, g.s.to = c0, c1
	}
	g.cin = c1 - c0
	g.tapRow = g.kw * g.cin
	g.images(n0, n1, mem)
}

// directGrad is the weight gradient of a block of input channels: for each kernel row the product of the unfolded image,
// transposed, with dy.
type directGrad struct {
	convDims
	dst    []float32
	tap    int // floats from one tap of dst to the next
	s, dy  source
	y0, x0 int

	band, group int // rows and images that are unfolded together
	image       int // floats of an unfolded image, or band of one
	taps        []int
	aOff, bOff  []int // the images in u and dy
}

// images computes dst for images n0…n1.
func (g *directGrad) images(n0, n1 int, mem *par.Scratch) {
	const size = 2 * unfoldedSize // dst is read and written once for each u, so a larger one
	g.band, g.group = g.unfoldedBand(size), 1
	g.image = g.unfoldedRows(g.band) * g.unfoldedRow()
	if g.band == g.oh {
		g.group = max(1, min(size/max(1, g.image), n1-n0))
	}
	g.taps, g.aOff, g.bOff = g.unfoldedTaps(g.band), make([]int, g.group), make([]int, g.group)
	for i := range g.group {
		g.aOff[i], g.bOff[i] = i*g.image, i*g.oh*g.outRow
	}
	dst := g.dst
	if g.transposed() {
		g.dst = mem.Floats(g.cout * g.kh * g.tapRow)
	}
	u := mem.Floats(g.group * g.image)
	for n := n0; n < n1; n += g.group {
		mem.Within(func() { g.addGroup(u, n, min(g.group, n1-n), n > n0, mem) })
	}
	if g.transposed() {
		g.transpose(dst)
	}
}

// addGroup adds the shares of so many images from n on to dst, or with more false writes them.
func (g *directGrad) addGroup(u []float32, n, images int, more bool, mem *par.Scratch) {
	var soon simd.Ahead
	fetchImages(&soon, n+images, n+2*images, g.s.x, g.s.join, g.dy.x)
	soon.During(images * g.oh * g.ow * g.kh * g.tapRow * g.cout)
	dy := g.dy.rows(n, n+images, 0, g.oh, mem)
	for r := 0; r < g.oh; r += g.band {
		rows := min(g.band, g.oh-r)
		for i := range images {
			mem.Within(func() { g.unfold(u[i*g.image:], &g.s, n+i, r, rows, g.band, g.y0, g.x0, mem) })
		}
		g.multiply(u, dy[r*g.outRow:], images, rows, more || r > 0, &soon)
	}
}

// transposed reports whether dst is computed transposed: the kernel computes 32 columns at a time, and a few channels of
// a result would leave most of a register empty.
func (g *directGrad) transposed() bool { return g.cout < 8 && g.tapRow >= panelWidth }

// multiply adds the products of so many rows of so many images to dst, or with more false writes them.
func (g *directGrad) multiply(u, dy []float32, images, rows int, more bool, soon *simd.Ahead) {
	const depth = 400 // pixels in a product: what a tile of it reads stays in the L1 cache for the next, or nearly
	group, band := min(images, max(1, depth/(rows*g.ow))), min(rows, max(1, depth/g.ow))
	taps := 1 // of a kernel row in one product
	if g.tap == g.cin*g.cout {
		taps = g.kw
	}
	for t := 0; t < g.kh*g.kw; t += taps {
		for i := 0; i < images; i += group {
			for r := 0; r < rows; r += band {
				p := simd.Gemm{
					M: taps * g.cin, N: g.cout, K: min(band, rows-r) * g.ow,
					A: u[r*g.unfoldedRow()+g.taps[t/g.kw]+t%g.kw*g.cin:], ARow: 1, AK: g.unfoldedPixel(), AOff: g.aOff[i:min(i+group, images)],
					B: dy[r*g.outRow:], BRow: g.cout, BPanel: panelWidth, BOff: g.bOff[i:min(i+group, images)],
					CRow: g.cout, Add: more || i+r > 0,
					Ahead: soon,
				}
				g.run(&p, t)
			}
		}
	}
}

// run computes the product for the weights from tap t on.
func (g *directGrad) run(p *simd.Gemm, t int) {
	if g.transposed() {
		p.M, p.N, p.C, p.CRow = p.N, p.M, g.dst[t*g.cin:], g.kh*g.tapRow
		p.A, p.AK, p.AOff, p.B, p.BRow, p.BOff = p.B, p.BRow, p.BOff, p.A, p.AK, p.AOff
	} else {
		p.C = g.dst[t*g.tap:]
	}
	p.Run()
}

// transpose writes what was computed transposed to dst.
func (g *directGrad) transpose(dst []float32) {
	rows := g.kh * g.tapRow
	for i := range rows {
		for c := range g.cout {
			dst[i/g.cin*g.tap+i%g.cin*g.cout+c] = g.dst[c*rows+i]
		}
	}
}
