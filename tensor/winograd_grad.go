package tensor

import (
	"ddpm/internal/par"
)

// The weight gradient in Winograd's form, F(3×3, m×m): for each position the product over tiles [Cin tiles]·[tiles
// Cout], summed over the images of a chunk before it is transformed back. Of x and dy, one is cut in tiles of m×m (D, by
// simd's GradOutput) and the other in those two larger (V, by Input), and which is which is free but for the order of
// the taps: Σ x[p]·dy[p−k] over p is a correlation of either with the other. Here x is cut, for V of dy is what the
// input gradient, a convolution of dy, is made of as well. With UpConv's phases it is dy that is cut, for their V of x is
// one for all.

// addWeightGrad adds in turn dw [3 3 Cin Cout], which may be empty, for the images that s makes, or overwrites it if set.
// With it goes back, and sums [N Cout], which may be nil, is set to the sums of dy over pixels.
//
// A worker sums chunks of images, and with fewer chunks than workers each is cut in blocks of input channels, with the
// input gradient of these or, where they do not go into its units, apart from it. So nothing transformed by one worker
// is read by another, which cores that share no cache pay for dearly.
func (f *winograd) addWeightGrad(dw Tensor, set bool, s *source, dy Tensor, sums []float32, back back, turn *Turn) {
	n, h, w, cin := s.dims()
	t := f.tiling(n, h, w, cin, dy.Shape[3])
	t.addWeightGrad(dw, set, s, dy, sums, back, turn)
}

// back is what is done with a weight gradient for each group of images, while they are in the cache.
type back struct {
	u    transformed // the kernels of the input gradient, if that is wanted
	then [2]Tensor   // where what is made of that goes, which is fetched in time; may be empty

	// Called for each group, with its input gradient if there are kernels; may be nil. With kernels it may be called for
	// some of the channels at a time, from multiples of unit on, which is a multiple of panelWidth.
	do   func(r region, dx []float32, mem *par.Scratch)
	unit int
}

// region is some of the channels of some images.
type region struct{ n0, n1, c0, c1 int }

// addWeightGrad is winograd.addWeightGrad for images cut in tiles as t says, and dy in phases if it says so.
func (t *tiling) addWeightGrad(dw Tensor, set bool, s *source, dy Tensor, sums []float32, back back, turn *Turn) {
	g := tiledGrads.take(tiledGrad{tiling: *t, dw: dw.Data, set: set, s: *s, dy: source{x: dy}, sums: sums, back: back, backPos: kernelStride(t.cout, t.cin)})
	defer tiledGrads.give(g)
	if dw.Empty() {
		if sums != nil {
			par.For(t.n, g.sumImage)
		}
		g.others()
		return
	}
	count := max(1, min(chunkCount(t.n), partialChunks))
	g.cutChannels((par.Workers() + count - 1) / count)
	sumRuns(dw.Data, t.n, turn, func(runs chunkRuns) {
		g.runs = runs
		par.For(runs.runs*g.blocks, g.piece)
	})
	if g.apart {
		g.others()
	}
}

// channelUnit is what blocks of channels begin at multiples of, a vector, where their input gradient asks for no more.
const channelUnit = 16

// cutChannels cuts the input channels in blocks for so many workers. A block's input gradient is made of the V of dy that
// its weight gradient has, and goes with that if the workers' shares are equal.
func (t *tiledGrad) cutChannels(workers int) {
	t.step, t.apart = channelUnit, true
	if t.u.wanted() && t.cin >= workers*t.unit && t.cin/t.unit%workers == 0 {
		t.step, t.apart = t.unit, false
	}
	t.blocks = max(1, min(workers, t.cin/t.step))
	t.apart = t.apart && t.blocks > 1
}

// tiledGrad is one call of addWeightGrad.
type tiledGrad struct {
	tiling
	dw   []float32
	set  bool // overwrite dw
	s    source
	dy   source
	sums []float32
	back
	backPos int // from position to position in its kernels

	blocks int  // of input channels
	step   int  // what they begin at multiples of
	apart  bool // back is done after them

	runs chunkRuns // at hand
}

var tiledGrads frames[tiledGrad]

// others does what goes with the gradient, where that is not part of the pieces.
func (t *tiledGrad) others() {
	if t.do != nil {
		par.For((t.n+t.group()-1)/t.group(), t.other)
	}
}

func (t *tiledGrad) other(i int, mem *par.Scratch) {
	n0, n1 := i*t.group(), min((i+1)*t.group(), t.n)
	if !t.u.wanted() {
		t.do(region{n0, n1, 0, t.cin}, nil, mem)
		return
	}
	c, to := t.turned(), t.passOn(mem.Floats((n1-n0)*t.h*t.w*t.cin), n0)
	c.run(tiledPiece{n0, n1, 0, c.th, 0, c.panels()}, &t.dy, t.u.in(mem), mem, &to)
	t.do(region{n0, n1, 0, t.cin}, to.y, mem)
}

// turned is the tiling of the input gradient, a convolution of dy by the turned kernels.
func (t *tiledGrad) turned() tiling {
	c := t.winograd.tiling(t.n, t.h, t.w, t.cout, t.cin)
	c.uPos = t.backPos
	return c
}

// passOn is the target dx of an input gradient, from image first on.
func (t *tiledGrad) passOn(dx []float32, first int) target {
	return target{y: dx, passedOn: true, first: first, then: t.then}
}

// piece computes the weight gradient of a block of input channels for a run of chunks.
func (t *tiledGrad) piece(i int, mem *par.Scratch) {
	r, c := i/t.blocks, t.channels(i%t.blocks)
	at := c.s.from * t.cout
	var u []float32
	if c.u.wanted() {
		u = c.u.in(mem)[at:]
	}
	if k0, k1 := t.runs.run(r); r > 0 {
		c.chunk(k0, u, t.runs.shared(k0, len(t.dw))[at:], t.cin*t.cout, false, mem)
	} else {
		c.first(k0, k1, u, t.dw[at:], t.cin*t.cout, mem)
	}
}

// first is piece for chunks k0…k1, which are added to dw, whose taps lie tap floats apart, as soon as they may be.
func (t *tiledGrad) first(k0, k1 int, u, dw []float32, tap int, mem *par.Scratch) {
	var own []float32 // chunks that may not
	held, size := 0, t.cin*t.cout
	for k := k0; k < k1; k++ {
		ready := t.runs.turn.Ready()
		if ready && held > 0 {
			addParts(dw, tap, own[:held*9*size], 9*size, size, 9, size)
			held = 0
		}
		if ready {
			t.chunk(k, u, dw, tap, k > 0 || !t.set, mem)
			continue
		}
		if own == nil {
			own = mem.Floats((k1 - k) * 9 * size)
		}
		t.chunk(k, u, own[held*9*size:], size, false, mem)
		held++
	}
	t.runs.turn.Wait()
	addParts(dw, tap, own[:held*9*size], 9*size, size, 9, size)
}

// channels returns what is computed for block b of the input channels.
func (t *tiledGrad) channels(b int) tiledGrad {
	c := *t
	if t.blocks > 1 {
		s, steps := &c.s, t.cin/t.step
		s.from, s.to = b*steps/t.blocks*t.step, (b+1)*steps/t.blocks*t.step
		if b == t.blocks-1 {
			s.to = t.cin
		}
		c.tiling = t.winograd.tiling(t.n, t.h, t.w, s.to-s.from, t.cout)
		c.phased = t.phased
		if t.apart {
			c.back = back{}
		}
		if b > 0 {
			c.sums = nil
		}
	}
	return c
}

// chunk computes the weight gradient of chunk k into to, or adds it; tap by tap it lies tap floats apart. u is the kernels
// of the input gradient, nil for none.
func (t *tiledGrad) chunk(k int, u, to []float32, tap int, add bool, mem *par.Scratch) {
	n0, n1 := t.runs.images(k)
	g := gradChunks.take(gradChunk{tiledGrad: *t, n0: n0, n1: n1, u: u, to: to, tap: tap, add: add})
	mem.Within(func() { g.run(mem) })
	gradChunks.give(g)
}
