package layers

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ddpm/autograd"
	"ddpm/autograd/gradcheck"
	"ddpm/tensor"
)

// variants are small networks that together use every part: both embeddings, both paddings, attention with one and
// several heads, classes, rescaling, shortcut and none.
func variants() map[string]Config {
	with := func(change func(c *Config)) Config {
		c := DDPM(8, 2, []int{8, 12}, 1, []bool{false, true}, 4)
		change(&c)
		return c
	}
	heads, narrow, classes := 4, 8, 3
	return map[string]Config{
		"plain":       with(func(*Config) {}),
		"heads":       with(func(c *Config) { c.AttentionHeadDim = &heads }),
		"narrow head": with(func(c *Config) { c.AttentionHeadDim = &narrow }), // one, of 8 of the 12 channels
		"classes":     with(func(c *Config) { c.NumClassEmbeds = &classes }),
		"scale shift": with(func(c *Config) { c.ResnetTimeScaleShift = "scale_shift" }),
		"end padding": with(func(c *Config) { c.DownsamplePadding = 0 }),
		"centred":     with(func(c *Config) { c.CenterInputSample = true }),
		"rescaled":    with(func(c *Config) { c.MidBlockScaleFactor = math.Sqrt2 }),
		"cosines":     with(func(c *Config) { c.FlipSinToCos = true }),
		"no middle":   with(func(c *Config) { c.MidBlockType = nil }),
		"dropout":     with(func(c *Config) { c.Dropout = 0.3 }),
	}
}

// network returns a network of which no parameter is zero, inputs for n images, and a condition that fits.
func network(t *testing.T, cfg Config, n int) (u *UNet, x, target tensor.Tensor, times []int, cond Condition) {
	t.Helper()
	u, err := New(cfg, 1)
	require.NoError(t, err)
	for i, p := range u.Params.All() {
		noise := gradcheck.Random(uint64(i), p.Shape...)
		for k := range p.Data {
			p.Data[k] += 0.1 * noise.Data[k]
		}
	}
	times = make([]int, n)
	for i := range times {
		times[i] = 37 * i % 1000
	}
	cond = Condition{Train: true, Dropout: tensor.Mask{Seed: 5, Step: 3}}
	if u.Classes() > 0 {
		for i := range n {
			cond.Labels = append(cond.Labels, i%u.Classes())
		}
	}
	side := cfg.SampleSize
	return u, gradcheck.Random(1, n, side, side, cfg.InChannels), gradcheck.Random(2, n, side, side, cfg.OutChannels), times, cond
}

// gradients returns the gradients of Σ_n mean((ε_θ(x_n) − target_n)²) for images n0…n1, added to those the network has.
func (u *UNet) gradients(x, target tensor.Tensor, times []int, cond Condition, n0, n1 int) {
	size := len(x.Data) / x.Shape[0]
	part := func(x tensor.Tensor) *autograd.Var {
		return autograd.Const(tensor.From(x.Data[n0*size:n1*size], append([]int{n1 - n0}, x.Shape[1:]...)...))
	}
	if cond.Labels != nil {
		cond.Labels = cond.Labels[n0:n1]
	}
	cond.Dropout.First = uint64(n0)
	tp := autograd.New()
	loss, _ := tp.MSE(u.Forward(tp, part(x), times[n0:n1], cond), part(target), nil)
	tp.Backward(tp.Scale(loss, float64(n1-n0)))
}

// The tape that frees as it goes computes the bits of the one that keeps everything.
func TestInferenceIsTraining(t *testing.T) {
	for name, cfg := range variants() {
		u, x, _, times, cond := network(t, cfg, 3)
		want := u.Forward(autograd.New(), autograd.Const(x), times, cond).Clone()
		tape := autograd.NewInference()
		for pass := range 2 { // the second in the first one's memory, and with its packed weights
			y := u.Forward(tape, autograd.Const(x), times, cond)
			require.Equal(t, want.Data, y.Data, "%s, pass %d", name, pass)
			tape.Release(y)
		}
	}
}

// The loss falls by |∇L|² per unit of step along the gradient; numeric and exact derivative agree for every parameter.
func TestParameterGradients(t *testing.T) {
	const step, tolerance = 1e-2, 5e-3 // of the directional derivative: see gradcheck, with more layers to round in
	for name, cfg := range variants() {
		t.Run(name, func(t *testing.T) {
			u, x, target, times, cond := network(t, cfg, 3)
			loss := func() float64 {
				tp := autograd.NewInference()
				_, per := tp.MSE(u.Forward(tp, autograd.Const(x), times, cond), autograd.Const(target), nil)
				return per[0] + per[1] + per[2]
			}
			u.gradients(x, target, times, cond, 0, 3)
			whole := 0.0
			for _, g := range u.Params.Grads() {
				whole += float64(g) * float64(g)
			}
			for i, p := range u.Params.All() {
				if name != "plain" && i%4 != 0 { // a sample, for time
					continue
				}
				norm := 0.0
				for _, g := range p.Grad.Data {
					norm += float64(g) * float64(g)
				}
				norm = math.Sqrt(norm)
				// A bias before a norm of single channels, or of keys, has no effect and so no gradient.
				if norm < 1e-3*math.Sqrt(whole) {
					continue
				}
				old := slices.Clone(p.Data)
				move := func(h float64) float64 {
					for k, g := range p.Grad.Data {
						p.Data[k] = float32(float64(old[k]) + h*float64(g)/norm)
					}
					defer copy(p.Data, old)
					return loss()
				}
				got := (move(step) - move(-step)) / (2 * step)
				require.InDelta(t, norm, got, tolerance*norm+1e-4*math.Sqrt(whole), p.Name)
			}
		})
	}
}

// Every parameter has a gradient, whichever way the network is put together, but for the bias of an attention's keys: it
// adds the same to all scores of a query, which softmax does not see.
func TestEveryParameterLearns(t *testing.T) {
	for name, cfg := range variants() {
		u, x, target, times, cond := network(t, cfg, 3)
		u.gradients(x, target, times, cond, 0, 3)
		for _, p := range u.Params.All() {
			if !strings.HasSuffix(p.Name, "to_k.bias") {
				require.True(t, slices.ContainsFunc(p.Grad.Data, func(g float32) bool { return g != 0 }), "%s: %s", name, p.Name)
			}
			require.False(t, slices.ContainsFunc(p.Grad.Data, func(g float32) bool { return g != g }), "%s: %s: NaN", name, p.Name)
		}
	}
}

// Attention with one head is computed with two linear maps for the four of its definition. Results and gradients are the
// same, and the gradient of the keys' bias, which is rounding noise by the definition, is zero.
func TestAttentionOfOneHead(t *testing.T) {
	for _, name := range []string{"plain", "narrow head"} {
		u, x, target, times, cond := network(t, variants()[name], 3)
		var all []*attention
		for _, l := range append(slices.Clone(u.down), u.up...) {
			all = append(all, l.attentions...)
		}
		all = append(all, u.mid.attention)
		run := func() (y tensor.Tensor, grads []float32) {
			u.Params.ZeroGrads()
			u.gradients(x, target, times, cond, 0, 3)
			y = u.Forward(autograd.NewInference(), autograd.Const(x), times, cond).Tensor
			return y, slices.Clone(u.Params.Grads())
		}
		y, grads := run()
		for _, a := range all {
			require.Equal(t, name == "plain", a.whole)
			a.whole = false
		}
		wantY, want := run()
		require.Less(t, distance(y.Data, wantY.Data), 1e-6, name)
		require.Less(t, distance(grads, want), 1e-5, name)
		for _, p := range u.Params.All() {
			if strings.HasSuffix(p.Name, "to_k.bias") {
				for _, g := range p.Grad.Data {
					require.InDelta(t, 0, g, 1e-6, p.Name)
				}
			}
		}
	}
}

// The network computed by Winograd's forms is the network, up to rounding.
func TestMethodsAgree(t *testing.T) {
	const tolerance = 1e-4 // relative, for the output and for each parameter's gradient
	cfg := DDPM(14, 1, []int{32, 64}, 1, []bool{false, true}, 8)
	u, x, target, times, cond := network(t, cfg, 2)
	run := func(m tensor.Method) (y []float32, grads [][]float32) {
		u.Method = m
		u.Params.ZeroGrads()
		y = u.Forward(autograd.NewInference(), autograd.Const(x), times, cond).Data
		u.gradients(x, target, times, cond, 0, 2)
		for _, p := range u.Params.All() {
			grads = append(grads, slices.Clone(p.Grad.Data))
		}
		return y, grads
	}
	y, grads := run(tensor.Direct)
	for _, m := range []tensor.Method{tensor.Auto, tensor.Winograd2, tensor.Winograd4} {
		got, gotGrads := run(m)
		require.LessOrEqual(t, distance(got, y), tolerance, "method %d", m)
		for i, p := range u.Params.All() {
			if strings.HasSuffix(p.Name, "to_k.bias") { // zero
				continue
			}
			require.LessOrEqual(t, distance(gotGrads[i], grads[i]), tolerance, "method %d: %s", m, p.Name)
		}
	}
}

// distance returns |a − b| / |b|.
func distance(a, b []float32) float64 {
	d := make([]float32, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return size(d) / size(b)
}

func size(x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum)
}

// onProcessors holds that a step of n images has the same bits on any of these numbers of processors.
func onProcessors(t *testing.T, name string, cfg Config, n int, all ...int) {
	t.Helper()
	u, x, target, times, cond := network(t, cfg, n)
	var want []float32
	for _, procs := range all {
		old := runtime.GOMAXPROCS(procs)
		u.Params.ZeroGrads()
		u.gradients(x, target, times, cond, 0, n)
		runtime.GOMAXPROCS(old)
		if want == nil {
			want = slices.Clone(u.Params.Grads())
		}
		require.Equal(t, want, u.Params.Grads(), "%s: %d images, %d processors", name, n, procs)
	}
}

// A step has the same bits where processors share out each operation, and where they share the images.
func TestProcessorsDoNotMatter(t *testing.T) {
	cfg := DDPM(12, 1, []int{32, 48}, 1, []bool{false, true}, 8)
	cfg.Dropout = 0.1
	onProcessors(t, "19 images are not shared", cfg, 19, 1, 2, 5)
	onProcessors(t, "one chunk for each of five", cfg, 77, 1, 2, 5)
	onProcessors(t, "one for each of three", cfg, 48, 1, 2, 3)
	for name, cfg := range variants() {
		onProcessors(t, name, cfg, 2*tensor.GradChunk, 1, 2)
	}
}

// Where the results of the decoder lie, in memory of the tape's own or in that of gradients, does not show in the gradients.
func TestIdleGradientsHoldResults(t *testing.T) {
	for name, cfg := range variants() {
		u, x, target, times, cond := network(t, cfg, 3)
		clear(u.Params.Grads())
		u.gradients(x, target, times, cond, 0, 3)
		want := slices.Clone(u.Params.Grads())
		for n, images := range map[int]tensor.Tensor{3: x, 1: tensor.From(x.Data[:len(x.Data)/3], append([]int{1}, x.Shape[1:]...)...)} {
			u.Params.ZeroGrads()
			tp := autograd.New()
			c := cond
			if c.Labels != nil {
				c.Labels = c.Labels[:n]
			}
			u.Forward(tp, autograd.Const(images), times[:n], c)
			require.Panics(t, func() { u.Params.Grads() }, "%s: nothing was lent for %d images", name, n)
			tp.Reset()
		}
		u.Params.ZeroGrads()
		u.gradients(x, target, times, cond, 0, 3)
		require.Equal(t, want, u.Params.Grads(), name)
	}
}

// A batch may be computed in parts of a multiple of 16 images.
func TestPartsOfABatchAdd(t *testing.T) {
	cfg := DDPM(8, 1, []int{32, 48}, 1, []bool{false, true}, 8)
	cfg.Dropout = 0.1
	const n = 48
	u, x, target, times, cond := network(t, cfg, n)
	u.gradients(x, target, times, cond, 0, n)
	want := slices.Clone(u.Params.Grads())
	for _, cut := range []int{16, 32} {
		u.Params.ZeroGrads()
		u.gradients(x, target, times, cond, 0, cut)
		u.gradients(x, target, times, cond, cut, n)
		require.Equal(t, want, u.Params.Grads(), "%d+%d images", cut, n-cut)
	}
}

// The network refuses what does not fit before it computes anything.
func TestForwardMisuse(t *testing.T) {
	u, _, _, _, _ := network(t, variants()["plain"], 1)
	classes, _, _, _, _ := network(t, variants()["classes"], 1)
	for name, f := range map[string]func(tp *autograd.Tape){
		"channels":  func(tp *autograd.Tape) { u.Denoise(tp, tp.Temp(2, 8, 8, 1), []int{1, 2}) },
		"odd sides": func(tp *autograd.Tape) { u.Denoise(tp, tp.Temp(2, 8, 7, 2), []int{1, 2}) },
		"times":     func(tp *autograd.Tape) { u.Denoise(tp, tp.Temp(2, 8, 8, 2), []int{1}) },
		"labels": func(tp *autograd.Tape) {
			u.Forward(tp, tp.Temp(2, 8, 8, 2), []int{1, 2}, Condition{Labels: []int{0, 0}})
		},
		"no labels": func(tp *autograd.Tape) { classes.Denoise(tp, tp.Temp(2, 8, 8, 2), []int{1, 2}) },
		"one label": func(tp *autograd.Tape) {
			classes.Forward(tp, tp.Temp(2, 8, 8, 2), []int{1, 2}, Condition{Labels: []int{0}})
		},
	} {
		func() {
			defer func() {
				require.Regexp(t, `^layers: UNet\.Forward: got .*, want `, fmt.Sprint(recover()), name)
			}()
			f(autograd.NewInference())
		}()
	}
}

// Weights are uniform with variance 2/(fan_in + fan_out), a function of seed and name's place alone.
func TestInitialValues(t *testing.T) {
	cfg := DDPM(8, 3, []int{32, 64}, 1, []bool{false, true}, 8)
	a, err := New(cfg, 1)
	require.NoError(t, err)
	b, err := New(cfg, 1)
	require.NoError(t, err)
	other, err := New(cfg, 2)
	require.NoError(t, err)
	require.Equal(t, a.Params.Values(), b.Params.Values())
	require.NotEqual(t, a.Params.Values(), other.Params.Values())
	for _, p := range a.Params.All() {
		if p.Layout == Plain {
			continue
		}
		in, out := p.Shape[len(p.Shape)-2], p.Shape[len(p.Shape)-1]
		variance := 2 * float64(in*out) / float64(len(p.Data)*(in+out))
		square, largest := 0.0, 0.0
		for _, v := range p.Data {
			square += float64(v) * float64(v) / float64(len(p.Data))
			largest = max(largest, math.Abs(float64(v)))
		}
		if square < 1e-9 { // the last layer of a branch: zero for all purposes
			continue
		}
		// x² of a uniform x has a relative deviation of √0.8 per value.
		require.InDelta(t, 1, square/variance, 5*math.Sqrt(0.8/float64(len(p.Data))), p.Name)
		require.LessOrEqual(t, largest, 1.001*math.Sqrt(3*variance), p.Name)
	}
}
