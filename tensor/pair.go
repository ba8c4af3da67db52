package tensor

import (
	"fmt"

	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// Pair is two linear maps, one after the other, that are applied as one: by the associative law
//
//	(x·W1 + B1)·W2 + B2 = x·(W1·W2) + (B1·W2 + B2)
//
// which takes half the multiplications where x has many more rows than the weights. W1 [In Mid], B1 [Mid] or empty,
// W2 [Mid Out], B2 [Out] or empty. If Transposed is set, W2 is [Out Mid] and stands for its transpose. Residual, of the
// result's shape or empty, is added to it.
type Pair struct {
	W1, B1, W2, B2 Tensor
	Transposed     bool
	Residual       Tensor
}

// LinearPair computes y = (x·W1 + B1)·W2 + B2 + Residual, for every row of x. x [N … In], y [N … Out]. packs may be nil.
func LinearPair(y, x Tensor, p Pair, packs *Packs) {
	d := p.dims("LinearPair", y, x)
	size := panelSize(d.in, d.out)
	w := packs.packedPair(p, pairPanels, size+d.out, func(dst []float32) {
		d.withProduct(func(product []float32) { packPanels(dst, product, d.in, d.out) })
		d.bias(dst[size:])
	})
	rowsTimes(y.Data, x.Data, w.data[:size], d.positions, d.in, d.out, w.data[size:], p.Residual.Data)
	w.done()
}

// PairGrad names the gradients of a LinearPair's weights that are wanted; each may be empty.
type PairGrad struct {
	W1, B1, W2, B2 Tensor
	Turn           *Turn // to add to them; may be nil
}

// LinearPairGrad adds the gradients of LinearPair: with G = xᵀ·dy and s = Σ dy,
//
//	dx += dy·(W1·W2)ᵀ   dW1 += G·W2ᵀ   dB1 += s·W2ᵀ   dW2 += W1ᵀ·G + B1ᵀ·s   dB2 += s
//
// dx is overwritten instead if add is false. The gradient of the residual is dy itself. G and s are sums over GradChunk images at a time, each of which is
// multiplied and added by itself, in order. packs may be nil.
func LinearPairGrad(dx Tensor, add bool, dst PairGrad, x Tensor, p Pair, dy Tensor, packs *Packs) {
	const op = "LinearPairGrad"
	d := p.dims(op, dy, x)
	checkOptional(op+": dx", dx, x.Shape...)
	checkOptional(op+": dW1", dst.W1, p.W1.Shape...)
	checkOptional(op+": dB1", dst.B1, d.mid)
	checkOptional(op+": dW2", dst.W2, p.W2.Shape...)
	checkOptional(op+": dB2", dst.B2, d.out)
	if !dx.Empty() {
		wt := packs.packedPair(p, pairPanelsGrad, panelSize(d.out, d.in), func(to []float32) {
			d.withProduct(func(product []float32) { packTransposed(to, d.out, product, d.in, d.out) })
		})
		rowsTimes(dx.Data, dy.Data, wt.data, d.positions, d.out, d.in, nil, added(dx.Data, add))
		wt.done()
	}
	g := pairGrads.take(pairGrad{pairDims: d, dst: dst, sums: takeWork(d.n * d.out), back: takeWork(panelSize(d.out, d.mid))})
	imageSums(g.sums, dy)
	d.packSecond(g.back, !d.Transposed)
	g.biases()
	if !dst.W1.Empty() || !dst.W2.Empty() {
		rows := rowsGrads.take(rowsGrad{x: x.Data, dy: dy.Data, perImage: d.positions / max(d.n, 1), in: d.in, out: d.out})
		chunkSums(d.n, d.in, d.out, dst.Turn, rows.block, g.add)
		rowsGrads.give(rows)
	}
	giveWork(g.back)
	giveWork(g.sums)
	pairGrads.give(g)
}

// pairDims are the sizes of a LinearPair.
type pairDims struct {
	Pair
	n, positions, in, mid, out int // images, all their positions, and channels
}

func (p Pair) dims(op string, y, x Tensor) pairDims {
	in, mid := p.W1.Dims2()
	rows, out := p.W2.Dims2()
	if p.Transposed {
		rows, out = out, rows
	}
	if rows != mid {
		panic(fmt.Sprintf("tensor: %s: got weights %v and %v (transposed: %v), want the second to take what the first makes", op, p.W1.Shape, p.W2.Shape, p.Transposed))
	}
	checkOptional(op+": B1", p.B1, mid)
	checkOptional(op+": Residual", p.Residual, y.Shape...)
	return pairDims{p, x.Shape[0], linearRows(op, y, x, in, out, p.B2), in, mid, out}
}

// packSecond packs W2 in panels, or its transpose as it takes part in the product.
func (d pairDims) packSecond(to []float32, transpose bool) {
	rows, cols := d.W2.Dims2()
	if transpose {
		packTransposed(to, cols, d.W2.Data, rows, cols)
	} else {
		packPanels(to, d.W2.Data, rows, cols)
	}
}

// timesSecond computes y (+)= x·W2 for x [rows Mid].
func (d pairDims) timesSecond(y, x []float32, rows int, add bool) {
	packed := takeWork(panelSize(d.mid, d.out))
	d.packSecond(packed, d.Transposed)
	rowsTimes(y, x, packed, rows, d.mid, d.out, nil, added(y, add))
	giveWork(packed)
}

// withProduct calls use with W1·W2.
func (d pairDims) withProduct(use func(product []float32)) {
	product := takeWork(d.in * d.out)
	d.timesSecond(product, d.W1.Data, d.in, false)
	use(product)
	giveWork(product)
}

// bias computes B1·W2 + B2.
func (d pairDims) bias(b []float32) {
	clear(b)
	copy(b, d.B2.Data)
	if !d.B1.Empty() {
		d.timesSecond(b, d.B1.Data, 1, true)
	}
}

// pairGrad is one call of LinearPairGrad.
type pairGrad struct {
	pairDims
	dst  PairGrad
	sums []float32 // [N Out] of dy, over an image's rows
	back []float32 // W2ᵀ, packed

	// The chunks at hand:
	first, count int
	part         []float32 // their G, end to end
}

var pairGrads frames[pairGrad]

// biases adds dB1 and dB2, image by image.
func (g *pairGrad) biases() {
	if !g.dst.B2.Empty() {
		addInTurn(g.dst.B2.Data, g.sums, g.dst.Turn)
	}
	if !g.dst.B1.Empty() {
		sums := takeWork(g.n * g.mid)
		rowsTimes(sums, g.sums, g.back, g.n, g.out, g.mid, nil, nil)
		addInTurn(g.dst.B1.Data, sums, g.dst.Turn)
		giveWork(sums)
	}
}

// add adds the share of some chunks to dW1 and dW2.
func (g *pairGrad) add(part []float32, first, count int) {
	g.part, g.first, g.count = part, first, count
	par.For(pairPieces(g.dst.W1)+pairPieces(g.dst.W2), g.rows)
}

func pairPieces(dw Tensor) int {
	if dw.Empty() {
		return 0
	}
	return (dw.Shape[0] + gradRows - 1) / gradRows
}

// rows adds piece i: some rows of dW1, or of dW2.
func (g *pairGrad) rows(i int, mem *par.Scratch) {
	first := pairPieces(g.dst.W1)
	if i < first {
		g.firstRows(i*gradRows, min((i+1)*gradRows, g.in))
		return
	}
	i -= first
	g.secondRows(i*gradRows, min((i+1)*gradRows, g.dst.W2.Shape[0]), mem)
}

// firstRows adds rows r0…r1 of dW1 [In Mid] += G·W2ᵀ.
func (g *pairGrad) firstRows(r0, r1 int) {
	for k := range g.count {
		p := simd.Gemm{
			M: r1 - r0, N: g.mid, K: g.out,
			A: g.part[(k*g.in+r0)*g.out:], ARow: g.out, AK: 1, AOff: zeroOffset,
			B: g.back, BRow: panelWidth, BPanel: panelWidth * g.out, BOff: zeroOffset,
			C: g.dst.W1.Data[r0*g.mid:], CRow: g.mid, Add: true,
		}
		p.Run()
	}
}

// secondRows adds rows r0…r1 of dW2 [Mid Out] += W1ᵀ·G + B1ᵀ·s, or of its transpose.
func (g *pairGrad) secondRows(r0, r1 int, mem *par.Scratch) {
	_, cols := g.W2.Dims2()
	s := mem.Floats(g.out)
	for k := range g.count {
		a, b := g.W1.Data, g.part[k*g.in*g.out:][:g.in*g.out] // [In Mid], [In Out]
		ak := g.mid
		if g.Transposed {
			a, b, ak = b, a, g.out
		}
		p := simd.Gemm{
			M: r1 - r0, N: cols, K: g.in,
			A: a[r0:], ARow: 1, AK: ak, AOff: zeroOffset,
			B: b, BRow: cols, BPanel: panelWidth, BOff: zeroOffset,
			C: g.dst.W2.Data[r0*cols:], CRow: cols, Add: true,
		}
		p.Run()
		if g.B1.Empty() {
			continue
		}
		g.chunkSum(s, g.first+k)
		for r := r0; r < r1; r++ {
			row := g.dst.W2.Data[r*cols:][:cols]
			if g.Transposed {
				simd.Axpy(row, s[r], g.B1.Data)
			} else {
				simd.Axpy(row, g.B1.Data[r], s)
			}
		}
	}
}

// chunkSum sets s to the sum of dy over the images of chunk k.
func (g *pairGrad) chunkSum(s []float32, k int) {
	clear(s)
	addImageSums(s, g.sums[k*GradChunk*g.out:min((k+1)*GradChunk, g.n)*g.out])
}
