package diffusion

import (
	"fmt"
	"math"
	"testing"
)

// TestWeightings compares with the formulas as papers and programs state them, each for an own prediction.
func TestWeightings(t *testing.T) {
	s := Linear(1000, 1e-4, 0.02)
	for _, time := range []int{2, 100, 500, 1000} {
		snr := s.SNR(time)
		near(t, "SNR on ε", Weighting(WeighSNR).of(s, Epsilon, time), 1, 1e-12)
		near(t, "SNR on x0", Weighting(WeighSNR).of(s, X0, time), snr, 1e-12)
		near(t, "min-SNR on ε", WeighMinSNR(5).of(s, Epsilon, time), min(snr, 5)/snr, 1e-12)
		near(t, "min-SNR on x0", WeighMinSNR(5).of(s, X0, time), min(snr, 5), 1e-12)
		near(t, "min-SNR on v", WeighMinSNR(5).of(s, V, time), min(snr, 5)/(snr+1), 1e-12)
		// DDPM eq. 12: β²/(2σ²α(1-ᾱ)).
		beta, alpha, ab := s.Beta[time], s.Alpha[time], s.AlphaBar[time]
		near(t, "VLB on ε", WeighVLB(FixedLarge).of(s, Epsilon, time), beta*beta/(2*beta*alpha*(1-ab)), 1e-9)
	}
}

// TestTimes feeds even values of u, which must give every t its share, and weights that make up for unequal shares.
func TestTimes(t *testing.T) {
	const T, n = 7, 70_000
	filled := NewSecondMoment(T)
	for time := 1; time <= T; time++ {
		for i := range 15 { // of which the last 10 count
			loss := float64(time)
			if i < 5 {
				loss = 1e6
			}
			filled.Add(time, loss)
		}
	}
	begun := NewSecondMoment(T)
	begun.Add(1, 100)
	even := func(int) float64 { return 1.0 / T }
	rising := func(time int) float64 { return 0.001/T + 0.999*float64(time)/28 } // 28 = 1+2+…+7
	for name, c := range map[string]struct {
		times Times
		share func(t int) float64
	}{
		"uniform": {Uniform(T), even}, "stratified": {Stratified(T), even},
		"second moment, begun": {begun.Times(), even}, "second moment": {filled.Times(), rising},
	} {
		count, weights := make([]float64, T+1), make([]float64, T+1)
		for i := range n {
			u := (float64(i) + 0.5) / n
			place, total := i%10, 10
			if name == "stratified" {
				u, place, total = float64(i%10)/10, i/10, n/10
			}
			time, weight := c.times(u, place, total)
			count[time]++
			weights[time] += weight
		}
		for time := 1; time <= T; time++ {
			if got := count[time] / n; math.Abs(got-c.share(time)) > 2.0/n {
				t.Errorf("%s: t = %d has share %.5f, want %.5f", name, time, got, c.share(time))
			}
			near(t, fmt.Sprintf("%s: weight of all draws of t = %d", name, time), weights[time]/n, 1.0/T, 1e-3)
		}
	}
	for _, times := range []Times{Uniform(T), Stratified(T), filled.Times()} {
		for _, u := range []float64{0, math.Nextafter(1, 0)} {
			if time, _ := times(u, 9, 10); time < 1 || time > T {
				t.Errorf("u = %g gives t = %d", u, time)
			}
		}
	}
	mustPanic(t, "loss at 0", func() { filled.Add(0, 1) })
}

// TestStratifiedSeesAllLevels checks that T images visit T times in one step.
func TestStratifiedSeesAllLevels(t *testing.T) {
	times := Stratified(16)
	for i := range 16 {
		if got, _ := times(0.99, i, 16); got != i+1 {
			t.Errorf("image %d goes to t = %d", i, got)
		}
	}
}
