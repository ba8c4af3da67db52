package autograd

// What only the tests of this package see of a tape.

// Recorded returns the number of operations recorded for Backward.
func (t *Tape) Recorded() int {
	n := len(t.nodes)
	for _, s := range t.apart {
		n += s.Recorded()
	}
	return n
}

// ArenaBytes returns the memory the tape has allocated in all, for results and gradients.
func (t *Tape) ArenaBytes() int {
	n := t.mem.bytes()
	for _, s := range t.apart {
		n += s.ArenaBytes()
	}
	return n
}
