package simd

import (
	"math/rand/v2"
	"testing"
)

// Images of the U-Net's levels for 28×28 and 32×32 inputs, all in L2.
var vecShapes = []struct {
	name      string
	pixels, c int
}{
	{"28x28x32", 28 * 28, 32},
	{"16x16x128", 16 * 16, 128},
	{"8x8x256", 8 * 8, 256},
}

// rate reports elements and bytes a second; each element moves bytes.
func rate(b *testing.B, elements, bytes int) {
	n := float64(b.N) * float64(elements) / b.Elapsed().Seconds()
	b.ReportMetric(n/1e9, "Gelem/s")
	b.ReportMetric(n*float64(bytes)/1e9, "GB/s")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkChannelwise(b *testing.B) {
	bytes := map[string]int{"Norm": 8, "NormSiLU": 8, "NormSiLUOfHalf": 4, "NormSiLUGrad": 12, "NormSiLUGradOfHalf": 6, "NormGrad": 8, "Affine3": 12, "Affine3Add": 16, "Affine3AddOfHalf": 8, "AddRows": 8, "CopyPixels": 4, "CopyPixelsAdd": 6, "ChannelSums": 4, "ChannelSquares": 4}
	for _, c := range channelCases {
		if bytes[c.name] == 0 {
			continue
		}
		for _, shape := range vecShapes {
			b.Run(c.name+"/"+shape.name, func(b *testing.B) {
				s, rows := make([][]float32, c.slices), make([][]float32, c.rows)
				r := rand.New(rand.NewPCG(1, 1))
				for i := range s {
					s[i] = vecValues(r, shape.pixels*shape.c, false)
				}
				for i := range rows {
					rows[i] = make([]float32, shape.c) // sums stay bounded, u is 0
				}
				benchmarks(b, func(b *testing.B) {
					for b.Loop() {
						c.call(s, rows)
					}
					rate(b, shape.pixels*shape.c, bytes[c.name])
				})
			})
		}
	}
}

func BenchmarkElementwise(b *testing.B) {
	bytes := map[string]int{"Exp": 8, "SiLU": 8, "SiLUGrad": 16, "Softmax": 8, "SoftmaxGrad": 12, "Add": 12, "Axpy": 12, "Scale": 8, "Lerp": 12, "Sum": 4, "SumSquares": 4, "Dot": 8, "SquaredError": 12, "AllFinite": 4, "Adam": 28}
	for _, c := range elementCases {
		if bytes[c.name] == 0 {
			continue
		}
		for _, n := range []struct {
			name string
			n    int
		}{{"196", 196}, {"32K", 32 << 10}} {
			b.Run(c.name+"/"+n.name, func(b *testing.B) {
				r := rand.New(rand.NewPCG(1, 1))
				benchmarks(b, func(b *testing.B) {
					s := make([][]float32, c.slices)
					for i := range s {
						s[i] = vecValues(r, n.n, false)
					}
					if c.name == "Adam" {
						clear(s[2])
						clear(s[3])
					}
					for b.Loop() {
						c.call(s, nil)
					}
					rate(b, n.n, bytes[c.name])
				})
			})
		}
	}
}
