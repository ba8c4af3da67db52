package tensor_test

import (
	"fmt"
	"math"
	"testing"

	"ddpm/tensor"
)

func TestMSEByHand(t *testing.T) {
	a := tensor.From([]float32{1, 2, 3, 4}, 2, 2)
	b := tensor.From([]float32{1, 4, 0, 0}, 2, 2)
	per := make([]float64, 2)
	if got, want := tensor.MSE(per, a, b, nil), (2+12.5)/2; got != want || per[0] != 2 || per[1] != 12.5 {
		t.Errorf("got %v of %v, want %v of [2 12.5]", got, per, want)
	}
	weight := []float64{3, 0.5}
	if got, want := tensor.MSE(per, a, b, weight), (3*2+0.5*12.5)/2; got != want || per[0] != 2 || per[1] != 12.5 {
		t.Errorf("weighted: got %v of %v, want %v of [2 12.5], the images' own being unweighted", got, per, want)
	}
	da, db := tensor.New(2, 2), tensor.New(2, 2)
	for _, factor := range []float64{1, 2} {
		tensor.MSEGrad(da, db, a, b, weight, 10)
		near(t, "da", da, []float64{0, 10 * 3 * 2 * -2. / 4, 10 * 0.5 * 2 * 3 / 4, 10 * 0.5 * 2 * 4 / 4}, factor, 0)
		near(t, "db", db, []float64{0, 10 * 3 * 2 * 2. / 4, -10 * 0.5 * 2 * 3 / 4, -10 * 0.5 * 2 * 4 / 4}, factor, 0)
	}
}

func TestMSEDefinition(t *testing.T) {
	for _, s := range [][3]int{{1, 1, 1}, {17, 5, 3}, {33, 64, 3}, {2, 1000, 33}} {
		n, size := s[0], s[1]*s[2]
		a, b := random(1, s[:]...), random(2, s[:]...)
		weight := make([]float64, n)
		want, da, db := 0.0, size64(a), size64(b)
		for i := range weight {
			weight[i] = 1 / float64(i+1)
		}
		for i := range a.Data {
			d := float64(a.Data[i]) - float64(b.Data[i])
			k := weight[i/size] / float64(n*size)
			want += k * d * d
			da[i], db[i] = 3*k*2*d, -3*k*2*d
		}
		if got := tensor.MSE(make([]float64, n), a, b, weight); !(math.Abs(got-want) <= unitTolerance*want) {
			t.Errorf("%v: got %v, want %v", s, got, want)
		}
		ga, gb := tensor.New(s[:]...), tensor.New(s[:]...)
		for _, factor := range []float64{1, 2} {
			tensor.MSEGrad(ga, gb, a, b, weight, 3)
			near(t, fmt.Sprint(s, " da"), ga, da, factor, unitTolerance)
			near(t, fmt.Sprint(s, " db"), gb, db, factor, unitTolerance)
		}
		only := tensor.New(s[:]...)
		tensor.MSEGrad(Tensor{}, only, a, b, weight, 3)
		near(t, fmt.Sprint(s, " db alone"), only, db, 1, unitTolerance)
	}
}
