package tensor

import "ddpm/internal/par"

// Kernels in Winograd's form, one [Cin Cout] matrix in panels for each position.

// kernelStride returns the distance of positions in transformed kernels of cin×cout, a cache line more than they take:
// at a power of two the stores of all positions would compete for the same sets of the cache.
func kernelStride(cin, cout int) int { return panelSize(cin, cout) + cacheLine }

// kernelSize returns the size of transformed kernels.
func (f *winograd) kernelSize(cin, cout int) int { return f.positions * kernelStride(cin, cout) }

// pack transforms the kernels w [3 3 Cin Cout] into u.
func (f *winograd) pack(u []float32, w Tensor) {
	k := kernelCalls.take(kernels{f, u, w})
	par.For((w.Shape[2]+packChannels-1)/packChannels, k.transform)
	kernelCalls.give(k)
}

// packedGrad returns the transformed kernels of the input gradient, turned by half a turn and with Cin and Cout
// swapped.
func (f *winograd) packedGrad(w Tensor, packs *Packs) packed {
	return packs.packed(w, f.gradForm, f.kernelSize(w.Shape[3], w.Shape[2]), func(u []float32) { f.packGrad(u, w) })
}

func (f *winograd) packGrad(u []float32, w Tensor) {
	k := kernelCalls.take(kernels{f, u, w})
	par.For((w.Shape[2]+panelWidth-1)/panelWidth*((w.Shape[3]+panelWidth-1)/panelWidth), k.transformGrad)
	kernelCalls.give(k)
}

// kernels w [3 3 Cin Cout] are being transformed into u, those of a few channels in each piece.
type kernels struct {
	f *winograd
	u []float32
	w Tensor
}

var kernelCalls frames[kernels]

// packChannels is the number of input channels whose kernels one piece transforms, with all output channels.
const packChannels = 16

func (k *kernels) transform(i int, _ *par.Scratch) {
	cin, cout, c0 := k.w.Shape[2], k.w.Shape[3], i*packChannels
	k.f.weight(k.u[c0*panelWidth:], kernelStride(cin, cout), panelWidth*cin, k.w.Data[c0*cout:], cin*cout, cout, min(packChannels, cin-c0), cout)
}

// transformGrad does as many output channels as a panel has input channels, two cache lines of each row of w; the next
// two are what the next piece reads.
func (k *kernels) transformGrad(i int, _ *par.Scratch) {
	cin, cout := k.w.Shape[2], k.w.Shape[3]
	groups := (cout + panelWidth - 1) / panelWidth
	c0, c1 := i/groups*panelWidth, i%groups*panelWidth
	u, w := k.u[c0*cout+c1*panelWidth:], k.w.Data[c0*cout+c1:]
	k.f.weightGrad(u, kernelStride(cout, cin), panelWidth*cout, w, cin*cout, cout, min(panelWidth, cin-c0), min(panelWidth, cout-c1))
}
