package tensor

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"ddpm/internal/mem"
	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// span is the number of elements in one piece of elementwise work: large enough to hide the hand-over, small enough
// to balance.
const span = 1 << 15

// cacheLine is the number of elements in a cache line.
const cacheLine = 16

// spans runs f over [0, n) in pieces of span elements.
func spans(n int, f func(lo, hi int)) {
	par.For((n+span-1)/span, func(i int, _ *par.Scratch) { f(i*span, min((i+1)*span, n)) })
}

// work is memory that an operation needs across its parallel pieces. Many sizes take turns, so a request is served by
// the smallest idle slice that holds it, unless that is much too large, and of several the one last used in the same place.
// A new slice takes the place of the longest idle one below it, whose requests it will serve, unless it is much too large
// for them.
var work struct {
	sync.Mutex
	idle []workSlice // by length, shortest first
}

type workSlice struct {
	data  []float32
	place par.Place
}

// slack is how many times as long as asked for a slice may be.
const slack = 4

// takeWork returns n floats with undefined contents; giveWork takes them back.
func takeWork(n int) []float32 {
	here := par.Here()
	work.Lock()
	defer work.Unlock()
	i := firstWork(n)
	var x []float32
	if i < len(work.idle) && len(work.idle[i].data) <= slack*n {
		for k := i; k < len(work.idle) && len(work.idle[k].data) == len(work.idle[i].data); k++ {
			if work.idle[k].place == here {
				i = k
			}
		}
		x = work.idle[i].data[:n]
		work.idle = slices.Delete(work.idle, i, i+1)
	} else {
		if i > 0 && n <= slack*len(work.idle[i-1].data) {
			work.idle = slices.Delete(work.idle, i-1, i)
		}
		x = mem.Floats(n)
	}
	par.Fill(x)
	return x
}

func giveWork(x []float32) {
	x = x[:cap(x)]
	here := par.Here()
	work.Lock()
	defer work.Unlock()
	work.idle = slices.Insert(work.idle, firstWork(len(x)), workSlice{x, here})
}

// firstWork returns the number of idle slices that are shorter than n.
func firstWork(n int) int {
	i, _ := slices.BinarySearchFunc(work.idle, n, func(x workSlice, n int) int { return len(x.data) - n })
	return i
}

// frames keeps the descriptions of calls for use again. Work that is handed to other goroutines outlives, for all the
// compiler knows, the function that hands it out, so whatever its closures capture is moved to the heap. A frequent
// operation therefore gathers what its pieces read in one struct from here, and they capture one pointer.
type frames[T any] struct{ pool sync.Pool }

// take returns a frame that holds v; give takes it back.
func (f *frames[T]) take(v T) *T {
	c, ok := f.pool.Get().(*T)
	if !ok {
		c = new(T)
	}
	*c = v
	return c
}

func (f *frames[T]) give(c *T) {
	var none T
	*c = none // so that it keeps nothing alive
	f.pool.Put(c)
}

// Packs keeps weights in the layouts of the kernels between calls of the operations that are given it, until Forget.
// The weights must not change before. A nil *Packs keeps nothing: weights are then packed at every call. Several goroutines
// may use one at once, but not during Forget.
type Packs struct {
	lock        sync.Mutex // of m and size
	m           map[packKey]*pack
	shares      int // of a batch, computed side by side
	round       int // of Forget
	size, limit int // floats of all that were packed, and how many may be kept
}

type packKey struct {
	w    *float32
	form form
	// Of a Pair:
	second     *float32
	transposed bool
}

type pack struct {
	uses       int        // before it is kept
	lock       sync.Mutex // while it is packed, or packing begins
	data       []float32
	round      int          // in which it was packed
	next, left atomic.Int64 // the next piece to pack, and how many are not done
}

// NewPacks returns an empty Packs. It keeps weights from their second use on, by when it knows how much there is to keep:
// nothing if that is more than limit floats, for a part would save little time for its memory.
func NewPacks(limit int) *Packs { return &Packs{m: map[packKey]*pack{}, shares: 1, limit: limit} }

// Shares says that so many shares of a batch are computed side by side, which together are one use.
func (p *Packs) Shares(n int) {
	if p != nil {
		p.shares = n
	}
}

// Forget says that weights have changed, or may change. The memory is kept for packing them again.
func (p *Packs) Forget() { p.round++ }

// form is one of the layouts that weights are packed in.
type form uint8

const (
	panels          form = iota // panels of 32 columns, see simd.Gemm
	panelsGrad                  // of the transpose, for the input gradient
	phasesGrad                  // of the transposed kernels of a convolution's phases, turned by half a turn
	winoForm2                   // the Winograd transform of a 3×3 kernel for tiles of 2×2, in panels
	winoForm2Grad               // for the input gradient
	winoForm4                   // for tiles of 4×4
	winoForm4Grad               //
	winoForm2Up                 // of the four phases of UpConv
	winoForm2UpGrad             //
	winoForm4Up                 //
	winoForm4UpGrad             //
	upForm                      // the four 2×2 kernels of UpConv, in panels
	upFormGrad                  //
	tapPanels                   // the taps of a kernel side by side, in panels
	pairPanels                  // the product of a Pair's weights in panels, and its bias
	pairPanelsGrad              // of the transpose
)

// packed is a weight in one of the forms. done must be called after its last use.
type packed struct {
	data []float32
	once bool // for one call only, and not kept
}

func (p packed) done() {
	if p.once {
		giveWork(p.data)
	}
}

// packed returns w packed by fill in the given form, size floats.
func (p *Packs) packed(w Tensor, f form, size int, fill func(dst []float32)) packed {
	return p.keyed(packKey{w: &w.Data[0], form: f}, size, fill)
}

// packedTogether is packed for weights that are kept, done in n pieces by whoever needs them; for others its data is nil.
func (p *Packs) packedTogether(w Tensor, f form, size, n int, piece func(dst []float32, i int, mem *par.Scratch)) packed {
	e := p.kept(packKey{w: &w.Data[0], form: f}, size)
	if e == nil {
		return packed{}
	}
	data := e.begin(p.round, size, n)
	if e.left.Load() > 0 {
		par.For(par.Workers(), func(_ int, mem *par.Scratch) {
			for i := e.next.Add(1) - 1; i < int64(n); i = e.next.Add(1) - 1 {
				mem.Within(func() {
					defer e.left.Add(-1) // after a panic too, or others would wait for ever
					piece(data, int(i), mem)
				})
			}
		})
		par.Await(func() bool { return e.left.Load() == 0 })
	}
	return packed{data: data}
}

// begin returns where the weights are kept, and if they have changed makes n pieces to be done.
func (e *pack) begin(round, size, n int) []float32 {
	e.lock.Lock()
	defer e.lock.Unlock()
	if e.changed(round, size) {
		e.next.Store(0)
		e.left.Store(int64(n))
	}
	return e.data
}

// changed reports whether the weights are to be packed, for the first time in this round, and sees that there is memory.
func (e *pack) changed(round, size int) bool {
	if e.data != nil && e.round == round {
		return false
	}
	if e.data == nil {
		e.data = mem.Floats(size)
	}
	e.round = round
	return true
}

// packedPair is packed for what is made of a Pair's weights.
func (p *Packs) packedPair(w Pair, f form, size int, fill func(dst []float32)) packed {
	return p.keyed(packKey{&w.W1.Data[0], f, &w.W2.Data[0], w.Transposed}, size, fill)
}

func (p *Packs) keyed(key packKey, size int, fill func(dst []float32)) packed {
	e := p.kept(key, size)
	if e == nil {
		buf := takeWork(size)
		fill(buf)
		return packed{buf, true}
	}
	return p.filled(e, size, fill)
}

// filled returns what e keeps, packed by fill if the weights have changed.
func (p *Packs) filled(e *pack, size int, fill func(dst []float32)) packed {
	e.lock.Lock()
	defer e.lock.Unlock()
	if e.changed(p.round, size) {
		fill(e.data)
	}
	return packed{data: e.data}
}

// kept returns where weights are kept, nil if they are not to be.
func (p *Packs) kept(key packKey, size int) *pack {
	if p == nil {
		return nil
	}
	p.lock.Lock()
	defer p.lock.Unlock()
	e := p.m[key]
	if e == nil {
		e = new(pack)
		p.m[key] = e
		p.size += size
	}
	switch {
	case e.uses < p.shares:
		e.uses++
		return nil
	case p.size > p.limit:
		e.drop()
		return nil
	}
	return e
}

// drop gives up what e keeps.
func (e *pack) drop() {
	e.lock.Lock()
	defer e.lock.Unlock()
	e.data = nil
}

// sameShape panics unless all of xs have the shape of y.
func sameShape(op string, y Tensor, xs ...Tensor) {
	for _, x := range xs {
		if !slices.Equal(x.Shape, y.Shape) {
			panic(fmt.Sprintf("tensor: %s: got shape %v, want %v", op, x.Shape, y.Shape))
		}
	}
}

// checkOptional panics unless x is empty or has the shape want.
func checkOptional(op string, x Tensor, want ...int) {
	if !x.Empty() {
		checkShape(op, x, want...)
	}
}

// imageOf returns image i of x, nil if x is empty.
func imageOf(x Tensor, i int) []float32 {
	if x.Empty() {
		return nil
	}
	size := perImage(x)
	return x.Data[i*size:][:size]
}

// perImage returns the number of elements in one image of x, whose first dimension counts images.
func perImage(x Tensor) int {
	if len(x.Shape) == 0 || x.Shape[0] == 0 {
		return 0
	}
	return len(x.Data) / x.Shape[0]
}

// fetchImages lists images n0…n1 of each of xs, as far as there are so many, as needed soon.
func fetchImages(soon *simd.Ahead, n0, n1 int, xs ...Tensor) {
	for _, x := range xs {
		if size := perImage(x); size > 0 {
			soon.Add(x.Data[min(n0*size, len(x.Data)):min(n1*size, len(x.Data))])
		}
	}
}
