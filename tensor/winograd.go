package tensor

import (
	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// Method chooses how a 3×3 convolution of stride 1 is computed. All compute the same sums of products, rounded
// differently.
type Method uint8

const (
	Auto      Method = iota // the fastest for the shape
	Direct                  // as the definition has it
	Winograd2               // F(2×2, 3×3), wherever the window allows
	Winograd4               // F(4×4, 3×3), likewise; F(2×2, 3×3) where a side is 1, 2 or 5, see simd
)

// Winograd's F(m×m, 3×3) (Lavin & Gray 2015, arXiv:1509.09308) cuts the result in tiles of m×m. Each needs a tile of
// the input, two larger. Transformed, it takes (m+2)² multiplications instead of 9m²: for each of the (m+2)² positions
// in the tile one matrix product over channels, [tiles Cin]·[Cin Cout]. The transforms and their matrices are in
// package simd. The larger tile saves more multiplications and rounds a little worse.
type winograd struct {
	side, positions    int // m, (m+2)²
	packForm, gradForm form
	upForm, upGradForm form // of UpConv's phases

	input      func(v []float32, vPos, vTile int, x []float32, xRow, xPix, rows, side, tiles, c int)
	output     func(y []float32, yRow, yPix int, m []float32, mPos, mTile int, residual, start []float32, rows, side, cols, c int)
	gradOutput func(d []float32, dPos, dTile int, dy []float32, dyRow, dyPix, rows, side, cols, c int)
	gradWeight func(dw []float32, dwTap, dwRow int, m []float32, mPos, mRow, rows, cols int, add, turned bool)
	weight     func(u []float32, uPos, uPanel int, w []float32, wTap, wRow, cin, cout int)
	weightGrad func(u []float32, uPos, uPanel int, w []float32, wTap, wRow, cin, cout int) // for the input gradient
}

var (
	winograd2 = winograd{
		2, 16, winoForm2, winoForm2Grad, winoForm2Up, winoForm2UpGrad, simd.Winograd2Input, simd.Winograd2Output,
		simd.Winograd2GradOutput, simd.Winograd2GradWeight, simd.Winograd2Weight, simd.Winograd2WeightTransposed,
	}
	winograd4 = winograd{
		4, 36, winoForm4, winoForm4Grad, winoForm4Up, winoForm4UpGrad, simd.Winograd4Input, simd.Winograd4Output,
		simd.Winograd4GradOutput, simd.Winograd4GradWeight, simd.Winograd4Weight, simd.Winograd4WeightTransposed,
	}
)

// winograd returns the form that d is computed in, nil for the direct one: a decision by the shape of one image
// alone, so that an image's result does not depend on the batch around it.
func (d convDims) winograd() *winograd {
	v := d.Window
	v.Method = Auto
	if v != Same3 || d.kh != 3 || d.kw != 3 {
		return nil
	}
	switch d.Method {
	case Winograd2:
		return &winograd2
	case Winograd4:
		if !cutInFours(d.h) || !cutInFours(d.w) {
			return &winograd2
		}
		return &winograd4
	case Auto:
		return fastest(d.h, d.w, d.cin, d.cout)
	}
	return nil
}

// fastest is the measured rule: with few channels the transforms, which grow with Cin+Cout, cost what the products,
// which grow with Cin·Cout, save; and in images of few tiles the weights, (m+2)²·Cin·Cout of them, are read for too
// little work, unless they are few and tiles of 4×4 fit exactly.
func fastest(h, w, cin, cout int) *winograd {
	switch {
	case min(cin, cout) < 32:
		return nil
	case !cutInFours(h) || !cutInFours(w) || h*w < 49 && (h%4 != 0 || w%4 != 0 || cin*cout > 1<<14):
		return &winograd2
	}
	return &winograd4
}

// cutInFours reports whether a side of n can be cut in fours and threes.
func cutInFours(n int) bool { return n > 2 && n != 5 }

// A convolution transforms and multiplies tileBlock tiles together, or as many as V of blockFloats holds if these are
// fewer, for V and M, which share memory, are to stay in the L2 cache; but at least narrowBlock, for the kernels are to be
// read for enough work. With 28 tiles of 256 channels instead of 56 the CIFAR-10 network's training step takes 0 to 3 %
// less on a Zen 4, whose L2 is 1 MB, and its forward pass 2 to 3 %.
const (
	tileBlock   = 56
	narrowBlock = 28
	blockFloats = 1 << 18
)

// tiling is how images of one size are cut in tiles, and the layout of what is transformed.
type tiling struct {
	*winograd
	n, h, w, cin, cout   int
	th, tw               int // tile rows and columns
	wholeRows, wholeCols int // of these, the first so many are whole and the rest one smaller, see order
	vTile, mTile         int // floats from tile to tile in V and M, see padStride
	uPos                 int // from position to position in the transformed kernels
	phased               phased
}

func (f *winograd) tiling(n, h, w, cin, cout int) tiling {
	m := f.side
	th, tw := (h+m-1)/m, (w+m-1)/m
	t := tiling{f, n, h, w, cin, cout, th, tw, th, tw, padStride(cin), padStride(cout), kernelStride(cin, cout), whole}
	if f == &winograd4 {
		t.wholeRows, t.wholeCols = th-(m*th-h), tw-(m*tw-w)
	}
	return t
}

// tiledPiece is what one worker does of a convolution: tile rows r0…r1 of images n0…n1, panels p0…p1 of the result's
// channels.
type tiledPiece struct{ n0, n1, r0, r1, p0, p1 int }

// cut says how the work of a convolution is cut. A batch of large images is cut by image, small images are taken
// together until they fill a block of tiles, and with fewer images than processors each is cut in bands and groups of
// channels. No cut changes a bit of the result, so it may depend on the number of processors.
type cut struct {
	group, bandRows, splits int // images, tile rows and groups of channels
	pieces, bands           int
}

// whole reports whether the pieces are whole images.
func (c cut) whole() bool { return c.bands*c.splits == 1 }

func (t *tiling) cut() cut {
	procs := par.Workers()
	c := cut{group: t.group(), bandRows: t.th}
	groups := (t.n + c.group - 1) / c.group
	if groups < 2*procs {
		c.bandRows = t.blockRows(t.blockTiles())
	}
	c.bands = (t.th + c.bandRows - 1) / c.bandRows
	c.splits = max(1, min(t.panels(), (procs+groups*c.bands-1)/max(1, groups*c.bands)))
	c.pieces = groups * c.bands * c.splits
	return c
}

// piece returns piece i of the cut.
func (t *tiling) piece(c cut, i int) tiledPiece {
	n, r, k := i/(c.bands*c.splits)*c.group, i/c.splits%c.bands*c.bandRows, i%c.splits
	return tiledPiece{
		n, min(n+c.group, t.n), r, min(r+c.bandRows, t.th),
		k * t.panels() / c.splits, (k + 1) * t.panels() / c.splits,
	}
}

// panels is the number of panels of the result's channels.
func (t *tiling) panels() int { return (t.cout + panelWidth - 1) / panelWidth }

// blockTiles is the number of tiles in a block of a convolution.
func (t *tiling) blockTiles() int {
	return max(narrowBlock, min(tileBlock, blockFloats/(t.positions*max(t.cin, t.cout))))
}

// group is the number of images taken together: so many that they fill about one block of tiles, and that all
// processors have equally many groups.
func (t *tiling) group() int {
	tiles, block := t.th*t.tw, t.blockTiles()
	if tiles >= block {
		return 1
	}
	procs := par.Workers()
	rounds := max(1, (t.n*tiles+block*procs/2)/(block*procs))
	return (t.n + rounds*procs - 1) / (rounds * procs)
}

// blockRows is the number of tile rows in a block: the image's rows in equal blocks of about so many tiles.
func (t *tiling) blockRows(tiles int) int {
	blocks := max(1, (t.th*t.tw+tiles/2)/tiles)
	return (t.th + blocks - 1) / blocks
}

// conv computes y = conv3×3(s, w) + e.
func (f *winograd) conv(y Tensor, s *source, w Tensor, e epilogue, packs *Packs) {
	n, h, wd, cin := s.dims()
	t := f.tiling(n, h, wd, cin, w.Shape[3])
	k := kernels{f: f, w: w}
	u := k.transformed(packs)
	t.conv(y, s, u, e)
	u.done()
}

// conv is winograd.conv with the transformed kernels u.
func (t *tiling) conv(y Tensor, s *source, u transformed, e epilogue) {
	c := tiledConvs.take(tiledConv{tiling: *t, cuts: t.cut(), s: s, u: u, y: y, e: e})
	defer tiledConvs.give(c)
	if c.cuts.whole() {
		par.For(c.cuts.pieces, c.images)
		return
	}
	s.beginAll()
	par.For(c.cuts.pieces, c.part)
}

// tiledConv is one convolution in Winograd's form, cut in pieces.
type tiledConv struct {
	tiling
	cuts cut
	s    *source
	u    transformed
	y    Tensor
	e    epilogue
}

var tiledConvs frames[tiledConv]

// images computes piece i, whole images, with what is to be done with them before.
func (c *tiledConv) images(i int, mem *par.Scratch) {
	p := c.piece(c.cuts, i)
	c.s.begin(p.n0, p.n1, mem)
	c.part(i, mem)
}

// part computes piece i.
func (c *tiledConv) part(i int, mem *par.Scratch) {
	c.run(c.piece(c.cuts, i), c.s, c.u.in(mem), mem, &target{y: c.y.Data, epilogue: c.e})
}

// inputGrad computes dx (+)= the gradient of conv3×3 for its input: a convolution of dy.
func (f *winograd) inputGrad(dx Tensor, add bool, w, dy Tensor, packs *Packs) {
	n, h, wd, cin := dx.Dims4()
	t := f.tiling(n, h, wd, w.Shape[3], cin)
	k := kernels{f: f, w: w, grad: true}
	u := k.transformed(packs)
	c := tiledConvs.take(tiledConv{tiling: t, cuts: t.cut(), s: &source{x: dy}, u: u, y: dx})
	if add {
		c.e.residual = dx
	}
	par.For(c.cuts.pieces, c.part)
	tiledConvs.give(c)
	u.done()
}

// target is where results go: images end to end in y, and what is added to them. Results that are passed on are in the
// worker's memory, from image first on, and what is made of them goes to then.
type target struct {
	y        []float32
	passedOn bool
	first    int
	then     [2]Tensor // may be empty
	epilogue
}

// run computes piece p. u holds the transformed kernels, those of all phases.
func (t *tiling) run(p tiledPiece, s *source, u []float32, mem *par.Scratch, to *target) {
	rows := p.r1 - p.r0
	block := rows
	if p.n1-p.n0 == 1 {
		block = min(rows, t.blockRows(t.blockTiles()))
	}
	b := t.convBlock(p.n1-p.n0, block, mem)
	for r := p.r0; r < p.r1; r += block {
		count := min(block, p.r1-r)
		b.order = t.order(p.n1-p.n0, r, count)
		var soon simd.Ahead
		t.ahead(&soon, p, s, to, r, count)
		last := t.phased.count() - 1
		for phase := range last + 1 {
			if phase == 0 || t.phased == inputPhases {
				t.load(&b, s, p, r, count, phase)
			}
			t.multiply(&b, u[phase*t.kernelSize(t.cin, t.cout):], p, phase, &soon)
			for n := p.n0; n < p.n1 && (phase == last || t.phased == resultPhases); n++ {
				t.transformOutput(to, &b, n, n-p.n0, r, p, phase, mem)
			}
		}
	}
}

// load transforms count tile rows of the images of p, from row r on, into V.
func (t *tiling) load(b *tileBlocks, s *source, p tiledPiece, r, count, phase int) {
	from := *s
	from.phase = phase
	y0, y1 := t.rowAt(r), t.rowAt(r+count)+2
	from.border(b.image, b.row, y0, y1, 1, 1)
	for n := p.n0; n < p.n1; n++ {
		from.inside(b.image, b.row, n, y0, y1, 1, 1)
		t.transformInput(b, n-p.n0)
	}
}

// ahead lists what will be needed after the products of count tile rows from r on: where the results go, what is added
// to them, and after the last tile rows of p the images of what is probably the next piece. Results that are passed on
// are in the cache, and so is what they are made of, but not where they go.
func (t *tiling) ahead(soon *simd.Ahead, p tiledPiece, s *source, to *target, r, count int) {
	if to.passedOn {
		if r == p.r0 {
			fetchImages(soon, p.n0, p.n1, to.then[:]...)
		}
	} else {
		_, row := t.strides()
		size := t.h * row
		lo, hi := p.n0*size+t.rowAt(r)*row, (p.n1-1)*size+min(t.rowAt(r+count)*row, size)
		soon.Add(to.y[lo:hi])
		if !to.residual.Empty() {
			soon.Add(to.residual.Data[lo:hi])
		}
		if r+count == t.th {
			fetchImages(soon, p.n1, 2*p.n1-p.n0, s.x, s.join)
		}
	}
	cols := min(t.cout, (p.p1-p.p0)*panelWidth)
	soon.During(t.positions * t.phased.count() * (p.n1 - p.n0) * count * t.tw * t.cin * cols)
}

// transformInput transforms the bordered image of b, image k of the block, into V.
func (t *tiling) transformInput(b *tileBlocks, k int) {
	for i := range b.whole + b.lower {
		for _, u := range t.runs(b.order, k, i) {
			if u.tiles > 0 {
				t.input(b.v[u.at*t.vTile:], b.vPos, t.vTile, b.image[u.y*b.row+u.x*t.cin:], b.row, t.cin, u.rows, u.side, u.tiles, t.cin)
			}
		}
	}
}

// multiply computes M_i = V_i·U_i for each position i and the panels of p, or adds that of a later phase of the input.
func (t *tiling) multiply(b *tileBlocks, u []float32, p tiledPiece, phase int, soon *simd.Ahead) {
	for i := range t.positions {
		t.multiplyAt(b, u, p, phase, i, soon)
	}
}

// multiplyAt is multiply for position i.
func (t *tiling) multiplyAt(b *tileBlocks, u []float32, p tiledPiece, phase, i int, soon *simd.Ahead) {
	c0, c1 := p.p0*panelWidth, min(p.p1*panelWidth, t.cout)
	lo, hi := t.having(b.order, i)
	if t.vanishes(phase, i) {
		if t.phased == resultPhases {
			t.clearProduct(b, i, lo, hi, c0, c1)
		}
		return
	}
	g := simd.Gemm{
		M: hi - lo, N: c1 - c0, K: t.cin,
		A: b.v[i*b.vPos+lo*t.vTile:], ARow: t.vTile, AK: 1, AOff: zeroOffset,
		B: u[i*t.uPos+p.p0*panelWidth*t.cin:], BRow: panelWidth, BPanel: panelWidth * t.cin, BOff: zeroOffset,
		C: b.m[i*b.mPos+lo*t.mTile+c0:], CRow: t.mTile, Add: t.adds(phase, i),
		Ahead: soon,
	}
	g.Run()
}

// transformOutput transforms the tiles of image n, image k of the block, back, from tile row r on.
func (t *tiling) transformOutput(to *target, b *tileBlocks, n, k, r int, p tiledPiece, phase int, mem *par.Scratch) {
	c0, c1 := p.p0*panelWidth, min(p.p1*panelWidth, t.cout)
	start := to.start(n, t.cout, mem)
	if start != nil {
		start = start[c0:c1]
	}
	pix, row := t.strides()
	y, residual := to.y[(n-to.first)*t.h*row:][:t.h*row], imageOf(to.residual, n)
	for i := range b.whole + b.lower {
		for _, u := range t.runs(b.order, k, i) {
			if u.tiles == 0 {
				continue
			}
			top := t.rowAt(r) + u.y
			at := t.phaseAt(phase) + top*row + u.x*pix + c0
			var from []float32 // what is added
			if residual != nil {
				from = residual[at:]
			}
			t.output(y[at:], row, pix, b.m[u.at*t.mTile+c0:], b.mPos, t.mTile, from, start, min(u.rows, t.h-top), u.side, min(u.tiles*u.side, t.w-u.x), c1-c0)
		}
	}
}
