// Package classifier is a small convolutional network that tells the classes of a data set apart. What it sees in an
// image, [Features] numbers, is the space in which generated images are compared with real ones.
//
// README.md says how the classifier of MNIST that is built in was made, and how the features were chosen.
package classifier

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat"

	"ddpm/autograd"
	"ddpm/data"
	"ddpm/internal/rng"
	"ddpm/layers"
	"ddpm/tensor"
)

// Features is how many numbers describe an image.
const Features = 64

// Net is the classifier, for square images of one size:
//
//	x [N S S C] → conv ½ 32 → + norm, SiLU, conv 32 → norm, SiLU, conv ½ 64 → norm, SiLU, conv ½ 64
//	  → norm, SiLU: the map                                                          [N S/8 S/8 64]
//	  → linear 16 → SiLU, conv 64 with a kernel as large as the image                [N 64]
//	  → SiLU, linear: a logit for each class                                         [N K]
//
// Other kernels are 3×3, ½ is a stride of 2, + adds the layer's input to its output. The features are the means of the map
// over its pixels, as Inception's are, each shifted and scaled to mean 0 and variance 1 over the training set.
type Net struct {
	Side, Channels, Classes int
	Params                  *layers.Params

	stem, same, down, low affine // the first four convolutions
	narrow, readout, head affine
	norms                 [4]autograd.Norm // before same, down, low and narrow
	mean, deviation       *autograd.Var    // of the features over the training set
}

// affine is the weight and the bias of a convolution or a linear layer.
type affine struct{ w, b *autograd.Var }

// groups is the number of groups of every normalisation.
const groups = 8

// New returns a classifier with freshly initialised parameters, a function of seed.
func New(side, channels, classes int, seed uint64) *Net {
	p := layers.NewParams(seed)
	n := &Net{
		Side: side, Channels: channels, Classes: classes, Params: p,
		stem:    newAffine(p, "stem", layers.Kernel, 3, 3, channels, 32),
		same:    newAffine(p, "same", layers.Kernel, 3, 3, 32, 32),
		down:    newAffine(p, "down", layers.Kernel, 3, 3, 32, 64),
		low:     newAffine(p, "low", layers.Kernel, 3, 3, 64, 64),
		narrow:  newAffine(p, "narrow", layers.Matrix, 64, 16),
		readout: newAffine(p, "readout", layers.Kernel, eighth(side), eighth(side), 16, Features),
		head:    newAffine(p, "head", layers.Matrix, Features, classes),
	}
	for i, width := range []int{32, 32, 64, 64} {
		n.norms[i] = newNorm(p, fmt.Sprintf("norm.%d", i), width)
	}
	n.mean = p.New("features.mean", layers.Plain, constant(0), Features)
	n.deviation = p.New("features.deviation", layers.Plain, constant(1), Features)
	p.Pack()
	return n
}

// eighth returns the side of an image that was halved three times.
func eighth(side int) int { return (side + 7) / 8 }

func newAffine(p *layers.Params, name string, l layers.Layout, shape ...int) affine {
	p = p.In(name)
	return affine{p.New("weight", l, he, shape...), p.New("bias", layers.Plain, constant(0), shape[len(shape)-1])}
}

func newNorm(p *layers.Params, name string, width int) autograd.Norm {
	p = p.In(name)
	return autograd.Norm{
		Gamma: p.New("weight", layers.Plain, constant(1), width), Beta: p.New("bias", layers.Plain, constant(0), width),
		Groups: groups, Eps: 1e-5,
	}
}

// he is uniform with variance 2/fan_in (He et al. 2015, eq. 10), which keeps the variance through layers whose input
// was rectified.
func he(x tensor.Tensor, s *rng.Stream) {
	fan := len(x.Data) / x.Shape[len(x.Shape)-1]
	limit := math.Sqrt(3 * 2 / float64(fan))
	s.Uniform(x.Data, -limit, limit)
}

func constant(v float32) layers.Init {
	return func(x tensor.Tensor, _ *rng.Stream) {
		for i := range x.Data {
			x.Data[i] = v
		}
	}
}

// forward returns the map [N S/8 S/8 64] and the logits [N 1 1 K] of images x [N S S C].
func (n *Net) forward(tp *autograd.Tape, x *autograd.Var) (seen, logits *autograd.Var) {
	active := func(i int, x *autograd.Var) *autograd.Var { return tp.SiLU(tp.GroupNorm(x, n.norms[i])) }
	x = tp.Conv2D(x, n.stem.w, n.stem.b, tensor.Half3)
	x = tp.NormSiLUConv(x, autograd.Block{Norm: n.norms[0], W: n.same.w, B: n.same.b, Residual: x})
	x = tp.Conv2D(active(1, x), n.down.w, n.down.b, tensor.Half3)
	x = tp.Conv2D(active(2, x), n.low.w, n.low.b, tensor.Half3)
	seen = active(3, x)
	x = tp.SiLU(tp.Linear(seen, n.narrow.w, n.narrow.b))
	x = tp.SiLU(tp.Conv2D(x, n.readout.w, n.readout.b, tensor.Window{Stride: 1}))
	return seen, tp.Linear(x, n.head.w, n.head.b)
}

// Describe runs the classifier on all images of a set.
func (n *Net) Describe(s *data.Set) Description {
	d := Description{Features: tensor.New(s.Len(), Features), Votes: make([]int, s.Len())}
	tape := autograd.NewInference()
	for first := 0; first < s.Len(); first += batch {
		index := make([]int, min(batch, s.Len()-first))
		for i := range index {
			index[i] = first + i
		}
		tape.Reset()
		x := tape.Temp(len(index), s.H, s.W, s.C)
		s.Batch(x.Tensor, index)
		seen, logits := n.forward(tape, x)
		for i := range index {
			n.features(d.Features.Data[(first+i)*Features:][:Features], seen.Data[i*len(seen.Data)/len(index):][:len(seen.Data)/len(index)])
			d.Votes[first+i] = largest(logits.Data[i*n.Classes:][:n.Classes])
		}
	}
	return d
}

// features sets f [64] to the features of an image, whose map is seen [… 64].
func (n *Net) features(f, seen []float32) {
	for k := range f {
		sum := 0.0
		for i := k; i < len(seen); i += Features {
			sum += float64(seen[i])
		}
		f[k] = float32((sum*Features/float64(len(seen)) - float64(n.mean.Data[k])) / float64(n.deviation.Data[k]))
	}
}

// standardise makes the features of a set have mean 0 and variance 1. One that never changes stays as it is.
func (n *Net) standardise(s *data.Set) {
	clear(n.mean.Data)
	for k := range n.deviation.Data {
		n.deviation.Data[k] = 1
	}
	x := n.Describe(s).Features
	column := make([]float64, s.Len())
	for k := range Features {
		for i := range column {
			column[i] = float64(x.Data[i*Features+k])
		}
		mean, deviation := stat.PopMeanStdDev(column, nil)
		n.mean.Data[k] = float32(mean)
		if deviation > 0 {
			n.deviation.Data[k] = float32(deviation)
		}
	}
}

// Description is what a classifier sees in images.
type Description struct {
	Features tensor.Tensor // [N 64]
	Votes    []int         // [N], the likeliest class of each
}

// Accuracy returns the share of images whose vote is their label.
func (d Description) Accuracy(labels []int) float64 {
	right := 0
	for i, v := range d.Votes {
		if v == labels[i] {
			right++
		}
	}
	return float64(right) / float64(len(labels))
}

// largest returns the index of the largest number.
func largest(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}
