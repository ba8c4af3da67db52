package tensor

import (
	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// Tiles are transformed and multiplied in blocks: some images, and of these some tile rows. Where an image is no multiple
// of four high or wide its last tiles are cut short, and these lack some of the positions (see simd). The products of a
// position are over the tiles that have it, so these must lie together: below is a block's order, with the tiles short
// of rows first, then whole ones, then those short of columns, last those short of both. Each kind is in the order of
// the images.
type order struct {
	images       int
	rows, cols   int // whole tile rows and columns of an image
	below, right int // 1 if a tile row or column that is cut short comes after them
}

// order is that of a block of images from tile row r on.
func (t tiling) order(images, r, rows int) order {
	o := order{images: images, rows: rows, cols: t.tw}
	if t.rows < t.side && r+rows == t.th {
		o.rows, o.below = rows-1, 1
	}
	if t.cols < t.side {
		o.cols, o.right = t.tw-1, 1
	}
	return o
}

// kinds returns how many tiles there are of each kind.
func (o order) kinds() (below, whole, right, corner int) {
	return o.images * o.below * o.cols, o.images * o.rows * o.cols, o.images * o.rows * o.right, o.images * o.below * o.right
}

// whole is where row r of image k's whole tiles lies.
func (o order) whole(k, r int) int { return o.images*o.below*o.cols + (k*o.rows+r)*o.cols }

// shorts is the number of tiles cut short in each image.
func (o order) shorts() int { return o.rows*o.right + o.below*(o.cols+o.right) }

// shortTile is where in a block a tile lies, where in the block's part of the image, and what it has of the result.
type shortTile struct{ at, row, col, rows, cols int }

// short returns the i-th of image k's tiles that are cut short.
func (t tiling) short(o order, k, i int) shortTile {
	below, whole, right, _ := o.kinds()
	if i < o.rows*o.right {
		return shortTile{below + whole + k*o.rows + i, i, o.cols, t.side, t.cols}
	}
	if i -= o.rows * o.right; i < o.cols {
		return shortTile{k*o.cols + i, o.rows, i, t.rows, t.side}
	}
	return shortTile{below + whole + right + k, o.rows, o.cols, t.rows, t.cols}
}

// having returns the range of tiles that have a position.
func (t tiling) having(o order, position int) (lo, hi int) {
	below, whole, right, corner := o.kinds()
	hi = below + whole + right + corner
	row, col := position/(t.side+2), position%(t.side+2)
	if row > t.rows && row <= t.side {
		lo, hi = below, hi-corner
	}
	if col > t.cols && col <= t.side {
		hi = below + whole
	}
	return lo, hi
}

// wholeCols is the number of columns of the result in a row of whole tiles.
func (t tiling) wholeCols(o order) int {
	if o.right > 0 {
		return o.cols * t.side
	}
	return t.w
}

// tileBlocks is a worker's memory for one block of tiles after another.
type tileBlocks struct {
	order
	image      []float32 // a bordered piece of an image, its rows row floats long
	row        int
	v, m       []float32 // m holds M, or D for a weight gradient
	vPos, mPos int       // floats from position to position
	tmp        []float32 // for tiles cut short
}

// block returns memory for blocks of images and the given number of tile rows.
func (t tiling) block(images, rows int, mem *par.Scratch) tileBlocks {
	tiles := rows * t.tw * images
	b := tileBlocks{row: (t.side*t.tw + 2) * t.cin, vPos: posStride(tiles, t.vTile), mPos: posStride(tiles, t.mTile)}
	b.image = mem.Floats((t.side*rows + 2) * b.row)
	b.v, b.m = mem.Floats(t.positions*b.vPos), mem.Floats(t.positions*b.mPos)
	if t.rows < t.side || t.cols < t.side {
		b.tmp = mem.Floats(simd.WinogradShortScratch * max(t.cin, t.cout))
	}
	return b
}
