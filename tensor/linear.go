package tensor

import (
	"fmt"

	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// Linear computes y = x·w + b, for every row of x. x [N … In], w [In Out], b [Out] or empty, y [N … Out]. A
// convolution with a 1×1 kernel is the same thing. packs may be nil.
func Linear(y, x, w, b Tensor, packs *Packs) {
	rows, in, out := linearDims("Linear", y, x, w, b)
	wp := packs.packed(w, panels, panelSize(in, out), func(p []float32) { packPanels(p, w.Data, in, out) })
	rowsTimes(y.Data, x.Data, wp.data, rows, in, out, b.Data, nil)
	wp.done()
}

// LinearGrad adds the gradients of Linear: dx += dy·wᵀ, and in turn dw += xᵀ·dy, db += Σ dy. dx is overwritten instead if
// add is false. The sums over rows run over GradChunk images at a time, in order. packs and turn may be nil.
func LinearGrad(dx Tensor, add bool, dw, db, x, w, dy Tensor, packs *Packs, turn *Turn) {
	rows, in, out := linearDims("LinearGrad", dy, x, w, Tensor{})
	checkOptional("LinearGrad: dx", dx, x.Shape...)
	checkOptional("LinearGrad: dw", dw, in, out)
	checkOptional("LinearGrad: db", db, out)
	if !dx.Empty() {
		wt := packs.packed(w, panelsGrad, panelSize(out, in), func(p []float32) { packTransposed(p, out, w.Data, in, out) })
		rowsTimes(dx.Data, dy.Data, wt.data, rows, out, in, nil, added(dx.Data, add))
		wt.done()
	}
	if !db.Empty() {
		addColumnSums(db.Data, dy, turn)
	}
	if !dw.Empty() {
		c := rowsGrads.take(rowsGrad{x.Data, dy.Data, rows / x.Shape[0], in, out, dw.Data, x.Shape[0]})
		if c.perImage == 1 {
			turn.Wait()
			par.For((in+gradRows-1)/gradRows, c.chunksOfRows)
			turn.Done()
		} else {
			weightGrad(dw.Data, c.images, 1, in, out, turn, c.block)
		}
		rowsGrads.give(c)
	}
}

// rowsGrad is the weight gradient dw of Linear, perImage rows of x and dy to an image.
type rowsGrad struct {
	x, dy             []float32
	perImage, in, out int
	dw                []float32
	images            int
}

// gradRows is the number of rows of dw in a piece where these are the pieces.
const gradRows = 16

// chunksOfRows is weightGrad for piece i of dw's rows. With one row to an image the sum over a chunk of images is little
// work for the size of dw, and its sums are best added to dw while they are in the cache.
func (c *rowsGrad) chunksOfRows(i int, mem *par.Scratch) {
	r0, r1 := i*gradRows, min((i+1)*gradRows, c.in)
	sum := mem.Floats((r1 - r0) * c.out)
	for n := 0; n < c.images; n += GradChunk {
		c.rows(sum, n, min(n+GradChunk, c.images), r0, r1, mem)
		simd.Axpy(c.dw[r0*c.out:r1*c.out], 1, sum)
	}
}

var rowsGrads frames[rowsGrad]

// block is weightGrad for rows r0…r1 of dw.
func (c *rowsGrad) block(dst []float32, n0, n1, r0, r1 int, mem *par.Scratch) {
	c.rows(dst[r0*c.out:r1*c.out], n0, n1, r0, r1, mem)
}

// rows computes rows r0…r1 of the sum over images n0…n1.
func (c *rowsGrad) rows(dst []float32, n0, n1, r0, r1 int, _ *par.Scratch) {
	k0, k1 := n0*c.perImage, n1*c.perImage
	for k := k0; k < k1; k += depthBlock {
		var soon simd.Ahead
		next, end := min(k+depthBlock, k1), min(k+2*depthBlock, k1)
		soon.Add(c.x[next*c.in : end*c.in])
		soon.Add(c.dy[next*c.out : end*c.out])
		g := simd.Gemm{
			M: r1 - r0, N: c.out, K: min(depthBlock, k1-k),
			A: c.x[k*c.in+r0:], ARow: 1, AK: c.in, AOff: zeroOffset,
			B: c.dy[k*c.out:], BRow: c.out, BPanel: panelWidth, BOff: zeroOffset,
			C: dst, CRow: c.out, Add: k > k0,
			Ahead: &soon,
		}
		soon.During(g.M * g.N * g.K)
		g.Run()
	}
}

// depthBlock is the number of rows of x and dy multiplied at a time: they stay in the cache for all tiles of dw.
const depthBlock = 128

// linearDims checks the shapes of Linear and returns the number of rows of x and the sides of w.
func linearDims(op string, y, x, w, b Tensor) (rows, in, out int) {
	in, out = w.Dims2()
	return linearRows(op, y, x, in, out, b), in, out
}

// linearRows checks the shapes of a linear map and returns the number of rows of x.
func linearRows(op string, y, x Tensor, in, out int, b Tensor) int {
	last := len(x.Shape) - 1
	if last < 1 || x.Shape[last] != in || len(y.Shape) != last+1 || y.Shape[last] != out || len(y.Data)*in != len(x.Data)*out {
		panic(fmt.Sprintf("tensor: %s: got x %v and y %v, want [… %d] and [… %d] for weights [%d %d]", op, x.Shape, y.Shape, in, out, in, out))
	}
	checkOptional(op, b, out)
	return len(x.Data) / max(in, 1)
}

// panelWidth is the number of columns in a panel of packed weights, and of C in simd.Gemm's registers.
const panelWidth = 32

var zeroOffset = []int{0}

// panelSize returns the packed size of a matrix [rows cols].
func panelSize(rows, cols int) int { return (cols + panelWidth - 1) / panelWidth * panelWidth * rows }

// packPanels packs w [rows cols] in panels of 32 columns.
func packPanels(p, w []float32, rows, cols int) {
	c := packings.take(packing{p, w, rows, cols, rows})
	par.For((rows+packRows-1)/packRows, c.block)
	packings.give(c)
}

// packTransposed packs wᵀ for w [rows cols] in panels of depth rows, of which it fills the first cols.
func packTransposed(p []float32, depth int, w []float32, rows, cols int) {
	c := packings.take(packing{p, w, rows, cols, depth})
	par.For((rows+panelWidth-1)/panelWidth, c.transposedPanel)
	packings.give(c)
}

// packing is one call of packPanels or packTransposed.
type packing struct {
	p, w       []float32
	rows, cols int
	depth      int // of the panels
}

var packings frames[packing]

// packRows is the number of rows that one piece packs: they are read in one go.
const packRows = 64

func (c *packing) block(i int, _ *par.Scratch) {
	r := i * packRows
	simd.PackPanels(c.p[r*panelWidth:], panelWidth*c.depth, c.w[r*c.cols:], c.cols, min(packRows, c.rows-r), c.cols)
}

func (c *packing) transposedPanel(i int, _ *par.Scratch) {
	r := i * panelWidth
	simd.PackTransposed(c.p[r*c.depth:], panelWidth*c.depth, c.w[r*c.cols:], c.cols, min(panelWidth, c.rows-r), c.cols)
}

// rowBlock is the number of rows of a matrix product that one piece computes.
const rowBlock = 112

// rowsTimes computes y = x·w + b + plus, for x [rows in] and w packed in panels of 32 columns. plus may be nil, or y
// itself. With few rows the pieces are groups of columns too.
func rowsTimes(y, x, wp []float32, rows, in, out int, b, plus []float32) {
	blocks, panels := (rows+rowBlock-1)/rowBlock, (out+panelWidth-1)/panelWidth
	groups := 1
	if blocks < 8 {
		groups = min(panels, 8)
	}
	c := rowProducts.take(rowProduct{y, x, wp, b, plus, rows, in, out, groups})
	par.For(blocks*groups, c.piece)
	rowProducts.give(c)
}

// rowProduct is one call of rowsTimes.
type rowProduct struct {
	y, x, wp, b, plus []float32
	rows, in, out     int
	groups            int // of columns
}

// added returns what rowsTimes adds for y to be added to, or else overwritten.
func added(y []float32, add bool) []float32 {
	if add {
		return y
	}
	return nil
}

var rowProducts frames[rowProduct]

func (c *rowProduct) piece(i int, _ *par.Scratch) {
	block, group, panels := i/c.groups, i%c.groups, (c.out+panelWidth-1)/panelWidth
	r0, r1 := block*rowBlock, min((block+1)*rowBlock, c.rows)
	p0, p1 := group*panels/c.groups, (group+1)*panels/c.groups
	c0, c1 := p0*panelWidth, min(p1*panelWidth, c.out)
	var soon simd.Ahead
	next := min(r1+rowBlock, c.rows)
	soon.Add(c.x[r1*c.in : next*c.in])
	soon.Add(c.y[r1*c.out : next*c.out])
	g := simd.Gemm{
		M: r1 - r0, N: c1 - c0, K: c.in,
		A: c.x[r0*c.in : r1*c.in], ARow: c.in, AK: 1, AOff: zeroOffset,
		B: c.wp[p0*panelWidth*c.in:], BRow: panelWidth, BPanel: panelWidth * c.in, BOff: zeroOffset,
		C: c.y[r0*c.out+c0:], CRow: c.out,
		Ahead: &soon,
	}
	var bias []float32
	if c.b != nil {
		bias = c.b[c0:c1]
	}
	if c.plus == nil {
		g.Bias = bias
	} else {
		g.Add = true
		c.start(g.C, c.plus[r0*c.out+c0:], bias, g.M, g.N)
	}
	soon.During(g.M * g.N * g.K)
	g.Run()
}

// start writes what the product is added to, plus + bias, to the first cols columns of some rows.
func (c *rowProduct) start(y, plus, bias []float32, rows, cols int) {
	same := &y[0] == &plus[0]
	for r := range rows {
		row := y[r*c.out:][:cols]
		if !same {
			copy(row, plus[r*c.out:])
		}
		if bias != nil {
			simd.Axpy(row, 1, bias)
		}
	}
}

// addRows is rowsTimes for one worker, and the first in rows of a matrix packed with depth of them. The rows of y lie yRow
// floats apart.
func addRows(y []float32, yRow int, x, wp []float32, rows, in, depth, out int, b []float32, add bool) {
	var soon simd.Ahead
	soon.Add(y[:(rows-1)*yRow+out])
	g := simd.Gemm{
		M: rows, N: out, K: in,
		A: x, ARow: in, AK: 1, AOff: zeroOffset,
		B: wp, BRow: panelWidth, BPanel: panelWidth * depth, BOff: zeroOffset,
		C: y, CRow: yRow, Add: add, Bias: b,
		Ahead: &soon,
	}
	g.Run()
}

// addColumnSums adds in turn the sum of dy's rows to db, image by image. dy [N … Out].
func addColumnSums(db []float32, dy Tensor, turn *Turn) {
	sums := takeWork(dy.Shape[0] * len(db))
	imageSums(sums, dy)
	addInTurn(db, sums, turn)
	giveWork(sums)
}

// addInTurn is addImageSums in turn.
func addInTurn(db, sums []float32, turn *Turn) {
	turn.Wait()
	addImageSums(db, sums)
	turn.Done()
}

// addImageSums adds the rows of sums to db in order.
func addImageSums(db, sums []float32) {
	for ; len(sums) > 0; sums = sums[len(db):] {
		simd.Axpy(db, 1, sums[:len(db)])
	}
}

// imageSums sets each row of sums [N Out] to the sum of an image's rows. dy [N … Out].
func imageSums(sums []float32, dy Tensor) {
	c := rowSums.take(rowSum{dy, sums})
	par.For(dy.Shape[0], c.image)
	rowSums.give(c)
}

// rowSum is one call of imageSums.
type rowSum struct {
	dy   Tensor
	sums []float32
}

var rowSums frames[rowSum]

func (c *rowSum) image(i int, _ *par.Scratch) {
	out := len(c.sums) / c.dy.Shape[0]
	sum := c.sums[i*out:][:out]
	clear(sum)
	simd.ChannelSums(sum, imageOf(c.dy, i))
}
