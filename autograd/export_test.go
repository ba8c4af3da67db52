package autograd

// What only the tests of this package see of a tape.

// Recorded returns the number of operations recorded for Backward.
func (t *Tape) Recorded() int { return len(t.nodes) }

// ArenaBytes returns the memory the tape has allocated in all, for results and gradients.
func (t *Tape) ArenaBytes() int { return t.mem.bytes() }
