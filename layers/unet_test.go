package layers

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ddpm/autograd"
	"ddpm/autograd/gradcheck"
	"ddpm/internal/par"
	"ddpm/tensor"
)

func TestMain(m *testing.M) {
	par.Poison = true
	os.Exit(m.Run())
}

// cifar10 is the paper's network: google/ddpm-cifar10-32.
func cifar10() Config {
	c := DDPM(32, 3, []int{128, 256, 256, 256}, 2, []bool{false, true, false, false}, 32)
	c.DownsamplePadding = 0
	return c
}

func TestCIFAR10HasThePublishedParameters(t *testing.T) {
	net, err := New(cifar10(), 0)
	require.NoError(t, err)
	data, err := os.ReadFile(filepath.Join("testdata", "cifar10-unet-keys.txt"))
	require.NoError(t, err)
	want := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 2 {
			want[f[0]] = f[1]
		}
	}
	got := map[string]string{}
	for _, e := range net.Params.Entries() {
		got[e.Name] = strings.Trim(strings.ReplaceAll(fmt.Sprint(e.Shape), " ", "x"), "[]")
	}
	require.Len(t, got, 328)
	require.Equal(t, want, got)
	require.Equal(t, 35_746_307, net.Params.Count())
}

func TestFirstLossIsOne(t *testing.T) {
	for name, cfg := range map[string]Config{
		"8×8":   DDPM(8, 1, []int{32, 64}, 1, []bool{false, true}, 8),
		"28×28": DDPM(28, 1, []int{32, 64, 128}, 1, []bool{false, false, true}, 8),
	} {
		t.Run(name, func(t *testing.T) {
			net, err := New(cfg, 1)
			require.NoError(t, err)
			x := autograd.Const(gradcheck.Random(1, 4, cfg.SampleSize, cfg.SampleSize, 1))
			eps := autograd.Const(gradcheck.Random(2, x.Shape...))
			tape := autograd.NewInference()
			loss, _ := tape.MSE(net.Denoise(tape, x, []int{0, 10, 500, 999}), eps, nil)
			require.InDelta(t, 1, loss.Data[0], 0.05)
		})
	}
}

func TestEntriesRoundTrip(t *testing.T) {
	net, err := New(DDPM(8, 1, []int{8, 12}, 1, []bool{false, true}, 4), 3)
	require.NoError(t, err)
	values := net.Params.Values()
	copied := make([]float32, len(values))
	for _, e := range net.Params.Entries() {
		e.Into(copied, e.From(values))
	}
	require.Equal(t, values, copied)
	for _, e := range net.Params.Entries() {
		if e.Name == "conv_in.weight" { // [Cout Cin KH KW] in files, [KH KW Cin Cout] in memory
			w := net.convIn.w
			require.Equal(t, []int{3, 3, 1, 8}, w.Shape)
			x := e.From(values)
			require.Equal(t, w.Data[(1*3+2)*8+5], x.Data[5*9+1*3+2])
		}
	}
}

func TestTimeEmbedding(t *testing.T) {
	y := tensor.New(2, 6)
	timeEmbedding(y, []int{0, 7}, false, 1)
	require.Equal(t, []float32{0, 0, 0, 1, 1, 1}, y.Data[:6], "time 0: sines 0, cosines 1")
	for k, f := range []float64{1, 0.01, 0.0001} { // 10000^(−k/2)
		require.InDelta(t, math.Sin(7*f), y.Data[6+k], 1e-6)
		require.InDelta(t, math.Cos(7*f), y.Data[9+k], 1e-6)
	}
	flipped := tensor.New(1, 6)
	timeEmbedding(flipped, []int{7}, true, 1)
	require.Equal(t, y.Data[9:], flipped.Data[:3])
	require.Equal(t, y.Data[6:9], flipped.Data[3:])
}

func TestDropout(t *testing.T) {
	cfg := DDPM(8, 1, []int{8}, 1, nil, 4)
	cfg.Dropout = 0.5
	net, err := New(cfg, 0)
	require.NoError(t, err)
	for _, p := range net.Params.All() {
		copy(p.Data, gradcheck.Random(5, len(p.Data)).Data)
	}
	x := autograd.Const(gradcheck.Random(1, 4, 8, 8, 1))
	run := func(x *autograd.Var, cond Condition) []float32 {
		tape := autograd.New()
		return net.Forward(tape, x, make([]int, x.Shape[0]), cond).Data
	}
	cond := Condition{Train: true, Dropout: tensor.Mask{Seed: 1, Step: 2}}
	all := run(x, cond)
	require.NotEqual(t, run(x, Condition{}), all, "dropout changes the output")
	later := cond
	later.Dropout.Step++
	require.NotEqual(t, run(x, later), all, "each step drops others")
	half := autograd.Const(tensor.From(x.Data[2*64:], 2, 8, 8, 1))
	cond.Dropout.First = 2
	require.Equal(t, all[2*64:], run(half, cond), "a part of the batch drops what the whole does")
}

func TestImagesAreIndependentOfTheirBatch(t *testing.T) {
	cfg := DDPM(12, 1, []int{32, 48}, 1, []bool{false, true}, 8)
	net, err := New(cfg, 0)
	require.NoError(t, err)
	for _, p := range net.Params.All() {
		copy(p.Data, gradcheck.Random(5, len(p.Data)).Data)
	}
	const n, size = 19, 12 * 12
	x := gradcheck.Random(1, n, 12, 12, 1)
	times := make([]int, n)
	for i := range times {
		times[i] = 40 * i
	}
	for _, method := range []tensor.Method{tensor.Auto, tensor.Direct, tensor.Winograd2, tensor.Winograd4} {
		net.Method = method
		all := net.Denoise(autograd.NewInference(), autograd.Const(x), times)
		for _, split := range [][2]int{{0, 1}, {7, 8}, {3, 19}} {
			part := autograd.Const(tensor.From(x.Data[split[0]*size:split[1]*size], split[1]-split[0], 12, 12, 1))
			got := net.Denoise(autograd.NewInference(), part, times[split[0]:split[1]])
			require.Equal(t, all.Data[split[0]*size:split[1]*size], got.Data, "method %d, images %v", method, split)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	tests := []struct{ json, problem string }{
		{`[]`, "not a JSON object"},
		{`{"_class_name":"UNet2DConditionModel"}`, "UNet2DConditionModel"},
		{`{"speed":1}`, `unknown field "speed"`},
		{`{"time_embedding_type":"fourier"}`, "time_embedding_type"},
		{`{"time_embedding_type":"learned"}`, "time_embedding_type"},
		{`{"act_fn":"gelu"}`, "act_fn"},
		{`{"downsample_type":"resnet"}`, "downsample_type"},
		{`{"upsample_type":"resnet"}`, "upsample_type"},
		{`{"class_embed_type":"timestep"}`, "class_embed_type"},
		{`{"mid_block_type":"UNetMidBlock2DCrossAttn"}`, "mid_block_type"},
		{`{"resnet_time_scale_shift":"spatial"}`, "resnet_time_scale_shift"},
		{`{"down_block_types":["SkipDownBlock2D","DownBlock2D","DownBlock2D","DownBlock2D"]}`, "SkipDownBlock2D"},
		{`{"block_out_channels":[32,64]}`, "one length"},
		{`{"norm_num_groups":48}`, "norm_num_groups"},
		{`{"norm_num_groups":0}`, "norm_num_groups"},
		{`{"attn_norm_num_groups":5}`, "attn_norm_num_groups"},
		{`{"attention_head_dim":1000}`, "attention_head_dim"},
		{`{"dropout":1}`, "dropout"},
		{`{"downsample_padding":2}`, "downsample_padding"},
		{`{"layers_per_block":0}`, "layers_per_block"},
		{`{"in_channels":0}`, "in_channels"},
	}
	for _, tt := range tests {
		_, err := ParseConfig([]byte(tt.json))
		require.ErrorContains(t, err, tt.problem, tt.json)
	}
}

func TestConfigRoundTrip(t *testing.T) {
	c := cifar10()
	data, err := c.MarshalJSON()
	require.NoError(t, err)
	again, err := ParseConfig(data)
	require.NoError(t, err)
	require.Equal(t, c, again)

	// The published file of 2022, which lacks what came later.
	published := `{"_class_name":"UNet2DModel","_diffusers_version":"0.0.4","act_fn":"silu","attention_head_dim":null,
	 "block_out_channels":[128,256,256,256],"center_input_sample":false,
	 "down_block_types":["DownBlock2D","AttnDownBlock2D","DownBlock2D","DownBlock2D"],"downsample_padding":0,
	 "flip_sin_to_cos":false,"freq_shift":1,"in_channels":3,"layers_per_block":2,"mid_block_scale_factor":1,
	 "norm_eps":1e-06,"norm_num_groups":32,"out_channels":3,"sample_size":32,"time_embedding_type":"positional",
	 "up_block_types":["UpBlock2D","UpBlock2D","AttnUpBlock2D","UpBlock2D"]}`
	got, err := ParseConfig([]byte(published))
	require.NoError(t, err)
	require.Equal(t, c, got)
}
