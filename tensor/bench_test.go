package tensor_test

import (
	"fmt"
	"testing"

	"ddpm/tensor"
)

// The shapes of the U-Nets for 28×28 digits at batch 128, and for CIFAR-10 at batch 16, level by level.
var benchShapes = []struct{ n, side, cin, cout int }{
	{128, 28, 32, 32}, {128, 14, 64, 64}, {128, 7, 128, 128},
	{16, 32, 128, 128}, {16, 16, 256, 256}, {16, 8, 256, 256}, {16, 4, 256, 256},
}

func shapeName(n, side, cin, cout int) string {
	return fmt.Sprintf("%d×%d²×%d→%d", n, side, cin, cout)
}

// gflops runs f and reports its speed, given the multiply-adds of the definition, whatever way f takes.
func gflops(b *testing.B, macs int, f func()) {
	b.Helper()
	f() // memory is allocated by the first call
	for b.Loop() {
		f()
	}
	b.ReportMetric(2*float64(macs)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

func BenchmarkConv2D(b *testing.B) {
	for _, s := range benchShapes {
		x, w, bias := random(1, s.n, s.side, s.side, s.cin), random(2, 3, 3, s.cin, s.cout), random(3, s.cout)
		y, dx, dw := random(4, s.n, s.side, s.side, s.cout), tensor.New(x.Shape...), tensor.New(w.Shape...)
		dy := y.Clone()
		macs := len(y.Data) * 9 * s.cin
		for _, m := range methods[1:] {
			v := tensor.Same3
			v.Method = m.method
			name := func(pass string) string {
				return shapeName(s.n, s.side, s.cin, s.cout) + "/" + m.name + "/" + pass
			}
			b.Run(name("forward"), func(b *testing.B) {
				gflops(b, macs, func() { tensor.Conv2D(y, x, w, bias, v, nil) })
			})
			b.Run(name("input-gradient"), func(b *testing.B) {
				gflops(b, macs, func() { tensor.Conv2DGrad(dx, false, Tensor{}, Tensor{}, x, w, dy, v, nil, nil) })
			})
			b.Run(name("weight-gradient"), func(b *testing.B) {
				gflops(b, macs, func() { tensor.Conv2DGrad(Tensor{}, false, dw, Tensor{}, x, w, dy, v, nil, nil) })
			})
		}
	}
}

func BenchmarkNormSiLUConv(b *testing.B) {
	for _, s := range benchShapes {
		size := blockSize{s.n, s.side, s.side, s.cin, s.cout, 8}
		block, x, dy := size.random()
		y, stats := tensor.New(dy.Shape...), tensor.New(block.StatsShape(s.n)...)
		g := tensor.BlockGrad{
			X: tensor.New(x.Shape...), Gamma: tensor.New(s.cin), Beta: tensor.New(s.cin),
			W: tensor.New(block.W.Shape...), B: tensor.New(s.cout), PerImage: tensor.New(s.n, s.cout),
		}
		macs := len(y.Data) * 9 * s.cin
		for _, m := range methods {
			block.Method = m.method
			name := shapeName(s.n, s.side, s.cin, s.cout) + "/" + m.name
			b.Run(name+"/forward", func(b *testing.B) {
				gflops(b, macs, func() { tensor.NormSiLUConv(y, stats, x, block, nil) })
			})
			b.Run(name+"/backward", func(b *testing.B) {
				gflops(b, 2*macs, func() { tensor.NormSiLUConvGrad(g, stats, x, dy, block, nil) })
			})
		}
	}
}

func BenchmarkUpConv(b *testing.B) {
	for _, s := range benchShapes[1:3] {
		x, w, bias := random(1, s.n, s.side, s.side, s.cin), random(2, 3, 3, s.cin, s.cout), random(3, s.cout)
		dy := random(4, s.n, 2*s.side, 2*s.side, s.cout)
		y, dx, dw, db := tensor.New(dy.Shape...), tensor.New(x.Shape...), tensor.New(w.Shape...), tensor.New(s.cout)
		macs := len(y.Data) * 9 * s.cin
		name := shapeName(s.n, s.side, s.cin, s.cout)
		for _, m := range methods[:2] {
			b.Run(name+"/"+m.name+"/forward", func(b *testing.B) {
				gflops(b, macs, func() { tensor.UpConv(y, x, w, bias, m.method, nil) })
			})
			b.Run(name+"/"+m.name+"/backward", func(b *testing.B) {
				gflops(b, 2*macs, func() { tensor.UpConvGrad(dx, false, dw, db, x, w, dy, m.method, nil, nil) })
			})
		}
	}
}

func BenchmarkLinear(b *testing.B) {
	for _, s := range []struct{ n, positions, in, out int }{
		{128, 1, 128, 512}, {128, 49, 128, 128}, {128, 196, 128, 64}, {16, 256, 256, 256}, {16, 1024, 256, 128},
	} {
		x, w, bias, dy := random(1, s.n, s.positions, s.in), random(2, s.in, s.out), random(3, s.out), random(4, s.n, s.positions, s.out)
		y, dx, dw, db := tensor.New(dy.Shape...), tensor.New(x.Shape...), tensor.New(w.Shape...), tensor.New(s.out)
		macs := len(y.Data) * s.in
		name := fmt.Sprintf("%d×%d×%d→%d", s.n, s.positions, s.in, s.out)
		b.Run(name+"/forward", func(b *testing.B) { gflops(b, macs, func() { tensor.Linear(y, x, w, bias, nil) }) })
		b.Run(name+"/backward", func(b *testing.B) {
			gflops(b, 2*macs, func() { tensor.LinearGrad(dx, false, dw, db, x, w, dy, nil, nil) })
		})
	}
}

func BenchmarkAttention(b *testing.B) {
	for _, s := range [][3]int{{128, 49, 128}, {16, 256, 256}} {
		q, k, v, dy := random(1, s[:]...), random(2, s[:]...), random(3, s[:]...), random(4, s[:]...)
		y, dq, dk, dv := tensor.New(s[:]...), tensor.New(s[:]...), tensor.New(s[:]...), tensor.New(s[:]...)
		macs := 2 * len(y.Data) * s[1] // two products forward, five backward with the scores again
		name := fmt.Sprintf("%d×%d×%d", s[0], s[1], s[2])
		b.Run(name+"/forward", func(b *testing.B) { gflops(b, macs, func() { tensor.Attention(y, q, k, v, 1) }) })
		b.Run(name+"/backward", func(b *testing.B) {
			gflops(b, 5*macs/2, func() { tensor.AttentionGrad(tensor.AttentionGrads{Q: dq, K: dk, V: dv}, q, k, v, dy, 1) })
		})
	}
}

// Group normalisation does next to no arithmetic: its measure is the memory it reads and writes.
func BenchmarkGroupNorm(b *testing.B) {
	for _, s := range benchShapes {
		x, dy := random(1, s.n, s.side, s.side, s.cin), random(2, s.n, s.side, s.side, s.cin)
		m := tensor.Norm{Gamma: random(3, s.cin), Beta: random(4, s.cin), Groups: 8, Eps: 1e-5}
		y, stats, dx := tensor.New(x.Shape...), tensor.New(m.StatsShape(s.n)...), tensor.New(x.Shape...)
		dgamma, dbeta := tensor.New(s.cin), tensor.New(s.cin)
		name := fmt.Sprintf("%d×%d²×%d", s.n, s.side, s.cin)
		b.Run(name+"/forward", func(b *testing.B) {
			b.SetBytes(int64(8 * len(x.Data))) // reads x, writes y
			for b.Loop() {
				tensor.GroupNorm(y, stats, x, m)
			}
		})
		b.Run(name+"/backward", func(b *testing.B) {
			b.SetBytes(int64(12 * len(x.Data))) // reads x and dy, writes dx
			for b.Loop() {
				tensor.GroupNormGrad(dx, false, dgamma, dbeta, stats, x, dy, m, nil)
			}
		})
	}
}
