package quality

import (
	"math"
	"os"
	"testing"

	"ddpm/internal/par"
	"ddpm/internal/rng"
	"ddpm/tensor"
)

func TestMain(m *testing.M) {
	par.Poison = true
	os.Exit(m.Run())
}

// normal returns n points of d independent normal numbers with the given mean and deviation, others for every seed.
func normal(seed uint64, n, d int, mean, sigma float64) tensor.Tensor {
	x := tensor.New(n, d)
	s := rng.New(seed, rng.Noise, 0, 0)
	s.Normal(x.Data)
	for i, v := range x.Data {
		x.Data[i] = float32(mean + sigma*float64(v))
	}
	return x
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s: got %.10g, want %.10g ± %g", what, got, want, tolerance)
	}
}

// join returns the points of a and b in one tensor.
func join(a, b tensor.Tensor) tensor.Tensor {
	return tensor.From(append(append([]float32{}, a.Data...), b.Data...), a.Shape[0]+b.Shape[0], a.Shape[1])
}
