package tensor

import (
	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// directWeightGrad adds in turn dw[kh kw ci co] += Σ_{n i j} x̄[n, i·s+kh, j·s+kw, ci]·dy[n i j co]. The pieces are chunks of
// images, and blocks of input channels where these are few.
func (d convDims) directWeightGrad(dw Tensor, s *source, dy Tensor, turn *Turn) {
	weightGrad(dw.Data, d.n, d.kh*d.kw, d.cin, d.cout, turn, func(dst []float32, n0, n1, c0, c1 int, mem *par.Scratch) {
		d.channelsGrad(dst, s, &source{x: dy}, n0, n1, c0, c1, 0, 0, mem)
	})
}

// channelsGrad computes the weight gradient dst [KH KW Cin Cout] for images n0…n1 and input channels c0…c1. y0 and x0
// are as for unfolding.fill.
func (d convDims) channelsGrad(dst []float32, s, dy *source, n0, n1, c0, c1, y0, x0 int, mem *par.Scratch) {
	g := directGrad{dst: dst[c0*d.cout:], tap: d.cin * d.cout, s: *s, dy: *dy, y0: y0, x0: x0}
	if c1-c0 < d.cin {
		g.s.from, g.s.to = c0, c1
	}
	d.cin = c1 - c0
	d.tapRow = d.kw * d.cin
	unit := d.tapRow
	if g.tap > d.cin*d.cout {
		unit = d.cin // the rows of dst for one tap and the next do not follow one another
	}
	g.unfolding = d.unfolding(unit, gradColumns, unfoldedSize)
	g.images(n0, n1, mem)
}

// gradColumns is the most columns of u in a panel for weight gradients, eight tiles of 14 rows. They read u down its
// columns, and where neighbouring pixels lie on as few pages as that, products with AVX2 are a third faster.
const gradColumns = 112

// directGrad is the weight gradient of a block of input channels: for each kernel row the product of the unfolded image,
// transposed, with dy.
type directGrad struct {
	unfolding
	dst    []float32
	tap    int // floats from one tap of dst to the next
	s, dy  source
	y0, x0 int

	group      int   // images that are unfolded together
	rowStarts  []int // where the kernel rows' products begin in a panel of u
	aOff, bOff []int // the images in a panel of u, and of dy
	dyRow      int   // floats in a row of a panel of dy
}

// images computes dst for images n0…n1.
func (g *directGrad) images(n0, n1 int, mem *par.Scratch) {
	g.group, g.dyRow = 1, g.cout
	if g.packs() {
		g.dyRow = panelWidth
	}
	if g.band == g.oh {
		g.group = max(1, min(unfoldedSize/max(1, g.size()), n1-n0))
	}
	g.rowStarts, g.aOff, g.bOff = g.kernelRows(), make([]int, g.group), make([]int, g.group)
	for i := range g.group {
		g.aOff[i], g.bOff[i] = i*g.size(), i*g.oh*g.ow*g.dyRow
	}
	dst := g.dst
	if g.transposed() {
		g.dst = mem.Floats(g.cout * g.kh * g.tapRow)
	}
	u := mem.Floats(g.group * g.size())
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
	if g.packs() {
		pixels := images * g.oh * g.ow
		packed := mem.Floats(panelSize(pixels, g.cout))
		simd.PackPanels(packed, pixels*panelWidth, dy, g.cout, pixels, g.cout)
		dy = packed
	}
	for r := 0; r < g.oh; r += g.band {
		rows := min(g.band, g.oh-r)
		for i := range images {
			mem.Within(func() { g.fill(u[i*g.size():], &g.s, n+i, r, rows, g.y0, g.x0, mem) })
		}
		for i := range g.panels() {
			g.multiply(u[i*g.panel():], dy[r*g.ow*g.dyRow:], i, images, rows, more || r > 0, &soon)
		}
	}
}

// packs reports whether dy is packed in panels: where it is read many times, and its rows lie apart for the kernel.
func (g *directGrad) packs() bool { return g.cout > panelWidth && g.tapRow >= panelWidth }

// transposed reports whether dst is computed transposed: the kernel computes 32 columns at a time, and a few channels of
// a result would leave most of a register empty.
func (g *directGrad) transposed() bool { return g.cout < 8 && g.tapRow >= panelWidth }

// multiply adds the products of panel i of so many rows of so many images to dst, or with more false writes them.
func (g *directGrad) multiply(u, dy []float32, i, images, rows int, more bool, soon *simd.Ahead) {
	// Pixels in a product: with AVX2, a cache line of u and of dy for each, and the one of u that comes next, fit the L1
	// cache.
	const depth = 144
	dyPanel := panelWidth
	if g.packs() {
		dyPanel *= images * g.oh * g.ow
	}
	group, band := min(images, max(1, depth/(rows*g.ow))), min(rows, max(1, depth/g.ow))
	first, columns := g.at(i)
	for n := 0; n < images; n += group {
		last := min(n+group, images)
		for r := 0; r < rows; r += band {
			for kh := range g.kh {
				p := simd.Gemm{
					M: columns, N: g.cout, K: min(band, rows-r) * g.ow,
					A: u[g.rowStarts[kh]+r*g.row():], ARow: 1, AK: g.pixel(), AOff: g.aOff[n:last],
					B: dy[r*g.ow*g.dyRow:], BRow: g.dyRow, BPanel: dyPanel, BOff: g.bOff[n:last],
					CRow: g.cout, Add: more || n+r > 0,
					Ahead: soon,
				}
				g.run(&p, kh, first)
			}
		}
	}
}

// run computes the product for the weights of kernel row kh from column c of u on.
func (g *directGrad) run(p *simd.Gemm, kh, c int) {
	if g.transposed() {
		p.M, p.N, p.C, p.CRow = p.N, p.M, g.dst[kh*g.tapRow+c:], g.kh*g.tapRow
		p.A, p.AK, p.AOff, p.B, p.BRow, p.BOff = p.B, p.BRow, p.BOff, p.A, p.AK, p.AOff
	} else {
		p.C = g.dst[(kh*g.kw+c/g.cin)*g.tap+c%g.cin*g.cout:]
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
