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

// Shared reports whether images were shared out.
func (t *Tape) Shared() bool { return len(t.apart) > 0 }

// ReadsAgain reports whether shares went through Backward together, for they read a parameter twice.
func (t *Tape) ReadsAgain() bool { return t.Shared() && t.apart[0].again }

// ArenaBytes returns the memory the tape has allocated in all, for results and gradients.
func (t *Tape) ArenaBytes() int {
	n := t.mem.bytes()
	for _, s := range t.apart {
		n += s.ArenaBytes()
	}
	return n
}
