package tensor

import (
	"fmt"
	"math"

	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// Attention computes multi-head scaled dot-product attention (Vaswani et al. 2017, eq. 1) of each image's positions
// among themselves: for every image and head
//
//	y = softmax(q·kᵀ/√D)·v
//
// q, k, v, y [N … heads·D], where the dimensions in between are the positions, T in all. Head h has channels h·D… of
// each. The scores [T T] exist for a block of queries at a time, in a worker's memory.
func Attention(y, q, k, v Tensor, heads int) {
	a := attentionDims("Attention", heads, y, q, k, v)
	c := attentions.take(attentionCall{attention: a, y: y, q: q, k: k, v: v, blocks: 1})
	if a.n*a.heads < 2*par.Workers() { // for a few images the queries of a head are shared out
		c.blocks = (a.t + queryBlock - 1) / queryBlock
	}
	par.For(a.n*a.heads*c.blocks, c.forward)
	attentions.give(c)
}

// AttentionGrads names the gradients of an Attention that are wanted; each may be empty. They are made in the order V,
// Q, K, so where k and v are one tensor K may be the same as V, with AddK set.
type AttentionGrads struct {
	Q, K, V          Tensor
	AddQ, AddK, AddV bool // add to it instead of overwriting it
}

// AttentionGrad computes the gradients of Attention, with the weights P = softmax(q·kᵀ/√D) made again: dv (+)= Pᵀ·dy
// and, with dS = P∘(dP − rowsum(P∘dP))/√D and dP = dy·vᵀ, dq (+)= dS·k, dk (+)= dSᵀ·q.
func AttentionGrad(dst AttentionGrads, q, k, v, dy Tensor, heads int) {
	a := attentionDims("AttentionGrad", heads, dy, q, k, v)
	for _, d := range [...]Tensor{dst.Q, dst.K, dst.V} {
		checkOptional("AttentionGrad", d, q.Shape...)
	}
	c := attentions.take(attentionCall{attention: a, y: dy, q: q, k: k, v: v, dst: dst})
	par.For(a.n*a.heads, c.backward)
	attentions.give(c)
}

// attentionCall is one call of Attention or AttentionGrad.
type attentionCall struct {
	attention
	q, k, v Tensor
	y       Tensor // or dy
	blocks  int    // of queries, that the forward pass of a head is cut in
	dst     AttentionGrads
}

var attentions frames[attentionCall]

// forward computes y for one of the blocks of a head's queries.
func (c *attentionCall) forward(i int, mem *par.Scratch) {
	head, block := i/c.blocks, i%c.blocks
	kt := c.packHead(c.k, head, mem)
	p := mem.Floats(min(queryBlock, c.t) * c.row)
	end := (block + 1) * c.t / c.blocks
	for t0 := block * c.t / c.blocks; t0 < end; {
		t1 := min(t0+queryBlock, end)
		c.weights(p, c.q, kt, head, t0, t1, c.fetch(head, c.v, c.y))
		c.product(c.y, p, c.v, head, t0, t1, false, c.fetch(head+1, c.k, c.q))
		t0 = t1
	}
}

// backward computes the gradients of one head.
func (c *attentionCall) backward(head int, mem *par.Scratch) {
	p, dp := mem.Floats(c.t*c.row), mem.Floats(c.t*c.row)
	kt := c.packHead(c.k, head, mem)
	vt := kt
	if &c.k.Data[0] != &c.v.Data[0] {
		vt = c.packHead(c.v, head, mem)
	}
	c.weights(p, c.q, kt, head, 0, c.t, c.fetch(head, c.v, c.y))
	c.scores(dp, c.y, vt, head, 0, c.t, c.fetch(head, c.dst.V, c.dst.Q, c.dst.K))
	if !c.dst.V.Empty() {
		c.transposedProduct(c.dst.V, p, c.y, head, c.dst.AddV, simd.Ahead{})
	}
	for r := 0; r < c.t*c.row; r += c.row {
		simd.SoftmaxGrad(dp[r:r+c.t], p[r:r+c.t], dp[r:r+c.t], c.scale)
	}
	if !c.dst.Q.Empty() {
		c.product(c.dst.Q, dp, c.k, head, 0, c.t, c.dst.AddQ, simd.Ahead{})
	}
	if !c.dst.K.Empty() {
		c.transposedProduct(c.dst.K, dp, c.q, head, c.dst.AddK, c.fetch(head+1, c.k, c.q))
	}
}

// fetch lists the image of a head as needed soon in each of xs, if it is the image's first.
func (c *attentionCall) fetch(head int, xs ...Tensor) (soon simd.Ahead) {
	if head%c.heads == 0 {
		fetchImages(&soon, head/c.heads, head/c.heads+1, xs...)
	}
	return soon
}

// queryBlock is the number of queries whose scores are computed together.
const queryBlock = 64

// attention holds the sizes of an Attention: images, positions, heads, and channels per head.
type attention struct {
	n, t, heads, d, c int
	panelT            int // packed size of one head's keys, transposed
	row               int // floats from row to row of scores and weights: whole cache lines
	scale             float32
}

func attentionDims(op string, heads int, y Tensor, xs ...Tensor) attention {
	sameShape(op, y, xs...)
	if len(y.Shape) < 3 {
		panic(fmt.Sprintf("tensor: %s: got shape %v, want [N … C]", op, y.Shape))
	}
	c := y.Shape[len(y.Shape)-1]
	if heads < 1 || c%heads != 0 {
		panic(fmt.Sprintf("tensor: %s: got %d channels, want a multiple of %d heads", op, c, heads))
	}
	t := perImage(y) / c
	d := c / heads
	return attention{y.Shape[0], t, heads, d, c, panelSize(d, t), (t + cacheLine - 1) / cacheLine * cacheLine, float32(1 / math.Sqrt(float64(d)))}
}

// at returns where the given head, counted through all images, starts in a tensor [N … C].
func (a attention) at(head int) int { return head/a.heads*a.t*a.c + head%a.heads*a.d }

// packHead returns the transpose of one head of x, packed, in the worker's memory.
func (a attention) packHead(x Tensor, head int, mem *par.Scratch) []float32 {
	xt := mem.Floats(a.panelT)
	simd.PackTransposed(xt, panelWidth*a.d, x.Data[a.at(head):], a.c, a.t, a.d)
	return xt
}

// scores computes s = x·zᵀ for queries t0…t1 of x against all positions of z, packed by packHead in zt. s [t1−t0 row].
func (a attention) scores(s []float32, x Tensor, zt []float32, head, t0, t1 int, soon simd.Ahead) {
	g := simd.Gemm{
		M: t1 - t0, N: a.t, K: a.d,
		A: x.Data[a.at(head)+t0*a.c:], ARow: a.c, AK: 1, AOff: zeroOffset,
		B: zt, BRow: panelWidth, BPanel: panelWidth * a.d, BOff: zeroOffset,
		C: s, CRow: a.row,
		Ahead: &soon,
	}
	g.Run()
}

// weights computes p = softmax(q·kᵀ/√D) for queries t0…t1.
func (a attention) weights(p []float32, q Tensor, kt []float32, head, t0, t1 int, soon simd.Ahead) {
	a.scores(p, q, kt, head, t0, t1, soon)
	for r := 0; r < (t1-t0)*a.row; r += a.row {
		simd.Softmax(p[r:r+a.t], p[r:r+a.t], a.scale)
	}
}

// product computes y (+)= p·x for queries t0…t1. p [t1−t0 row].
func (a attention) product(y Tensor, p []float32, x Tensor, head, t0, t1 int, add bool, soon simd.Ahead) {
	g := simd.Gemm{
		M: t1 - t0, N: a.d, K: a.t,
		A: p, ARow: a.row, AK: 1, AOff: zeroOffset,
		B: x.Data[a.at(head):], BRow: a.c, BPanel: panelWidth, BOff: zeroOffset,
		C: y.Data[a.at(head)+t0*a.c:], CRow: a.c, Add: add,
		Ahead: &soon,
	}
	g.Run()
}

// transposedProduct computes y (+)= pᵀ·x. p [T row].
func (a attention) transposedProduct(y Tensor, p []float32, x Tensor, head int, add bool, soon simd.Ahead) {
	g := simd.Gemm{
		M: a.t, N: a.d, K: a.t,
		A: p, ARow: 1, AK: a.row, AOff: zeroOffset,
		B: x.Data[a.at(head):], BRow: a.c, BPanel: panelWidth, BOff: zeroOffset,
		C: y.Data[a.at(head):], CRow: a.c, Add: add,
		Ahead: &soon,
	}
	g.Run()
}
