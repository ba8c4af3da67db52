package model

import (
	"math"
	"testing"

	"ddpm/layers"
)

// TestWork compares with counts made by hand of networks from the literature: multiply-adds of convolutions, linear
// layers and attention, forward, one image.
func TestWork(t *testing.T) {
	for _, c := range []struct {
		name   string
		config layers.Config
		want   float64 // millions
	}{
		{"paper's, CIFAR-10", layers.DDPM(32, 3, []int{128, 256, 256, 256}, 2, []bool{false, true, false, false}, 32), 6221},
		{"MNIST, two blocks", layers.DDPM(28, 1, []int{32, 64, 64}, 2, []bool{false, true, true}, 32), 318},
		{"MNIST, one block", layers.DDPM(28, 1, []int{32, 64, 128}, 1, []bool{false, false, true}, 32), 291},
	} {
		if got := float64(Work(c.config, c.config.SampleSize)) / 1e6; math.Abs(got-c.want) > 0.005*c.want {
			t.Errorf("%s: got %.1f million, want %.0f", c.name, got, c.want)
		}
	}
}
