package tensor

import (
	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// sumStride is the distance of positions in a transformed weight gradient, for the reason of kernelStride.
func (t *tiling) sumStride() int { return t.cin*t.cout + cacheLine }

// gradChunk is the weight gradient of one chunk of images, n0…n1.
type gradChunk struct {
	tiledGrad
	n0, n1 int
	u      []float32 // the kernels of the input gradient, or nil

	// Where it goes, tap by tap tap floats apart, and whether it is added; and what adds up the phases, if there are any.
	to   []float32
	tap  int
	add  bool
	taps phaseTaps

	group, block int       // images and tile rows taken together
	sums         []float32 // the transformed gradient, [Cin Cout] for each phase and position
	next         int       // from one to the next; 0 if one block is all, for each is then done before the next begins
	fetchSums    bool      // while they are added to; soon, what comes after, is then left to the input gradient's products
}

var gradChunks frames[gradChunk]

// run computes the gradient.
func (c *gradChunk) run(mem *par.Scratch) {
	c.group, c.block = c.gradGroup(), c.blockRows(tileBlock)
	size := c.positions * c.sumStride()
	if c.group < c.n1-c.n0 || c.block < c.th {
		c.next = size
	}
	c.fetchSums = size > farSums && c.u != nil
	phases := c.phased == resultPhases
	if phases {
		c.taps = c.phaseTaps(mem)
	}
	c.sums = mem.Floats(size + (c.phased.count()-1)*c.next)
	for n := c.n0; n < c.n1; n += c.group {
		images := min(c.group, c.n1-n)
		if !phases {
			mem.Within(func() { c.addGroup(n, images, mem) })
			continue
		}
		mem.Within(func() { c.addPhases(n, images, mem) })
		if c.do != nil { // in the tiles' memory, which is in the cache
			mem.Within(func() { c.do(region{n, n + images, 0, c.cin}, nil, mem) })
		}
	}
	if phases {
		c.taps.store(c.to, c.tap, c.add)
	}
}

// addGroup adds the shares of so many images, from n on. At each position V and D are read for the weight gradient, and
// V again for the input gradient, whose M takes the place of D.
func (c *gradChunk) addGroup(n, images int, mem *par.Scratch) {
	t, all := c.turned(), tiledPiece{n, n + images, 0, c.th, 0, (c.cin + panelWidth - 1) / panelWidth}
	b := t.block(c.group, c.block, mem)
	var to target
	if c.u != nil {
		dx := b.v // which is spent by then, and in the cache
		if size := images * c.h * c.w * c.cin; c.block < c.th || size > len(dx) {
			dx = mem.Floats(size)
		}
		to = c.passOn(dx, n)
	}
	for r := 0; r < c.th; r += c.block {
		count := min(c.block, c.th-r)
		b.order = t.order(images, r, count)
		y0, y1 := t.rowAt(r), t.rowAt(r+count)+2
		c.dy.border(b.image, b.row, y0, y1, 1, 1)
		for i := range images {
			c.sumRows(n+i, r, r+count)
			c.dy.inside(b.image, b.row, n+i, y0, y1, 1, 1)
			t.transformInput(&b, i)
			mem.Within(func() {
				x := c.s.rows(n+i, n+i+1, c.rowAt(r), min(c.rowAt(r+count), c.h), mem)
				t.transformTiles(&b, i, r, x, c.w*c.cin, c.cin)
			})
		}
		var soon, sums simd.Ahead
		c.ahead(&soon, n, images, r, count)
		for pos := range c.positions {
			lo, hi := t.having(b.order, pos)
			x, dy := b.m[pos*b.mPos+lo*t.mTile:], b.v[pos*b.vPos+lo*t.vTile:]
			with := &soon
			if c.fetchSums {
				sums = c.nextSums(pos, hi-lo)
				with = &sums
			}
			c.product(pos, 0, x, t.mTile, dy, t.vTile, hi-lo, n == c.n0 && r == 0, with)
			if c.u != nil {
				t.multiplyAt(&b, c.u, all, 0, pos, &soon)
			}
		}
		for i := 0; i < images && c.u != nil; i++ {
			t.transformOutput(&to, &b, n+i, i, r, all, 0, mem)
		}
	}
	if n+images == c.n1 {
		c.gradWeight(c.to, c.tap, c.cout, c.sums, c.sumStride(), c.cout, c.cin, c.cout, c.add, true)
	}
	if c.do != nil {
		c.do(region{n, n + images, c.s.from, c.s.from + c.cin}, to.y, mem)
	}
}

// ahead lists what will be needed after the products of count tile rows of so many images, from row r and image n on.
func (c *gradChunk) ahead(soon *simd.Ahead, n, images, r, count int) {
	work := c.positions * c.phased.count() * images * count * c.tw * c.cin * c.cout
	if r+count == c.th {
		fetchImages(soon, n+images, n+2*images, c.s.x, c.s.join, c.dy.x)
	}
	if c.u != nil && r == 0 {
		fetchImages(soon, n, n+images, c.then[:]...)
	}
	if c.u != nil && !c.fetchSums {
		work *= 2
	}
	soon.During(work)
}

// farSums is the size from which on a transformed gradient is fetched position by position, 1 MB: little of it is left in
// the L2 cache from one group to the next. The CIFAR-10 network's training step takes 3 to 4 % less with it on a Zen 4.
const farSums = 1 << 18

// nextSums lists the sums of the position after pos, to be fetched during the product of pos.
func (c *gradChunk) nextSums(pos, tiles int) (sums simd.Ahead) {
	if pos+1 < c.positions {
		sums.Add(c.sums[(pos+1)*c.sumStride():][:c.cin*c.cout])
		sums.During(c.cin * c.cout * tiles)
	}
	return sums
}

// addPhases is addGroup for phases of dy.
func (c *gradChunk) addPhases(n, images int, mem *par.Scratch) {
	b := c.tiling.block(c.group, c.block, mem)
	pix, row := c.strides()
	for r := 0; r < c.th; r += c.block {
		count := min(c.block, c.th-r)
		b.order = c.order(images, r, count)
		y0, y1 := c.rowAt(r), c.rowAt(r+count)+2
		c.s.border(b.image, b.row, y0, y1, 1, 1)
		for i := range images {
			c.s.inside(b.image, b.row, n+i, y0, y1, 1, 1)
			c.transformInput(&b, i)
			c.sumRows(n+i, r, r+count)
		}
		var soon simd.Ahead
		c.ahead(&soon, n, images, r, count)
		for phase := range c.phased.count() {
			for i := range images {
				c.transformTiles(&b, i, r, imageOf(c.dy.x, n+i)[c.phaseAt(phase)+c.rowAt(r)*row:], row, pix)
			}
			for pos := range c.positions {
				if !c.vanishes(phase, pos) {
					lo, hi := c.having(b.order, pos)
					x, dy := b.v[pos*b.vPos+lo*c.vTile:], b.m[pos*b.mPos+lo*c.mTile:]
					c.product(pos, phase, x, c.vTile, dy, c.mTile, hi-lo, n == c.n0 && r == 0, &soon)
				}
			}
			if n+images == c.n1 && r+count == c.th {
				c.addPhase(c.taps, phase, c.sums[phase*c.next:])
			}
		}
	}
}

// gradTiles is the most tiles that a group of more than one image has. Two images of 49 tiles, with what is made of them
// and fetched for the next, are more than an L2 of 2 MB holds beside the sums: one by one they take 1 to 1.5 % less of a
// training step on an Emerald Rapids Xeon, though the products are shorter.
const gradTiles = 64

// gradGroup is the number of images that a gradChunk takes together, of which a chunk is a multiple: so many that
// their tiles make a product worth reading and writing the sums for, and not so many that they leave the cache.
func (t *tiling) gradGroup() int {
	group := 1
	for 2*group*t.th*t.tw <= gradTiles && group < GradChunk {
		group *= 2
	}
	return group
}

// product adds xᵀ·dy, of a block's tiles at one position, to the sum of that position and phase, or with fresh writes it
// there. The tiles of x lie xTile apart, those of dy dyTile.
func (c *gradChunk) product(pos, phase int, x []float32, xTile int, dy []float32, dyTile, tiles int, fresh bool, soon *simd.Ahead) {
	g := simd.Gemm{
		M: c.cin, N: c.cout, K: tiles,
		A: x, ARow: 1, AK: xTile, AOff: zeroOffset,
		B: dy, BRow: dyTile, BPanel: panelWidth, BOff: zeroOffset,
		C: c.sums[phase*c.next+pos*c.sumStride():], CRow: c.cout, Add: !fresh,
		Ahead: soon,
	}
	g.Run()
}

// transformTiles transforms the tiles of image k of the block, which begins at tile row r, into D. image starts with the
// block's first row; its rows lie row floats apart, its pixels pix.
func (t *tiling) transformTiles(b *tileBlocks, k, r int, image []float32, row, pix int) {
	for i := range b.whole + b.lower {
		for _, u := range t.runs(b.order, k, i) {
			if u.tiles > 0 {
				t.gradOutput(b.m[u.at*t.mTile:], b.mPos, t.mTile, image[u.y*row+u.x*pix:], row, pix, min(u.rows, t.h-t.rowAt(r)-u.y), u.side, min(u.tiles*u.side, t.w-u.x), t.cout)
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
	sum, image := t.sums[n*t.cout:][:t.cout], imageOf(t.dy.x, n)
	if r0 == 0 {
		clear(sum)
	}
	for r := r0; r < r1; r++ {
		simd.ChannelSums(sum, image[t.rowAt(r)*row:min(t.rowAt(r+1)*row, len(image))])
	}
}

// sumImage sums image n of dy, where nothing is transformed.
func (t *tiledGrad) sumImage(n int, _ *par.Scratch) { t.sumRows(n, 0, t.th) }
