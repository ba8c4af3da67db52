package optim

import (
	"encoding/json"
	"math"
	"os"
	"runtime"
	"slices"
	"testing"

	"ddpm/internal/rng"
	"ddpm/internal/simd"
)

const (
	ulp = 0x1p-23 // spacing of float32 numbers, relative to the smallest of their binade

	// updateError bounds the relative error of one update lr·m̂/(√v̂+ε): some ten roundings by half an ulp each.
	updateError = 8 * ulp
)

// normals returns n standard normal numbers, others for every i.
func normals(n int, i uint64) []float32 {
	x := make([]float32, n)
	s := rng.New(1, rng.Noise, i, 0)
	s.Normal(x)
	return x
}

// TestAdamFirstStep: after one step m̂ = g and v̂ = g², so every weight moves by lr against the sign of its gradient,
// however small the gradient.
func TestAdamFirstStep(t *testing.T) {
	w := []float32{1, 1, 1, 1, 1}
	g := []float32{1e3, -1e3, 1e-3, -1e-3, 0}
	s := NewState(len(w))
	NewAdam().Step(w, g, s, 0.25, 1)
	for i, want := range []float64{0.75, 1.25, 0.75, 1.25, 1} {
		if math.Abs(float64(w[i])-want) > 1e-5 { // ε = 1e-8 is 1e-5 of the smallest gradient
			t.Errorf("w[%d] = %v, want %v", i, w[i], want)
		}
	}
	if s.T != 1 {
		t.Errorf("T = %d after one step", s.T)
	}
}

// TestAdamW: where there is no gradient, decoupled decay shrinks weights by 1-lr·decay each step and nothing else.
func TestAdamW(t *testing.T) {
	a := NewAdam()
	a.WeightDecay = 0.5
	w, s := []float32{1, -2, 0}, NewState(3)
	for range 3 {
		a.Step(w, make([]float32, 3), s, 0.5, 1)
	}
	if want := []float32{0.421875, -0.84375, 0}; !slices.Equal(w, want) { // ¾³
		t.Errorf("w = %v, want %v", w, want)
	}
}

// TestAdamAgainstDefinition runs both optimisers for a thousand steps beside the formulas of their papers in float64.
func TestAdamAgainstDefinition(t *testing.T) {
	const n, steps = 203, 1000
	for _, decay := range []float64{0, 0.1} {
		a := NewAdam()
		a.WeightDecay = decay
		w, s := normals(n, 0), NewState(n)
		ref, m, v := make([]float64, n), make([]float64, n), make([]float64, n)
		updates, largest := 0.0, 0.0
		for i := range ref {
			ref[i] = float64(w[i])
		}
		for k := 1; k <= steps; k++ {
			g := normals(n, uint64(k))
			lr, scale := Rate{Base: 1e-2, Warmup: 100, Total: steps}.At(k), 1/float64(1+k%3)
			a.Step(w, g, s, lr, scale)
			for i := range ref {
				gi := scale * float64(g[i])
				m[i] = a.Beta1*m[i] + (1-a.Beta1)*gi
				v[i] = a.Beta2*v[i] + (1-a.Beta2)*gi*gi
				mHat := m[i] / (1 - math.Pow(a.Beta1, float64(k)))
				vHat := v[i] / (1 - math.Pow(a.Beta2, float64(k)))
				update := lr * mHat / (math.Sqrt(vHat) + a.Eps)
				ref[i] = ref[i]*(1-lr*decay) - update
				largest = max(largest, math.Abs(ref[i]))
			}
			updates += lr // |update| ≲ lr
		}
		// Roundings of w, independent of one another, add like a random walk; those of the updates may not.
		bound := math.Sqrt(steps)*ulp*largest + updateError*updates
		for i := range ref {
			if d := math.Abs(float64(w[i]) - ref[i]); d > bound {
				t.Errorf("decay %v: w[%d] = %v, want %v ± %.1g", decay, i, w[i], ref[i], bound)
			}
		}
	}
}

// TestAdamAgainstPyTorch replays testdata/adam.json, which torch.optim and clip_grad_norm_ wrote.
func TestAdamAgainstPyTorch(t *testing.T) {
	var file struct {
		Cases []struct {
			Name                            string
			Beta1, Beta2, Eps, Decay, Limit float64
			W0                              []float32
			Steps                           []struct {
				LR, Norm float64
				G, W     []float32
			}
		}
	}
	data, err := os.ReadFile("testdata/adam.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) != 4 {
		t.Fatalf("%d cases in adam.json, want 4", len(file.Cases))
	}
	for _, c := range file.Cases {
		a := Adam{Beta1: c.Beta1, Beta2: c.Beta2, Eps: c.Eps, WeightDecay: c.Decay}
		w, s, clipped := c.W0, NewState(len(c.W0)), false
		for k, step := range c.Steps {
			norm, scale := Norm(step.G), 1.0
			if math.Abs(norm-step.Norm) > 4*ulp*norm { // torch sums in float32
				t.Errorf("%s: step %d: norm %v, want %v", c.Name, k+1, norm, step.Norm)
			}
			if c.Limit > 0 {
				scale = ClipScale(norm, c.Limit)
				clipped = clipped || scale < 1
			}
			a.Step(w, step.G, s, step.LR, scale)
			for i, want := range step.W {
				// Both round w and the update a few times a step, in a slightly different order.
				bound := float64(k+1) * ulp * (math.Abs(float64(want)) + 8*step.LR)
				if d := math.Abs(float64(w[i]) - float64(want)); d > bound {
					t.Fatalf("%s: step %d: w[%d] = %v, want %v ± %.1g", c.Name, k+1, i, w[i], want, bound)
				}
			}
		}
		if clipped != (c.Limit > 0) {
			t.Errorf("%s: clipped: %v", c.Name, clipped)
		}
	}
}

// TestGradScale: a scaled gradient is a gradient scaled beforehand, and stays as it was. Powers of two are exact.
func TestGradScale(t *testing.T) {
	const n = 1000
	g, half := normals(n, 1), normals(n, 1)
	for i := range half {
		half[i] /= 2
	}
	w1, w2, s1, s2 := normals(n, 0), normals(n, 0), NewState(n), NewState(n)
	for range 3 {
		NewAdam().Step(w1, g, s1, 0.1, 0.5)
		NewAdam().Step(w2, half, s2, 0.1, 1)
	}
	if !slices.Equal(w1, w2) || !slices.Equal(s1.M, s2.M) || !slices.Equal(s1.V, s2.V) {
		t.Error("gradient scaled by Step and beforehand differ")
	}
	if !slices.Equal(g, normals(n, 1)) {
		t.Error("Step changed the gradient")
	}
}

// TestPiecesCoverEverything compares a step over several pieces with one undivided call of each primitive: the same
// bits, for any number of processors.
func TestPiecesCoverEverything(t *testing.T) {
	const n, lr, decay = 3*pieceLen + 17, 0.05, 0.1
	g, w0 := normals(n, 1), normals(n, 0)

	p := simd.AdamParams{
		Beta1: 0.9, Beta2: 0.999, StepSize: lr / (1 - math.Pow(0.9, 1)), Corr2: 1 / math.Sqrt(1-math.Pow(0.999, 1)),
		Eps: 1e-8, Decay: lr * decay, GradScale: 1,
	}
	w, want := slices.Clone(w0), NewState(n)
	simd.Adam(w, g, want.M, want.V, p)
	avg := slices.Clone(w0)
	simd.Lerp(avg, w, float32(1-0.75))
	var norm float64

	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for i, procs := range []int{1, 2, 3, 8} {
		runtime.GOMAXPROCS(procs)
		got, s, gotAvg := slices.Clone(w0), NewState(n), slices.Clone(w0)
		a := NewAdam()
		a.WeightDecay = decay
		a.Step(got, g, s, lr, 1)
		EMA{Decay: 0.75}.Update(gotAvg, got, 1)
		if !slices.Equal(got, w) || !slices.Equal(s.M, want.M) || !slices.Equal(s.V, want.V) {
			t.Errorf("GOMAXPROCS %d: Step differs from one undivided call", procs)
		}
		if !slices.Equal(gotAvg, avg) {
			t.Errorf("GOMAXPROCS %d: Update differs from one undivided call", procs)
		}
		if i == 0 {
			norm = Norm(g)
		} else if Norm(g) != norm {
			t.Errorf("GOMAXPROCS %d: norm %v, with 1 processor %v", procs, Norm(g), norm)
		}
	}
}

func TestStepPanics(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	step := func(w, g, state int, lr, scale float64) func() {
		return func() { NewAdam().Step(make([]float32, w), make([]float32, g), NewState(state), lr, scale) }
	}
	lopsided := &State{M: make([]float32, 5), V: make([]float32, 6)}
	for want, f := range map[string]func(){
		"optim: Step: got 4 gradients and a state of 5, 5, want 5 of each":         step(5, 4, 5, 0.1, 1),
		"optim: Step: got 5 gradients and a state of 6, 6, want 5 of each":         step(5, 5, 6, 0.1, 1),
		"optim: Step: got 5 gradients and a state of 5, 6, want 5 of each":         func() { NewAdam().Step(make([]float32, 5), make([]float32, 5), lopsided, 0.1, 1) },
		"optim: Step: got lr = NaN, gradScale = 1, want finite numbers":            step(5, 5, 5, nan, 1),
		"optim: Step: got lr = 0.1, gradScale = +Inf, want finite numbers":         step(5, 5, 5, 0.1, inf),
		"optim: EMA: got an average of 2 weights, want 3":                          func() { EMA{}.Update(make([]float32, 2), make([]float32, 3), 1) },
		"optim: EMA: got update 0, want a count from 1":                            func() { EMA{}.At(0) },
		"optim: Rate: got step 0, want a count from 1":                             func() { Rate{}.At(0) },
		"optim: Rate: got 10 steps in total, want more than the 10 of the warm-up": func() { Rate{Warmup: 10, Total: 10}.At(1) },
	} {
		func() {
			defer func() {
				if got := recover(); got != want {
					t.Errorf("panic %v, want %v", got, want)
				}
			}()
			f()
		}()
	}
}

// TestSteadyStateAllocations: a step over any number of weights allocates the closures it hands to the workers, and
// the norm its partial sums.
func TestSteadyStateAllocations(t *testing.T) {
	const n = 4 * pieceLen
	w, g, avg, s := normals(n, 0), normals(n, 1), normals(n, 0), NewState(n)
	for name, c := range map[string]struct {
		limit float64
		f     func()
	}{
		"Step":   {2, func() { NewAdam().Step(w, g, s, 0.1, 1) }},
		"Update": {2, func() { EMA{Decay: 0.5}.Update(avg, w, 1) }},
		"Norm":   {3, func() { Norm(g) }},
		"Finite": {3, func() { Finite(g) }},
	} {
		if got := testing.AllocsPerRun(5, c.f); got > c.limit {
			t.Errorf("%s: %v allocations, want at most %v", name, got, c.limit)
		}
	}
}
