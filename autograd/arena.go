package autograd

import "ddpm/internal/par"

// arena is the memory of a tape: free lists of slices by exact length. A training step asks for the same lengths every
// time, so from the second step on nothing is allocated.
type arena struct {
	free  map[int][][]float32
	inUse map[*float32][]float32
	bytes int // all that was ever allocated
}

// take returns n floats with undefined contents.
func (a *arena) take(n int) []float32 {
	if a.free == nil {
		a.free, a.inUse = map[int][][]float32{}, map[*float32][]float32{}
	}
	if n == 0 {
		return []float32{}
	}
	var x []float32
	if list := a.free[n]; len(list) > 0 {
		x, a.free[n] = list[len(list)-1], list[:len(list)-1]
	} else {
		x = make([]float32, n)
		a.bytes += 4 * n
	}
	a.inUse[&x[0]] = x
	par.Fill(x)
	return x
}

// give returns x to the free lists. Memory that is not the arena's is left to its owner.
func (a *arena) give(x []float32) {
	if len(x) == 0 {
		return
	}
	if _, ok := a.inUse[&x[0]]; ok {
		delete(a.inUse, &x[0])
		a.free[len(x)] = append(a.free[len(x)], x)
	}
}

// owns reports whether x is in use of the arena's memory.
func (a *arena) owns(x []float32) bool {
	if len(x) == 0 {
		return false
	}
	_, ok := a.inUse[&x[0]]
	return ok
}

func (a *arena) reset() {
	for p, x := range a.inUse {
		delete(a.inUse, p)
		a.free[len(x)] = append(a.free[len(x)], x)
	}
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
