package autograd_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"ddpm/autograd"
	"ddpm/tensor"
)

// chain is a network of linear layers, whose gradients lie in one slab.
type chain struct {
	slab *autograd.GradSlab
	w    []*autograd.Var
	at   []int
}

const (
	chainWidth  = 20
	chainLayers = 6
	chainRoom   = chainWidth*chainWidth + 7
	chainRows   = 5
)

func newChain() *chain {
	c := &chain{slab: autograd.NewGradSlab(chainLayers * chainRoom)}
	for i := range chainLayers {
		v := autograd.Const(random(uint64(i), chainWidth, chainWidth))
		c.at = append(c.at, i*chainRoom)
		c.slab.Place(v, c.at[i], chainRoom)
		c.w = append(c.w, v)
	}
	return c
}

// loss computes all layers, those from first on in the idle memory of the gradients before them.
func (c *chain) loss(tp *autograd.Tape, first int) *autograd.Var {
	h := autograd.Const(random(100, chainRows, chainWidth))
	for i, w := range c.w {
		if i == first {
			tp.Borrow(c.slab, c.at[i])
		}
		h = tp.SiLU(tp.Linear(h, w, nil))
	}
	tp.Borrow(c.slab, 0)
	l, _ := tp.MSE(h, autograd.Const(random(101, chainRows, chainWidth)), nil)
	return l
}

// A step that borrows has the gradients of one that does not, to the bit, in less memory of its own; between gradients
// there are zeros, whatever lay there.
func TestBorrow(t *testing.T) {
	plain, c := newChain(), newChain()
	tp, other := autograd.New(), autograd.New()
	for step := range 3 {
		tp.Reset()
		other.Reset()
		clear(plain.slab.All())
		other.Backward(plain.loss(other, -1))
		c.slab.Zero()
		tp.Backward(c.loss(tp, 2))
		require.Equal(t, plain.slab.All(), c.slab.All(), "step %d", step)
	}
	t.Logf("arena of %d bytes instead of %d", tp.ArenaBytes(), other.ArenaBytes())
	require.Less(t, tp.ArenaBytes(), other.ArenaBytes())
}

// The gradients of results that lie in borrowed memory lie there too: of its own the tape needs memory for the first result
// and its gradient, for the loss and its.
func TestBorrowForGradients(t *testing.T) {
	c := newChain()
	c.slab.Zero()
	tp := autograd.New()
	h := tp.Linear(autograd.Const(random(100, chainRows, chainWidth)), c.w[0], nil)
	tp.Borrow(c.slab, c.at[1])
	y := tp.SiLU(tp.Linear(h, c.w[1], nil))
	tp.Borrow(c.slab, 0)
	l, _ := tp.MSE(y, autograd.Const(tensor.New(chainRows, chainWidth)), nil)
	tp.Backward(l)
	const line = 64
	result := (4*chainRows*chainWidth + line - 1) / line * line
	require.LessOrEqual(t, tp.ArenaBytes(), 2*(result+line))
}

// Zero makes gradients zero though their memory holds something: the first contribution takes its place, the second is
// added, and one that gets none is zero.
func TestZero(t *testing.T) {
	c := newChain()
	old := c.slab.All()
	for i := range old {
		old[i] = 5
	}
	tp := autograd.New()
	c.slab.Zero()
	half := *c
	half.w = c.w[:3]
	tp.Backward(half.loss(tp, -1))
	once := slices.Clone(c.slab.All())
	require.NotContains(t, once[:3*chainRoom], float32(5))
	require.Equal(t, make([]float32, 3*chainRoom), once[3*chainRoom:])
	tp.Rewind()
	tp.Backward(half.loss(tp, 2)) // which borrows nothing: there are gradients
	for i, g := range c.slab.All() {
		require.Equal(t, 2*once[i], g)
	}
}

// What is lent is lent once, and comes back.
func TestLoans(t *testing.T) {
	c := newChain()
	c.slab.Zero()
	tp, second, inference := autograd.New(), autograd.New(), autograd.NewInference()
	c.loss(inference, 2)
	c.slab.All()
	c.slab.Zero()
	c.loss(tp, 2)
	require.PanicsWithValue(t, "autograd: GradSlab.All: got a slab that a tape keeps results in, want one after Backward or the tape's Reset", func() { c.slab.All() })
	c.loss(second, 2) // in memory of its own
	second.Reset()
	require.Panics(t, func() { c.slab.All() }, "the first still keeps results there")
	tp.Reset()
	c.slab.All()

	c.slab.Zero()
	l := c.loss(tp, 2)
	c.slab.Zero()
	require.PanicsWithValue(t, "autograd: Backward: got results that GradSlab.Zero has overwritten, want Zero before the forward pass", func() { tp.Backward(l) })
	tp.Reset()
	tp.Backward(c.loss(tp, 2))
	require.NotContains(t, c.slab.All()[:10], float32(0))

	// A tape borrows of one slab.
	d := newChain()
	c.slab.Zero()
	d.slab.Zero()
	tp.Reset()
	sum := tp.Add(c.loss(tp, 2), d.loss(tp, 2))
	d.slab.All()
	d.slab.Zero()
	tp.Backward(sum)
	require.Equal(t, c.slab.All(), d.slab.All())
}

// A gradient that is wanted while a result lies in its memory is an error of who lent it, and does not pass unseen.
func TestBorrowTooMuch(t *testing.T) {
	c := newChain()
	c.slab.Zero()
	tp := autograd.New()
	h := autograd.Const(random(100, chainRows, chainWidth))
	for i, w := range c.w {
		tp.Borrow(c.slab, c.at[chainLayers-1]) // also of the gradients of layers that are still to come
		h = tp.SiLU(tp.Linear(h, w, nil))
		if i == 2 {
			break
		}
	}
	l, _ := tp.MSE(h, autograd.Const(tensor.New(chainRows, chainWidth)), nil)
	require.PanicsWithValue(t, "autograd: Backward: got a gradient of shape [20 20] while a result lies in its memory, want none before all results that Borrow let lie there are differentiated", func() { tp.Backward(l) })
}

// A residual connection from a layer that borrows to one that does not hands its gradient on in memory that lasts.
func TestBorrowAndPass(t *testing.T) {
	run := func(borrow bool) []float32 {
		c := newChain()
		c.slab.Zero()
		tp := autograd.New()
		h := tp.Linear(autograd.Const(random(100, chainRows, chainWidth)), c.w[0], nil)
		g := tp.Linear(h, c.w[1], nil)
		if borrow {
			tp.Borrow(c.slab, c.at[2])
		}
		y := tp.Add(h, tp.Linear(g, c.w[2], nil))
		tp.Borrow(c.slab, 0)
		l, _ := tp.MSE(y, autograd.Const(tensor.New(chainRows, chainWidth)), nil)
		tp.Backward(l)
		return c.slab.All()
	}
	require.Equal(t, run(false), run(true))
}

// Tapes of several goroutines may want the same memory; one gets it.
func TestBorrowAtOnce(t *testing.T) {
	c := newChain()
	c.slab.Zero()
	done := make(chan float32)
	for range 4 {
		go func() {
			tp := autograd.New()
			l := c.loss(tp, 2).Data[0]
			tp.Reset()
			done <- l
		}()
	}
	want := <-done
	for range 3 {
		require.Equal(t, want, <-done)
	}
	c.slab.All()
}
