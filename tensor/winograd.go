package tensor

import (
	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// Method chooses how a 3×3 convolution of stride 1 is computed. Both compute the same sums of products, rounded
// differently.
type Method uint8

const (
	Auto     Method = iota // Winograd where the shape makes it faster
	Direct                 // as the definition has it
	Winograd               // F(2×2, 3×3), wherever the window allows
)

// winograd reports whether d is computed by Winograd's form: a decision by the shape of one image alone, so that an
// image's result does not depend on the batch around it.
func (d convDims) winograd() bool {
	v := d.Window
	v.Method = Auto
	if v != Same3 || d.kh != 3 || d.kw != 3 || d.Method == Direct {
		return false
	}
	return d.Method == Winograd || min(d.cin, d.cout) >= winogradChannels
}

// winogradChannels is the least number of channels, in and out, from which Winograd's form is faster: with fewer the
// transforms, which grow with Cin+Cout, cost what the products, which grow with Cin·Cout, save.
const winogradChannels = 32

// Winograd's F(2×2, 3×3) (Lavin & Gray 2015, arXiv:1509.09308) cuts the result in 2×2 tiles. Each needs a 4×4 tile of
// the input. Transformed, the nine multiplications per result become four: for each of 16 positions in the tile one
// matrix product over channels, [tiles Cin]·[Cin Cout]. The transforms and their matrices are in package simd.
const (
	positions = 16
	tileBlock = 56 // tiles transformed and multiplied together: their V and M then stay in the L2 cache
)

// tiling is how images of one size are cut in tiles, and the layout of what is transformed.
type tiling struct {
	n, h, w, cin, cout int
	th, tw             int // tile rows and columns
	vTile, mTile       int // floats from tile to tile in V and M, see padStride
}

func newTiling(n, h, w, cin, cout int) tiling {
	return tiling{n, h, w, cin, cout, (h + 1) / 2, (w + 1) / 2, padStride(cin), padStride(cout)}
}

// padStride keeps strides off multiples of 1 KiB, at which the rows of a product would share few sets of the cache.
func padStride(c int) int {
	if c%256 == 0 {
		return c + 16
	}
	return c
}

// tiledPiece is what one worker does of a convolution: tile rows r0…r1 of images n0…n1, panels p0…p1 of the result's
// channels.
type tiledPiece struct{ n0, n1, r0, r1, p0, p1 int }

// pieces cuts the work. A batch of large images is cut by image, small images are taken together until they fill a
// block of tiles, and with few images each is cut in bands and groups of channels.
func (t tiling) pieces() []tiledPiece {
	group := t.group()
	bandRows := t.th
	if t.n < 2*fewPieces && group == 1 {
		bandRows = t.blockRows()
	}
	panels := (t.cout + panelWidth - 1) / panelWidth
	splits := 1
	if (t.n+group-1)/group*((t.th+bandRows-1)/bandRows) < fewPieces {
		splits = min(panels, fewPieces/2)
	}
	var ps []tiledPiece
	for n := 0; n < t.n; n += group {
		for r := 0; r < t.th; r += bandRows {
			for k := range splits {
				ps = append(ps, tiledPiece{n, min(n+group, t.n), r, min(r+bandRows, t.th), k * panels / splits, (k + 1) * panels / splits})
			}
		}
	}
	return ps
}

// fewPieces is a number of pieces below which processors may idle.
const fewPieces = 8

// group is the number of small images taken together to fill a block of tiles.
func (t tiling) group() int { return max(1, (tileBlock+t.th*t.tw/2)/(t.th*t.tw)) }

// blockRows is the number of tile rows in a block of about tileBlock tiles.
func (t tiling) blockRows() int { return min(t.th, max(1, (tileBlock+t.tw/2)/t.tw)) }

// winogradConv computes y = conv3×3(s, w) + e.
func winogradConv(y Tensor, s source, w Tensor, e epilogue, packs *Packs) {
	n, h, wd, cin := s.x.Dims4()
	t := newTiling(n, h, wd, cin, w.Shape[3])
	u, done := packs.packed(w, winoForm, positions*panelSize(cin, t.cout), func(u []float32) { winogradPack(u, w) })
	defer done()
	ps := t.pieces()
	par.For(len(ps), func(i int, mem *par.Scratch) {
		p := ps[i]
		t.run(p, &s, u, mem, func(n int) target {
			size := h * wd * t.cout
			to := target{y: y.Data[n*size:][:size], start: e.start(n, t.cout, mem)}
			if !e.residual.Empty() {
				to.residual = e.residual.Data[n*size:][:size]
			}
			return to
		})
	})
}

// winogradPack transforms the kernels w [3 3 Cin Cout] into u.
func winogradPack(u []float32, w Tensor) {
	cin, cout := w.Shape[2], w.Shape[3]
	simd.WinogradWeight(u, panelSize(cin, cout), panelWidth*cin, w.Data, cin, cout)
}

// winogradPackGrad transforms the kernels of the input gradient, turned by half a turn and with Cin and Cout swapped.
func winogradPackGrad(w Tensor) []float32 {
	cin, cout := w.Shape[2], w.Shape[3]
	u := takeWork(positions * panelSize(cout, cin))
	simd.WinogradWeightTransposed(u, panelSize(cout, cin), panelWidth*cout, w.Data, cin, cout)
	return u
}

// winogradInputGrad computes dx (+)= the gradient of conv3×3 for its input: a convolution of dy.
func winogradInputGrad(dx Tensor, add bool, w, dy Tensor) {
	n, h, wd, cin := dx.Dims4()
	t := newTiling(n, h, wd, w.Shape[3], cin)
	u := winogradPackGrad(w)
	defer giveWork(u)
	ps := t.pieces()
	s := source{x: dy}
	par.For(len(ps), func(i int, mem *par.Scratch) {
		t.run(ps[i], &s, u, mem, func(n int) target {
			size := h * wd * cin
			to := target{y: dx.Data[n*size:][:size]}
			if add {
				to.residual = to.y
			}
			return to
		})
	})
}

// target is where the result of one image goes, and what is added to it.
type target struct{ y, residual, start []float32 }

// run computes piece p. u holds the transformed kernels and to returns the target of an image.
func (t tiling) run(p tiledPiece, s *source, u []float32, mem *par.Scratch, to func(n int) target) {
	rows := p.r1 - p.r0
	block := rows
	if p.n1-p.n0 == 1 {
		block = min(rows, t.blockRows())
	}
	tiles := block * t.tw * (p.n1 - p.n0)
	pRow := (2*t.tw + 2) * t.cin
	image := mem.Floats((2*rows + 2) * pRow)
	v := mem.Floats(positions * tiles * t.vTile)
	m := mem.Floats(positions * tiles * t.mTile)
	targets := make([]target, p.n1-p.n0)
	for i := range targets {
		targets[i] = to(p.n0 + i)
	}
	if p.n1-p.n0 == 1 {
		s.fill(image, pRow, p.n0, 2*p.r0, 2*p.r1+2, 1, 1)
	}
	for r := p.r0; r < p.r1; r += block {
		count := min(block, p.r1-r)
		for i := range targets {
			if len(targets) > 1 {
				s.fill(image, pRow, p.n0+i, 2*r, 2*(r+count)+2, 1, 1)
			}
			t.transformInput(v[i*count*t.tw*t.vTile:], tiles, image[2*(r-p.r0)*pRow*btoi(len(targets) == 1):], pRow, count)
		}
		t.multiply(m, v, u, tiles, count*t.tw*len(targets), p)
		for i, to := range targets {
			t.transformOutput(to, m[i*count*t.tw*t.mTile:], tiles, r, count, p)
		}
	}
}

// transformInput transforms count tile rows of a bordered image. tiles is the room for tiles in v.
func (t tiling) transformInput(v []float32, tiles int, image []float32, pRow, count int) {
	for r := range count {
		simd.WinogradInput(v[r*t.tw*t.vTile:], tiles*t.vTile, t.vTile, image[2*r*pRow:], pRow, t.cin, t.tw, t.cin)
	}
}

// multiply computes M_i = V_i·U_i for each position i and the panels of p.
func (t tiling) multiply(m, v, u []float32, tiles, count int, p tiledPiece) {
	c0, c1 := p.p0*panelWidth, min(p.p1*panelWidth, t.cout)
	for i := range positions {
		g := simd.Gemm{
			M: count, N: c1 - c0, K: t.cin,
			A: v[i*tiles*t.vTile:], ARow: t.vTile, AK: 1, AOff: zeroOffset,
			B: u[i*panelSize(t.cin, t.cout)+p.p0*panelWidth*t.cin:], BRow: panelWidth, BPanel: panelWidth * t.cin, BOff: zeroOffset,
			C: m[i*tiles*t.mTile+c0:], CRow: t.mTile,
		}
		g.Run()
	}
}

// transformOutput transforms count tile rows back, from tile row r of the image on.
func (t tiling) transformOutput(to target, m []float32, tiles, r, count int, p tiledPiece) {
	c0, c1 := p.p0*panelWidth, min(p.p1*panelWidth, t.cout)
	var start []float32
	if to.start != nil {
		start = to.start[c0:c1]
	}
	row := t.w * t.cout
	for k := range count {
		at := 2*(r+k)*row + c0
		var y1, r0, r1 []float32
		if 2*(r+k)+1 < t.h {
			y1 = to.y[at+row:]
		}
		if to.residual != nil {
			r0 = to.residual[at:]
			if y1 != nil {
				r1 = to.residual[at+row:]
			}
		}
		simd.WinogradOutput(to.y[at:], y1, t.cout, m[k*t.tw*t.mTile+c0:], tiles*t.mTile, t.mTile, r0, r1, start, t.w, c1-c0)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
