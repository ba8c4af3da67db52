// Package rng is a counter-based random number generator: Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel
// random numbers: as easy as 1, 2, 3" (SC 2011).
//
// A [Stream] is a pure function of (seed, purpose, i, t). The noise of training sample i at step t, say, needs no
// generator that is carried along, saved or shared: whoever knows the four numbers makes the same noise, in any
// order, on any number of threads, in a batch of any size, before or after a resume.
//
// The numbers are the same bits on every platform: everything is integer arithmetic or float64 +, -, ×, ÷ and √,
// which IEEE 754 defines exactly, with the fusing of x*y + z forbidden by explicit conversions.
package rng

import (
	"fmt"
	"math/bits"
)

// Purpose separates the streams that one seed serves. Its values are part of what a seed means: never renumber or
// reuse one; a new purpose takes the next free number.
type Purpose uint8

const (
	Init         Purpose = 1  // initial weights; i: number of the parameter
	Timestep     Purpose = 2  // the t a training sample is noised to; i: sample, t: training step
	Noise        Purpose = 3  // ε of a training sample; i: sample, t: training step
	Start        Purpose = 4  // x_T of a sampled image; i: image
	SamplerNoise Purpose = 5  // z that a sampler adds on its way; i: image, t: time step
	Shuffle      Purpose = 6  // order of the training set; t: epoch
	Dropout      Purpose = 7  // units a training sample drops; i: sample, t: training step
	Label        Purpose = 8  // labels dropped or drawn at random; i: sample or image, t: training step
	Flip         Purpose = 9  // horizontal flips; i: sample
	Split        Purpose = 10 // parting a data set in training and held-out images
)

// maxID bounds i, of which the counter holds 56 bits.
const maxID = 1 << 56

// A Stream is a sequence of 2³² blocks of four random 32-bit words, and a place in it. It is a small value: copy it to
// remember the place, make it anew with [New] to start over. A *Stream is a Source of math/rand/v2.
//
// Methods that return one number ([Stream.Uint32] and those defined by it) read word after word. Methods that fill a
// slice ([Stream.Normal], [Stream.Uniform]) read whole blocks: they drop what is left of a block begun, and the unused
// end of their last one, so that from a new stream value j of the slice depends on block ⌊j/4⌋ alone.
type Stream struct {
	key   [2]uint32
	tail  [3]uint32 // words 1 to 3 of the counter; word 0 is the block
	block uint64    // next block to compute; 1<<32 when the stream is used up
	words [4]uint32 // the block being read
	left  int       // how many of its words have not been read: the last ones
}

// New returns the stream of (seed, p, i, t). The key is the seed, low word first; the four counter words are
//
//	block, t, low 32 bits of i, p<<24 | high 24 bits of i.
//
// It panics if i is 2⁵⁶ or more.
func New(seed uint64, p Purpose, i uint64, t uint32) Stream {
	if i >= maxID {
		panic(fmt.Sprintf("rng: New: got i = %d, want less than 2^56", i))
	}
	return Stream{
		key:  [2]uint32{uint32(seed), uint32(seed >> 32)},
		tail: [3]uint32{t, uint32(i), uint32(p)<<24 | uint32(i>>32)},
	}
}

// Uint32 returns the next word of the stream, uniform over all 32-bit values.
func (s *Stream) Uint32() uint32 {
	if s.left == 0 {
		s.words[0], s.words[1], s.words[2], s.words[3] = s.next()
		s.left = len(s.words)
	}
	w := s.words[(len(s.words)-s.left)&3] // &3: no bounds check
	s.left--
	return w
}

// Uint64 returns the next two words, the low one first.
func (s *Stream) Uint64() uint64 {
	lo := s.Uint32()
	return uint64(lo) | uint64(s.Uint32())<<32
}

// Float64 returns the top 53 bits of [Stream.Uint64] as a multiple of 2⁻⁵³ in [0, 1).
func (s *Stream) Float64() float64 { return float64(s.Uint64()>>11) * 0x1p-53 }

// Intn returns a number in [0, n), each equally likely. It panics unless n > 0.
//
// It scales a 64-bit word w to ⌊w·n/2⁶⁴⌋ and rejects the 2⁶⁴ mod n words that would make some results likelier than
// others: Lemire, "Fast random integer generation in an interval" (2019), algorithm 5.
func (s *Stream) Intn(n int) int {
	if n <= 0 {
		panic(fmt.Sprintf("rng: Intn: got n = %d, want a positive number", n))
	}
	hi, lo := bits.Mul64(s.Uint64(), uint64(n))
	if lo < uint64(n) { // else surely lo ≥ n > 2⁶⁴ mod n, and the division is saved
		for reject := -uint64(n) % uint64(n); lo < reject; {
			hi, lo = bits.Mul64(s.Uint64(), uint64(n))
		}
	}
	return int(hi)
}

// Perm returns a permutation of 0 … n-1, each equally likely (Fisher–Yates, from the last place to the first).
func (s *Stream) Perm(n int) []int {
	p := make([]int, n)
	for i := range p {
		p[i] = i
	}
	for i := n - 1; i > 0; i-- {
		j := s.Intn(i + 1)
		p[i], p[j] = p[j], p[i]
	}
	return p
}

// Uniform fills dst with numbers uniform over [lo, hi): lo + (hi-lo)·k/2²⁴ where k is the top 24 bits of a word,
// computed in float64. Rounding to float32 can yield hi itself where lo and hi are close. It reads whole blocks.
func (s *Stream) Uniform(dst []float32, lo, hi float64) {
	scale := (hi - lo) * 0x1p-24
	at := func(w uint32) float32 { return float32(lo + float64(scale*float64(w>>8))) }
	s.left = 0
	for ; len(dst) >= 4; dst = dst[4:] {
		w0, w1, w2, w3 := s.next()
		dst[0], dst[1], dst[2], dst[3] = at(w0), at(w1), at(w2), at(w3)
	}
	if len(dst) > 0 {
		w0, w1, w2, w3 := s.next()
		copy(dst, []float32{at(w0), at(w1), at(w2), at(w3)})
	}
}

// next returns the next block. A stream holds 2³² of them; it panics when they are used up rather than repeat itself.
func (s *Stream) next() (w0, w1, w2, w3 uint32) {
	if s.block>>32 != 0 {
		panic("rng: Stream: got a read beyond 2^32 blocks, want a new stream")
	}
	w0, w1, w2, w3 = philox(uint32(s.block), s.tail[0], s.tail[1], s.tail[2], s.key[0], s.key[1])
	s.block++
	return w0, w1, w2, w3
}
