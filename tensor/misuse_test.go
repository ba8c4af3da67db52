package tensor_test

import (
	"fmt"
	"testing"

	"ddpm/tensor"
)

func TestTensorMisuse(t *testing.T) {
	func() {
		defer func() {
			if s := fmt.Sprint(recover()); s != "tensor: Size: got a negative dimension in [2 -1]" {
				t.Errorf("got panic %q", s)
			}
		}()
		tensor.New(2, -1)
	}()
	panics(t, "From", func() { tensor.From(make([]float32, 5), 2, 3) })
	panics(t, "From", func() { tensor.New(2, 3).Reshape(4, 2) })
	panics(t, "Dims2", func() { tensor.New(2, 3, 1).Dims2() })
	panics(t, "Dims4", func() { tensor.New(2, 3, 1).Dims4() })
}

// Every operation refuses tensors that do not fit together before it reads or writes any of them.
func TestShapeMisuse(t *testing.T) {
	z := tensor.New
	none := Tensor{}
	image, small := z(2, 4, 6, 8), z(2, 4, 5, 8)
	norm := tensor.Norm{Gamma: z(8), Beta: z(8), Groups: 4, Eps: 1e-5}
	stats, w := z(2, 24), z(3, 3, 8, 5)
	y, large := z(2, 4, 6, 5), z(2, 8, 12, 5)
	block := tensor.Block{Norm: norm, W: w}
	with := func(change func(b *tensor.Block)) tensor.Block {
		b := block
		change(&b)
		return b
	}
	badNorm := func(change func(m *tensor.Norm)) tensor.Norm {
		m := norm
		change(&m)
		return m
	}
	same := tensor.Same3
	seq := z(2, 7, 6)
	tests := []struct {
		op string
		f  func()
	}{
		{"Add", func() { tensor.Add(image, image, small) }},
		{"Add", func() { tensor.Add(small, image, image) }},
		{"Accumulate", func() { tensor.Accumulate(image, true, small) }},
		{"Scale", func() { tensor.Scale(image, small, 2) }},
		{"ScaleGrad", func() { tensor.ScaleGrad(image, small, 2) }},
		{"SiLU", func() { tensor.SiLU(image, small) }},
		{"SiLUGrad", func() { tensor.SiLUGrad(image, image, small) }},
		{"SiLUGrad", func() { tensor.SiLUGrad(image, small, image) }},
		{"AddPerImage", func() { tensor.AddPerImage(image, small, z(2, 8)) }},
		{"AddPerImage", func() { tensor.AddPerImage(image, image, z(2, 7)) }},
		{"AddPerImageGrad", func() { tensor.AddPerImageGrad(z(1, 8), image) }},
		{"ScaleShift", func() { tensor.ScaleShift(image, small, z(2, 16)) }},
		{"ScaleShift", func() { tensor.ScaleShift(image, image, z(2, 8)) }},
		{"ScaleShiftGrad", func() { tensor.ScaleShiftGrad(image, z(2, 16), image, z(2, 16), small) }},
		{"ScaleShiftGrad", func() { tensor.ScaleShiftGrad(image, z(2, 8), image, z(2, 16), image) }},
		{"ScaleShiftGrad", func() { tensor.ScaleShiftGrad(image, z(2, 16), image, z(2, 8), image) }},
		{"ScaleShiftGrad", func() { tensor.ScaleShiftGrad(small, z(2, 16), image, z(2, 16), image) }},
		{"Concat", func() { tensor.Concat(z(2, 4, 6, 16), image, small) }},
		{"Concat", func() { tensor.Concat(z(2, 4, 6, 15), image, image) }},
		{"Concat", func() { tensor.Concat(z(2, 4, 6, 16), image, z(2, 8)) }},
		{"ConcatGrad", func() { tensor.ConcatGrad(image, false, small, false, z(2, 4, 6, 16), 8) }},
		{"ConcatGrad", func() { tensor.ConcatGrad(image, false, image, false, z(2, 4, 6, 15), 8) }},
		{"ConcatGrad", func() { tensor.ConcatGrad(image, false, image, false, z(2, 4, 6, 16), 7) }},
		{"Upsample", func() { tensor.Upsample(z(2, 8, 11, 8), image) }},
		{"UpsampleGrad", func() { tensor.UpsampleGrad(image, z(2, 8, 11, 8)) }},
		{"Embed", func() { tensor.Embed(z(2, 3), z(5, 4), []int{0, 1}) }},
		{"Embed", func() { tensor.Embed(z(2, 4), z(5, 4), []int{0, 5}) }},
		{"Embed", func() { tensor.Embed(z(2, 4), z(5, 4), []int{-1, 0}) }},
		{"EmbedGrad", func() { tensor.EmbedGrad(z(5, 4), z(2, 3), []int{0, 1}) }},
		{"EmbedGrad", func() { tensor.EmbedGrad(z(5, 4), z(2, 4), []int{0, 5}) }},
		{"Linear", func() { tensor.Linear(z(2, 3), z(2, 5), z(4, 3), none, nil) }},
		{"Linear", func() { tensor.Linear(z(2, 4), z(2, 5), z(5, 3), none, nil) }},
		{"Linear", func() { tensor.Linear(z(3, 3), z(2, 5), z(5, 3), none, nil) }},
		{"Linear", func() { tensor.Linear(z(2, 3), z(2, 5), z(5, 3), z(5), nil) }},
		{"LinearGrad", func() { tensor.LinearGrad(none, false, none, none, z(2, 5), z(5, 3), z(2, 4), nil, nil) }},
		{"LinearGrad", func() { tensor.LinearGrad(z(2, 4), false, none, none, z(2, 5), z(5, 3), z(2, 3), nil, nil) }},
		{"LinearGrad", func() { tensor.LinearGrad(none, false, z(3, 5), none, z(2, 5), z(5, 3), z(2, 3), nil, nil) }},
		{"LinearGrad", func() { tensor.LinearGrad(none, false, none, z(5), z(2, 5), z(5, 3), z(2, 3), nil, nil) }},
		{"UpConv", func() { tensor.UpConv(z(2, 8, 11, 5), image, w, none, tensor.Auto, nil) }},
		{"UpConv", func() { tensor.UpConv(large, image, z(3, 3, 7, 5), none, tensor.Auto, nil) }},
		{"LinearPair", func() { tensor.LinearPair(z(4, 5), z(4, 8), tensor.Pair{W1: z(8, 3), W2: z(5, 3)}, nil) }},
		{"LinearPair", func() {
			tensor.LinearPair(z(4, 5), z(4, 8), tensor.Pair{W1: z(8, 3), W2: z(3, 5), Transposed: true}, nil)
		}},
		{"LinearPair", func() { tensor.LinearPair(z(4, 6), z(4, 8), tensor.Pair{W1: z(8, 3), W2: z(3, 5)}, nil) }},
		{"LinearPair: B1", func() { tensor.LinearPair(z(4, 5), z(4, 8), tensor.Pair{W1: z(8, 3), W2: z(3, 5), B1: z(5)}, nil) }},
		{"LinearPair", func() { tensor.LinearPair(z(4, 5), z(4, 8), tensor.Pair{W1: z(8, 3), W2: z(3, 5), B2: z(3)}, nil) }},
		{"LinearPair: Residual", func() {
			tensor.LinearPair(z(4, 5), z(4, 8), tensor.Pair{W1: z(8, 3), W2: z(3, 5), Residual: z(4, 8)}, nil)
		}},
		{"LinearPairGrad: dx", func() {
			tensor.LinearPairGrad(z(4, 5), false, tensor.PairGrad{}, z(4, 8), tensor.Pair{W1: z(8, 3), W2: z(3, 5)}, z(4, 5), nil)
		}},
		{"LinearPairGrad: dW2", func() {
			tensor.LinearPairGrad(none, false, tensor.PairGrad{W2: z(5, 3)}, z(4, 8), tensor.Pair{W1: z(8, 3), W2: z(3, 5)}, z(4, 5), nil)
		}},
		{"LinearPairGrad: dB1", func() {
			tensor.LinearPairGrad(none, false, tensor.PairGrad{B1: z(5)}, z(4, 8), tensor.Pair{W1: z(8, 3), W2: z(3, 5)}, z(4, 5), nil)
		}},
		{"UpConv", func() { tensor.UpConv(large, image, z(1, 3, 8, 5), none, tensor.Auto, nil) }},
		{"UpConv: bias", func() { tensor.UpConv(large, image, w, z(8), tensor.Auto, nil) }},
		{"UpConvGrad", func() { tensor.UpConvGrad(none, false, none, none, image, w, y, tensor.Auto, nil, nil) }},
		{"UpConvGrad", func() { tensor.UpConvGrad(small, false, none, none, image, w, large, tensor.Auto, nil, nil) }},
		{"UpConvGrad", func() { tensor.UpConvGrad(none, false, z(3, 3, 5, 8), none, image, w, large, tensor.Auto, nil, nil) }},
		{"UpConvGrad", func() { tensor.UpConvGrad(none, false, none, z(8), image, w, large, tensor.Auto, nil, nil) }},
		{"StatsShape", func() { badNorm(func(m *tensor.Norm) { m.Gamma = none }).StatsShape(2) }},
		{"GroupNorm", func() { tensor.GroupNorm(small, stats, image, norm) }},
		{"GroupNorm: stats", func() { tensor.GroupNorm(image, z(2, 8, 2), image, norm) }},
		{"GroupNorm", func() { tensor.GroupNorm(image, stats, image, badNorm(func(m *tensor.Norm) { m.Gamma = z(4) })) }},
		{"GroupNorm", func() { tensor.GroupNorm(image, stats, image, badNorm(func(m *tensor.Norm) { m.Beta = z(4) })) }},
		{"GroupNorm", func() { tensor.GroupNorm(image, stats, image, badNorm(func(m *tensor.Norm) { m.Groups = 3 })) }},
		{"GroupNorm", func() { tensor.GroupNorm(image, stats, image, badNorm(func(m *tensor.Norm) { m.Groups = 0 })) }},
		{"GroupNormGrad", func() { tensor.GroupNormGrad(image, false, none, none, stats, image, small, norm, nil) }},
		{"GroupNormGrad", func() { tensor.GroupNormGrad(small, false, none, none, stats, image, image, norm, nil) }},
		{"GroupNormGrad", func() { tensor.GroupNormGrad(image, false, z(4), none, stats, image, image, norm, nil) }},
		{"GroupNormGrad", func() { tensor.GroupNormGrad(image, false, none, z(4), stats, image, image, norm, nil) }},
		{"GroupNormGrad: stats", func() { tensor.GroupNormGrad(image, false, none, none, z(2, 8, 2), image, image, norm, nil) }},
		{"Attention", func() { tensor.Attention(seq, seq, seq, z(2, 6, 6), 2) }},
		{"Attention", func() { tensor.Attention(seq, seq, seq, seq, 4) }},
		{"Attention", func() { tensor.Attention(seq, seq, seq, seq, 0) }},
		{"Attention", func() { tensor.Attention(z(2, 6), z(2, 6), z(2, 6), z(2, 6), 1) }},
		{"AttentionGrad", func() { tensor.AttentionGrad(tensor.AttentionGrads{}, seq, seq, seq, z(2, 6, 6), 2) }},
		{"AttentionGrad", func() { tensor.AttentionGrad(tensor.AttentionGrads{Q: z(2, 6, 6)}, seq, seq, seq, seq, 2) }},
		{"AttentionGrad", func() { tensor.AttentionGrad(tensor.AttentionGrads{K: z(2, 6, 6)}, seq, seq, seq, seq, 2) }},
		{"AttentionGrad", func() { tensor.AttentionGrad(tensor.AttentionGrads{V: z(2, 6, 6)}, seq, seq, seq, seq, 2) }},
		{"Dropout", func() { tensor.Dropout(image, small, tensor.Mask{}) }},
		{"Dropout", func() { tensor.Dropout(image, image, tensor.Mask{P: 1}) }},
		{"Dropout", func() { tensor.Dropout(image, image, tensor.Mask{P: -0.1}) }},
		{"DropoutGrad", func() { tensor.DropoutGrad(image, small, tensor.Mask{}) }},
		{"MSE", func() { tensor.MSE(make([]float64, 2), image, small, nil) }},
		{"MSE", func() { tensor.MSE(make([]float64, 3), image, image, nil) }},
		{"MSE", func() { tensor.MSE(make([]float64, 2), image, image, []float64{1}) }},
		{"MSEGrad", func() { tensor.MSEGrad(image, none, image, small, nil, 1) }},
		{"MSEGrad", func() { tensor.MSEGrad(small, none, image, image, nil, 1) }},
		{"MSEGrad", func() { tensor.MSEGrad(none, small, image, image, nil, 1) }},
		{"MSEGrad", func() { tensor.MSEGrad(image, none, image, image, []float64{1, 2, 3}, 1) }},
		{"Conv2D", func() { tensor.Conv2D(z(2, 4, 5, 5), image, w, none, same, nil) }},
		{"Conv2D", func() { tensor.Conv2D(y, image, z(3, 3, 5, 8), none, same, nil) }},
		{"Conv2D", func() { tensor.Conv2D(y, image, z(3, 8, 5), none, same, nil) }},
		{"Conv2D", func() { tensor.Conv2D(y, image, w, none, tensor.Window{}, nil) }},
		{"Conv2D", func() { tensor.Conv2D(y, z(2, 2, 2, 8), w, none, tensor.Window{Stride: 1}, nil) }},
		{"Conv2DGrad", func() { tensor.Conv2DGrad(none, false, none, none, image, w, small, same, nil, nil) }},
		{"NormSiLUConv", func() { tensor.NormSiLUConv(image, stats, image, block, nil) }},
		{"NormSiLUConv", func() {
			tensor.NormSiLUConv(y, stats, image, with(func(b *tensor.Block) { b.W = z(3, 3, 5, 5) }), nil)
		}},
		{"NormSiLUConv", func() { tensor.NormSiLUConv(y, stats, image, with(func(b *tensor.Block) { b.Groups = 5 }), nil) }},
		{"NormSiLUConv", func() { tensor.NormSiLUConv(y, z(2, 8, 2), image, block, nil) }},
		{"NormSiLUConvGrad", func() { tensor.NormSiLUConvGrad(tensor.BlockGrad{}, stats, image, image, block, nil) }},
		{"Conv2D: bias", func() { tensor.Conv2D(y, image, w, z(8), same, nil) }},
		{"Conv2DGrad", func() { tensor.Conv2DGrad(small, false, none, none, image, w, y, same, nil, nil) }},
		{"Conv2DGrad", func() { tensor.Conv2DGrad(none, false, z(3, 3, 5, 8), none, image, w, y, same, nil, nil) }},
		{"Conv2DGrad", func() { tensor.Conv2DGrad(none, false, none, z(8), image, w, y, same, nil, nil) }},
		{"NormSiLUConv", func() { tensor.NormSiLUConv(y, stats, image, with(func(b *tensor.Block) { b.B = z(8) }), nil) }},
		{"NormSiLUConv", func() {
			tensor.NormSiLUConv(y, stats, image, with(func(b *tensor.Block) { b.PerImage = z(1, 5) }), nil)
		}},
		{"NormSiLUConv", func() {
			tensor.NormSiLUConv(y, stats, image, with(func(b *tensor.Block) { b.Residual = z(2, 6, 4, 5) }), nil)
		}},
		{"NormSiLUConvGrad", func() { tensor.NormSiLUConvGrad(tensor.BlockGrad{X: small}, stats, image, y, block, nil) }},
		{"NormSiLUConvGrad", func() { tensor.NormSiLUConvGrad(tensor.BlockGrad{W: z(3, 3, 5, 8)}, stats, image, y, block, nil) }},
		{"NormSiLUConvGrad", func() { tensor.NormSiLUConvGrad(tensor.BlockGrad{B: z(8)}, stats, image, y, block, nil) }},
		{"NormSiLUConvGrad", func() { tensor.NormSiLUConvGrad(tensor.BlockGrad{Gamma: z(4)}, stats, image, y, block, nil) }},
		{"NormSiLUConvGrad", func() { tensor.NormSiLUConvGrad(tensor.BlockGrad{Beta: z(4)}, stats, image, y, block, nil) }},
		{"NormSiLUConvGrad", func() { tensor.NormSiLUConvGrad(tensor.BlockGrad{PerImage: z(1, 5)}, stats, image, y, block, nil) }},
		{"NormSiLUConvGrad", func() { tensor.NormSiLUConvGrad(tensor.BlockGrad{}, z(2, 8, 2), image, y, block, nil) }},
		// A 3×3 kernel is the block's own: NormSiLUConv has no other.
		{"NormSiLUConv", func() {
			tensor.NormSiLUConv(z(2, 6, 8, 5), stats, image, with(func(b *tensor.Block) { b.W = z(1, 1, 8, 5) }), nil)
		}},
	}
	for i, tt := range tests {
		if !panics(t, tt.op, tt.f) {
			t.Errorf("that was row %d", i)
		}
	}
}
