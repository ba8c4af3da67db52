package diffusion

import (
	"math"
	"slices"
	"testing"

	"ddpm/tensor"
)

func TestClip(t *testing.T) {
	for _, c := range []struct {
		name     string
		clip     Clip
		in, want []float32
	}{
		{"none", Clip{}, []float32{-3, 0.5, 2}, []float32{-3, 0.5, 2}},
		{"range", Clip{Range: 1}, []float32{-3, 0.5, 2}, []float32{-1, 0.5, 1}},
		{"threshold at the median 2", Clip{Quantile: 0.5}, []float32{-3, 1, 2}, []float32{-1, 0.5, 1}},
		{"threshold between order statistics: 2.5", Clip{Quantile: 0.75}, []float32{-3, 1, 2}, []float32{-1, 0.4, 0.8}},
		{"threshold never below 1", Clip{Quantile: 0.5}, []float32{-0.5, 0.25, 0.75}, []float32{-0.5, 0.25, 0.75}},
		{"threshold up to 1 is clipping", Clip{Quantile: 0.995, Max: 1}, []float32{-3, 0.5, 2}, []float32{-1, 0.5, 1}},
	} {
		got := slices.Clone(c.in)
		c.clip.apply(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	x := []float32{float32(math.NaN())}
	if (Clip{Range: 1}).apply(x); x[0] == x[0] {
		t.Errorf("NaN became %g: a broken network must show", x[0])
	}
}

// TestClipKeepsImagesApart checks that the threshold of an image does not depend on another.
func TestClipKeepsImagesApart(t *testing.T) {
	s := Sampler{Schedule: Linear(10, 0.1, 0.2), Rule: DDIM{}, Clip: Clip{Quantile: 1}}
	x := tensor.From([]float32{5, 1, 100, 1}, 2, 1, 1, 2)
	w := s.walk(dummy{}, x, 0)
	w.predict(1) // whose ε is 0, so that x̂_0 is x_1/√ᾱ_1
	if x0 := w.x0.Data; x0[0] != 1 || math.Abs(float64(x0[1])-0.2) > 1e-6 || x0[2] != 1 || math.Abs(float64(x0[3])-0.01) > 1e-6 {
		t.Errorf("x̂_0 = %v, want 1, 0.2 and 1, 0.01", x0)
	}
}

// TestClipRederivesEpsilon checks the two conventions: after clipping, x_t = √ᾱ·x̂_0 + √(1-ᾱ)·ε̂ still holds, unless X0Only.
func TestClipRederivesEpsilon(t *testing.T) {
	schedule := Linear(10, 0.1, 0.2)
	x := tensor.From([]float32{3, -0.4, 0.1}, 1, 1, 1, 3)
	predict := func(c Clip) *walk {
		w := Sampler{Schedule: schedule, Rule: DDIM{}, Clip: c}.walk(dummy{}, x, 0)
		w.predict(5)
		return w
	}
	free, clipped, kept := predict(Clip{}), predict(Clip{Range: 0.3}), predict(Clip{Range: 0.3, X0Only: true})
	if !slices.Equal(kept.eps.Data, free.eps.Data) {
		t.Errorf("X0Only changed ε from %v to %v", free.eps.Data, kept.eps.Data)
	}
	if !slices.Equal(kept.x0.Data, clipped.x0.Data) || clipped.x0.Data[0] != 0.3 {
		t.Errorf("x̂_0 is %v and %v, want both clipped at 0.3", kept.x0.Data, clipped.x0.Data)
	}
	for i, v := range x.Data {
		got := schedule.Signal(5)*float64(clipped.x0.Data[i]) + schedule.Noise(5)*float64(clipped.eps.Data[i])
		near(t, "x_t made again", got, float64(v), 1e-6)
	}
}

func TestClipErrors(t *testing.T) {
	for _, c := range []Clip{{Range: -1}, {Range: math.NaN()}, {Range: math.Inf(1)}, {Quantile: 1.1}, {Quantile: math.NaN()}, {Range: 1, Quantile: 0.9}, {Quantile: 0.9, Max: 0.5}} {
		if c.Validate() == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}
