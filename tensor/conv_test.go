package tensor_test

import (
	"fmt"
	"math"
	"testing"

	"ddpm/internal/rng"
	"ddpm/tensor"
)

// A 3×3 image of one channel, small enough to check by hand.
func TestConv2DByHand(t *testing.T) {
	x := []float32{
		1, 2, 3,
		4, 5, 6,
		7, 8, 9,
	}
	cross := []float32{
		0, 1, 0,
		1, 1, 1,
		0, 1, 0,
	}
	corner := []float32{ // its one tap looks at the pixel above to the left: a correlation, not a convolution
		10, 0, 0,
		0, 0, 0,
		0, 0, 0,
	}
	tests := []struct {
		name   string
		w      []float32
		kh, kw int
		v      tensor.Window
		want   []float64
	}{
		{"cross", cross, 3, 3, tensor.Same3, []float64{7, 11, 11, 17, 25, 23, 19, 29, 23}},
		{"corner", corner, 3, 3, tensor.Same3, []float64{0, 0, 0, 0, 10, 20, 0, 40, 50}},
		{"no border", cross, 3, 3, tensor.Window{Stride: 1}, []float64{25}},
		{"half", cross, 3, 3, tensor.Half3, []float64{7, 11, 19, 23}},
		{"half end", cross, 3, 3, tensor.HalfEnd3, []float64{25}},
		{"1×1", []float32{-2}, 1, 1, tensor.Window{Stride: 1}, []float64{-2, -4, -6, -8, -10, -12, -14, -16, -18}},
		{"1×2, border right", []float32{1, 100}, 1, 2, tensor.Window{Stride: 1, Right: 1}, []float64{201, 302, 3, 504, 605, 6, 807, 908, 9}},
		{"2×1, border top", []float32{1, 100}, 2, 1, tensor.Window{Stride: 1, Top: 1}, []float64{100, 200, 300, 401, 502, 603, 704, 805, 906}},
		{"1×1, stride 2", []float32{1}, 1, 1, tensor.Window{Stride: 2}, []float64{1, 3, 7, 9}},
	}
	for _, tt := range tests {
		for _, m := range methods {
			t.Run(tt.name+"/"+m.name, func(t *testing.T) {
				v := tt.v
				v.Method = m.method
				oh, ow := v.Out(3, 3, tt.kh, tt.kw)
				y := undefined(1, oh, ow, 1)
				w := tensor.From(tt.w, tt.kh, tt.kw, 1, 1)
				tensor.Conv2D(y, tensor.From(x, 1, 3, 3, 1), w, tensor.From([]float32{0.5}, 1), v, nil)
				for i := range y.Data {
					y.Data[i] -= 0.5
				}
				near(t, "y", y, tt.want, 1, 30*m.tolerance) // values are up to 900, and exact but for Winograd
			})
		}
	}
}

// convCase is one convolution to compare with the definition.
type convCase struct {
	n, h, w, cin, cout, kh, kw int
	tensor.Window
}

func (c convCase) String() string {
	return fmt.Sprintf("%d×%d×%dx%d→%d kernel %d×%d %+v", c.n, c.h, c.w, c.cin, c.cout, c.kh, c.kw, c.Window)
}

// randomConv draws a case from the sizes at which something changes, small enough for the definition.
func randomConv(s *rng.Stream) convCase {
	pick := func(from ...int) int { return from[s.Intn(len(from))] }
	for {
		c := convCase{
			n: pick(1, 2, 17, 33), h: pick(1, 2, 3, 5, 7, 8), w: pick(1, 2, 3, 5, 7, 8),
			cin: pick(1, 3, 5, 32, 33, 64, 96), cout: pick(1, 3, 5, 32, 33, 64, 96),
		}
		switch s.Intn(5) {
		case 0:
			c.kh, c.kw = 1, 1
		case 1:
			c.kh, c.kw = 2, 3
		default:
			c.kh, c.kw = 3, 3
		}
		if s.Intn(2) == 0 {
			c.Window = tensor.Window{Stride: 1, Top: (c.kh - 1) / 2, Left: (c.kw - 1) / 2, Bottom: c.kh / 2, Right: c.kw / 2}
		} else {
			c.Window = tensor.Window{Stride: 1 + s.Intn(3), Top: s.Intn(3), Left: s.Intn(3), Bottom: s.Intn(3), Right: s.Intn(3)}
		}
		fits := c.h+c.Top+c.Bottom >= c.kh && c.w+c.Left+c.Right >= c.kw
		const most = 2e6 // multiplications
		if fits && c.n*c.h*c.w*c.cin*c.cout*c.kh*c.kw < most*c.Stride*c.Stride {
			return c
		}
	}
}

func TestConv2DDefinition(t *testing.T) {
	s := rng.New(1, rng.Init, 0, 0)
	const cases = 80
	for range cases {
		checkConv(t, randomConv(&s))
	}
	// Shapes with a path of their own: wide enough for Winograd by Auto, several chunks of images, a band and its
	// rest, more rows than one piece.
	for _, c := range []convCase{
		{1, 8, 8, 96, 96, 3, 3, tensor.Same3},
		{3, 7, 7, 64, 33, 3, 3, tensor.Same3},
		{49, 6, 6, 32, 32, 3, 3, tensor.Same3},
		{130, 7, 7, 3, 5, 3, 3, tensor.Same3}, // more chunks than are summed at a time
		{2, 19, 17, 32, 32, 3, 3, tensor.Same3},
		{1, 5, 12, 32, 33, 3, 3, tensor.Same3}, // a side that F(4×4, 3×3) cannot cut
		{1, 30, 2, 33, 32, 3, 3, tensor.Same3},
		{1, 17, 31, 3, 32, 3, 3, tensor.Same3},
		{2, 17, 19, 32, 3, 3, 3, tensor.Half3},
		{2, 18, 16, 5, 7, 3, 3, tensor.HalfEnd3},
		{1, 2, 2, 256, 32, 3, 3, tensor.Same3},  // strides of 256 channels are padded
		{9, 3, 4, 192, 100, 3, 3, tensor.Same3}, // more weights than the cache holds, in groups of small images
		{5, 4, 3, 192, 100, 3, 3, tensor.Half3},
		{1, 20, 400, 16, 5, 3, 3, tensor.Same3}, // more than the cache holds unfolded: bands of a piece
		{1, 26, 801, 16, 5, 3, 3, tensor.Half3},
		{16, 7, 8, 8, 9, 3, 3, tensor.Same3}, // more pixels in a chunk than in one product
		{1, 26, 31, 8, 9, 3, 3, tensor.Same3},
		{33, 5, 3, 43, 33, 3, 3, tensor.Half3}, // panels of the unfolded image that differ in width
		{33, 3, 5, 43, 5, 3, 3, tensor.Half3},
		{16, 12, 12, 64, 33, 3, 3, tensor.Half3}, // more images in a chunk than are unfolded together
		{16, 24, 24, 64, 3, 3, 3, tensor.Half3},
		{1, 37, 4, 3, 5, 1, 1, tensor.Window{Stride: 2}}, // pixels that no tap reaches
	} {
		checkConv(t, c)
	}
}

func checkConv(t *testing.T, c convCase) {
	t.Helper()
	x, w, b := random(1, c.n, c.h, c.w, c.cin), random(2, c.kh, c.kw, c.cin, c.cout), random(3, c.cout)
	oh, ow := c.Out(c.h, c.w, c.kh, c.kw)
	dy := random(4, c.n, oh, ow, c.cout)
	want := convReference(x, w, b, dy, c.Window)
	taps := float64(c.kh * c.kw)
	depth, depthDX, depthDW := math.Sqrt(taps*float64(c.cin)), math.Sqrt(taps*float64(c.cout)), math.Sqrt(float64(c.n*oh*ow))
	for _, m := range methods {
		what := func(name string) string { return fmt.Sprintf("%v %s: %s", c, m.name, name) }
		v := c.Window
		v.Method = m.method

		y := undefined(dy.Shape...)
		tensor.Conv2D(y, x, w, b, v, nil)
		near(t, what("y"), y, want.y, 1, m.tolerance*depth)
		packs := tensor.NewPacks(math.MaxInt)
		for range 3 {
			again := undefined(dy.Shape...)
			tensor.Conv2D(again, x, w, b, v, packs)
			identical(t, what("y with Packs"), again.Data, y.Data)
		}
		without := undefined(dy.Shape...)
		tensor.Conv2D(without, x, w, Tensor{}, v, nil)
		for i := range without.Data {
			without.Data[i] += b.Data[i%c.cout]
		}
		near(t, what("y without bias, plus bias"), without, want.y, 1, m.tolerance*depth)

		dx, dw, db := undefined(x.Shape...), tensor.New(w.Shape...), tensor.New(b.Shape...)
		for k, factor := range []float64{1, 2} { // overwritten, then added to
			tensor.Conv2DGrad(dx, k > 0, dw, db, x, w, dy, v, nil, nil)
			near(t, what("dx"), dx, want.dx, factor, m.tolerance*depthDX)
			near(t, what("dw"), dw, want.dw, factor, m.tolerance*depthDW)
			near(t, what("db"), db, want.db, factor, directTolerance*depthDW)
		}
	}
}

// Packs tells weights apart, and the layouts that different operations and their gradients want of the same weights;
// and packs them anew once told to forget.
func TestPacksAreSharedByAll(t *testing.T) {
	packs := tensor.NewPacks(math.MaxInt)
	x, large := random(1, 2, 7, 7, 32), random(2, 2, 14, 14, 32)
	weights := []Tensor{random(3, 3, 3, 32, 32), random(4, 3, 3, 32, 32)}
	none := Tensor{}
	check := func(what string, f func(y Tensor, p *tensor.Packs), shape []int) {
		t.Helper()
		y, want := undefined(shape...), undefined(shape...)
		f(want, nil)
		f(y, packs)
		identical(t, what, y.Data, want.Data)
	}
	for pass := range 4 {
		for _, w := range weights {
			for _, m := range methods {
				v := tensor.Same3
				v.Method = m.method
				check(m.name+" y", func(y Tensor, p *tensor.Packs) { tensor.Conv2D(y, x, w, none, v, p) }, x.Shape)
				check(m.name+" dx", func(y Tensor, p *tensor.Packs) { tensor.Conv2DGrad(y, false, none, none, x, w, x, v, p, nil) }, x.Shape)
				check(m.name+" UpConv y", func(y Tensor, p *tensor.Packs) { tensor.UpConv(y, x, w, none, m.method, p) }, large.Shape)
				check(m.name+" UpConv dx", func(y Tensor, p *tensor.Packs) {
					tensor.UpConvGrad(y, false, none, none, x, w, large, m.method, p, nil)
				}, x.Shape)
			}
			matrix := w.Reshape(9*32, 32)
			rows := random(5, 2, 9*32)
			check("Linear y", func(y Tensor, p *tensor.Packs) { tensor.Linear(y, rows, matrix, none, p) }, []int{2, 32})
			check("Linear dx", func(y Tensor, p *tensor.Packs) {
				tensor.LinearGrad(y, false, none, none, rows, matrix, random(6, 2, 32), p, nil)
			}, rows.Shape)
		}
		if pass == 2 {
			for i := range weights[0].Data {
				weights[0].Data[i] = -weights[0].Data[i]
			}
			packs.Forget()
		}
	}
}

func TestConv2DOf1x1IsLinear(t *testing.T) {
	x, w, b := random(1, 17, 5, 3, 33), random(2, 33, 70), random(3, 70)
	dy := random(4, 17, 5, 3, 70)
	kernel := w.Reshape(1, 1, 33, 70)
	v := tensor.Window{Stride: 1}
	y, yc := undefined(dy.Shape...), undefined(dy.Shape...)
	tensor.Linear(y, x, w, b, nil)
	tensor.Conv2D(yc, x, kernel, b, v, nil)
	near(t, "y", yc, float64s(y), 1, directTolerance*math.Sqrt(33))
	dx, dw, db := undefined(x.Shape...), tensor.New(33, 70), tensor.New(70)
	dxc, dwc, dbc := undefined(x.Shape...), tensor.New(1, 1, 33, 70), tensor.New(70)
	tensor.LinearGrad(dx, false, dw, db, x, w, dy, nil, nil)
	tensor.Conv2DGrad(dxc, false, dwc, dbc, x, kernel, dy, v, nil, nil)
	near(t, "dx", dxc, float64s(dx), 1, directTolerance*math.Sqrt(70))
	near(t, "dw", dwc, float64s(dw), 1, directTolerance*math.Sqrt(17*15))
	near(t, "db", dbc, float64s(db), 1, directTolerance*math.Sqrt(17*15))
}

// The rounding of each form, so that a change that makes one worse shows: the root mean square error in units of the
// result's, against the definition. The larger image cuts in whole tiles, the smaller one in all kinds.
func TestWinogradRounding(t *testing.T) {
	limits := map[string]float64{ // measured 4e-7, 4e-7 and 8e-7, with room for other kernels
		"auto": 1.5e-6, "direct": 8e-7, "winograd2": 8e-7, "winograd4": 1.5e-6,
	}
	for _, side := range []int{16, 14} {
		x, w, b := random(1, 2, side, side, 64), random(2, 3, 3, 64, 64), tensor.New(64)
		dy := random(4, 2, side, side, 64)
		want := convReference(x, w, b, dy, tensor.Same3)
		for _, m := range methods {
			v := tensor.Same3
			v.Method = m.method
			y, dx, dw := undefined(dy.Shape...), undefined(x.Shape...), tensor.New(w.Shape...)
			tensor.Conv2D(y, x, w, b, v, nil)
			tensor.Conv2DGrad(dx, false, dw, Tensor{}, x, w, dy, v, nil, nil)
			for _, r := range []struct {
				name string
				got  Tensor
				want []float64
			}{{"y", y, want.y}, {"dx", dx, want.dx}, {"dw", dw, want.dw}} {
				if e := relativeError(r.got, r.want); !(e <= limits[m.name]) {
					t.Errorf("%s %d×%d %s: got a relative error of %.2g, want at most %.2g", m.name, side, side, r.name, e, limits[m.name])
				} else {
					t.Logf("%s %d×%d %s: relative error %.2g", m.name, side, side, r.name, e)
				}
			}
		}
	}
}

// relativeError returns |got − want|₂ / |want|₂.
func relativeError(got Tensor, want []float64) float64 {
	var d, sum float64
	for i, w := range want {
		e := float64(got.Data[i]) - w
		d += e * e
		sum += w * w
	}
	return math.Sqrt(d / sum)
}
