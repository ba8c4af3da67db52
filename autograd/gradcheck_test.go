package autograd_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"ddpm/autograd"
	"ddpm/autograd/gradcheck"
	"ddpm/internal/par"
	"ddpm/tensor"
)

// Every test of this package runs with poisoned memory: a value read before it was written is NaN and fails.
func TestMain(m *testing.M) {
	par.Poison = true
	os.Exit(m.Run())
}

type (
	tape = *autograd.Tape
	vars = []*autograd.Var
)

var random = gradcheck.Random

func TestGradients(t *testing.T) {
	same, half, halfEnd := tensor.Same3, tensor.Half3, tensor.HalfEnd3
	direct, wino2, wino4 := tensor.Same3, tensor.Same3, tensor.Same3
	direct.Method, wino2.Method, wino4.Method = tensor.Direct, tensor.Winograd2, tensor.Winograd4
	conv := func(v tensor.Window) gradcheck.Op {
		return func(t tape, x vars) *autograd.Var { return t.Conv2D(x[0], x[1], x[2], v) }
	}
	block := func(m tensor.Method) gradcheck.Op {
		return func(t tape, x vars) *autograd.Var {
			return t.NormSiLUConv(x[0], autograd.Block{
				Norm: autograd.Norm{Gamma: x[1], Beta: x[2], Groups: 3, Eps: 1e-5},
				W:    x[3], B: x[4], PerImage: x[5], Residual: x[6], Method: m,
			})
		}
	}
	shortcut := func(m tensor.Method) gradcheck.Op {
		return func(t tape, x vars) *autograd.Var {
			y, s := t.NormSiLUConvShortcut(x[0], autograd.Block{
				Norm: autograd.Norm{Gamma: x[1], Beta: x[2], Groups: 3, Eps: 1e-5},
				W:    x[3], B: x[4], Method: m,
			}, x[5], x[6])
			return t.Add(y, s)
		}
	}
	tests := []struct {
		name string
		op   gradcheck.Op
		in   []tensor.Tensor
	}{
		{"Add", func(t tape, x vars) *autograd.Var { return t.Add(x[0], x[1]) }, in(random(1, 2, 7), random(2, 2, 7))},
		{"Add/twice", func(t tape, x vars) *autograd.Var { return t.Add(x[0], x[0]) }, in(random(1, 2, 7))},
		{"Scale", func(t tape, x vars) *autograd.Var { return t.Scale(x[0], -1.5) }, in(random(1, 2, 7))},
		{"SiLU", func(t tape, x vars) *autograd.Var { return t.SiLU(x[0]) }, in(random(1, 2, 7))},
		{"AddPerImage", func(t tape, x vars) *autograd.Var { return t.AddPerImage(x[0], x[1]) }, in(random(1, 2, 3, 2, 5), random(2, 2, 5))},
		{"ScaleShift", func(t tape, x vars) *autograd.Var { return t.ScaleShift(x[0], x[1]) }, in(random(1, 2, 3, 2, 5), random(2, 2, 10))},
		{"Dropout", func(t tape, x vars) *autograd.Var { return t.Dropout(x[0], tensor.Mask{P: 0.4, Seed: 1}) }, in(random(1, 2, 3, 2, 5))},
		{"Concat", func(t tape, x vars) *autograd.Var { return t.Concat(x[0], x[1]) }, in(random(1, 2, 3, 2, 5), random(2, 2, 3, 2, 3))},
		{"Concat/twice", func(t tape, x vars) *autograd.Var { return t.Concat(x[0], x[0]) }, in(random(1, 2, 3, 2, 5))},
		{"Upsample", func(t tape, x vars) *autograd.Var { return t.Upsample(x[0]) }, in(random(1, 2, 3, 2, 5))},
		{"Embed", func(t tape, x vars) *autograd.Var { return t.Embed(x[0], []int{2, 0, 2}) }, in(random(1, 4, 3))},
		{"Linear", func(t tape, x vars) *autograd.Var { return t.Linear(x[0], x[1], x[2]) }, in(random(1, 19, 5), random(2, 5, 37), random(3, 37))},
		{"Linear/images", func(t tape, x vars) *autograd.Var { return t.Linear(x[0], x[1], nil) }, in(random(1, 33, 2, 1, 5), random(2, 5, 3))},
		{"LinearPair", func(t tape, x vars) *autograd.Var {
			return t.LinearPair(x[0], autograd.Pair{W1: x[1], B1: x[2], W2: x[3], B2: x[4]})
		}, in(random(1, 33, 2, 5), random(2, 5, 7), random(3, 7), random(4, 7, 3), random(5, 3))},
		{"LinearPair/transposed", func(t tape, x vars) *autograd.Var {
			return t.LinearPair(x[0], autograd.Pair{W1: x[1], W2: x[2], Transposed: true, Residual: x[3]})
		}, in(random(1, 3, 5), random(2, 5, 7), random(3, 3, 7), random(4, 3, 3))},
		{"Conv2D/direct", conv(direct), in(random(1, 2, 5, 3, 3), random(2, 3, 3, 3, 7), random(3, 7))},
		{"Conv2D/winograd 2", conv(wino2), in(random(1, 2, 5, 3, 3), random(2, 3, 3, 3, 7), random(3, 7))},
		{"Conv2D/winograd 2, 17 images", conv(wino2), in(random(1, 17, 4, 6, 3), random(2, 3, 3, 3, 35), random(3, 35))},
		{"Conv2D/winograd 4", conv(wino4), in(random(1, 2, 5, 3, 3), random(2, 3, 3, 3, 7), random(3, 7))},
		{"Conv2D/winograd 4, 17 images", conv(wino4), in(random(1, 17, 7, 6, 3), random(2, 3, 3, 3, 35), random(3, 35))},
		{"Conv2D/17 images", conv(same), in(random(1, 17, 4, 6, 3), random(2, 3, 3, 3, 5), random(3, 5))},
		{"Conv2D/half", conv(half), in(random(1, 2, 7, 6, 3), random(2, 3, 3, 3, 5), random(3, 5))},
		{"Conv2D/half end", conv(halfEnd), in(random(1, 2, 6, 8, 3), random(2, 3, 3, 3, 5), random(3, 5))},
		{"Conv2D/kernel 2×1 stride 3", conv(tensor.Window{Stride: 3, Top: 1}), in(random(1, 2, 6, 8, 3), random(2, 2, 1, 3, 5), random(3, 5))},
		{"UpConv", func(t tape, x vars) *autograd.Var { return t.UpConv(x[0], x[1], x[2], tensor.Auto) }, in(random(1, 2, 3, 5, 3), random(2, 3, 3, 3, 5), random(3, 5))},
		{"GroupNorm", func(t tape, x vars) *autograd.Var {
			return t.GroupNorm(x[0], autograd.Norm{Gamma: x[1], Beta: x[2], Groups: 3, Eps: 1e-5})
		}, in(random(1, 2, 3, 2, 6), random(2, 6), random(3, 6))},
		{"NormSiLUConvShortcut/direct", shortcut(tensor.Direct), in(random(1, 2, 5, 3, 6), random(2, 6), random(3, 6), random(4, 3, 3, 6, 5), random(5, 5), random(6, 6, 5), random(7, 5))},
		{"NormSiLUConvShortcut/winograd 4", shortcut(tensor.Winograd4), in(random(1, 18, 5, 3, 6), random(2, 6), random(3, 6), random(4, 3, 3, 6, 5), random(5, 5), random(6, 6, 5), random(7, 5))},
		{"NormSiLUConv/direct", block(tensor.Direct), in(random(1, 2, 5, 3, 6), random(2, 6), random(3, 6), random(4, 3, 3, 6, 5), random(5, 5), random(6, 2, 5), random(7, 2, 5, 3, 5))},
		{"NormSiLUConv/winograd 2", block(tensor.Winograd2), in(random(1, 2, 5, 3, 6), random(2, 6), random(3, 6), random(4, 3, 3, 6, 5), random(5, 5), random(6, 2, 5), random(7, 2, 5, 3, 5))},
		{"NormSiLUConv/winograd 4", block(tensor.Winograd4), in(random(1, 2, 5, 3, 6), random(2, 6), random(3, 6), random(4, 3, 3, 6, 5), random(5, 5), random(6, 2, 5), random(7, 2, 5, 3, 5))},
		{"Attention/1 head", func(t tape, x vars) *autograd.Var { return t.Attention(x[0], x[1], x[2], 1) }, in(random(1, 2, 3, 2, 6), random(2, 2, 3, 2, 6), random(3, 2, 3, 2, 6))},
		{"Attention/3 heads", func(t tape, x vars) *autograd.Var { return t.Attention(x[0], x[1], x[2], 3) }, in(random(1, 2, 7, 6), random(2, 2, 7, 6), random(3, 2, 7, 6))},
		// Results, unlike parameters, have no gradient to add to at first.
		{"Attention/self", func(t tape, x vars) *autograd.Var {
			y := t.Scale(x[0], 1.5)
			return t.Attention(y, y, y, 2)
		}, in(random(1, 2, 7, 6))},
		{"Attention/keys are values", func(t tape, x vars) *autograd.Var {
			y := t.Scale(x[1], 1.5)
			return t.Attention(x[0], y, y, 1)
		}, in(random(1, 2, 7, 6), random(2, 2, 7, 6))},
		{"MSE", func(t tape, x vars) *autograd.Var {
			l, _ := t.MSE(x[0], x[1], []float64{1, 0.5, 2})
			return l
		}, in(random(1, 3, 4), random(2, 3, 4))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			gradcheck.Check(t, tt.op, tt.in...)
			require.Equal(t, gradients(tt.op, tt.in, false), gradients(tt.op, tt.in, true), "with operands released after use")
		})
	}
}

// gradients returns those of op's operands, which are results themselves.
func gradients(op gradcheck.Op, in []tensor.Tensor, release bool) [][]float32 {
	tp := autograd.New()
	var params, operands vars
	for _, x := range in {
		p := autograd.Param(x, tensor.New(x.Shape...))
		params, operands = append(params, p), append(operands, tp.Scale(p, 1))
	}
	y := op(tp, operands)
	if release {
		tp.Release(operands...)
	}
	tp.Backward(loss(tp, y))
	var grads [][]float32
	for _, p := range params {
		grads = append(grads, p.Grad.Data)
	}
	return grads
}

func in(xs ...tensor.Tensor) []tensor.Tensor { return xs }
