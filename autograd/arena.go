package autograd

import (
	"slices"

	"ddpm/internal/par"
)

// arena is the memory of a tape: a few large slabs, of which take cuts pieces and give joins them again. A request goes
// to the first slab that has room for it, so whether there are more slabs changes nothing in those before: a step that
// asks for the same lengths in the same order as the last is given the same memory.
type arena struct {
	slabs []slab
	inUse map[*float32]place
}

// slab is a piece of memory, with what is free of it in order. Memory beyond top was never used, and the operating
// system has not provided it yet.
type slab struct {
	mem  []float32
	free []gap
	top  int
}

type gap struct{ at, n int }

// place is a gap in use.
type place struct {
	slab int
	gap
}

const (
	line      = 16      // floats in a cache line: gaps are multiples of it
	firstSlab = 1 << 18 // floats
)

// take returns n floats with undefined contents.
func (a *arena) take(n int) []float32 {
	if n == 0 {
		return []float32{}
	}
	if a.inUse == nil {
		a.inUse = map[*float32]place{}
	}
	p := a.find((n + line - 1) / line * line)
	x := a.slabs[p.slab].mem[p.at:][:n:n]
	a.inUse[&x[0]] = p
	par.Fill(x)
	return x
}

// find takes n floats of the first slab that has a gap for them, or of a new one.
func (a *arena) find(n int) place {
	total := 0
	for i := range a.slabs {
		s := &a.slabs[i]
		if at := s.take(n); at >= 0 {
			return place{i, gap{at, n}}
		}
		total += len(s.mem)
	}
	size := max(n, total, firstSlab) // so that there are few: each is as large as all before
	s := slab{mem: make([]float32, size), free: []gap{{0, size}}}
	s.take(n)
	a.slabs = append(a.slabs, s)
	return place{len(a.slabs) - 1, gap{0, n}}
}

// take cuts n floats of the smallest gap that holds them, and returns where; -1 if none does.
func (s *slab) take(n int) int {
	best := -1
	for i, g := range s.free {
		if g.n >= n && (best < 0 || g.n < s.free[best].n) {
			best = i
		}
	}
	if best < 0 {
		return -1
	}
	g := &s.free[best]
	at := g.at
	g.at, g.n = g.at+n, g.n-n
	if g.n == 0 {
		s.free = slices.Delete(s.free, best, best+1)
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
		a.slabs[p.slab].give(p.gap)
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
		s := &a.slabs[i]
		s.free = append(s.free[:0], gap{0, len(s.mem)})
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
