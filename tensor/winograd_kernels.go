package tensor

import "ddpm/internal/par"

// Kernels in Winograd's form, one [Cin Cout] matrix in panels for each position.

// kernelStride returns the distance of positions in transformed kernels of cin×cout, a cache line more than they take:
// at a power of two the stores of all positions would compete for the same sets of the cache.
func kernelStride(cin, cout int) int { return panelSize(cin, cout) + cacheLine }

// kernelSize returns the size of transformed kernels.
func (f *winograd) kernelSize(cin, cout int) int { return f.positions * kernelStride(cin, cout) }

// kernels of a convolution by w [3 3 Cin Cout], to be transformed: those of a few channels in each piece.
type kernels struct {
	f      *winograd
	w      Tensor
	grad   bool // those of the input gradient, turned by half a turn and with Cin and Cout swapped
	phases bool // those of the four phases of an UpConv, one after the other
}

// fill transforms them into u.
func (k kernels) fill(u []float32) {
	c := kernelCalls.take(kernelCall{k, u})
	par.For(k.pieces(), c.piece)
	kernelCalls.give(c)
}

// kernelCall is one call of fill.
type kernelCall struct {
	kernels
	u []float32
}

var kernelCalls frames[kernelCall]

func (c *kernelCall) piece(i int, mem *par.Scratch) { c.transform(c.u, i, mem) }

// size returns the size of the transformed kernels.
func (k *kernels) size() int {
	cin, cout := k.w.Shape[2], k.w.Shape[3]
	if k.grad {
		cin, cout = cout, cin
	}
	return k.count() * k.f.kernelSize(cin, cout)
}

// count is the number of kernels.
func (k *kernels) count() int {
	if k.phases {
		return 4
	}
	return 1
}

// form is the layout of the transformed kernels.
func (k *kernels) form() form {
	switch f := k.f; {
	case k.phases && k.grad:
		return f.upGradForm
	case k.phases:
		return f.upForm
	case k.grad:
		return f.gradForm
	default:
		return f.packForm
	}
}

// A piece transforms the kernels of packChannels input channels, with all output channels. For the input gradient it does
// those of a panel, and as many output channels, two cache lines of each row of w; the next two are what the next piece
// reads. Of phases, whose kernels are made in between, it does whole rows.
const packChannels = 16

func (k *kernels) pieces() int { return k.count() * k.blocks() * k.groups() }

// blocks is the number of blocks of input channels, groups that of groups of output channels.
func (k *kernels) blocks() int { return (k.w.Shape[2] + k.channels() - 1) / k.channels() }

func (k *kernels) groups() int {
	if k.grad && !k.phases {
		return (k.w.Shape[3] + panelWidth - 1) / panelWidth
	}
	return 1
}

// channels is the number of input channels in a block.
func (k *kernels) channels() int {
	if k.grad {
		return panelWidth
	}
	return packChannels
}

// transform does piece i of u.
func (k *kernels) transform(u []float32, i int, mem *par.Scratch) {
	cin, cout := k.w.Shape[2], k.w.Shape[3]
	phase, block, group := i/k.groups()/k.blocks(), i/k.groups()%k.blocks(), i%k.groups()
	c0, c1, rows, cols := block*k.channels(), group*panelWidth, k.channels(), cout
	if k.groups() > 1 {
		cols = panelWidth
	}
	rows, cols = min(rows, cin-c0), min(cols, cout-c1)
	w, tap, row := k.w.Data[c0*cout+c1:], cin*cout, cout
	if k.phases {
		kernel := mem.Floats(9 * rows * cout)
		phaseKernel(kernel, phase, w, tap, rows*cout)
		w, tap = kernel, rows*cout
	}
	u = u[len(u)/k.count()*phase:]
	if k.grad {
		k.f.weightGrad(u[c0*cout+c1*panelWidth:], kernelStride(cout, cin), panelWidth*cout, w, tap, row, rows, cols)
	} else {
		k.f.weight(u[c0*panelWidth:], kernelStride(cin, cout), panelWidth*cin, w, tap, row, rows, cols)
	}
}

// transformed is the transformed kernels that the pieces of a call read: made beforehand for all, or by each worker for
// itself.
type transformed struct {
	packed          // its data is nil if each worker makes its own
	k      *kernels // of which
}

// ownKernels is the size of transformed kernels, 1 MB, up to which each worker makes its own if they are not kept: that
// takes a core less time than to write some where others have read, and to read what others wrote. With two cores of a
// Zen 4 that share no cache a training step of small layers takes 6 % less, with two that do as long as before.
const ownKernels = 1 << 18

// transformed returns k transformed. done must be called after its last use.
func (k *kernels) transformed(packs *Packs) transformed {
	u := packs.packedTogether(k.w, k.form(), k.size(), k.pieces(), k.transform)
	if u.data == nil && k.size() > ownKernels {
		u = packed{takeWork(k.size()), true}
		k.fill(u.data)
	}
	return transformed{u, k}
}

// wanted reports whether there are any.
func (t *transformed) wanted() bool { return t.data != nil || t.k != nil }

// in returns the transformed kernels for the worker whose memory mem is.
func (t *transformed) in(mem *par.Scratch) []float32 {
	if t.data != nil {
		return t.data
	}
	u, first := mem.Once(t.k.size())
	if first {
		for i := range t.k.pieces() {
			mem.Within(func() { t.k.transform(u, i, mem) })
		}
	}
	return u
}
