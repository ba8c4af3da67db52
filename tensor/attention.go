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
	kt := takeWork(a.n * a.heads * a.panelT)
	defer giveWork(kt)
	a.packHeads(kt, k)
	blocks := (a.t + queryBlock - 1) / queryBlock
	par.For(a.n*a.heads*blocks, func(i int, mem *par.Scratch) {
		head, t0 := i/blocks, i%blocks*queryBlock
		t1 := min(t0+queryBlock, a.t)
		p := mem.Floats((t1 - t0) * a.t)
		a.weights(p, q, kt, head, t0, t1)
		a.product(y, p, v, head, t0, t1, false)
	})
}

// AttentionGrad adds the gradients of Attention, computing the weights P = softmax(q·kᵀ/√D) again: dv += Pᵀ·dy and,
// with dS = P∘(dP − rowsum(P∘dP))/√D and dP = dy·vᵀ, dq += dS·k, dk += dSᵀ·q.
func AttentionGrad(dq, dk, dv, q, k, v, dy Tensor, heads int) {
	a := attentionDims("AttentionGrad", heads, dy, q, k, v)
	for _, d := range []Tensor{dq, dk, dv} {
		checkOptional("AttentionGrad", d, q.Shape...)
	}
	kt, vt := takeWork(a.n*a.heads*a.panelT), takeWork(a.n*a.heads*a.panelT)
	defer func() { giveWork(kt); giveWork(vt) }()
	a.packHeads(kt, k)
	a.packHeads(vt, v)
	par.For(a.n*a.heads, func(head int, mem *par.Scratch) {
		p, dp := mem.Floats(a.t*a.t), mem.Floats(a.t*a.t)
		a.weights(p, q, kt, head, 0, a.t)
		a.scores(dp, dy, vt, head, 0, a.t)
		if !dv.Empty() {
			a.transposedProduct(dv, p, dy, head)
		}
		for r := 0; r < a.t*a.t; r += a.t {
			simd.SoftmaxGrad(dp[r:r+a.t], p[r:r+a.t], dp[r:r+a.t], a.scale)
		}
		if !dq.Empty() {
			a.product(dq, dp, k, head, 0, a.t, true)
		}
		if !dk.Empty() {
			a.transposedProduct(dk, dp, q, head)
		}
	})
}

// queryBlock is the number of queries whose scores are computed together.
const queryBlock = 64

// attention holds the sizes of an Attention: images, positions, heads, and channels per head.
type attention struct {
	n, t, heads, d, c int
	panelT            int // packed size of one head's keys, transposed
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
	return attention{y.Shape[0], t, heads, d, c, panelSize(d, t), float32(1 / math.Sqrt(float64(d)))}
}

// at returns where the given head, counted through all images, starts in a tensor [N … C].
func (a attention) at(head int) int { return head/a.heads*a.t*a.c + head%a.heads*a.d }

// packHeads packs the transpose of every head of x.
func (a attention) packHeads(xt []float32, x Tensor) {
	par.For(a.n*a.heads, func(head int, _ *par.Scratch) {
		simd.PackTransposed(xt[head*a.panelT:], panelWidth*a.d, x.Data[a.at(head):], a.c, a.t, a.d)
	})
}

// scores computes s = x·zᵀ for queries t0…t1 of x against all positions of z, packed by packHeads in zt. s [t1−t0 T].
func (a attention) scores(s []float32, x Tensor, zt []float32, head, t0, t1 int) {
	g := simd.Gemm{
		M: t1 - t0, N: a.t, K: a.d,
		A: x.Data[a.at(head)+t0*a.c:], ARow: a.c, AK: 1, AOff: zeroOffset,
		B: zt[head*a.panelT:], BRow: panelWidth, BPanel: panelWidth * a.d, BOff: zeroOffset,
		C: s, CRow: a.t,
	}
	g.Run()
}

// weights computes p = softmax(q·kᵀ/√D) for queries t0…t1.
func (a attention) weights(p []float32, q Tensor, kt []float32, head, t0, t1 int) {
	a.scores(p, q, kt, head, t0, t1)
	for r := 0; r < (t1-t0)*a.t; r += a.t {
		simd.Softmax(p[r:r+a.t], p[r:r+a.t], a.scale)
	}
}

// product computes y (+)= p·x for queries t0…t1. p [t1−t0 T].
func (a attention) product(y Tensor, p []float32, x Tensor, head, t0, t1 int, add bool) {
	g := simd.Gemm{
		M: t1 - t0, N: a.d, K: a.t,
		A: p, ARow: a.t, AK: 1, AOff: zeroOffset,
		B: x.Data[a.at(head):], BRow: a.c, BPanel: panelWidth, BOff: zeroOffset,
		C: y.Data[a.at(head)+t0*a.c:], CRow: a.c, Add: add,
	}
	g.Run()
}

// transposedProduct computes y += pᵀ·x. p [T T].
func (a attention) transposedProduct(y Tensor, p []float32, x Tensor, head int) {
	g := simd.Gemm{
		M: a.t, N: a.d, K: a.t,
		A: p, ARow: 1, AK: a.t, AOff: zeroOffset,
		B: x.Data[a.at(head):], BRow: a.c, BPanel: panelWidth, BOff: zeroOffset,
		C: y.Data[a.at(head):], CRow: a.c, Add: true,
	}
	g.Run()
}
