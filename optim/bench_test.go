package optim

import "testing"

// BenchmarkStep is what follows the backward pass of a training step, for a U-Net of five million weights. GB/s counts
// reads and writes of the slices.
func BenchmarkStep(b *testing.B) {
	const n = 5_000_000
	w, g, avg, s := normals(n, 0), normals(n, 1), normals(n, 0), NewState(n)
	for _, c := range []struct {
		name   string
		slices int64
		f      func()
	}{
		{"Norm", 1, func() { Norm(g) }},
		{"Adam", 7, func() { NewAdam().Step(w, g, s, 1e-4, 1) }},
		{"EMA", 3, func() { EMA{Decay: 0.9999}.Update(avg, w, 1) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(4 * n * c.slices)
			for b.Loop() {
				c.f()
			}
		})
	}
}
