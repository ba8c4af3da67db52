package tensor

import "ddpm/internal/par"

// Kernels in Winograd's form, one [Cin Cout] matrix in panels for each position.

// kernelStride returns the distance of positions in transformed kernels of cin×cout, a cache line more than they take:
// at a power of two the stores of all positions would compete for the same sets of the cache.
func kernelStride(cin, cout int) int { return panelSize(cin, cout) + cacheLine }

// kernelSize returns the size of transformed kernels.
func (f *winograd) kernelSize(cin, cout int) int { return f.positions * kernelStride(cin, cout) }

// pack transforms the kernels w [3 3 Cin Cout] into u.
func (f *winograd) pack(u []float32, w Tensor) { kernels{f: f, w: w}.fill(u) }

// packGrad is pack for the kernels of the input gradient, turned by half a turn and with Cin and Cout swapped.
func (f *winograd) packGrad(u []float32, w Tensor) { kernels{f: f, w: w, grad: true}.fill(u) }

// kernels of a convolution by w [3 3 Cin Cout], or of its input gradient, to be transformed: those of a few channels in each
// piece.
type kernels struct {
	f    *winograd
	w    Tensor
	grad bool
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

func (c *kernelCall) piece(i int, _ *par.Scratch) { c.transform(c.u, i) }

// size returns the size of the transformed kernels.
func (k *kernels) size() int {
	if k.grad {
		return k.f.kernelSize(k.w.Shape[3], k.w.Shape[2])
	}
	return k.f.kernelSize(k.w.Shape[2], k.w.Shape[3])
}

// packChannels is the number of input channels whose kernels one piece transforms, with all output channels. For the input
// gradient it does as many output channels as a panel has input channels, two cache lines of each row of w; the next two
// are what the next piece reads.
const packChannels = 16

func (k *kernels) pieces() int {
	if k.grad {
		return (k.w.Shape[2] + panelWidth - 1) / panelWidth * ((k.w.Shape[3] + panelWidth - 1) / panelWidth)
	}
	return (k.w.Shape[2] + packChannels - 1) / packChannels
}

// transform does piece i of u.
func (k *kernels) transform(u []float32, i int) {
	cin, cout := k.w.Shape[2], k.w.Shape[3]
	if !k.grad {
		c0 := i * packChannels
		k.f.weight(u[c0*panelWidth:], kernelStride(cin, cout), panelWidth*cin, k.w.Data[c0*cout:], cin*cout, cout, min(packChannels, cin-c0), cout)
		return
	}
	groups := (cout + panelWidth - 1) / panelWidth
	c0, c1 := i/groups*panelWidth, i%groups*panelWidth
	u, w := u[c0*cout+c1*panelWidth:], k.w.Data[c0*cout+c1:]
	k.f.weightGrad(u, kernelStride(cout, cin), panelWidth*cout, w, cin*cout, cout, min(panelWidth, cin-c0), min(panelWidth, cout-c1))
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
	form, size := k.f.packForm, k.size()
	if k.grad {
		form = k.f.gradForm
	}
	if size > ownKernels {
		return transformed{packs.packed(k.w, form, size, k.fill), k}
	}
	return transformed{packs.packedIfKept(k.w, form, size, k.fill), k}
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
			t.k.transform(u, i)
		}
	}
	return u
}
