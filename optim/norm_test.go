package optim

import (
	"math"
	"testing"
)

func TestNorm(t *testing.T) {
	if got := Norm([]float32{3, 0, -4}); got != 5 {
		t.Errorf("Norm(3, 0, -4) = %v, want 5", got)
	}
	if got := Norm([]float32{math.MaxFloat32, math.MaxFloat32}); math.Abs(got/math.MaxFloat32-math.Sqrt2) > 1e-12 {
		t.Errorf("Norm of the two largest numbers = %v, want %v", got, math.Sqrt2*math.MaxFloat32)
	}
	if got := Norm(nil); got != 0 {
		t.Errorf("Norm of nothing = %v", got)
	}
	for _, n := range []int{1, 1000, pieceLen, pieceLen + 1, 2*pieceLen + 1003} {
		x := normals(n, 5)
		sum := 0.0
		for _, v := range x {
			sum += float64(v) * float64(v)
		}
		if got, want := Norm(x), math.Sqrt(sum); math.Abs(got-want) > 1e-12*want { // float64 in two orders of addition
			t.Errorf("Norm of %d numbers = %v, want %v", n, got, want)
		}
	}
}

// TestNotFinite: one bad element anywhere shows in Finite and in Norm, by which a training loop tells to skip a step.
func TestNotFinite(t *testing.T) {
	const n = 2*pieceLen + 21
	x := normals(n, 6)
	if !Finite(x) || !Finite(nil) || !Finite([]float32{math.MaxFloat32}) {
		t.Error("Finite = false of finite numbers")
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for _, i := range []int{0, 15, pieceLen - 1, pieceLen, 2 * pieceLen, n - 1} {
			old := x[i]
			x[i] = float32(bad)
			if Finite(x) {
				t.Errorf("Finite = true with %v at %d", bad, i)
			}
			if norm := Norm(x); finite(norm) {
				t.Errorf("Norm = %v with %v at %d", norm, bad, i)
			}
			x[i] = old
		}
	}
}

func TestClipScale(t *testing.T) {
	for _, c := range []struct{ norm, limit, want float64 }{
		{0, 1, 1},
		{0.5, 1, 1},
		{1 - 1e-6, 1, 1},
		{1, 1, 1 / (1 + 1e-6)},
		{4, 1, 1 / (4 + 1e-6)},
		{4, 2, 2 / (4 + 1e-6)},
		{1e30, math.Inf(1), 1},
	} {
		if got := ClipScale(c.norm, c.limit); math.Abs(got-c.want) > 1e-15 { // a rounding or two of float64
			t.Errorf("ClipScale(%v, %v) = %v, want %v", c.norm, c.limit, got, c.want)
		}
	}
	if got := ClipScale(math.NaN(), 1); !math.IsNaN(got) {
		t.Errorf("ClipScale(NaN, 1) = %v, which hides the NaN", got)
	}
}
