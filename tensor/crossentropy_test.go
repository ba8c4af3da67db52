package tensor_test

import (
	"math"
	"testing"

	"ddpm/tensor"
)

// TestCrossEntropy is a table to check by hand: softmax(0, 0) = (½, ½), softmax(0, ln 3) = (¼, ¾).
func TestCrossEntropy(t *testing.T) {
	ln3 := float32(math.Log(3))
	x := tensor.From([]float32{0, 0, 0, ln3, 0, ln3, 1000, 0}, 4, 1, 1, 2)
	labels := []int{1, 0, 1, 1}
	want := []float64{math.Ln2, math.Log(4), math.Log(4.0 / 3), 1000} // the last without overflow
	per := make([]float64, 4)
	mean := tensor.CrossEntropy(per, x, labels)
	sum := 0.0
	for n, v := range want {
		sum += v
		if !(math.Abs(per[n]-v) <= 1e-7*v) { // ln 3 is rounded to float32
			t.Errorf("row %d: got %.9g, want %.9g", n, per[n], v)
		}
	}
	if !(math.Abs(mean-sum/4) <= 1e-7*mean) {
		t.Errorf("mean: got %.9g, want %.9g", mean, sum/4)
	}
	dx := tensor.New(4, 1, 1, 2)
	dx.Data[0] = 5 // gradients are added
	tensor.CrossEntropyGrad(dx, x, labels, 2)
	for i, v := range []float32{5.25, -0.25, -0.375, 0.375, 0.125, -0.125, 0.5, -0.5} {
		if math.Abs(float64(dx.Data[i]-v)) > 1e-7 {
			t.Errorf("gradient %d: got %v, want %v", i, dx.Data[i], v)
		}
	}
}

func TestCrossEntropyMisuse(t *testing.T) {
	x := tensor.New(2, 3)
	for name, f := range map[string]func(){
		"label":     func() { tensor.CrossEntropy(make([]float64, 2), x, []int{0, 3}) },
		"negative":  func() { tensor.CrossEntropyGrad(tensor.New(2, 3), x, []int{-1, 0}, 1) },
		"labels":    func() { tensor.CrossEntropy(make([]float64, 3), x, []int{0, 1, 2}) },
		"results":   func() { tensor.CrossEntropy(make([]float64, 1), x, []int{0, 1}) },
		"gradients": func() { tensor.CrossEntropyGrad(tensor.New(3, 2), x, []int{0, 1}, 1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
