package diffusion

import (
	"slices"
	"testing"
)

// TestSpacings compares with what diffusers' schedulers visit: their time steps, falling, are ours less one, rising.
func TestSpacings(t *testing.T) {
	leading := func(T, n int) ([]int, error) { return Leading(T, n, 0) }
	moved := func(T, n int) ([]int, error) { return Leading(T, n, 1) }
	for _, c := range []struct {
		name    string
		spacing func(T, n int) ([]int, error)
		want    []int
	}{
		{"leading", leading, []int{900, 800, 700, 600, 500, 400, 300, 200, 100, 0}},
		{"leading", leading, []int{852, 710, 568, 426, 284, 142, 0}},
		{"leading, offset 1", moved, []int{801, 601, 401, 201, 1}},
		{"linspace", Linspace, []int{999, 888, 777, 666, 555, 444, 333, 222, 111, 0}},
		{"linspace", Linspace, []int{999, 832, 666, 500, 333, 166, 0}},
		{"linspace", Linspace, []int{999}},
		{"trailing", Trailing, []int{999, 899, 799, 699, 599, 499, 399, 299, 199, 99}},
		{"trailing", Trailing, []int{999, 856, 713, 570, 428, 285, 142}},
	} {
		got, err := c.spacing(1000, len(c.want))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		slices.Reverse(got)
		for i := range got {
			got[i]--
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s of %d steps: got %v, want %v", c.name, len(c.want), got, c.want)
		}
	}
}

// TestSpacingsAreValid checks that every spacing of every number of steps is one that Strided takes.
func TestSpacingsAreValid(t *testing.T) {
	for _, T := range []int{1, 2, 7, 64, 100} {
		s := Linear(T, 0.01, 0.02)
		for n := 1; n <= T; n++ {
			for name, spacing := range map[string]func(T, n int) ([]int, error){
				"leading":  func(T, n int) ([]int, error) { return Leading(T, n, 0) },
				"linspace": Linspace, "trailing": Trailing,
				"karras": func(T, n int) ([]int, error) { return Karras(s, n, 7) },
			} {
				times, err := spacing(T, n)
				if err != nil {
					t.Fatalf("%s(%d, %d): %v", name, T, n, err)
				}
				if got := s.Strided(times...).T(); got != n && name != "karras" || got > n {
					t.Errorf("%s(%d, %d) visits %d times", name, T, n, got)
				}
			}
		}
	}
}

func TestSpacingErrors(t *testing.T) {
	s := Linear(10, 0.1, 0.2)
	for name, f := range map[string]func() ([]int, error){
		"steps above T":     func() ([]int, error) { return Linspace(10, 11) },
		"no steps":          func() ([]int, error) { return Trailing(10, 0) },
		"offset past T":     func() ([]int, error) { return Leading(10, 5, 2) },
		"negative offset":   func() ([]int, error) { return Leading(10, 5, -1) },
		"zero terminal SNR": func() ([]int, error) { return Karras(s.ZeroTerminalSNR(), 5, 7) },
		"rho":               func() ([]int, error) { return Karras(s, 5, 0) },
	} {
		if _, err := f(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestKarrasLevels checks the ends, the count where levels are dense enough, and that a level is snapped to the nearest.
func TestKarrasLevels(t *testing.T) {
	s := Linear(1000, 1e-4, 0.02)
	times, err := Karras(s, 10, 7)
	if err != nil || len(times) != 10 || times[0] != 1 || times[9] != 1000 {
		t.Fatalf("times %v, error %v", times, err)
	}
	for _, sigma := range []float64{1e-3, 0.01, 0.0171, 0.3, 1, 44, 157, 1e3} {
		got, best := s.nearest(sigma), 1
		for time := 1; time <= s.T(); time++ {
			if logDistance(s.Sigma(time), sigma) < logDistance(s.Sigma(best), sigma) {
				best = time
			}
		}
		if got != best {
			t.Errorf("nearest(%g) = %d, want %d", sigma, got, best)
		}
	}
}

func logDistance(a, b float64) float64 { return max(a/b, b/a) }
