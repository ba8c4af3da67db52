package diffusion

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// published is how far a constant printed with nine digits, or computed in float32 where its source did, may be off.
const published = 1e-8

func near(t *testing.T, what string, got, want, relative float64) {
	t.Helper()
	if !(math.Abs(got-want) <= relative*math.Abs(want)) {
		t.Errorf("%s = %.12g, want %.12g within %g of it", what, got, want, relative)
	}
}

// TestScheduleAnchors compares with values of diffusers' and improved-diffusion's tables, recomputed in float64.
func TestScheduleAnchors(t *testing.T) {
	linear := Linear(1000, 1e-4, 0.02)
	near(t, "linear ᾱ_1", linear.AlphaBar[1], 0.9999, 1e-15)
	near(t, "linear ᾱ_500", linear.AlphaBar[500], 0.0785872429, published)
	near(t, "linear ᾱ_1000", linear.AlphaBar[1000], 4.03582977e-5, published)
	near(t, "linear √ᾱ_1000", linear.Signal(1000), 0.0063528, 1e-5)
	near(t, "linear σ̄_1000", linear.Sigma(1000), 157.407, 1e-5)
	near(t, "linear σ̄_1", linear.Sigma(1), 0.0100005, 1e-5)
	near(t, "linear SNR_1000", linear.SNR(1000), 4.036e-5, 1e-4)
	for time, want := range map[int]float64{2: 5.45319e-5, 488: 0.00979157, 1000: 0.01999998} {
		_, _, variance := linear.Posterior(time)
		near(t, "linear β̃", variance, want, 1e-6)
	}

	near(t, "scaled linear ᾱ_1000", ScaledLinear(1000, 1e-4, 0.02).AlphaBar[1000], 7.334e-4, 1e-4)

	cosine := Cosine(1000)
	near(t, "cosine β_1", cosine.Beta[1], 4.12842e-5, 1e-5)
	near(t, "cosine β_1000", cosine.Beta[1000], 0.999, 1e-15)
	near(t, "cosine ᾱ_500", cosine.AlphaBar[500], 0.49384359, published)
	near(t, "cosine ᾱ_1000", cosine.AlphaBar[1000], 2.4288e-9, 1e-4)

	sigmoid := Sigmoid(1000, 1e-4, 0.02)
	near(t, "sigmoid β_1", sigmoid.Beta[1], 1.492052e-4, 1e-6)
	near(t, "sigmoid β_1000", sigmoid.Beta[1000], 0.0199507948, published)
	near(t, "sigmoid ᾱ_1000", sigmoid.AlphaBar[1000], 3.968e-5, 1e-3)

	zero := linear.ZeroTerminalSNR()
	near(t, "zero SNR ᾱ_1", zero.AlphaBar[1], 0.9999, 1e-15)
	near(t, "zero SNR ᾱ_500", zero.AlphaBar[500], 0.0760287505, published)
	near(t, "zero SNR ᾱ_999", zero.AlphaBar[999], 4.2133e-9, 1e-4)
	if zero.AlphaBar[1000] != 0 || zero.Beta[1000] != 1 {
		t.Errorf("zero SNR ends at ᾱ = %g, β = %g, want 0 and 1", zero.AlphaBar[1000], zero.Beta[1000])
	}
}

// TestSigmoidJabri checks the curve where it can be done by hand: the logistic function is odd about its middle, so
// that over a symmetric range ᾱ is 1/2 half way.
func TestSigmoidJabri(t *testing.T) {
	s := SigmoidJabri(1000, -3, 3, 1)
	near(t, "ᾱ_500", s.AlphaBar[500], 0.5, 1e-12)
	near(t, "ᾱ_250", s.AlphaBar[250], (logistic(3)-logistic(-1.5))/(logistic(3)-logistic(-3)), 1e-12)
	near(t, "β_1000", s.Beta[1000], 0.999, 1e-15)
}

// TestLinearForKeepsTheEnd checks that a chain of any length ends at about the noise of the paper's, which Linear with
// the paper's betas does not. For many steps ᾱ_T tends to e^{-1000·(1e-4+0.02)/2} = 4.32e-5 from below.
func TestLinearForKeepsTheEnd(t *testing.T) {
	for _, steps := range []int{100, 250, 1000, 4000} {
		if end := LinearFor(steps).AlphaBar[steps]; end > 4.32e-5 || end < 1e-5 {
			t.Errorf("LinearFor(%d) ends at ᾱ = %g, want about 4e-5", steps, end)
		}
	}
	near(t, "unscaled ᾱ_100", Linear(100, 1e-4, 0.02).AlphaBar[100], 0.36, 0.02)
}

var families = map[string]Schedule{
	"linear":       Linear(1000, 1e-4, 0.02),
	"scaledlinear": ScaledLinear(1000, 1e-4, 0.02),
	"cosine":       Cosine(1000),
	"sigmoid":      Sigmoid(1000, 1e-4, 0.02),
	"jabri":        SigmoidJabri(1000, -3, 3, 1),
	"zeroSNR":      Linear(1000, 1e-4, 0.02).ZeroTerminalSNR(),
	"short":        LinearFor(25),
	"one":          Linear(1, 0.5, 0.5),
}

// TestScheduleInvariants checks what every schedule promises.
func TestScheduleInvariants(t *testing.T) {
	for name, s := range families {
		if s.Beta[0] != 0 || s.Alpha[0] != 1 || s.AlphaBar[0] != 1 || s.Time[0] != -1 {
			t.Errorf("%s: index 0 is not the clean image: %v %v %v %v", name, s.Beta[0], s.Alpha[0], s.AlphaBar[0], s.Time[0])
		}
		product := 1.0
		for i := 1; i <= s.T(); i++ {
			if s.Time[i] != i-1 {
				t.Fatalf("%s: Time[%d] = %d", name, i, s.Time[i])
			}
			product *= 1 - s.Beta[i]
			if s.AlphaBar[i] >= s.AlphaBar[i-1] {
				t.Fatalf("%s: ᾱ_%d = %g does not fall", name, i, s.AlphaBar[i])
			}
			// 1-β loses digits where ᾱ falls to a thousandth at once; 1e-12 is a thousand roundings' worth.
			if d := math.Abs(product - s.AlphaBar[i]); d > 1e-12*s.AlphaBar[i-1] {
				t.Fatalf("%s: ᾱ_%d = %g, but the product of 1-β is %g", name, i, s.AlphaBar[i], product)
			}
		}
	}
}

// TestStridedKeepsLevels checks that a strided schedule has the noise levels and network times of the chosen steps, and
// that striding again composes.
func TestStridedKeepsLevels(t *testing.T) {
	s := Linear(1000, 1e-4, 0.02)
	strided := s.Strided(1, 500, 999, 1000)
	for k, want := range []int{0, 1, 500, 999, 1000} {
		if strided.AlphaBar[k] != s.AlphaBar[want] || strided.Time[k] != s.Time[want] {
			t.Errorf("step %d is at ᾱ = %g, time %d; want those of %d", k, strided.AlphaBar[k], strided.Time[k], want)
		}
	}
	near(t, "β_2", strided.Beta[2], 1-s.AlphaBar[500]/s.AlphaBar[1], 1e-15)
	twice := strided.Strided(2, 4)
	if !slices.Equal(twice.Time, []int{-1, 499, 999}) {
		t.Errorf("strided twice sees times %v", twice.Time)
	}
	all := make([]int, 1000)
	for i := range all {
		all[i] = i + 1
	}
	for i, b := range s.Strided(all...).Beta {
		// Re-deriving β ≥ 1e-4 as 1-ᾱ_t/ᾱ_{t-1} rounds at 1e-16.
		if math.Abs(b-s.Beta[i]) > 4e-16 {
			t.Fatalf("all steps: β_%d = %g, want %g", i, b, s.Beta[i])
		}
	}
}

// TestEndingAt checks that the chain ends at the given level with its other levels unchanged.
func TestEndingAt(t *testing.T) {
	s := Linear(10, 0.1, 0.2)
	end := s.Strided(3, 6).EndingAt(s.AlphaBar[1])
	if end.AlphaBar[0] != s.AlphaBar[1] || end.AlphaBar[1] != s.AlphaBar[3] {
		t.Errorf("ᾱ = %v", end.AlphaBar)
	}
	near(t, "β_1", end.Beta[1], 1-s.AlphaBar[3]/s.AlphaBar[1], 1e-15)
	if again := end.Strided(2); again.AlphaBar[0] != s.AlphaBar[1] {
		t.Errorf("striding moves the end to ᾱ = %g", again.AlphaBar[0])
	}
	if strided := s.Strided(3, 6); strided.AlphaBar[0] != 1 {
		t.Error("EndingAt changed the schedule it was called on")
	}
}

func TestFromBetas(t *testing.T) {
	s, err := FromBetas([]float64{0.5, 0.25, 1})
	if err != nil || !slices.Equal(s.AlphaBar, []float64{1, 0.5, 0.375, 0}) {
		t.Errorf("ᾱ = %v, error %v", s.AlphaBar, err)
	}
	for _, bad := range [][]float64{nil, {0}, {-0.1}, {1, 0.5}, {0.5, 1.5}, {math.NaN()}, {math.Inf(1)}, make([]float64, MaxSteps+1)} {
		if _, err := FromBetas(bad); err == nil || !strings.HasPrefix(err.Error(), "diffusion: ") {
			t.Errorf("%d betas starting with %v: error %v", len(bad), bad[:min(2, len(bad))], err)
		}
	}
}

func TestScheduleMisusePanics(t *testing.T) {
	s := Linear(10, 0.1, 0.2)
	for name, f := range map[string]func(){
		"no steps":       func() { Linear(0, 0.1, 0.2) },
		"too many steps": func() { Cosine(MaxSteps + 1) },
		"falling betas":  func() { ScaledLinear(10, 0.2, 0.1) },
		"beta of 1":      func() { Sigmoid(10, 0.2, 1) },
		"NaN":            func() { Linear(10, math.NaN(), 0.2) },
		"short":          func() { LinearFor(20) },
		"tau":            func() { SigmoidJabri(10, -3, 3, 0) },
		"no times":       func() { s.Strided() },
		"time 0":         func() { s.Strided(0, 1) },
		"time past T":    func() { s.Strided(1, 11) },
		"equal times":    func() { s.Strided(3, 3) },
		"one step":       func() { s.Strided(5).ZeroTerminalSNR() },
		"end below":      func() { s.EndingAt(s.AlphaBar[2]) },
		"posterior at 0": func() { s.Posterior(0) },
	} {
		mustPanic(t, name, f)
	}
}

func mustPanic(t *testing.T, name string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if message, ok := recover().(string); !ok || !strings.HasPrefix(message, "diffusion: ") {
			t.Errorf("%s: got panic %q, want one that starts with diffusion:", name, message)
		}
	}()
	f()
}
