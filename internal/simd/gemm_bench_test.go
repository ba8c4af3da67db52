package simd

import (
	"testing"
	"time"
)

// BenchmarkGemm runs the shapes of a U-Net's layers: rows × K × columns.
func BenchmarkGemm(b *testing.B) {
	for _, s := range []struct {
		name           string
		m, n, k        int
		segments       int
		weightGradient bool
	}{
		{"conv28x32to32", 28 * 28, 32, 32, 9, false},
		{"conv14x64to64", 14 * 14, 64, 64, 9, false},
		{"conv7x128to128", 7 * 7, 128, 128, 9, false},
		{"conv14x128to128", 14 * 14, 128, 128, 9, false},
		{"conv28x32to3", 28 * 28, 3, 32, 9, false},
		{"winograd14x32", 14, 32, 32, 1, false},
		{"winograd56x64", 56, 64, 64, 1, false},
		{"winograd16x128", 16, 128, 128, 1, false},
		{"winograd64x256", 64, 256, 256, 1, false},
		{"weights32x28x32", 32, 32, 28, 28, true},
		{"weights64x56x64", 64, 64, 56, 1, true},
		{"weights128x196x128", 128, 128, 196, 1, true},
		{"linear128x512x128", 128, 128, 512, 1, false},
		{"linear1x512x128", 1, 128, 512, 1, false},
	} {
		b.Run(s.name, func(b *testing.B) {
			benchmarks(b, func(b *testing.B) {
				g := Gemm{M: s.m, N: s.n, K: s.k, CRow: s.n, ARow: s.k, AK: 1, BRow: panel, BPanel: panel * s.k * s.segments}
				if s.weightGradient {
					g.ARow, g.AK, g.BRow, g.BPanel = 1, s.m, s.n, panel
				}
				for i := range s.segments {
					if s.weightGradient {
						g.AOff = append(g.AOff, i*s.k*s.m)
						g.BOff = append(g.BOff, i*s.k*s.n)
					} else {
						g.AOff = append(g.AOff, i%3*s.k+i/3*30*s.k)
						g.BOff = append(g.BOff, i*panel*s.k)
					}
				}
				g.A = make([]float32, g.AOff[s.segments-1]+s.m*s.k)
				g.B = make([]float32, s.segments*s.k*((s.n+panel-1)/panel*panel))
				g.C = make([]float32, s.m*s.n)
				peak := fmaPeak()
				start := time.Now()
				for b.Loop() {
					g.Run()
				}
				rate := 2 * float64(s.m*s.n*s.k*s.segments) * float64(b.N) / time.Since(start).Seconds() / 1e9
				peak = max(peak, fmaPeak())
				b.ReportMetric(rate, "GFLOP/s")
				if peak > 0 {
					b.ReportMetric(100*rate/peak, "%peak")
				}
				b.ReportMetric(0, "ns/op")
			})
		})
	}
}
