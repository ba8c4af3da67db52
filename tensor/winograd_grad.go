package tensor

import (
	"runtime"

	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// The weight gradient in Winograd's form, F(3×3, m×m): for each position the product over tiles [Cin tiles]·[tiles
// Cout] of the transformed input and the transformed output gradient, summed over the images of a chunk before it is
// transformed back.

// transformed is how much memory the transformed tiles of one step may take, in floats: a part of the L3 cache.
const transformed = 2 << 20

// addWeightGrad adds dw [3 3 Cin Cout], which may be empty, for the images that s makes. With it goes what else has to
// be done for every image while it is in the cache: sums [N Cout], which may be nil, is set to the sums of dy over
// pixels, and also, which may be nil, is called once for each group of images.
func (f *winograd) addWeightGrad(dw Tensor, s *source, dy Tensor, sums []float32, also func(n0, n1 int, mem *par.Scratch)) {
	n, h, w, cin := s.dims()
	cout := dy.Shape[3]
	c := tiledGrads.take(tiledGrad{tiling: f.tiling(n, h, w, cin, cout), dw: dw, s: s, dy: dy, sums: sums, also: also})
	defer tiledGrads.give(c)
	chunks := (n + GradChunk - 1) / GradChunk
	if dw.Empty() {
		chunks = 0
		if sums != nil {
			par.For(n, c.sumImage)
		}
	}
	// Either way the bits are the same, so the choice may depend on the machine.
	if f.positions*cin*cout <= smallGrad && chunks >= runtime.GOMAXPROCS(0) {
		c.byChunk(chunks)
		return
	}
	for k := range chunks {
		c.byPosition(k*GradChunk, min((k+1)*GradChunk, n))
	}
	if also != nil {
		par.For((n+c.group()-1)/c.group(), c.others)
	}
}

// tiledGrad is one call of addWeightGrad.
type tiledGrad struct {
	tiling
	dw   Tensor
	s    *source
	dy   Tensor
	sums []float32
	also func(n0, n1 int, mem *par.Scratch)

	// Of byChunk:
	first int       // of the chunks being summed
	part  []float32 // their sums

	// Of byPosition:
	v, d, sum  []float32
	vPos, dPos int
	n0, n1     int // images being transformed,
	r0, r1     int // and their tile rows
	fresh      bool
}

var tiledGrads frames[tiledGrad]

// others does what else has to be done for a group of images.
func (t *tiledGrad) others(i int, mem *par.Scratch) {
	group := t.group()
	t.also(i*group, min((i+1)*group, t.n), mem)
}

// smallGrad is the size, in floats, up to which each worker sums a transformed weight gradient of its own. That costs
// memory, but what one worker transforms is not read by another: cores that share no cache are 7 % faster by it.
const smallGrad = 1 << 20

// byChunk has each chunk of images summed by one worker: for many images.
func (t *tiledGrad) byChunk(chunks int) {
	t.part = takeWork(min(chunks, partialChunks) * len(t.dw.Data))
	for ; t.first < chunks; t.first += partialChunks {
		count := min(partialChunks, chunks-t.first)
		par.For(count, t.chunk)
		addChunks(t.dw.Data, t.part, count)
	}
	giveWork(t.part)
}

// chunk computes the weight gradient of one of the chunks being summed.
func (t *tiledGrad) chunk(k int, mem *par.Scratch) {
	n0 := (t.first + k) * GradChunk
	sum := mem.Floats(t.positions * t.cin * t.cout)
	t.transformedChunk(sum, n0, min(n0+GradChunk, t.n), mem)
	dst := t.part[k*len(t.dw.Data):][:len(t.dw.Data)]
	clear(dst)
	t.transformGrad(dst, sum, 0, t.cin)
}

// transformedChunk computes the transformed weight gradient of images n0…n1 into sum [positions Cin Cout].
func (t *tiledGrad) transformedChunk(sum []float32, n0, n1 int, mem *par.Scratch) {
	group := t.gradGroup()
	block := t.blockRows()
	tiles := block * t.tw * group
	pRow := (t.side*t.tw + 2) * t.cin
	image := mem.Floats((t.side*block + 2) * pRow)
	vPos, dPos := posStride(tiles, t.vTile), posStride(tiles, t.mTile)
	v, d := mem.Floats(t.positions*vPos), mem.Floats(t.positions*dPos)
	fresh := true
	for n := n0; n < n1; n += group {
		images := min(group, n1-n)
		for r := 0; r < t.th; r += block {
			count := min(block, t.th-r)
			for i := range images {
				t.s.fill(image, pRow, n+i, t.side*r, t.side*(r+count)+2, 1, 1)
				at := i * count * t.tw
				t.transformInput(v[at*t.vTile:], vPos, image, pRow, count)
				t.transformGradOutput(d[at*t.mTile:], dPos, n+i, r, count)
			}
			var soon simd.Ahead
			if r+count == t.th {
				fetchImages(&soon, n+images, n+2*images, t.s.x, t.s.join)
			}
			for pos := range t.positions {
				t.gradProduct(sum, v[pos*vPos:], d[pos*dPos:], pos, images*count*t.tw, 0, t.cin, fresh, &soon)
			}
			fresh = false
		}
		if t.also != nil {
			mem.Within(func() { t.also(n, n+images, mem) })
		}
	}
}

// gradGroup is the number of images that transformedChunk takes together, of which a chunk is a multiple: so many that
// their tiles make a product worth reading and writing the sums for, and not so many that they leave the cache.
func (t tiling) gradGroup() int {
	group := 1
	for 2*group*t.th*t.tw <= 2*tileBlock && group < GradChunk {
		group *= 2
	}
	return group
}

// byPosition sums images n0…n1 with the workers sharing out positions and input channels: for large gradients.
// The tiles are first transformed by all workers into memory they share, some at a time.
func (t *tiledGrad) byPosition(n0, n1 int) {
	perTile := t.positions * (t.vTile + t.mTile)
	rows := min((n1-n0)*t.th, max(1, transformed/(perTile*t.tw))) // tile rows at a time, of all images end to end
	if rows > t.th {
		rows = rows / t.th * t.th
	}
	tiles := rows * t.tw
	t.vPos, t.dPos = posStride(tiles, t.vTile), posStride(tiles, t.mTile)
	t.v, t.d, t.sum = takeWork(t.positions*t.vPos), takeWork(t.positions*t.dPos), takeWork(t.positions*t.cin*t.cout)
	images := max(1, rows/t.th)
	t.fresh = true
	for t.n0 = n0; t.n0 < n1; t.n0 = t.n1 {
		t.n1 = min(t.n0+images, n1)
		for t.r0 = 0; t.r0 < t.th; t.r0 = t.r1 {
			t.r1 = min(t.r0+rows, t.th)
			par.For(t.n1-t.n0, t.transformImage)
			par.For(t.positions*t.rowBlocks(), t.productBlock)
			t.fresh = false
		}
	}
	par.For((t.cin+15)/16, t.transformRows)
	giveWork(t.v)
	giveWork(t.d)
	giveWork(t.sum)
}

// transformImage transforms the tile rows at hand of one image and of its dy into V and D, a few at a time.
func (t *tiledGrad) transformImage(i int, mem *par.Scratch) {
	pRow := (t.side*t.tw + 2) * t.cin
	image := mem.Floats((t.side*bandTiles + 2) * pRow)
	for r := t.r0; r < t.r1; r += bandTiles {
		count := min(bandTiles, t.r1-r)
		t.s.fill(image, pRow, t.n0+i, t.side*r, t.side*(r+count)+2, 1, 1)
		at := (i*(t.r1-t.r0) + r - t.r0) * t.tw
		t.transformInput(t.v[at*t.vTile:], t.vPos, image, pRow, count)
		t.transformGradOutput(t.d[at*t.mTile:], t.dPos, t.n0+i, r, count)
	}
}

// bandTiles is the number of tile rows of an image that exist at a time, bordered.
const bandTiles = 4

// productBlock adds the products of a block of input channels at one position.
func (t *tiledGrad) productBlock(i int, _ *par.Scratch) {
	blocks := t.rowBlocks()
	pos, b := i/blocks, i%blocks
	tiles := (t.n1 - t.n0) * (t.r1 - t.r0) * t.tw
	t.gradProduct(t.sum, t.v[pos*t.vPos:], t.d[pos*t.dPos:], pos, tiles, b*t.cin/blocks, (b+1)*t.cin/blocks, t.fresh, nil)
}

func (t *tiledGrad) rowBlocks() int { return max(1, t.cin/64) }

// transformRows adds 16 input channels of the transformed-back sum to dw.
func (t *tiledGrad) transformRows(i int, _ *par.Scratch) {
	t.transformGrad(t.dw.Data, t.sum, i*16, min((i+1)*16, t.cin))
}

// gradProduct adds Vᵀ·D of count tiles at one position, rows c0…c1 of Cin, to sum, or writes it there if fresh.
func (t tiling) gradProduct(sum, v, d []float32, pos, count, c0, c1 int, fresh bool, soon *simd.Ahead) {
	g := simd.Gemm{
		M: c1 - c0, N: t.cout, K: count,
		A: v[c0:], ARow: 1, AK: t.vTile, AOff: zeroOffset,
		B: d, BRow: t.mTile, BPanel: panelWidth, BOff: zeroOffset,
		C: sum[(pos*t.cin+c0)*t.cout:], CRow: t.cout, Add: !fresh,
		Ahead: soon,
	}
	g.Run()
}

// transformGradOutput transforms count tile rows of image n of dy, from tile row r on. Each is summed first: a read of
// whole rows fetches them from memory faster than the transform, which takes a few pixels of several rows in turn.
func (t *tiledGrad) transformGradOutput(d []float32, dPos, n, r, count int) {
	row := t.w * t.cout
	image := imageOf(t.dy, n)
	for k := range count {
		y := t.side * (r + k)
		rows := min(t.side, t.h-y)
		t.sumRow(n, r+k)
		t.gradOutput(d[k*t.tw*t.mTile:], dPos, t.mTile, image[y*row:], row, t.cout, rows, t.w, t.cout)
	}
}

// sumRow adds tile row r of image n of dy to the image's sum.
func (t *tiledGrad) sumRow(n, r int) {
	if t.sums == nil {
		return
	}
	sum, row := t.sums[n*t.cout:][:t.cout], t.side*t.w*t.cout
	if r == 0 {
		clear(sum)
	}
	image := imageOf(t.dy, n)
	simd.ChannelSums(sum, image[r*row:min((r+1)*row, len(image))])
}

// sumImage sums image n of dy, where nothing is transformed.
func (t *tiledGrad) sumImage(n int, _ *par.Scratch) {
	for r := range t.th {
		t.sumRow(n, r)
	}
}

// transformGrad adds rows c0…c1 of the transformed-back sum to dw.
func (t tiling) transformGrad(dw, sum []float32, c0, c1 int) {
	t.gradWeight(dw[c0*t.cout:], t.cin*t.cout, t.cout, sum[c0*t.cout:], t.cin*t.cout, t.cout, c1-c0, t.cout)
}
