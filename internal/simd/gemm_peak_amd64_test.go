//go:build !purego

package simd

import "time"

// fmaPeak measures the rate, in GFLOP/s, of multiply-adds on registers alone
// with the instruction set in use: the limit of any product. 0: unknown.
func fmaPeak() float64 {
	const iterations = 100_000
	best := 0.0
	for range 10 {
		start := time.Now()
		lanes := 0
		switch {
		case useAVX512:
			fmaPeakAVX512(iterations)
			lanes = 16
		case useAVX2:
			fmaPeakAVX2(iterations)
			lanes = 8
		}
		best = max(best, float64(2*lanes*fmaPeakChains*iterations)/time.Since(start).Seconds()/1e9)
	}
	return best
}

// fmaPeakChains is the number of multiply-adds in one iteration.
const fmaPeakChains = 12
