package tensor

import (
	"fmt"

	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// Linear computes y = x·w + b, for every row of x. x [N … In], w [In Out], b [Out] or empty, y [N … Out]. A
// convolution with a 1×1 kernel is the same thing. packs may be nil.
func Linear(y, x, w, b Tensor, packs *Packs) {
	rows, in, out := linearDims("Linear", y, x, w, b)
	wp, done := packs.packed(w, panels, panelSize(in, out), func(p []float32) { packPanels(p, w.Data, in, out) })
	rowsTimes(y.Data, x.Data, wp, rows, in, out, b.Data, false)
	done()
}

// LinearGrad adds the gradients of Linear: dx += dy·wᵀ, dw += xᵀ·dy, db += Σ dy. dx is overwritten instead if add is
// false. The sums over rows run over GradChunk images at a time, in order. packs may be nil.
func LinearGrad(dx Tensor, add bool, dw, db, x, w, dy Tensor, packs *Packs) {
	rows, in, out := linearDims("LinearGrad", dy, x, w, Tensor{})
	checkOptional("LinearGrad: dx", dx, x.Shape...)
	checkOptional("LinearGrad: dw", dw, in, out)
	checkOptional("LinearGrad: db", db, out)
	if !dx.Empty() {
		wt, done := packs.packed(w, panelsGrad, panelSize(out, in), func(p []float32) { packTransposed(p, w.Data, in, out) })
		rowsTimes(dx.Data, dy.Data, wt, rows, out, in, nil, add)
		done()
	}
	if !db.Empty() {
		addColumnSums(db.Data, dy)
	}
	if dw.Empty() {
		return
	}
	perImage := rows / x.Shape[0]
	weightGrad(dw.Data, x.Shape[0], in, out, func(dst []float32, n0, n1, r0, r1 int, fresh bool) {
		g := simd.Gemm{
			M: r1 - r0, N: out, K: (n1 - n0) * perImage,
			A: x.Data[n0*perImage*in+r0:], ARow: 1, AK: in, AOff: zeroOffset,
			B: dy.Data[n0*perImage*out:], BRow: out, BPanel: panelWidth, BOff: zeroOffset,
			C: dst, CRow: out, Add: !fresh,
		}
		g.Run()
	})
}

// linearDims checks the shapes of Linear and returns the number of rows of x and the sides of w.
func linearDims(op string, y, x, w, b Tensor) (rows, in, out int) {
	in, out = w.Dims2()
	last := len(x.Shape) - 1
	if last < 1 || x.Shape[last] != in || len(y.Shape) != last+1 || y.Shape[last] != out || len(y.Data)*in != len(x.Data)*out {
		panic(fmt.Sprintf("tensor: %s: got x %v and y %v, want [… %d] and [… %d] for weights %v", op, x.Shape, y.Shape, in, out, w.Shape))
	}
	checkOptional(op, b, out)
	return len(x.Data) / max(in, 1), in, out
}

// panelWidth is the number of columns in a panel of packed weights, and of C in simd.Gemm's registers.
const panelWidth = 32

var zeroOffset = []int{0}

// panelSize returns the packed size of a matrix [rows cols].
func panelSize(rows, cols int) int { return (cols + panelWidth - 1) / panelWidth * panelWidth * rows }

// packPanels packs w [rows cols] in panels of 32 columns.
func packPanels(p, w []float32, rows, cols int) {
	simd.PackPanels(p, panelWidth*rows, w, cols, rows, cols)
}

// packTransposed packs wᵀ for w [rows cols], so cols is the depth of the product.
func packTransposed(p, w []float32, rows, cols int) {
	simd.PackTransposed(p, panelWidth*cols, w, cols, rows, cols)
}

// rowBlock is the number of rows of a matrix product that one piece computes.
const rowBlock = 112

// rowsTimes computes y (+)= x·w + b, for x [rows in] and w packed in panels of 32 columns. With few rows the pieces
// are groups of columns too.
func rowsTimes(y, x, wp []float32, rows, in, out int, b []float32, add bool) {
	blocks, panels := (rows+rowBlock-1)/rowBlock, (out+panelWidth-1)/panelWidth
	groups := 1
	if blocks < 8 {
		groups = min(panels, 8)
	}
	par.For(blocks*groups, func(i int, _ *par.Scratch) {
		r0, r1 := i/groups*rowBlock, min((i/groups+1)*rowBlock, rows)
		p0, p1 := i%groups*panels/groups, (i%groups+1)*panels/groups
		c0, c1 := p0*panelWidth, min(p1*panelWidth, out)
		for r := r0; r < r1 && b != nil; r++ {
			copy(y[r*out+c0:r*out+c1], b[c0:c1])
		}
		g := simd.Gemm{
			M: r1 - r0, N: c1 - c0, K: in,
			A: x[r0*in : r1*in], ARow: in, AK: 1, AOff: zeroOffset,
			B: wp[p0*panelWidth*in:], BRow: panelWidth, BPanel: panelWidth * in, BOff: zeroOffset,
			C: y[r0*out+c0:], CRow: out, Add: add || b != nil,
		}
		g.Run()
	})
}

// addRows is rowsTimes for one worker.
func addRows(y, x, wp []float32, rows, in, out int, b []float32, add bool) {
	if b != nil {
		simd.FillRows(y[:rows*out], b)
	}
	g := simd.Gemm{
		M: rows, N: out, K: in,
		A: x, ARow: in, AK: 1, AOff: zeroOffset,
		B: wp, BRow: panelWidth, BPanel: panelWidth * in, BOff: zeroOffset,
		C: y, CRow: out, Add: add || b != nil,
	}
	g.Run()
}

// GradChunk is the number of images whose share of a weight gradient is summed as one; these sums are then added one
// after the other. So the gradient of a batch has the same bits when it is computed in parts of a multiple of
// GradChunk images, and on any number of processors.
const GradChunk = 16

// weightGrad adds the gradient of a matrix of weights dw [rows cols], a sum over n images. one(dst, n0, n1, r0, r1,
// fresh) must compute rows r0…r1 of the sum over images n0…n1 into dst, as one chain of additions per element in order
// of the images: starting from zero if fresh, else from what dst holds.
//
// Where there are many chunks, each is a piece; where there are few, each is cut into blocks of rows.
func weightGrad(dw []float32, n, rows, cols int, one func(dst []float32, n0, n1, r0, r1 int, fresh bool)) {
	chunks := (n + GradChunk - 1) / GradChunk
	size := rows * cols
	part := takeWork(min(chunks, partialChunks) * size)
	defer giveWork(part)
	blocks := 1
	if chunks < partialChunks {
		blocks = min((rows+15)/16, 16)
	}
	for first := 0; first < chunks; first += partialChunks {
		count := min(partialChunks, chunks-first)
		par.For(count*blocks, func(i int, _ *par.Scratch) {
			k, block := i/blocks, i%blocks
			r0, r1 := block*rows/blocks, (block+1)*rows/blocks
			n0 := (first + k) * GradChunk
			one(part[k*size+r0*cols:k*size+r1*cols], n0, min(n0+GradChunk, n), r0, r1, true)
		})
		addChunks(dw, part, count)
	}
}

// partialChunks is the number of chunks summed at a time, which bounds the memory of the partial sums.
const partialChunks = 8

// addChunks adds count partial sums, laid end to end in part, to dw in order.
func addChunks(dw, part []float32, count int) {
	size := len(dw)
	spans(size, func(lo, hi int) {
		for k := range count {
			simd.Axpy(dw[lo:hi], 1, part[k*size+lo:k*size+hi])
		}
	})
}

// addColumnSums adds the sum of dy's rows to db, summing image by image and adding these in order. dy [N … Out].
func addColumnSums(db []float32, dy Tensor) {
	n, out, size := dy.Shape[0], len(db), perImage(dy)
	part := takeWork(n * out)
	defer giveWork(part)
	par.For((n+GradChunk-1)/GradChunk, func(k int, _ *par.Scratch) {
		for i := k * GradChunk; i < min((k+1)*GradChunk, n); i++ {
			sum := part[i*out:][:out]
			clear(sum)
			simd.ChannelSums(sum, dy.Data[i*size:][:size])
		}
	})
	for i := range n {
		simd.Axpy(db, 1, part[i*out:][:out])
	}
}
