package diffusion

import (
	"fmt"
	"math"
	"sort"
)

// Times draws the t of image i of a training step of n images, given u uniform in [0, 1), and the weight that keeps the
// expected loss what it is for uniform t.
type Times func(u float64, i, n int) (t int, weight float64)

// Uniform draws each t in 1…T equally often.
func Uniform(T int) Times {
	return func(u float64, _, _ int) (int, float64) { return 1 + int(u*float64(T)), 1 }
}

// Stratified parts 1…T in n equal strata and draws image i's t from stratum i, so that every step sees all noise levels
// (arXiv:2107.00630, appendix I.1). The images of a step must be in random order. Over all, each t comes equally often.
func Stratified(T int) Times {
	return func(u float64, i, n int) (int, float64) {
		return min(1+int((float64(i)+u)/float64(n)*float64(T)), T), 1
	}
}

// SecondMoment draws t in proportion to √E[L_t²], L_t being the loss at t, which reduces the variance of the variational
// bound's gradient (arXiv:2102.09672, eq. 18). It keeps the last ten losses of every t, and draws uniformly until it has
// them. Its exported state is all there is to save.
type SecondMoment struct {
	Losses [][]float64 // per t-1: the last losses at t, the oldest first
}

// history is how many losses SecondMoment keeps per t, and uniformShare how often it draws uniformly, lest a t be
// forgotten (both as in arXiv:2102.09672's code).
const (
	history      = 10
	uniformShare = 0.001
)

// NewSecondMoment returns a SecondMoment for t in 1…T that has seen no losses.
func NewSecondMoment(T int) *SecondMoment { return &SecondMoment{make([][]float64, T)} }

// Add tells m the loss of an image noised to t. To keep training reproducible, add a step's losses in the order of its
// images.
func (m *SecondMoment) Add(t int, loss float64) {
	if t < 1 || t > len(m.Losses) {
		panic(fmt.Sprintf("diffusion: Add: got time %d, want 1…%d", t, len(m.Losses)))
	}
	seen := append(m.Losses[t-1], loss)
	m.Losses[t-1] = seen[max(0, len(seen)-history):]
}

// Times returns the draw according to the losses seen so far; losses added later do not change it.
func (m *SecondMoment) Times() Times {
	T := len(m.Losses)
	upTo := make([]float64, T+1) // upTo[t]: sum of √E[L²] over 1…t
	for i, losses := range m.Losses {
		if len(losses) < history {
			return Uniform(T)
		}
		square := 0.0
		for _, l := range losses {
			square += l * l
		}
		upTo[i+1] = upTo[i] + math.Sqrt(square/history)
	}
	if !(upTo[T] > 0) {
		return Uniform(T)
	}
	share := func(t int) float64 { // probability of 1…t
		return uniformShare*float64(t)/float64(T) + (1-uniformShare)*upTo[t]/upTo[T]
	}
	return func(u float64, _, _ int) (int, float64) {
		t := 1 + sort.Search(T-1, func(i int) bool { return u < share(i+1) })
		return t, 1 / (float64(T) * (share(t) - share(t-1)))
	}
}
