package autograd

import (
	"slices"

	"ddpm/internal/mem"
	"ddpm/internal/par"
)

// arena is the memory of a tape: a few large slabs, of which take cuts pieces and give joins them again. A request goes
// to the first slab that has room for it, so whether there are more slabs changes nothing in those before: a step that
// asks for the same lengths in the same order as the last is given the same memory.
type arena struct {
	slabs []slab
	inUse map[*float32]place
	lent  *GradSlab // may be nil
}

// slab is a piece of memory, with what is free of it in order. Memory beyond top was never used, and the operating
// system has not provided it yet.
type slab struct {
	mem  []float32
	free []gap
	top  int
}

func newSlab(n int) slab { return slab{mem: mem.Floats(n), free: []gap{{0, n}}} }

type gap struct{ at, n int }

// place is a gap in use.
type place struct {
	slab int // or lent
	gap
}

// lent is the number of the slab that the arena was lent.
const lent = -1

const (
	line      = 16      // floats in a cache line: gaps are multiples of it
	firstSlab = 1 << 18 // floats
)

// take returns n floats with undefined contents, in the first limit floats of what was lent if there is room.
func (a *arena) take(n, limit int) []float32 {
	if n == 0 {
		return []float32{}
	}
	if a.inUse == nil {
		a.inUse = map[*float32]place{}
	}
	p := a.find((n+line-1)/line*line, limit)
	x := a.slab(p.slab).mem[p.at:][:n:n]
	a.inUse[&x[0]] = p
	par.Fill(x)
	return x
}

// slab returns slab i.
func (a *arena) slab(i int) *slab {
	if i == lent {
		return &a.lent.slab
	}
	return &a.slabs[i]
}

// find takes n floats of the first slab that has a gap for them, or of a new one.
func (a *arena) find(n, limit int) place {
	if a.lent != nil {
		if at := a.lent.take(n, limit); at >= 0 {
			return place{lent, gap{at, n}}
		}
	}
	total := 0
	for i := range a.slabs {
		s := &a.slabs[i]
		if at := s.take(n, len(s.mem)); at >= 0 {
			return place{i, gap{at, n}}
		}
		total += len(s.mem)
	}
	size := max(n, total, firstSlab) // so that there are few: each is as large as all before
	s := newSlab(size)
	s.take(n, size)
	a.slabs = append(a.slabs, s)
	return place{len(a.slabs) - 1, gap{0, n}}
}

// take cuts n of the first limit floats from the first gap that holds them, and returns where; -1 if none does.
func (s *slab) take(n, limit int) int {
	i := slices.IndexFunc(s.free, func(g gap) bool { return min(g.n, limit-g.at) >= n })
	if i < 0 {
		return -1
	}
	g := &s.free[i]
	at := g.at
	g.at, g.n = g.at+n, g.n-n
	if g.n == 0 {
		s.free = slices.Delete(s.free, i, i+1)
	}
	s.top = max(s.top, at+n)
	return at
}

// give takes x back. Memory that is not the arena's is left to its owner.
func (a *arena) give(x []float32) {
	if len(x) == 0 {
		return
	}
	if p, ok := a.inUse[&x[0]]; ok {
		delete(a.inUse, &x[0])
		a.slab(p.slab).give(p.gap)
	}
}

// give makes g free, joined with what is free next to it.
func (s *slab) give(g gap) {
	i, _ := slices.BinarySearchFunc(s.free, g.at, func(g gap, at int) int { return g.at - at })
	if i < len(s.free) && g.at+g.n == s.free[i].at {
		g.n += s.free[i].n
		s.free = slices.Delete(s.free, i, i+1)
	}
	if i > 0 && s.free[i-1].at+s.free[i-1].n == g.at {
		s.free[i-1].n += g.n
		return
	}
	s.free = slices.Insert(s.free, i, g)
}

// idle reports whether no part of the n floats from at on is in use.
func (s *slab) idle(at, n int) bool {
	for _, g := range s.free {
		if g.at <= at && at+n <= g.at+g.n {
			return true
		}
	}
	return false
}

// endLoan takes back everything in the slab that was lent.
func (a *arena) endLoan() {
	for x, p := range a.inUse {
		if p.slab == lent {
			delete(a.inUse, x)
		}
	}
	a.lent.reset()
	a.lent = nil
}

// reset takes back everything.
func (s *slab) reset() { s.free = append(s.free[:0], gap{0, len(s.mem)}) }

// owns reports whether x is in use of the arena's memory.
func (a *arena) owns(x []float32) bool {
	if len(x) == 0 {
		return false
	}
	_, ok := a.inUse[&x[0]]
	return ok
}

// reset takes back everything.
func (a *arena) reset() {
	clear(a.inUse)
	for i := range a.slabs {
		a.slabs[i].reset()
	}
}

// bytes is the memory that was ever used.
func (a *arena) bytes() int {
	floats := 0
	for _, s := range a.slabs {
		floats += s.top
	}
	return 4 * floats
}

// pool holds the Vars of a tape's results, to be used again after a reset.
type pool struct {
	list []*Var
	used int
}

// take returns an empty Var.
func (p *pool) take() *Var {
	if p.used == len(p.list) {
		p.list = append(p.list, new(Var))
	}
	v := p.list[p.used]
	p.used++
	*v = Var{}
	return v
}
