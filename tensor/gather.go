package tensor

import (
	"fmt"
	"slices"

	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// Concat joins the channels of two tensors: y[…, :Ca] = a, y[…, Ca:] = b. a [… Ca], b [… Cb], y [… Ca+Cb].
func Concat(y, a, b Tensor) {
	rows, _, _ := concatDims("Concat", y, a, b)
	c := concats.take(concat{y, a, b, false, false})
	par.For(rows, c.join)
	concats.give(c)
}

// ConcatGrad adds the gradients of Concat: each operand's share of dy's channels, the first ca of which are a's. With
// add false a destination is overwritten instead.
func ConcatGrad(da Tensor, addA bool, db Tensor, addB bool, dy Tensor, ca int) {
	last := len(dy.Shape) - 1
	if c := dy.Shape[last]; ca < 0 || ca > c {
		panic(fmt.Sprintf("tensor: ConcatGrad: got %d channels of the first operand, want 0…%d", ca, c))
	}
	shape := slices.Clone(dy.Shape)
	shape[last] = ca
	checkOptional("ConcatGrad: da", da, shape...)
	shape[last] = dy.Shape[last] - ca
	checkOptional("ConcatGrad: db", db, shape...)
	c := concats.take(concat{dy, da, db, addA, addB})
	par.For(dy.Shape[0], c.split)
	concats.give(c)
}

// concat is one call of Concat or ConcatGrad: the whole and its parts.
type concat struct {
	y, a, b    Tensor
	addA, addB bool
}

var concats frames[concat]

// join computes row i of the whole, an image.
func (c *concat) join(i int, _ *par.Scratch) {
	last := len(c.y.Shape) - 1
	ca, cb := c.a.Shape[last], c.b.Shape[last]
	size := perImage(c.y)
	p := i * (size / max(1, ca+cb))
	joinPixels(c.y.Data[i*size:][:size], c.a.Data[p*ca:], c.b.Data[p*cb:], ca, cb)
}

// joinPixels writes pixels of a and b, ca and cb channels, joined, until dst is full.
func joinPixels(dst, a, b []float32, ca, cb int) {
	c := ca + cb
	pixels := len(dst) / max(1, c)
	simd.CopyPixels(dst, c, a, ca, pixels, ca, false)
	simd.CopyPixels(dst[min(ca, len(dst)):], c, b, cb, pixels, cb, false)
}

// split computes row i of the parts that are wanted.
func (c *concat) split(i int, _ *par.Scratch) {
	y, channels := imageOf(c.y, i), c.y.Shape[len(c.y.Shape)-1]
	takeChannels(c.a, c.addA, y, i, channels, true)
	takeChannels(c.b, c.addB, y, i, channels, false)
}

// takeChannels computes row i of dx (+)= the first or last of dy's c channels.
func takeChannels(dx Tensor, add bool, dy []float32, i, c int, first bool) {
	if dx.Empty() {
		return
	}
	cx, size := dx.Shape[len(dx.Shape)-1], perImage(dx)
	if !first {
		dy = dy[min(c-cx, len(dy)):]
	}
	simd.CopyPixels(dx.Data[i*size:][:size], cx, dy, c, size/max(1, cx), cx, add)
}

// concatDims checks the shapes of Concat and returns the first dimension and the channels of a and b.
func concatDims(op string, y, a, b Tensor) (rows, ca, cb int) {
	last := len(y.Shape) - 1
	ok := len(a.Shape) == last+1 && len(b.Shape) == last+1 && a.Shape[last]+b.Shape[last] == y.Shape[last]
	for i := 0; ok && i < last; i++ {
		ok = a.Shape[i] == y.Shape[i] && b.Shape[i] == y.Shape[i]
	}
	if !ok {
		panic(fmt.Sprintf("tensor: %s: got shapes %v and %v, want parts of the result's %v", op, a.Shape, b.Shape, y.Shape))
	}
	return y.Shape[0], a.Shape[last], b.Shape[last]
}

// Upsample repeats every pixel of x in a 2×2 block: nearest-neighbour enlargement. x [N H W C], y [N 2H 2W C].
func Upsample(y, x Tensor) {
	n, h, w, c := x.Dims4()
	checkShape("Upsample", y, n, 2*h, 2*w, c)
	par.For(n, func(i int, _ *par.Scratch) {
		for r := i * h; r < (i+1)*h; r++ {
			dst := y.Data[2*r*2*w*c:][:2*2*w*c]
			enlargeRow(dst[:2*w*c], x.Data[r*w*c:], c, c)
			copy(dst[2*w*c:], dst[:2*w*c])
		}
	})
}

// enlargeRow writes twice c channels of every pixel of src, whose pixels have all of them, until dst is full.
func enlargeRow(dst, src []float32, c, all int) {
	pixels := len(dst) / max(1, 2*c)
	simd.CopyPixels(dst, 2*c, src, all, pixels, c, false)
	simd.CopyPixels(dst[min(c, len(dst)):], 2*c, src, all, pixels, c, false)
}

// UpsampleGrad adds the gradient of Upsample: dx += the sum of dy over each 2×2 block.
func UpsampleGrad(dx, dy Tensor) {
	if dx.Empty() {
		return
	}
	n, h, w, c := dx.Dims4()
	checkShape("UpsampleGrad", dy, n, 2*h, 2*w, c)
	par.For(n, func(i int, _ *par.Scratch) {
		for r := i * h; r < (i+1)*h; r++ {
			foldRows(dx.Data[r*w*c:][:w*c], c, true, dy.Data[2*r*2*w*c:], w, c)
		}
	})
}

// foldRows computes a row dx (+)= the sum over each 2×2 block of the two rows dy of 2w pixels of c channels. The pixels
// of dx lie dxPix floats apart.
func foldRows(dx []float32, dxPix int, add bool, dy []float32, w, c int) {
	for _, corner := range [4]int{0, c, 2 * w * c, 2*w*c + c} {
		simd.CopyPixels(dx, dxPix, dy[corner:], 2*c, w, c, add)
		add = true
	}
}

// Embed copies rows of a table: y[n] = table[ids[n]]. table [K C], y [N C]. It panics if an id is outside 0…K−1.
func Embed(y, table Tensor, ids []int) {
	c := embedDims("Embed", y, table, ids)
	for n, id := range ids {
		copy(y.Data[n*c:][:c], table.Data[id*c:])
	}
}

// EmbedGrad adds the gradient of Embed: dtable[ids[n]] += dy[n], in order of n.
func EmbedGrad(dtable, dy Tensor, ids []int) {
	if dtable.Empty() {
		return
	}
	c := embedDims("EmbedGrad", dy, dtable, ids)
	for n, id := range ids {
		simd.Axpy(dtable.Data[id*c:][:c], 1, dy.Data[n*c:][:c])
	}
}

// embedDims checks the shapes of Embed and its ids, and returns the length of a row.
func embedDims(op string, y, table Tensor, ids []int) int {
	k, c := table.Dims2()
	checkShape(op, y, len(ids), c)
	for _, id := range ids {
		if id < 0 || id >= k {
			panic(fmt.Sprintf("tensor: %s: got id %d, want 0…%d", op, id, k-1))
		}
	}
	return c
}
