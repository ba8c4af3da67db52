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
	t := tiledGrads.take(tiledGrad{tiling: f.tiling(n, h, w, cin, dy.Shape[3]), dw: dw.Data, s: *s, dy: dy, sums: sums, also: also})
	defer tiledGrads.give(t)
	if dw.Empty() {
		if sums != nil {
			par.For(n, t.sumImage)
		}
		t.others()
		return
	}
	chunks := (n + GradChunk - 1) / GradChunk
	count := min(chunks, partialChunks)
	t.blocks = max(1, min((runtime.GOMAXPROCS(0)+count-1)/count, cin/channelUnit))
	if chunks == 1 {
		par.For(t.blocks, t.piece)
	} else {
		t.part = takeWork(count * len(dw.Data))
		for ; t.first < chunks; t.first += partialChunks {
			count = min(partialChunks, chunks-t.first)
			par.For(count*t.blocks, t.piece)
			addChunks(dw.Data, t.part, count)
		}
		giveWork(t.part)
	}
	if t.blocks > 1 {
		t.others()
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
		c.also = nil
		if b > 0 {
			c.sums = nil
		}
	}
	n0 := (t.first + k) * GradChunk
	sum := mem.Floats(c.positions * c.cin * c.cout)
	c.transformedChunk(sum, n0, min(n0+GradChunk, t.n), mem)
	to, tap := t.dw[s.from*t.cout:], t.cin*t.cout
	if t.part != nil {
		to = t.part[k*len(t.dw)+s.from*t.cout:]
	}
	c.gradWeight(to, tap, c.cout, sum, c.cin*c.cout, c.cout, c.cin, c.cout, t.part == nil)
}

// transformedChunk computes the transformed weight gradient of images n0…n1 into sum [positions Cin Cout].
func (t *tiledGrad) transformedChunk(sum []float32, n0, n1 int, mem *par.Scratch) {
	group := t.gradGroup()
	block := t.blockRows()
	b := t.block(group, block, mem)
	fresh := true
	for n := n0; n < n1; n += group {
		images := min(group, n1-n)
		for r := 0; r < t.th; r += block {
			count := min(block, t.th-r)
			b.order = t.order(images, r, count)
			for i := range images {
				t.s.fill(b.image, b.row, n+i, t.rowAt(r), t.rowAt(r+count)+2, 1, 1)
				t.transformInput(&b, i)
				t.transformGradOutput(&b, n+i, i, r)
			}
			var soon simd.Ahead
			if r+count == t.th {
				fetchImages(&soon, n+images, n+2*images, t.s.x, t.s.join, t.dy)
			}
			for pos := range t.positions {
				t.gradProduct(sum, &b, pos, fresh, &soon)
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

// gradProduct adds Vᵀ·D of a block at one position to sum, or writes it there if fresh.
func (t tiling) gradProduct(sum []float32, b *tileBlocks, pos int, fresh bool, soon *simd.Ahead) {
	lo, hi := t.having(b.order, pos)
	g := simd.Gemm{
		M: t.cin, N: t.cout, K: hi - lo,
		A: b.v[pos*b.vPos+lo*t.vTile:], ARow: 1, AK: t.vTile, AOff: zeroOffset,
		B: b.m[pos*b.mPos+lo*t.mTile:], BRow: t.mTile, BPanel: panelWidth, BOff: zeroOffset,
		C: sum[pos*t.cin*t.cout:], CRow: t.cout, Add: !fresh,
		Ahead: soon,
	}
	g.Run()
}

// transformGradOutput transforms the tile rows of image n of dy, image k of the block, into D, from tile row r on. Each
// is summed first: a read of whole rows fetches them from memory faster than the transform, which takes a few pixels of
// several rows in turn.
func (t *tiledGrad) transformGradOutput(b *tileBlocks, n, k, r int) {
	row := t.w * t.cout
	image := imageOf(t.dy, n)
	for i := range b.whole + b.lower {
		t.sumRow(n, r+i)
		for _, u := range t.runs(b.order, k, i) {
			if u.tiles > 0 {
				top := t.rowAt(r) + u.y
				t.gradOutput(b.m[u.at*t.mTile:], b.mPos, t.mTile, image[top*row+u.x*t.cout:], row, t.cout, min(u.rows, t.h-top), u.side, min(u.tiles*u.side, t.w-u.x), t.cout)
			}
		}
	}
}

// sumRow adds tile row r of image n of dy to the image's sum.
func (t *tiledGrad) sumRow(n, r int) {
	if t.sums == nil {
		return
	}
	sum, row := t.sums[n*t.cout:][:t.cout], t.w*t.cout
	if r == 0 {
		clear(sum)
	}
	image := t.dy.Data[n*t.h*row:][:t.h*row]
	simd.ChannelSums(sum, image[t.rowAt(r)*row:min(t.rowAt(r+1)*row, len(image))])
}

// sumImage sums image n of dy, where nothing is transformed.
func (t *tiledGrad) sumImage(n int, _ *par.Scratch) {
	for r := range t.th {
		t.sumRow(n, r)
	}
}
