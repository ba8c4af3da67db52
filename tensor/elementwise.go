package tensor

import (
	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// Add computes y = a + b, all of one shape. y may be a or b.
func Add(y, a, b Tensor) {
	sameShape("Add", y, a, b)
	spans(len(y.Data), func(lo, hi int) { simd.Add(y.Data[lo:hi], a.Data[lo:hi], b.Data[lo:hi]) })
}

// Accumulate computes y += x, or y = x if add is false: the gradient of Add, for either operand.
func Accumulate(y Tensor, add bool, x Tensor) {
	if y.Empty() {
		return
	}
	sameShape("Accumulate", y, x)
	spans(len(y.Data), func(lo, hi int) {
		if add {
			simd.Axpy(y.Data[lo:hi], 1, x.Data[lo:hi])
		} else {
			copy(y.Data[lo:hi], x.Data[lo:hi])
		}
	})
}

// Scale computes y = a·x. y may be x.
func Scale(y, x Tensor, a float32) {
	sameShape("Scale", y, x)
	spans(len(y.Data), func(lo, hi int) { simd.Scale(y.Data[lo:hi], a, x.Data[lo:hi]) })
}

// ScaleGrad adds the gradient of Scale: dx += a·dy.
func ScaleGrad(dx, dy Tensor, a float32) {
	if dx.Empty() {
		return
	}
	sameShape("ScaleGrad", dx, dy)
	spans(len(dx.Data), func(lo, hi int) { simd.Axpy(dx.Data[lo:hi], a, dy.Data[lo:hi]) })
}

// SiLU computes y = x·σ(x), σ(x) = 1/(1+e⁻ˣ) (Elfwing et al. 2017; "swish"). y may be x.
func SiLU(y, x Tensor) {
	sameShape("SiLU", y, x)
	spans(len(y.Data), func(lo, hi int) { simd.SiLU(y.Data[lo:hi], x.Data[lo:hi]) })
}

// SiLUGrad adds the gradient of SiLU: dx += dy·σ(x)·(1 + x·(1−σ(x))).
func SiLUGrad(dx, x, dy Tensor) {
	if dx.Empty() {
		return
	}
	sameShape("SiLUGrad", dx, x, dy)
	spans(len(dx.Data), func(lo, hi int) { simd.SiLUGrad(dx.Data[lo:hi], x.Data[lo:hi], dy.Data[lo:hi]) })
}

// AddPerImage computes y = x + e, where e [N C] holds one number per image and channel. x, y [N H W C].
func AddPerImage(y, x, e Tensor) {
	sameShape("AddPerImage", y, x)
	n, _, _, c := x.Dims4()
	checkShape("AddPerImage", e, n, c)
	size := perImage(x)
	par.For(n, func(i int, _ *par.Scratch) {
		dst := y.Data[i*size:][:size]
		copy(dst, x.Data[i*size:][:size])
		simd.AddRows(dst, e.Data[i*c:][:c])
	})
}

// AddPerImageGrad adds the gradient of AddPerImage for e: de[n c] += Σ over pixels of dy. The one for x is dy itself.
func AddPerImageGrad(de, dy Tensor) {
	if de.Empty() {
		return
	}
	n, _, _, c := dy.Dims4()
	checkShape("AddPerImageGrad", de, n, c)
	size := perImage(dy)
	par.For(n, func(i int, _ *par.Scratch) { simd.ChannelSums(de.Data[i*c:][:c], dy.Data[i*size:][:size]) })
}

// ScaleShift computes y = x·(1+s) + b with s and b per image and channel (adaptive group normalisation, Dhariwal &
// Nichol 2021, §3). x, y [N H W C], e = [s b] [N 2C].
func ScaleShift(y, x, e Tensor) {
	sameShape("ScaleShift", y, x)
	n, _, _, c := x.Dims4()
	checkShape("ScaleShift", e, n, 2*c)
	size := perImage(x)
	par.For(n, func(i int, mem *par.Scratch) {
		simd.Norm(y.Data[i*size:][:size], x.Data[i*size:][:size], onePlus(mem, e.Data[2*i*c:][:c]), e.Data[(2*i+1)*c:][:c])
	})
}

// ScaleShiftGrad adds the gradients of ScaleShift: dx += dy·(1+s), ds += Σ dy·x and db += Σ dy over pixels.
func ScaleShiftGrad(dx, de, x, e, dy Tensor) {
	sameShape("ScaleShiftGrad", dy, x)
	n, _, _, c := x.Dims4()
	checkShape("ScaleShiftGrad", e, n, 2*c)
	checkOptional("ScaleShiftGrad: dx", dx, x.Shape...)
	checkOptional("ScaleShiftGrad: de", de, n, 2*c)
	size := perImage(x)
	par.For(n, func(i int, mem *par.Scratch) {
		xi, dyi := x.Data[i*size:][:size], dy.Data[i*size:][:size]
		if !de.Empty() {
			simd.NormGrad(de.Data[(2*i+1)*c:][:c], de.Data[2*i*c:][:c], xi, dyi)
		}
		if !dx.Empty() {
			zero := mem.Floats(c)
			clear(zero)
			simd.Affine3(dx.Data[i*size:], c, dyi, c, xi, c, size/c, onePlus(mem, e.Data[2*i*c:][:c]), zero, zero, true)
		}
	})
}

// onePlus returns 1 + s in the worker's memory.
func onePlus(mem *par.Scratch, s []float32) []float32 {
	y := mem.Floats(len(s))
	for i, v := range s {
		y[i] = 1 + v
	}
	return y
}
