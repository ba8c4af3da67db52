package tensor

import (
	"runtime"

	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// The weight gradient in Winograd's form, F(3×3, m×m): for each position the product over tiles [Cin tiles]·[tiles
// Cout] of the transformed input and the transformed output gradient, summed over the images of a chunk before it is
// transformed back.

// addWeightGrad adds dw [3 3 Cin Cout], which may be empty, for the images that s makes. With it goes what else has to
// be done for every image while it is in the cache: sums [N Cout], which may be nil, is set to the sums of dy over
// pixels, and also, which may be nil, is called once for each group of images.
//
// A worker sums chunks of images, and with fewer chunks than workers each is cut in blocks of input channels. So
// nothing transformed by one worker is read by another, which cores that share no cache pay for dearly.
func (f *winograd) addWeightGrad(dw Tensor, s *source, dy Tensor, sums []float32, also func(n0, n1 int, mem *par.Scratch)) {
	n, h, w, cin := s.dims()
	t := f.tiling(n, h, w, cin, dy.Shape[3])
	t.addWeightGrad(dw, s, dy, sums, also)
}

// addWeightGrad is winograd.addWeightGrad for images cut in tiles as t says, and dy in phases if it says so.
func (t *tiling) addWeightGrad(dw Tensor, s *source, dy Tensor, sums []float32, also func(n0, n1 int, mem *par.Scratch)) {
	g := tiledGrads.take(tiledGrad{tiling: *t, dw: dw.Data, s: *s, dy: dy, sums: sums, also: also})
	defer tiledGrads.give(g)
	if dw.Empty() {
		if sums != nil {
			par.For(t.n, g.sumImage)
		}
		g.others()
		return
	}
	chunks := (t.n + GradChunk - 1) / GradChunk
	count := min(chunks, partialChunks)
	g.blocks = max(1, min((runtime.GOMAXPROCS(0)+count-1)/count, t.cin/channelUnit))
	if chunks == 1 {
		par.For(g.blocks, g.piece)
	} else {
		g.part = takeWork(count * len(dw.Data))
		for ; g.first < chunks; g.first += partialChunks {
			count = min(partialChunks, chunks-g.first)
			par.For(count*g.blocks, g.piece)
			addChunks(dw.Data, g.part, count)
		}
		giveWork(g.part)
	}
	if g.blocks > 1 {
		g.others()
	}
}

// channelUnit is what the numbers of channels in blocks are multiples of, a vector.
const channelUnit = 16

// tiledGrad is one call of addWeightGrad.
type tiledGrad struct {
	tiling
	dw   []float32
	s    source
	dy   Tensor
	sums []float32
	also func(n0, n1 int, mem *par.Scratch)

	blocks int       // of input channels
	first  int       // of the chunks being summed
	part   []float32 // their sums, nil if there is one: that is added to dw
}

var tiledGrads frames[tiledGrad]

// others does what else has to be done, where that is not part of the pieces.
func (t *tiledGrad) others() {
	if t.also != nil {
		par.For((t.n+t.group()-1)/t.group(), t.other)
	}
}

func (t *tiledGrad) other(i int, mem *par.Scratch) {
	group := t.group()
	t.also(i*group, min((i+1)*group, t.n), mem)
}

// piece computes the weight gradient of a block of input channels for one of the chunks being summed.
func (t *tiledGrad) piece(i int, mem *par.Scratch) {
	k, b := i/t.blocks, i%t.blocks
	c := *t
	s := &c.s
	if t.blocks > 1 {
		units := t.cin / channelUnit
		s.from, s.to = b*units/t.blocks*channelUnit, (b+1)*units/t.blocks*channelUnit
		if b == t.blocks-1 {
			s.to = t.cin
		}
		c.tiling = t.winograd.tiling(t.n, t.h, t.w, s.to-s.from, t.cout)
		c.phased = t.phased
		c.also = nil
		if b > 0 {
			c.sums = nil
		}
	}
	n0 := (t.first + k) * GradChunk
	g := gradChunks.take(gradChunk{
		tiledGrad: c, n0: n0, n1: min(n0+GradChunk, t.n),
		to: t.dw[s.from*t.cout:], tap: t.cin * t.cout, add: t.part == nil,
	})
	if !g.add {
		g.to = t.part[k*len(t.dw)+s.from*t.cout:]
	}
	g.run(mem)
	gradChunks.give(g)
}

// sumStride is the distance of positions in a transformed weight gradient, for the reason of kernelStride.
func (t *tiling) sumStride() int { return t.cin*t.cout + cacheLine }

// gradChunk is the weight gradient of one chunk of images, n0…n1.
type gradChunk struct {
	tiledGrad
	n0, n1 int

	// Where it goes, tap by tap tap floats apart, and whether it is added; and what adds up the phases, if there are any.
	to   []float32
	tap  int
	add  bool
	taps phaseTaps

	group, block int       // images and tile rows taken together
	sums         []float32 // the transformed gradient, [Cin Cout] for each phase and position
	size         int       // of a phase
	next         int       // from one to the next; 0 if one block is all, for each is then done before the next begins
}

var gradChunks frames[gradChunk]

// run computes the gradient. What else has to be done for a group of images takes the memory of their tiles, which is in
// the cache.
func (c *gradChunk) run(mem *par.Scratch) {
	c.group, c.block, c.size = c.gradGroup(), c.blockRows(), c.positions*c.sumStride()
	if c.group < c.n1-c.n0 || c.block < c.th {
		c.next = c.size
	}
	if c.phased == resultPhases {
		c.taps = c.phaseTaps(mem)
	}
	c.sums = mem.Floats(c.size + (c.phased.count()-1)*c.next)
	for n := c.n0; n < c.n1; n += c.group {
		images := min(c.group, c.n1-n)
		mem.Within(func() { c.addGroup(n, images, mem) })
		if c.also != nil {
			mem.Within(func() { c.also(n, n+images, mem) })
		}
	}
	if c.phased == resultPhases {
		c.taps.store(c.to, c.tap, c.add)
	}
}

// addGroup adds the shares of so many images, from n on.
func (c *gradChunk) addGroup(n, images int, mem *par.Scratch) {
	b := c.tiling.block(c.group, c.block, mem)
	for r := 0; r < c.th; r += c.block {
		count := min(c.block, c.th-r)
		b.order = c.order(images, r, count)
		for i := range images {
			c.s.fill(b.image, b.row, n+i, c.rowAt(r), c.rowAt(r+count)+2, 1, 1)
			c.transformInput(&b, i)
			c.sumRows(n+i, r, r+count)
		}
		var soon simd.Ahead
		if r+count == c.th {
			fetchImages(&soon, n+images, n+2*images, c.s.x, c.s.join, c.dy)
			soon.During(c.positions * c.phased.count() * images * count * c.tw * c.cin * c.cout)
		}
		for phase := range c.phased.count() {
			for i := range images {
				c.transformGradOutput(&b, n+i, i, r, phase)
			}
			sum := c.sums[phase*c.next:][:c.size]
			for pos := range c.positions {
				if !c.vanishes(phase, pos) {
					c.gradProduct(sum[pos*c.sumStride():], &b, pos, n == c.n0 && r == 0, &soon)
				}
			}
			if n+images == c.n1 && r+count == c.th {
				c.done(phase, sum)
			}
		}
	}
}

// done transforms the sum of a phase back.
func (c *gradChunk) done(phase int, sum []float32) {
	if c.phased == whole {
		c.gradWeight(c.to, c.tap, c.cout, sum, c.sumStride(), c.cout, c.cin, c.cout, c.add)
	} else {
		c.addPhase(c.taps, phase, sum)
	}
}

// gradGroup is the number of images that transformedChunk takes together, of which a chunk is a multiple: so many that
// their tiles make a product worth reading and writing the sums for, and not so many that they leave the cache.
func (t *tiling) gradGroup() int {
	group := 1
	for 2*group*t.th*t.tw <= 2*tileBlock && group < GradChunk {
		group *= 2
	}
	return group
}

// gradProduct adds Vᵀ·D of a block at one position to sum, or writes it there if fresh.
func (t *tiling) gradProduct(sum []float32, b *tileBlocks, pos int, fresh bool, soon *simd.Ahead) {
	lo, hi := t.having(b.order, pos)
	g := simd.Gemm{
		M: t.cin, N: t.cout, K: hi - lo,
		A: b.v[pos*b.vPos+lo*t.vTile:], ARow: 1, AK: t.vTile, AOff: zeroOffset,
		B: b.m[pos*b.mPos+lo*t.mTile:], BRow: t.mTile, BPanel: panelWidth, BOff: zeroOffset,
		C: sum, CRow: t.cout, Add: !fresh,
		Ahead: soon,
	}
	g.Run()
}

// transformGradOutput transforms the tile rows of image n of dy, image k of the block, into D, from tile row r on.
func (t *tiledGrad) transformGradOutput(b *tileBlocks, n, k, r, phase int) {
	pix, row := t.strides()
	image := imageOf(t.dy, n)[t.phaseAt(phase):]
	for i := range b.whole + b.lower {
		for _, u := range t.runs(b.order, k, i) {
			if u.tiles > 0 {
				top := t.rowAt(r) + u.y
				t.gradOutput(b.m[u.at*t.mTile:], b.mPos, t.mTile, image[top*row+u.x*pix:], row, pix, min(u.rows, t.h-top), u.side, min(u.tiles*u.side, t.w-u.x), t.cout)
			}
		}
	}
}

// sumRows adds tile rows r0…r1 of image n of dy to the image's sum, tile row by tile row. That goes before their
// transform: a read of whole rows fetches them from memory faster than the transform, which takes a few pixels of
// several rows in turn.
func (t *tiledGrad) sumRows(n, r0, r1 int) {
	if t.sums == nil {
		return
	}
	_, row := t.strides()
	sum, image := t.sums[n*t.cout:][:t.cout], imageOf(t.dy, n)
	if r0 == 0 {
		clear(sum)
	}
	for r := r0; r < r1; r++ {
		simd.ChannelSums(sum, image[t.rowAt(r)*row:min(t.rowAt(r+1)*row, len(image))])
	}
}

// sumImage sums image n of dy, where nothing is transformed.
func (t *tiledGrad) sumImage(n int, _ *par.Scratch) { t.sumRows(n, 0, t.th) }
