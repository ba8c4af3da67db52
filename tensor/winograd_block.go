package tensor

import "ddpm/internal/par"

// Tiles are transformed and multiplied in blocks: some images, and of these some tile rows. A side of an image that is
// no multiple of four is cut in fours and threes, the fours first, and the smaller tiles lack some of the positions (see
// simd). The products of a position are over the tiles that have it, so these must lie together: below is a block's
// order, with the tiles of fewer rows first, then whole ones, then those of fewer columns, last those of fewer of both.
// Each kind is in the order of the images.
type order struct {
	images       int
	whole, lower int // tile rows that are whole, and that lack a row
	wide, narrow int // tile columns that are whole, and that lack a column
}

// order is that of a block of images from tile row r on.
func (t *tiling) order(images, r, rows int) order {
	whole := min(rows, max(0, t.wholeRows-r))
	return order{images, whole, rows - whole, t.wholeCols, t.tw - t.wholeCols}
}

// run is a row of equal tiles: where in a block it lies; where in the block's part of the image, in pixels; how many
// tiles there are, and their sides.
type run struct{ at, y, x, tiles, rows, side int }

// runs returns the wide and the narrow tiles of image k's tile row i.
func (t *tiling) runs(o order, k, i int) [2]run {
	rows, place := t.side, k*o.whole+i
	wide, narrow := o.images*o.lower*o.wide, o.images*(o.lower+o.whole)*o.wide // where the whole rows begin
	if i >= o.whole {
		rows, place = t.side-1, k*o.lower+i-o.whole
		wide, narrow = 0, narrow+o.images*o.whole*o.narrow
	}
	y := t.side*i - max(0, i-o.whole)
	return [2]run{
		{wide + place*o.wide, y, 0, o.wide, rows, t.side},
		{narrow + place*o.narrow, y, t.side * o.wide, o.narrow, rows, t.side - 1},
	}
}

// having returns the range of tiles that have a position: those of fewer rows or columns lack the last but one.
func (t *tiling) having(o order, position int) (lo, hi int) {
	lower, corner := o.images*o.lower*o.wide, o.images*o.lower*o.narrow
	hi = o.images * (o.lower + o.whole) * (o.wide + o.narrow)
	if position%(t.side+2) == t.side {
		hi = o.images * (o.lower + o.whole) * o.wide
		corner = 0
	}
	if position/(t.side+2) == t.side {
		lo, hi = lower, hi-corner
	}
	return lo, hi
}

// rowAt is the row of the image that tile row r begins at.
func (t *tiling) rowAt(r int) int { return t.side*r - max(0, r-t.wholeRows) }

// width is the number of columns that the tiles reach over, which F(2×2, 3×3) rounds up.
func (t *tiling) width() int { return t.side*t.tw - (t.tw - t.wholeCols) }

// tileBlocks is a worker's memory for one block of tiles after another.
type tileBlocks struct {
	order
	image      []float32 // a bordered piece of an image, its rows row floats long
	row        int
	v, m       []float32 // m holds M, and D for a weight gradient
	vPos, mPos int       // floats from position to position
}

// block returns memory for blocks of images and the given number of tile rows.
func (t *tiling) block(images, rows int, mem *par.Scratch) tileBlocks {
	tiles := rows * t.tw * images
	b := tileBlocks{row: (t.width() + 2) * t.cin, vPos: posStride(tiles, t.vTile), mPos: posStride(tiles, t.mTile)}
	b.image = mem.Floats((t.side*rows + 2) * b.row)
	b.v, b.m = mem.Floats(t.positions*b.vPos), mem.Floats(t.positions*b.mPos)
	return b
}

// convBlock is block for a convolution, where a position of V is read for the same position of M alone. Each of M takes
// the place of the position of V before it, which is in the cache, and no longer needed.
func (t *tiling) convBlock(images, rows int, mem *par.Scratch) tileBlocks {
	if t.phased != whole {
		return t.block(images, rows, mem)
	}
	pos := posStride(rows*t.tw*images, max(t.vTile, t.mTile))
	b := tileBlocks{row: (t.width() + 2) * t.cin, vPos: pos, mPos: pos}
	b.image = mem.Floats((t.side*rows + 2) * b.row)
	b.m = mem.Floats((t.positions + 1) * pos)
	b.v = b.m[pos:]
	return b
}

// padStride keeps strides off multiples of 1 KiB, at which the rows of a product would share few sets of the cache.
func padStride(c int) int {
	if c%256 == 0 {
		return c + cacheLine
	}
	return c
}

// posStride returns the distance of positions in V or M with room for tiles: an odd number of cache lines or so, as a
// power of two would have all positions of a tile compete for the same sets of the cache.
func posStride(tiles, tileStride int) int { return tiles*tileStride + cacheLine }
