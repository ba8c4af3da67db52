package diffusion

import (
	"fmt"
	"math"
	"slices"
)

// Fewer steps: each function here chooses which n of a schedule's T times a sampler visits, rising, for
// Schedule.Strided. The first three are those of diffusers' schedulers of that name, moved by one: a time here is the
// network's time step plus one. They return an error, since n tends to come from a command line.

// Leading returns 1, 1+⌊T/n⌋, 1+2⌊T/n⌋, …, each moved up by offset (diffusers' steps_offset). It never visits T, so the
// chain starts from a level with a trace of the image that its noise lacks. It returns an error unless 1 ≤ n ≤ T, or if
// the offset is negative or moves a time past T.
func Leading(T, n, offset int) ([]int, error) {
	if err := checkCount(T, n); err != nil {
		return nil, err
	}
	times := make([]int, n)
	for k := range times {
		times[k] = 1 + k*(T/n) + offset
	}
	if offset < 0 || times[n-1] > T {
		return nil, fmt.Errorf("diffusion: leading spacing of %d in %d steps moved by %d leaves the schedule; use an offset of 0…%d", n, T, offset, T-1-(n-1)*(T/n))
	}
	return times, nil
}

// Linspace returns n times from 1 to T, evenly spaced and rounded half to even. It returns an error unless 1 ≤ n ≤ T.
// One step alone is from T.
func Linspace(T, n int) ([]int, error) {
	if err := checkCount(T, n); err != nil {
		return nil, err
	}
	if n == 1 {
		return []int{T}, nil
	}
	times := make([]int, n)
	for k, u := range linspace(0, float64(T-1), n) {
		times[k] = 1 + int(math.RoundToEven(u))
	}
	return times, nil
}

// Trailing returns T, T-T/n, T-2T/n, … rounded half to even: it always visits T, and is the spacing that
// arXiv:2305.08891 (§3.3) recommends. It returns an error unless 1 ≤ n ≤ T.
func Trailing(T, n int) ([]int, error) {
	if err := checkCount(T, n); err != nil {
		return nil, err
	}
	times := make([]int, n)
	for k := range times {
		times[n-1-k] = int(math.RoundToEven(float64(T) - float64(k)*float64(T)/float64(n)))
	}
	return times, nil
}

// Karras returns the times of s whose noise levels σ̄ are nearest, in ln σ̄, to
//
//	(σ̄_T^{1/ρ} + i/(n-1)·(σ̄_1^{1/ρ} - σ̄_T^{1/ρ}))^ρ,  i = 0…n-1
//
// (EDM eq. 5; ρ = 7 there). The network knows the levels of s only, so levels are snapped to it, as EDM's own code does
// for networks with discrete steps. Where two snap to one time it is visited once, so there may be fewer than n. It
// returns an error unless 1 ≤ n ≤ T and rho > 0, and where σ̄_T is infinite.
func Karras(s Schedule, n int, rho float64) ([]int, error) {
	T := s.T()
	if err := checkCount(T, n); err != nil {
		return nil, err
	}
	if !(rho > 0) || s.AlphaBar[T] == 0 {
		return nil, fmt.Errorf("diffusion: Karras spacing needs rho > 0 and AlphaBar[T] > 0, got %g and %g; use trailing spacing", rho, s.AlphaBar[T])
	}
	high, low := math.Pow(s.Sigma(T), 1/rho), math.Pow(s.Sigma(1), 1/rho)
	var times []int
	for _, root := range linspace(high, low, n) {
		times = append(times, s.nearest(math.Pow(root, rho)))
	}
	slices.Sort(times)
	return slices.Compact(times), nil
}

// nearest returns the time in 1…T whose noise level σ̄ is nearest to sigma in ln σ̄, the lower of two as near.
func (s Schedule) nearest(sigma float64) int {
	lambda := -math.Log(sigma) // falls as t rises
	above, _ := slices.BinarySearchFunc(s.AlphaBar[1:], lambda, func(ab, lambda float64) int {
		if math.Log(ab/(1-ab))/2 > lambda {
			return -1
		}
		return 1
	})
	t := above + 1 // the first with λ_t ≤ lambda
	switch {
	case t > s.T():
		return s.T()
	case t > 1 && s.LogSNR(t-1)-lambda <= lambda-s.LogSNR(t):
		return t - 1
	}
	return t
}

func checkCount(T, n int) error {
	if n < 1 || n > T {
		return fmt.Errorf("diffusion: got %d sampling steps, want 1…%d: no more than the schedule has", n, T)
	}
	return nil
}
