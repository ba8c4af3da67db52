// Package layers holds the U-Net of Denoising Diffusion Probabilistic Models and the parameters of its layers.
//
// The network is, by construction, the UNet2DModel of Hugging Face diffusers: the same blocks, the same order of
// operations and the same parameter names, so that reading and writing its checkpoints is renaming and transposing.
package layers

import (
	"fmt"
	"slices"

	"ddpm/autograd"
	"ddpm/internal/mem"
	"ddpm/internal/rng"
	"ddpm/tensor"
)

// Layout says how a parameter lies in memory and in files.
type Layout uint8

const (
	Plain  Layout = iota // the same in both: vectors, embedding tables
	Matrix               // [In Out] in memory, [Out In] in files
	Kernel               // [KH KW Cin Cout] in memory, [Cout Cin KH KW] in files
	Pixel                // a 1×1 kernel: [In Out] in memory, [Out In 1 1] in files
)

// Param is one parameter: its name in a checkpoint, its value and its gradient.
type Param struct {
	Name string
	*autograd.Var
	Layout Layout
	init   Init
}

// Params is the list of a network's parameters, and a scope in which new ones are named. The scopes of one network
// share one list.
type Params struct {
	scope string
	*registry
}

type registry struct {
	list  []Param
	seed  uint64
	names map[string]bool

	// The slabs, once packed, and where in them each parameter starts:
	values []float32
	grads  *autograd.GradSlab
	starts []int
}

// NewParams returns an empty list. The initial value of parameter number i is a function of (seed, i).
func NewParams(seed uint64) *Params {
	return &Params{registry: &registry{seed: seed, names: map[string]bool{}}}
}

// In returns the scope name within p: parameters declared there are called "scope.name".
func (p *Params) In(name string) *Params {
	return &Params{p.scope + name + ".", p.registry}
}

// New declares a parameter in scope p and returns its variable, which has a value from Pack on. It panics if the name
// is taken or the list is packed.
func (p *Params) New(name string, l Layout, init Init, shape ...int) *autograd.Var {
	name = p.scope + name
	if p.names[name] || p.values != nil {
		panic(fmt.Sprintf("layers: Params.New: got name %q, want a new one, before Pack", name))
	}
	p.names[name] = true
	v := autograd.Const(tensor.Tensor{Shape: slices.Clone(shape)})
	p.list = append(p.list, Param{name, v, l, init})
	return v
}

// All returns the parameters in the order of their declaration, those of every scope.
func (p *Params) All() []Param { return p.list }

// Count returns the number of parameters, as numbers.
func (p *Params) Count() int {
	n := 0
	for _, v := range p.list {
		n += len(v.Data)
	}
	return n
}

// packAlign is the alignment of a parameter in the slabs, in floats: a cache line.
const packAlign = 16

// Pack ends the list and makes the parameters: all values in one slab, initialised, and all gradients in another, so
// that zeroing, clipping, the optimiser and averages are each one pass. Parameters start on cache lines; the gaps
// between them hold zeros.
func (p *Params) Pack() {
	size := 0
	for _, v := range p.list {
		size += padded(tensor.Size(v.Shape))
	}
	p.values, p.grads = mem.Floats(size), autograd.NewGradSlab(size)
	at := 0
	for i, v := range p.list {
		n := tensor.Size(v.Shape)
		v.Var.Data = p.values[at : at+n : at+n]
		p.grads.Place(v.Var, at, padded(n))
		p.starts = append(p.starts, at)
		s := rng.New(p.seed, rng.Init, uint64(i), 0)
		v.init(v.Tensor, &s)
		at += padded(n)
	}
}

func padded(n int) int { return (n + packAlign - 1) / packAlign * packAlign }

// Values returns the slab of all values. It panics before Pack.
func (p *Params) Values() []float32 {
	p.checkPacked("Values")
	return p.values
}

// Grads returns the slab of all gradients. It panics before Pack, and between a forward pass for training and the end
// of its Backward, see ZeroGrads.
func (p *Params) Grads() []float32 {
	p.checkPacked("Grads")
	return p.grads.All()
}

// ZeroGrads makes all gradients zero, before the forward pass; after Backward they are read by Grads. Until Backward gets
// to them, layer by layer from the last to the first, their memory is free for results of the forward pass, see
// autograd.GradSlab. It panics before Pack.
func (p *Params) ZeroGrads() {
	p.checkPacked("ZeroGrads")
	p.grads.Zero()
}

func (p *Params) checkPacked(op string) {
	if p.values == nil {
		panic("layers: Params." + op + ": got an unpacked list, want a call of Pack before")
	}
}

// lend lets t keep the results of what it computes next in the memory of the gradients of all parameters declared before
// number first, if that is idle.
func (p *Params) lend(t *autograd.Tape, first int) { t.Borrow(p.grads, p.starts[first]) }

// Entry is a parameter as a file has it.
type Entry struct {
	Name  string
	Shape []int // in the file's layout
	param Param
	at    int
}

// Entries returns all parameters as files have them, sorted by name.
func (p *Params) Entries() []Entry {
	es := make([]Entry, len(p.list))
	at := 0
	for i, v := range p.list {
		es[i] = Entry{v.Name, fileShape(v.Shape, v.Layout), v, at}
		at += padded(len(v.Data))
	}
	slices.SortFunc(es, func(a, b Entry) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return es
}

// From returns this parameter's part of a slab laid out like Values (the values themselves, an average of them, an
// optimiser's moments) in the file's layout.
func (e Entry) From(slab []float32) tensor.Tensor {
	y := tensor.New(e.Shape...)
	e.each(func(file, mem int) { y.Data[file] = slab[e.at+mem] })
	return y
}

// Into is the reverse of From: it writes x, in the file's layout, to this parameter's part of a slab. It panics if x
// is of another size.
func (e Entry) Into(slab []float32, x tensor.Tensor) {
	if len(x.Data) != len(e.param.Data) {
		panic(fmt.Sprintf("layers: Entry.Into: got shape %v for %s, want %v", x.Shape, e.Name, e.Shape))
	}
	e.each(func(file, mem int) { slab[e.at+mem] = x.Data[file] })
}

// fileShape returns the shape in files of a parameter of the given shape in memory.
func fileShape(shape []int, l Layout) []int {
	switch l {
	case Matrix:
		return []int{shape[1], shape[0]}
	case Kernel:
		return []int{shape[3], shape[2], shape[0], shape[1]}
	case Pixel:
		return []int{shape[1], shape[0], 1, 1}
	}
	return shape
}

// each calls f with the position of every element in the file's layout and in memory.
func (e Entry) each(f func(file, mem int)) {
	taps, in, out := 1, 1, len(e.param.Data)
	switch s := e.param.Shape; e.param.Layout {
	case Matrix, Pixel:
		in, out = s[0], s[1]
	case Kernel:
		taps, in, out = s[0]*s[1], s[2], s[3]
	}
	file := 0
	for o := range out {
		for i := range in {
			for t := range taps {
				f(file, (t*in+i)*out+o)
				file++
			}
		}
	}
}
