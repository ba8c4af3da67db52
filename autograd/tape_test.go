package autograd_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ddpm/autograd"
	"ddpm/autograd/gradcheck"
	"ddpm/tensor"
)

// param returns a parameter with random values and a gradient of zeros.
func param(seed uint64, shape ...int) *autograd.Var {
	return autograd.Param(random(seed, shape...), tensor.New(shape...))
}

// panics fails t unless f panics with a message that starts with prefix.
func panics(t *testing.T, prefix string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if s := fmt.Sprint(recover()); !strings.HasPrefix(s, prefix) {
			t.Errorf("got panic %q, want %q …", s, prefix)
		}
	}()
	f()
}

// loss returns the mean square of x: one number, with the gradient 2x/n.
func loss(t tape, x *autograd.Var) *autograd.Var {
	l, _ := t.MSE(x, autograd.Const(tensor.New(x.Shape...)), nil)
	return l
}

func TestBackwardMisuse(t *testing.T) {
	x := param(1, 2, 3)
	panics(t, "autograd: Backward: got an inference tape, want one from New", func() {
		tp := autograd.NewInference()
		tp.Backward(loss(tp, x))
	})
	panics(t, "autograd: Backward: got a loss of shape [2 3], want one number", func() {
		tp := autograd.New()
		tp.Backward(tp.Scale(x, 2))
	})
	panics(t, "autograd: Backward: got a loss of shape [1], want one number computed on this tape", func() {
		tp := autograd.New()
		tp.Backward(loss(tp, autograd.Const(x.Tensor))) // of constants alone
	})
	panics(t, "autograd: Backward: got a loss of shape [1], want one number computed on this tape", func() {
		autograd.New().Backward(param(1, 1)) // a parameter itself
	})
	panics(t, "autograd: Backward: ", func() { // a result that leads nowhere
		tp := autograd.New()
		tp.SiLU(x)
		tp.Backward(loss(tp, x))
	})
}

func TestParamMisuse(t *testing.T) {
	panics(t, "autograd: Param: got a gradient of shape [3 3], want [2 3]", func() {
		autograd.Param(tensor.New(2, 3), tensor.New(3, 3))
	})
}

func TestConstantsHaveNoGradient(t *testing.T) {
	tp := autograd.New()
	c, p := autograd.Const(random(1, 4, 3)), param(2, 3, 5)
	require.False(t, c.Differentiable())
	require.True(t, p.Differentiable())
	fixed := tp.SiLU(c)
	require.False(t, fixed.Differentiable(), "what is computed from constants is one")
	require.Zero(t, tp.Recorded())
	y := tp.Linear(fixed, p, nil)
	require.True(t, y.Differentiable())
	tp.Backward(loss(tp, y))
	require.True(t, c.Grad.Empty())
	require.True(t, fixed.Grad.Empty())
	require.NotEqual(t, make([]float32, 15), p.Grad.Data)
}

func TestInferenceReleases(t *testing.T) {
	tp := autograd.NewInference()
	require.False(t, tp.Recording())
	x := param(1, 4, 3)
	y := tp.SiLU(x)
	memory := &y.Data[0]
	tp.Release(y)
	require.Panics(t, func() { _ = y.Data[0] }, "a late read fails")
	z := tp.Scale(x, 2)
	require.Same(t, memory, &z.Data[0], "the next result of its size takes its memory")
	require.Equal(t, 4*16, tp.ArenaBytes(), "in whole cache lines")

	tp.Release(x, autograd.Const(x.Tensor)) // memory that is not the tape's stays its owner's
	w := tp.Scale(z, 1)
	require.NotSame(t, &x.Grad.Data[0], &w.Data[0])
	require.Equal(t, 2*4*16, tp.ArenaBytes())
	require.Zero(t, tp.Recorded())

	// An operation of many is no different: its result is the recording tape's, bit for bit.
	tp.Release(z, z) // twice is once
	a, b := tp.Scale(w, 1), tp.Scale(w, 1)
	require.NotSame(t, &a.Data[0], &b.Data[0])
}

// What a gradient reads outlives its release; what none reads gives its memory to the next result.
func TestRecordingKeepsWhatGradientsRead(t *testing.T) {
	run := func(release bool) (y, grad []float32) {
		tp := autograd.New()
		require.True(t, tp.Recording())
		x := param(1, 4, 3)
		a := tp.SiLU(x)
		b := tp.SiLU(a)
		s := tp.Add(a, b)
		memory := &s.Data[0]
		c := tp.Scale(s, 2)
		if release {
			tp.Release(a, s)
			require.NotNil(t, a.Data)
			require.Nil(t, s.Data, "a late read fails")
		}
		d := tp.Scale(c, 3)
		require.Equal(t, release, memory == &d.Data[0])
		y = d.Clone().Data
		tp.Backward(loss(tp, d))
		return y, x.Grad.Data
	}
	y, grad := run(false)
	y2, grad2 := run(true)
	require.Equal(t, y, y2)
	require.Equal(t, grad, grad2)
}

// A block whose residual is spent computes the same in its memory, unless that is the caller's or is read again.
func TestSpentResidual(t *testing.T) {
	run := func(spent bool) (y, dx, dr []float32) {
		tp := autograd.New()
		x, r := param(1, 2, 5, 3, 4), param(2, 2, 5, 3, 4)
		b := autograd.Block{
			Norm: autograd.Norm{Gamma: param(3, 4), Beta: param(4, 4), Groups: 2, Eps: 1e-5}, W: param(5, 3, 3, 4, 4), Spent: spent,
		}
		for _, b.Residual = range []*autograd.Var{r, tp.Scale(r, 2)} {
			memory, kept := &b.Residual.Data[0], b.Residual == r
			x = tp.NormSiLUConv(x, b)
			require.Equal(t, spent && !kept, memory == &x.Data[0])
			require.Equal(t, spent && !kept, b.Residual.Empty(), "a late read fails")
		}
		s := tp.Scale(r, 3)
		b.Residual = s
		read := tp.SiLU(s)
		x = tp.NormSiLUConv(x, b)
		require.False(t, s.Empty())
		l := tp.Add(x, read)
		y = l.Clone().Data
		tp.Backward(loss(tp, l))
		return y, b.Gamma.Grad.Data, r.Grad.Data
	}
	y, dx, dr := run(false)
	y2, dx2, dr2 := run(true)
	require.Equal(t, y, y2)
	require.Equal(t, dx, dx2)
	require.Equal(t, dr, dr2)
}

func TestResultsAreGoneAfterBackward(t *testing.T) {
	tp := autograd.New()
	x := param(1, 4, 3)
	a := tp.SiLU(x)
	b := tp.Add(a, x)
	l := loss(tp, b)
	value := l.Data[0]
	tp.Backward(l)
	for _, v := range []*autograd.Var{a, b} {
		require.Nil(t, v.Data, "a late read fails instead of reading another result")
		require.True(t, v.Grad.Empty())
	}
	require.Equal(t, value, l.Data[0], "the loss stays")
	require.False(t, x.Empty())
	require.False(t, x.Grad.Empty())
	require.Zero(t, tp.Recorded())
}

// Gradients of a parameter add up until its owner zeroes them: over two losses on a tape, and over two tapes.
func TestGradientsAccumulate(t *testing.T) {
	x := param(1, 4, 3)
	step := func(tp tape) { tp.Backward(loss(tp, tp.SiLU(x))) }
	step(autograd.New())
	once := x.Grad.Clone().Data
	tp := autograd.New()
	step(tp)
	step(tp)
	tp.Reset()
	step(tp)
	for i, g := range x.Grad.Data {
		require.InDelta(t, 4*float64(once[i]), g, 1e-6)
	}
}

// Where a result is read many times its gradient is a sum, and Add, Dropout and blocks hand on the memory of theirs:
// what takes it over must not be what another still reads.
func TestSharedResults(t *testing.T) {
	tests := map[string]gradcheck.Op{
		"both operands later": func(t tape, x vars) *autograd.Var {
			h := t.Add(x[0], x[1])
			return t.Add(t.SiLU(h), h)
		},
		"operand read before and after": func(t tape, x vars) *autograd.Var {
			a := t.SiLU(x[0])
			b := t.SiLU(a)
			s := t.Add(a, b)
			return t.Add(s, t.Scale(a, 3))
		},
		"chain of sums": func(t tape, x vars) *autograd.Var {
			h := t.SiLU(x[0])
			for range 3 {
				h = t.Add(h, h)
			}
			return t.Add(h, x[1])
		},
		"residual is the input": func(t tape, x vars) *autograd.Var {
			h := t.Scale(x[0], 1)
			return t.NormSiLUConv(h, autograd.Block{
				Norm: autograd.Norm{Gamma: x[2], Beta: x[3], Groups: 2, Eps: 1e-5}, W: x[4], Residual: h,
			})
		},
		"encoder and decoder": func(t tape, x vars) *autograd.Var {
			h := t.SiLU(x[0])
			low := t.Conv2D(h, x[4], nil, tensor.Half3)
			up := t.UpConv(low, x[4], nil, tensor.Auto)
			joined := t.Concat(t.Add(up, x[1]), h)
			return t.Concat(joined, up)
		},
		"attention with a residual": func(t tape, x vars) *autograd.Var {
			h := t.SiLU(x[0])
			return t.Add(t.Attention(h, h, x[1], 2), h)
		},
		"no dropout": func(t tape, x vars) *autograd.Var {
			return t.Add(t.Dropout(x[0], tensor.Mask{}), x[1])
		},
	}
	for name, op := range tests {
		t.Run(name, func(t *testing.T) {
			gradcheck.Check(t, func(t tape, x vars) *autograd.Var {
				y := op(t, x)
				// Every input must lead to the loss.
				for _, v := range x[1:2] {
					y = t.Concat(y, v)
				}
				return y
			}, random(1, 2, 4, 4, 4), random(2, 2, 4, 4, 4), random(3, 4), random(4, 4), random(5, 3, 3, 4, 4))
		})
	}
}

func TestResetKeepsMemory(t *testing.T) {
	tp := autograd.New()
	x, w := param(1, 16, 8), param(2, 8, 8)
	var first int
	for step := range 5 {
		h := tp.Linear(x, w, nil)
		h = tp.Add(h, tp.SiLU(h))
		if step != 2 { // a step that is given up gives its memory back, too
			tp.Backward(loss(tp, h))
		}
		tp.Reset()
		require.Zero(t, tp.Recorded())
		if step == 0 {
			first = tp.ArenaBytes()
		}
		require.Equal(t, first, tp.ArenaBytes(), "step %d", step)
	}
	require.Positive(t, first)
}

// A step may be computed in parts with Rewind in between, for the gradients of a Reset each, to the bit; and the next
// step sees the new weights.
func TestRewind(t *testing.T) {
	const n = 48
	x, target := random(1, n, 7, 7, 32), random(2, n, 7, 7, 32)
	run := func(between func(tp tape)) []float32 {
		w := param(3, 3, 3, 32, 32)
		m := param(4, 32, 32)
		tp := autograd.New()
		for range 2 {
			for i := 0; i < n; i += tensor.GradChunk {
				part := func(x tensor.Tensor) *autograd.Var {
					return autograd.Const(tensor.From(x.Data[i*7*7*32:][:tensor.GradChunk*7*7*32], tensor.GradChunk, 7, 7, 32))
				}
				l, _ := tp.MSE(tp.Linear(tp.SiLU(tp.Conv2D(part(x), w, nil, tensor.Same3)), m, nil), part(target), nil)
				tp.Backward(l)
				between(tp)
			}
			tp.Reset()
			for _, p := range []*autograd.Var{w, m} {
				for k, g := range p.Grad.Data {
					p.Data[k] -= g
				}
			}
		}
		return append(w.Data, m.Data...)
	}
	want := run(func(tp tape) { tp.Reset() })
	require.Equal(t, want, run(func(tp tape) { tp.Rewind() }))
}

func TestTempIsUndefined(t *testing.T) {
	tp := autograd.New()
	y := tp.Temp(2, 3)
	require.Equal(t, []int{2, 3}, y.Shape)
	one, two := append(y.Shape, 1), append(y.Shape, 2)
	require.NotEqual(t, one, two, "what is appended to a shape does not lie in the Var")
	for _, v := range y.Data {
		require.True(t, math.IsNaN(float64(v)), "tests run with poisoned memory")
	}
	require.False(t, y.Differentiable())
}
