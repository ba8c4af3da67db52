package tests

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"ddpm/autograd"
	"ddpm/checkpoint"
	"ddpm/layers"
	"ddpm/tensor"
)

// The fixtures in golden/ were made by diffusers' UNet2DModel in float64; golden/README.md says how.
const (
	// forwardTolerance is the largest difference of an output, relative to the largest output. PyTorch's own float32
	// result is off by up to 1e-6.
	forwardTolerance = 1e-5
	// gradientTolerance is the largest difference of a gradient, relative to the largest of the same tensor; PyTorch's
	// own float32 gradients are off by up to 1e-5.
	gradientTolerance = 1e-4
)

// goldenUNet is one network of golden/unets.json.
type goldenUNet struct {
	Name, Model, Golden string
	Timesteps           []int
	ClassLabels         []int `json:"class_labels"`
	Loss                float64
	ZeroGradients       []string `json:"zero_gradients"` // zero but for rounding: no relative error
}

func TestUNetEqualsDiffusers(t *testing.T) {
	var nets []goldenUNet
	readJSON(t, "golden/unets.json", &nets)
	require.GreaterOrEqual(t, len(nets), 8)
	for _, g := range nets {
		for _, m := range []struct {
			name   string
			method tensor.Method
		}{{"auto", tensor.Auto}, {"direct", tensor.Direct}, {"winograd 2", tensor.Winograd2}, {"winograd 4", tensor.Winograd4}} {
			t.Run(g.Name+"/"+m.name, func(t *testing.T) {
				net := loadUNet(t, filepath.Join("golden", g.Model))
				net.Method = m.method
				g.check(t, net)
			})
		}
	}
}

func (g goldenUNet) check(t *testing.T, net *layers.UNet) {
	golden := openTensors(t, filepath.Join("golden", g.Golden))
	x := golden("input")
	input := autograd.Param(x, tensor.New(x.Shape...))
	cond := layers.Condition{Labels: g.ClassLabels}
	inference := autograd.NewInference()
	near(t, "output of an inference tape", net.Forward(inference, input, g.Timesteps, cond).Tensor, golden("output"), forwardTolerance)

	tape := autograd.New()
	y := net.Forward(tape, input, g.Timesteps, cond)
	near(t, "output", y.Tensor, golden("output"), forwardTolerance)
	loss, _ := tape.MSE(y, autograd.Const(golden("target")), nil)
	require.InEpsilon(t, g.Loss, float64(loss.Data[0]), 1e-5)
	tape.Backward(loss)
	near(t, "gradient of the input", input.Grad, golden("grad.input"), gradientTolerance)
	zero := map[string]bool{}
	for _, name := range g.ZeroGradients {
		zero[name] = true
	}
	for _, e := range net.Params.Entries() {
		got := e.From(net.Params.Grads())
		if zero[e.Name] {
			require.Less(t, largest(got), 1e-5, "gradient of %s", e.Name)
			continue
		}
		near(t, "gradient of "+e.Name, got, golden("grad."+e.Name), gradientTolerance)
	}
}

// loadUNet opens a model directory of diffusers.
func loadUNet(t testing.TB, dir string) *layers.UNet {
	t.Helper()
	m, err := checkpoint.OpenModel(dir)
	require.NoError(t, err)
	defer m.Close()
	cfg, err := layers.ParseConfig(m.Config)
	require.NoError(t, err)
	net, err := layers.New(cfg, 0)
	require.NoError(t, err)
	require.NoError(t, checkpoint.Load(m.Weights, named(net.Params)))
	return net
}

// named lists a network's weights for a checkpoint.
func named(p *layers.Params) []checkpoint.Named {
	var list []checkpoint.Named
	for _, e := range p.Entries() {
		list = append(list, checkpoint.Named{
			Name: e.Name, Shape: e.Shape,
			Get: func() tensor.Tensor { return e.From(p.Values()) },
			Set: func(x tensor.Tensor) { e.Into(p.Values(), x) },
		})
	}
	return list
}

// openTensors returns a function that reads a tensor of a safetensors file, images turned from NCHW to NHWC.
func openTensors(t testing.TB, path string) func(name string) tensor.Tensor {
	t.Helper()
	r, err := checkpoint.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	return func(name string) tensor.Tensor {
		x, err := r.Tensor(name)
		require.NoError(t, err)
		switch name {
		case "input", "output", "target", "grad.input":
			return nhwc(x)
		}
		return x
	}
}

func nhwc(x tensor.Tensor) tensor.Tensor {
	n, c, h, w := x.Dims4()
	y := tensor.New(n, h, w, c)
	for i, v := range x.Data {
		p := i % (h * w)
		y.Data[(i/(c*h*w)*h*w+p)*c+i/(h*w)%c] = v
	}
	return y
}

// near fails unless got and want differ by at most tolerance times the largest value of want.
func near(t testing.TB, what string, got, want tensor.Tensor, tolerance float64) {
	t.Helper()
	require.Equal(t, want.Shape, got.Shape, what)
	limit, worst := tolerance*largest(want), 0.0
	for i := range want.Data {
		d := math.Abs(float64(got.Data[i]) - float64(want.Data[i]))
		require.False(t, math.IsNaN(d), "%s: element %d is not a number", what, i)
		worst = max(worst, d)
	}
	if worst > limit {
		t.Errorf("%s: off by %.3g, want at most %.3g", what, worst, limit)
	}
}

func largest(x tensor.Tensor) float64 {
	m := 0.0
	for _, v := range x.Data {
		m = max(m, math.Abs(float64(v)))
	}
	return m
}

func readJSON(t testing.TB, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, v))
}
