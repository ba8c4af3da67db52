package tensor

import (
	"runtime"

	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// The weight gradient in Winograd's form, F(3×3, m×m): for each position the product over tiles [Cin tiles]·[tiles
// Cout], summed over the images of a chunk before it is transformed back. Of x and dy, one is cut in tiles of m×m (D, by
// simd's GradOutput) and the other in those two larger (V, by Input), and which is which is free but for the order of
// the taps: Σ x[p]·dy[p−k] over p is a correlation of either with the other. Here x is cut, for V of dy is what the
// input gradient, a convolution of dy, is made of as well. With UpConv's phases it is dy that is cut, for their V of x is
// one for all.

// addWeightGrad adds dw [3 3 Cin Cout], which may be empty, for the images that s makes, or overwrites it if set. With it
// goes back, and sums [N Cout], which may be nil, is set to the sums of dy over pixels.
//
// A worker sums chunks of images, and with fewer chunks than workers each is cut in blocks of input channels, with the
// input gradient of these or, where they do not go into its units, apart from it. So nothing transformed by one worker
// is read by another, which cores that share no cache pay for dearly.
func (f *winograd) addWeightGrad(dw Tensor, set bool, s *source, dy Tensor, sums []float32, back back) {
	n, h, w, cin := s.dims()
	t := f.tiling(n, h, w, cin, dy.Shape[3])
	t.addWeightGrad(dw, set, s, dy, sums, back)
}

// back is what is done with a weight gradient for each group of images, while they are in the cache.
type back struct {
	u    transformed // the kernels of the input gradient, if that is wanted
	then [2]Tensor   // where what is made of that goes, which is fetched in time; may be empty

	// Called for each group, with its input gradient if there are kernels; may be nil. With kernels it may be called for
	// some of the channels at a time, from multiples of unit on, which is a multiple of panelWidth.
	do   func(r region, dx []float32, mem *par.Scratch)
	unit int
}

// region is some of the channels of some images.
type region struct{ n0, n1, c0, c1 int }

// addWeightGrad is winograd.addWeightGrad for images cut in tiles as t says, and dy in phases if it says so.
func (t *tiling) addWeightGrad(dw Tensor, set bool, s *source, dy Tensor, sums []float32, back back) {
	g := tiledGrads.take(tiledGrad{tiling: *t, dw: dw.Data, set: set, s: *s, dy: source{x: dy}, sums: sums, back: back, backPos: kernelStride(t.cout, t.cin)})
	defer tiledGrads.give(g)
	if dw.Empty() {
		if sums != nil {
			par.For(t.n, g.sumImage)
		}
		g.others()
		return
	}
	count := max(1, min(chunkCount(t.n), partialChunks))
	g.cutChannels((runtime.GOMAXPROCS(0) + count - 1) / count)
	eachRuns(t.n, func(runs chunkRuns) {
		g.runs = runs
		par.ForInTurn(runs.runs*g.blocks, g.piece)
	})
	if g.apart {
		g.others()
	}
}

// channelUnit is what blocks of channels begin at multiples of, a vector, where their input gradient asks for no more.
const channelUnit = 16

// cutChannels cuts the input channels in blocks for so many workers. A block's input gradient is made of the V of dy that
// its weight gradient has, and goes with that if the workers' shares are equal.
func (t *tiledGrad) cutChannels(workers int) {
	t.step, t.apart = channelUnit, true
	if t.u.wanted() && t.cin >= workers*t.unit && t.cin/t.unit%workers == 0 {
		t.step, t.apart = t.unit, false
	}
	t.blocks = max(1, min(workers, t.cin/t.step))
	t.apart = t.apart && t.blocks > 1
}

// tiledGrad is one call of addWeightGrad.
type tiledGrad struct {
	tiling
	dw   []float32
	set  bool // overwrite dw
	s    source
	dy   source
	sums []float32
	back
	backPos int // from position to position in its kernels

	blocks int       // of input channels
	step   int       // what they begin at multiples of
	apart  bool      // back is done after them
	runs   chunkRuns // at hand
}

var tiledGrads frames[tiledGrad]

// others does what goes with the gradient, where that is not part of the pieces.
func (t *tiledGrad) others() {
	if t.do != nil {
		par.For((t.n+t.group()-1)/t.group(), t.other)
	}
}

func (t *tiledGrad) other(i int, mem *par.Scratch) {
	n0, n1 := i*t.group(), min((i+1)*t.group(), t.n)
	if !t.u.wanted() {
		t.do(region{n0, n1, 0, t.cin}, nil, mem)
		return
	}
	c, to := t.turned(), t.passOn(mem.Floats((n1-n0)*t.h*t.w*t.cin), n0)
	c.run(tiledPiece{n0, n1, 0, c.th, 0, c.panels()}, &t.dy, t.u.in(mem), mem, &to)
	t.do(region{n0, n1, 0, t.cin}, to.y, mem)
}

// turned is the tiling of the input gradient, a convolution of dy by the turned kernels.
func (t *tiledGrad) turned() tiling {
	c := t.winograd.tiling(t.n, t.h, t.w, t.cout, t.cin)
	c.uPos = t.backPos
	return c
}

// passOn is the target dx of an input gradient, from image first on.
func (t *tiledGrad) passOn(dx []float32, first int) target {
	return target{y: dx, passedOn: true, first: first, then: t.then}
}

// piece adds the weight gradient of a block of input channels for a run of chunks.
func (t *tiledGrad) piece(i int, mem *par.Scratch, turn par.Turn) {
	r, c := i/t.blocks, t.channels(i%t.blocks)
	dw, tap := t.dw[c.s.from*t.cout:], t.cin*t.cout
	k0, k1 := t.runs.run(r)
	var u []float32
	if c.u.wanted() {
		u = c.u.in(mem)[c.s.from*t.cout:]
	}
	if r == 0 {
		for k := k0; k < k1; k++ {
			c.chunk(k, u, dw, tap, k > 0 || !t.set, mem)
		}
		return
	}
	size := c.cin * t.cout
	parts := mem.Floats((k1 - k0) * 9 * size)
	for k := k0; k < k1; k++ {
		c.chunk(k, u, parts[(k-k0)*9*size:], size, false, mem)
	}
	turn.Wait()
	addParts(dw, tap, parts, 9*size, size, 9, size)
}

// channels returns what is computed for block b of the input channels.
func (t *tiledGrad) channels(b int) tiledGrad {
	c := *t
	if t.blocks > 1 {
		s, steps := &c.s, t.cin/t.step
		s.from, s.to = b*steps/t.blocks*t.step, (b+1)*steps/t.blocks*t.step
		if b == t.blocks-1 {
			s.to = t.cin
		}
		c.tiling = t.winograd.tiling(t.n, t.h, t.w, s.to-s.from, t.cout)
		c.phased = t.phased
		if t.apart {
			c.back = back{}
		}
		if b > 0 {
			c.sums = nil
		}
	}
	return c
}

// chunk computes the weight gradient of chunk k into to, or adds it; tap by tap it lies tap floats apart. u is the kernels
// of the input gradient, nil for none.
func (t *tiledGrad) chunk(k int, u, to []float32, tap int, add bool, mem *par.Scratch) {
	n0, n1 := t.runs.images(k)
	g := gradChunks.take(gradChunk{tiledGrad: *t, n0: n0, n1: n1, u: u, to: to, tap: tap, add: add})
	mem.Within(func() { g.run(mem) })
	gradChunks.give(g)
}

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
