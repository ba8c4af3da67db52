package par

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"ddpm/internal/mem"
)

// Poison makes every piece of memory handed out by Scratch, and by the arenas of package autograd, start as NaN, so
// that a value read before it was written shows. Tests set it before any work starts.
var Poison bool

// Fill overwrites x with NaN if Poison is set.
func Fill(x []float32) {
	if Poison {
		nan := float32(math.NaN())
		for i := range x {
			x[i] = nan
		}
	}
}

// A Scratch is temporary memory owned by one worker. What Floats returned is valid until the piece that asked for it
// returns; the memory itself is kept, so that steady work allocates nothing.
type Scratch struct {
	block []float32 // the current block; earlier ones are kept alive by whoever holds slices of them
	used  int       // floats of block in use
	held  int       // floats the current piece holds, in blocks of any size
	want  int       // the most it has held

	call, madeFor int64     // of For: the one that runs, and that made was made for
	made          []float32 // see Once
	place         Place     // where it was given back
}

// align is the alignment of scratch memory in floats: 64 bytes, a cache line and an AVX-512 register.
const align = 16

// Floats returns n floats with undefined contents, starting on a cache line of the block.
func (s *Scratch) Floats(n int) []float32 {
	room := (n + align - 1) / align * align
	s.held += room
	s.want = max(s.want, s.held)
	if s.used+room > len(s.block) {
		s.block = mem.Floats(max(room, 2*len(s.block), 1<<14))
		s.used = 0
	}
	x := s.block[s.used : s.used+n : s.used+n]
	s.used += room
	Fill(x)
	return x
}

// Once returns n floats that belong to the worker for as long as its call of For runs, and whether it is the first piece of
// the call that asks for them: it must then fill them. All pieces of a call mean the same by it.
func (s *Scratch) Once(n int) (x []float32, first bool) {
	first = s.madeFor != s.call
	if first {
		s.madeFor = s.call
		if cap(s.made) < n {
			s.made = mem.Floats(n)
		}
		s.made = s.made[:n]
		Fill(s.made)
	}
	return s.made[:n], first
}

// Within calls f and takes back what f asked for, so that a loop in one piece can use the same memory again.
func (s *Scratch) Within(f func()) {
	block, used, held := s.block, s.used, s.held
	f()
	s.held, s.used = held, 0 // a new block holds f's alone
	if len(block) > 0 && &block[0] == &s.block[0] {
		s.used = used
	}
}

// reset takes back everything. If the last piece needed more than one block, the next gets one that holds it all. Blocks
// at least double, so that those given up are no more than the last.
func (s *Scratch) reset() {
	if s.want > len(s.block) {
		s.block = mem.Floats(max(s.want, 2*len(s.block)))
	}
	s.used, s.held, s.want = 0, 0, 0
}

// idle holds the scratch memories of callers of For that have returned. Workers have their own.
var idle struct {
	sync.Mutex
	list []*Scratch
}

// takeScratch returns the memory last given back in this place, or else anywhere.
func takeScratch() *Scratch {
	here := Here()
	idle.Lock()
	defer idle.Unlock()
	n := len(idle.list)
	if n == 0 {
		return new(Scratch)
	}
	i := n - 1
	for k := i; k >= 0; k-- {
		if idle.list[k].place == here {
			i = k
			break
		}
	}
	s := idle.list[i]
	idle.list = slices.Delete(idle.list, i, i+1)
	return s
}

func returnScratch(s *Scratch) {
	s.reset()
	s.place = Here()
	idle.Lock()
	defer idle.Unlock()
	idle.list = append(idle.list, s)
}

// A Place is where memory was last used, as far as is known: by whoever asks Here for the same one, which is most likely
// the same core. It is a hint as to whose cache the memory may be in, and nothing else.
type Place struct{ mark *byte }

// marks stand for places. Once all are in use, some stand for more than one.
var marks [256]byte

var places struct {
	sync.Pool // of marks, which the runtime keeps apart for each of its processors
	next      atomic.Uint32
}

// Here returns the caller's place.
func Here() Place {
	mark, ok := places.Get().(*byte)
	if !ok {
		mark = &marks[places.next.Add(1)%uint32(len(marks))]
	}
	places.Put(mark)
	return Place{mark}
}
