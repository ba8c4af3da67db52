package rng

import "testing"

func BenchmarkNormal(b *testing.B) {
	dst := make([]float32, 3*32*32)
	s := New(1, Noise, 0, 0)
	for b.Loop() {
		s.block = 0 // else a long run would use the stream up
		s.Normal(dst)
	}
	b.ReportMetric(float64(len(dst))*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mnormals/s")
}

func BenchmarkUniform(b *testing.B) {
	dst := make([]float32, 3*32*32)
	s := New(1, Init, 0, 0)
	for b.Loop() {
		s.block = 0
		s.Uniform(dst, -1, 1)
	}
	b.ReportMetric(float64(len(dst))*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
}
