package tensor

import (
	"runtime"

	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// GradChunk is the number of images whose share of a weight gradient is summed as one; these sums are then added one
// after the other. So the gradient of a batch has the same bits when it is computed in parts of a multiple of
// GradChunk images, and on any number of processors.
const GradChunk = 16

// partialChunks is the number of chunks summed at a time, which bounds the memory of the partial sums.
const partialChunks = 8

// chunkRuns are some of the chunks of n images, in runs of neighbours. The first run goes to the gradient as it is summed,
// the others to part, or where that is nil to their workers' own memory, to be added when their turn comes.
type chunkRuns struct {
	n, first, count, runs int
	part                  []float32 // the sums of all chunks but the first, of which each is a run then
}

// eachRuns calls do for one partialChunks of the chunks after the other.
func eachRuns(n int, do func(c chunkRuns)) {
	for first, chunks := 0, chunkCount(n); first < chunks; first += partialChunks {
		count := min(partialChunks, chunks-first)
		do(chunkRuns{n: n, first: first, count: count, runs: min(count, runtime.GOMAXPROCS(0))})
	}
}

// sumRuns is eachRuns for sums that go to dw, of products for so many pixels of an image, and adds what do leaves in part.
func sumRuns(dw []float32, n, pixels int, do func(c chunkRuns)) {
	eachRuns(n, func(c chunkRuns) {
		own := c.runs == 1 || c.runs <= ownRuns && GradChunk*pixels*len(dw) <= ownWork
		if !own {
			c.runs = c.count // so that who is early can help
			c.part = takeWork((c.count - 1) * len(dw))
		}
		do(c)
		if c.part != nil {
			addAll(dw, c.part)
			giveWork(c.part)
		}
	})
}

// Up to so many runs, and up to so many multiplications a chunk, each worker keeps what it sums and adds it itself. Memory
// that cores write and read in turn costs dearly where they share no cache: with two such cores of a Zen 4 a training step
// of small layers takes 5 % less than if both add. With more runs adding them one by one takes longer than that, and with
// larger chunks it matters more that a worker that is early can take one: the preset mnist takes 1 % less.
const (
	ownRuns = 2
	ownWork = 1 << 26
)

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

// weightGrad adds the gradient of weights dw [Taps Rows Cols], a sum over n images of so many pixels. one(dst, n0, n1, r0,
// r1, mem) must compute rows r0…r1 of every tap, of the sum over images n0…n1, into dst, which is as long as dw: as one
// chain of additions per element in order of the images.
//
// Where there are few chunks, each is cut into blocks of rows, no more than keep all processors busy, as every block reads
// all of dy.
func weightGrad(dw []float32, n, pixels, taps, rows, cols int, one func(dst []float32, n0, n1, r0, r1 int, mem *par.Scratch)) {
	c := gradSums.take(gradSum{dw: dw, taps: taps, rows: rows, cols: cols, blocks: rowBlocks(n, rows), one: one})
	sumRuns(dw, n, pixels, func(runs chunkRuns) {
		c.chunkRuns = runs
		par.ForInTurn(c.runs*c.blocks, c.piece)
	})
	gradSums.give(c)
}

// rowBlocks is the number of blocks of rows that a chunk of n images is cut into.
func rowBlocks(n, rows int) int {
	if chunks := chunkCount(n); chunks < partialChunks {
		return max(1, min((rows+15)/16, (runtime.GOMAXPROCS(0)+chunks-1)/max(1, chunks)))
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

// piece sums a block of rows for a run of chunks.
func (c *gradSum) piece(i int, mem *par.Scratch, turn par.Turn) {
	r, b := i/c.blocks, i%c.blocks
	r0, r1 := b*c.rows/c.blocks, (b+1)*c.rows/c.blocks
	k0, k1 := c.run(r)
	size, held := len(c.dw), k1-k0
	switch {
	case r == 0:
		held = 1 // for it is added at once
	case c.part != nil:
		held = 0
	}
	own := mem.Floats(held * size)
	for k := k0; k < k1; k++ {
		part := own
		switch {
		case held == 0:
			part = c.shared(k, size)
		case r > 0:
			part = own[(k-k0)*size:]
		}
		n0, n1 := c.images(k)
		mem.Within(func() { c.one(part[:size], n0, n1, r0, r1, mem) })
		if r == 0 {
			c.add(own, r0, r1)
		}
	}
	if r > 0 && held > 0 {
		turn.Wait()
		c.add(own, r0, r1)
	}
}

// add adds rows r0…r1 of every tap of parts.
func (c *gradSum) add(parts []float32, r0, r1 int) {
	tap, at := c.rows*c.cols, r0*c.cols
	addParts(c.dw[at:], tap, parts[at:], len(c.dw), tap, c.taps, (r1-r0)*c.cols)
}

// chunkSums calls add with the sums over count chunks of n images from first on, laid end to end in part, one such call
// after the other. one(dst, n0, n1, r0, r1, mem) must compute rows r0…r1 of those over images n0…n1, see weightGrad.
func chunkSums(n, rows, cols int, one func(dst []float32, n0, n1, r0, r1 int, mem *par.Scratch), add func(part []float32, first, count int)) {
	c := chunkCalls.take(chunkSum{rows: rows, size: rows * cols, blocks: rowBlocks(n, rows), one: one})
	c.part = takeWork(min(chunkCount(n), partialChunks) * c.size)
	eachRuns(n, func(runs chunkRuns) {
		c.chunkRuns = runs
		par.For(c.count*c.blocks, c.piece)
		add(c.part, c.first, c.count)
	})
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
