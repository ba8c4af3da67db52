package tensor

import (
	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// GradChunk is the number of images whose share of a weight gradient is summed as one; these sums are then added one
// after the other. So the gradient of a batch has the same bits when it is computed in parts of a multiple of
// GradChunk images, and on any number of processors.
const GradChunk = 16

// partialChunks is the number of chunks summed at a time, which bounds the memory of the partial sums.
const partialChunks = 8

// chunkRuns are some of the chunks of n images, in runs of neighbours: all of them for one worker, or else each by itself,
// so that a worker that is early can help. The first run goes to the gradient, the others to part, to be added after it.
type chunkRuns struct {
	n, first, count, runs int
	part                  []float32 // the sums of all chunks but the first; nil for one run
	turn                  *Turn     // to add to the gradient
}

// eachRuns calls do for one partialChunks of the chunks after the other.
func eachRuns(n int, do func(c chunkRuns)) {
	for first, chunks := 0, chunkCount(n); first < chunks; first += partialChunks {
		c := chunkRuns{n: n, first: first, count: min(partialChunks, chunks-first), runs: 1}
		if par.Workers() > 1 {
			c.runs = c.count
		}
		do(c)
	}
}

// sumRuns is eachRuns for sums that go to dw in turn, and adds what do leaves in part.
func sumRuns(dw []float32, n int, turn *Turn, do func(c chunkRuns)) {
	eachRuns(n, func(c chunkRuns) {
		c.turn = turn
		if c.runs > 1 {
			c.part = takeWork((c.count - 1) * len(dw))
		}
		do(c)
		if c.part != nil {
			addAll(dw, c.part)
			giveWork(c.part)
		}
	})
	turn.Done()
}

// chunkCount is the number of chunks of n images.
func chunkCount(n int) int { return (n + GradChunk - 1) / GradChunk }

// run returns the chunks of run r.
func (c *chunkRuns) run(r int) (k0, k1 int) {
	return c.first + r*c.count/c.runs, c.first + (r+1)*c.count/c.runs
}

// shared returns the memory in part for the sum of chunk k, size floats.
func (c *chunkRuns) shared(k, size int) []float32 { return c.part[(k-c.first-1)*size:][:size] }

// images returns the images of chunk k.
func (c *chunkRuns) images(k int) (n0, n1 int) { return k * GradChunk, min((k+1)*GradChunk, c.n) }

// addParts adds parts, laid end to end partSize floats apart, to dw in order: size floats of each of some taps, which lie
// dwTap and partTap floats apart.
func addParts(dw []float32, dwTap int, parts []float32, partSize, partTap, taps, size int) {
	for k := range taps {
		for lo := 0; lo < size; lo += partSpan {
			n := min(partSpan, size-lo)
			to := dw[k*dwTap+lo:][:n]
			for at := k*partTap + lo; at < len(parts); at += partSize {
				simd.Axpy(to, 1, parts[at:][:n])
			}
		}
	}
}

// addAll adds the parts, laid end to end, to dw in order.
func addAll(dw, parts []float32) {
	c := allParts.take(addition{dw, parts})
	par.For((len(dw)+partSpan-1)/partSpan, c.span)
	allParts.give(c)
}

// addition is one call of addAll.
type addition struct{ dw, parts []float32 }

var allParts frames[addition]

func (c *addition) span(i int, _ *par.Scratch) {
	lo, hi := i*partSpan, min((i+1)*partSpan, len(c.dw))
	addParts(c.dw[lo:], 0, c.parts[lo:], len(c.dw), 0, 1, hi-lo)
}

// partSpan is the number of floats that are added from one part after the other: what they are added to stays in the L1
// cache.
const partSpan = 1 << 12

// weightGrad adds in turn the gradient of weights dw [Taps Rows Cols], a sum over n images. one(dst, n0, n1, r0, r1, mem)
// must compute rows r0…r1 of every tap, of the sum over images n0…n1, into dst, which is as long as dw: as one chain of
// additions per element in order of the images.
//
// Where there are few chunks, each is cut into blocks of rows, no more than keep all processors busy, as every block reads
// all of dy.
func weightGrad(dw []float32, n, taps, rows, cols int, turn *Turn, one func(dst []float32, n0, n1, r0, r1 int, mem *par.Scratch)) {
	c := gradSums.take(gradSum{dw: dw, taps: taps, rows: rows, cols: cols, blocks: rowBlocks(n, rows), one: one})
	sumRuns(dw, n, turn, func(runs chunkRuns) {
		c.chunkRuns = runs
		par.For(c.runs*c.blocks, c.piece)
	})
	gradSums.give(c)
}

// rowBlocks is the number of blocks of rows that a chunk of n images is cut into.
func rowBlocks(n, rows int) int {
	if chunks := chunkCount(n); chunks < partialChunks {
		return max(1, min((rows+15)/16, (par.Workers()+chunks-1)/max(1, chunks)))
	}
	return 1
}

// gradSum is one call of weightGrad.
type gradSum struct {
	chunkRuns
	dw               []float32
	taps, rows, cols int
	blocks           int // of rows
	one              func(dst []float32, n0, n1, r0, r1 int, mem *par.Scratch)
}

var gradSums frames[gradSum]

// piece sums a block of rows for a run of chunks. What it may not add yet it keeps.
func (c *gradSum) piece(i int, mem *par.Scratch) {
	r, b := i/c.blocks, i%c.blocks
	r0, r1 := b*c.rows/c.blocks, (b+1)*c.rows/c.blocks
	k0, k1 := c.run(r)
	if r > 0 {
		n0, n1 := c.images(k0)
		c.one(c.shared(k0, len(c.dw)), n0, n1, r0, r1, mem)
		return
	}
	size, held, room := len(c.dw), 0, k1-k0
	if c.turn.Ready() {
		room = min(1, room)
	}
	own := mem.Floats(room * size)
	for k := k0; k < k1; k++ {
		n0, n1 := c.images(k)
		mem.Within(func() { c.one(own[held*size:][:size], n0, n1, r0, r1, mem) })
		held++
		if c.turn.Ready() || k == k1-1 {
			c.turn.Wait()
			c.add(own[:held*size], r0, r1)
			held = 0
		}
	}
}

// add adds rows r0…r1 of every tap of parts.
func (c *gradSum) add(parts []float32, r0, r1 int) {
	tap, at := c.rows*c.cols, r0*c.cols
	addParts(c.dw[at:], tap, parts[at:], len(c.dw), tap, c.taps, (r1-r0)*c.cols)
}

// chunkSums calls add in turn with the sums over count chunks of n images from first on, laid end to end in part, one such
// call after the other. one(dst, n0, n1, r0, r1, mem) must compute rows r0…r1 of those over images n0…n1, see weightGrad.
func chunkSums(n, rows, cols int, turn *Turn, one func(dst []float32, n0, n1, r0, r1 int, mem *par.Scratch), add func(part []float32, first, count int)) {
	c := chunkCalls.take(chunkSum{rows: rows, size: rows * cols, blocks: rowBlocks(n, rows), one: one})
	c.part = takeWork(min(chunkCount(n), partialChunks) * c.size)
	eachRuns(n, func(runs chunkRuns) {
		c.chunkRuns = runs
		par.For(c.count*c.blocks, c.piece)
		turn.Wait()
		add(c.part, c.first, c.count)
	})
	turn.Done()
	giveWork(c.part)
	chunkCalls.give(c)
}

// chunkSum is one call of chunkSums.
type chunkSum struct {
	chunkRuns
	rows, size int
	blocks     int       // of rows
	part       []float32 // the sums of chunks
	one        func(dst []float32, n0, n1, r0, r1 int, mem *par.Scratch)
}

var chunkCalls frames[chunkSum]

func (c *chunkSum) piece(i int, mem *par.Scratch) {
	k, block := i/c.blocks, i%c.blocks
	n0, n1 := c.images(c.first + k)
	c.one(c.part[k*c.size:][:c.size], n0, n1, block*c.rows/c.blocks, (block+1)*c.rows/c.blocks, mem)
}
