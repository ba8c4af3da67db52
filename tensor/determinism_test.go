package tensor_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"ddpm/tensor"
)

// layer is an operation in the form all layers have, so that what must hold for each is written once: per-image
// shapes of inputs and result, and shapes of parameters.
type layer struct {
	name   string
	inputs [][]int
	result []int
	params [][]int

	forward func(y Tensor, in, p []Tensor)
	// grad writes the gradients of the inputs, adding if add, and adds those of the parameters in turn.
	grad func(din []Tensor, add bool, dp []Tensor, in, p []Tensor, dy Tensor, turn *tensor.Turn)
}

func convLayer(h, w, cin, cout, kernel int, v tensor.Window, method string) layer {
	oh, ow := v.Out(h, w, kernel, kernel)
	return layer{
		name:   fmt.Sprintf("Conv2D %d×%dx%d→%d kernel %d stride %d %s", h, w, cin, cout, kernel, v.Stride, method),
		inputs: [][]int{{h, w, cin}}, result: []int{oh, ow, cout}, params: [][]int{{kernel, kernel, cin, cout}, {cout}},
		forward: func(y Tensor, in, p []Tensor) { tensor.Conv2D(y, in[0], p[0], p[1], v, nil) },
		grad: func(din []Tensor, add bool, dp []Tensor, in, p []Tensor, dy Tensor, turn *tensor.Turn) {
			tensor.Conv2DGrad(din[0], add, dp[0], dp[1], in[0], p[0], dy, v, nil, turn)
		},
	}
}

func blockLayer(h, w, cin, cout int, m tensor.Method, method string) layer {
	block := func(in, p []Tensor) (tensor.Block, Tensor) {
		b := tensor.Block{
			Norm: tensor.Norm{Gamma: p[2], Beta: p[3], Groups: cin / 4, Eps: 1e-5},
			W:    p[0], B: p[1], PerImage: in[1], Residual: in[2], Method: m,
		}
		return b, undefined(b.StatsShape(in[0].Shape[0])...)
	}
	return layer{
		name:   fmt.Sprintf("NormSiLUConv %d×%dx%d→%d %s", h, w, cin, cout, method),
		inputs: [][]int{{h, w, cin}, {cout}, {h, w, cout}}, result: []int{h, w, cout},
		params: [][]int{{3, 3, cin, cout}, {cout}, {cin}, {cin}},
		forward: func(y Tensor, in, p []Tensor) {
			b, stats := block(in, p)
			tensor.NormSiLUConv(y, stats, in[0], b, nil)
		},
		grad: func(din []Tensor, add bool, dp []Tensor, in, p []Tensor, dy Tensor, turn *tensor.Turn) {
			b, stats := block(in, p)
			tensor.NormSiLUConv(undefined(dy.Shape...), stats, in[0], b, nil)
			if !add {
				clear(din[1].Data)
				clear(din[2].Data)
			}
			tensor.NormSiLUConvGrad(tensor.BlockGrad{
				X: din[0], AddX: add, W: dp[0], AddW: true, B: dp[1], Gamma: dp[2], Beta: dp[3], PerImage: din[1], Turn: turn,
			}, stats, in[0], dy, b, nil)
			tensor.Accumulate(din[2], true, dy)
		},
	}
}

// joinedLayer is a block whose input is joined of two, with a shortcut: its input gradient may be cut between groups of
// the norm and panels of the shortcut's weights, in the first of the two.
func joinedLayer(h, w, first, second, cout, groups int) layer {
	cin := first + second
	block := func(in, p []Tensor, shortcut Tensor) (tensor.Block, Tensor) {
		b := tensor.Block{
			Norm: tensor.Norm{Gamma: p[1], Beta: p[2], Groups: groups, Eps: 1e-5},
			Join: in[1], W: p[0], Shortcut: tensor.Shortcut{W: p[3], S: shortcut},
		}
		return b, undefined(b.StatsShape(in[0].Shape[0])...)
	}
	return layer{
		name:   fmt.Sprintf("NormSiLUConv %d×%dx%d+%d→%d, %d groups", h, w, first, second, cout, groups),
		inputs: [][]int{{h, w, first}, {h, w, second}}, result: []int{h, w, cout},
		params: [][]int{{3, 3, cin, cout}, {cin}, {cin}, {cin, cout}},
		forward: func(y Tensor, in, p []Tensor) {
			b, stats := block(in, p, undefined(y.Shape...))
			tensor.NormSiLUConv(y, stats, in[0], b, nil)
			tensor.Add(y, y, b.Shortcut.S)
		},
		grad: func(din []Tensor, add bool, dp []Tensor, in, p []Tensor, dy Tensor, turn *tensor.Turn) {
			b, stats := block(in, p, undefined(dy.Shape...))
			tensor.NormSiLUConv(undefined(dy.Shape...), stats, in[0], b, nil)
			b.Shortcut.S = dy
			tensor.NormSiLUConvGrad(tensor.BlockGrad{
				X: din[0], AddX: add, Join: din[1], AddJoin: add, W: dp[0], AddW: true, Gamma: dp[1], Beta: dp[2], ShortcutW: dp[3], Turn: turn,
			}, stats, in[0], dy, b, nil)
		},
	}
}

func layers() []layer {
	all := []layer{
		{
			name: "Linear 5→33", inputs: [][]int{{5}}, result: []int{33}, params: [][]int{{5, 33}, {33}},
			forward: linear, grad: linearGrad,
		},
		{
			name: "Linear 9×96→64", inputs: [][]int{{9, 96}}, result: []int{9, 64}, params: [][]int{{96, 64}, {64}},
			forward: linear, grad: linearGrad,
		},
		{
			name: "LinearPair 9×32→48→32", inputs: [][]int{{9, 32}}, result: []int{9, 32}, params: [][]int{{32, 48}, {48}, {48, 32}, {32}},
			forward: linearPair(false), grad: linearPairGrad(false),
		},
		{
			name: "LinearPair 7×33→5→64 transposed", inputs: [][]int{{7, 33}}, result: []int{7, 64}, params: [][]int{{33, 5}, {5}, {64, 5}, {64}},
			forward: linearPair(true), grad: linearPairGrad(true),
		},
		{
			name: "UpConv 7×5x33→64", inputs: [][]int{{7, 5, 33}}, result: []int{14, 10, 64}, params: [][]int{{3, 3, 33, 64}, {64}},
			forward: upConv, grad: upConvGrad,
		},
		{
			name: "UpConv 8×7x33→64", inputs: [][]int{{8, 7, 33}}, result: []int{16, 14, 64}, params: [][]int{{3, 3, 33, 64}, {64}},
			forward: upConv, grad: upConvGrad,
		},
		{
			name: "UpConv 9×3x3→5", inputs: [][]int{{9, 3, 3}}, result: []int{18, 6, 5}, params: [][]int{{3, 3, 3, 5}, {5}},
			forward: upConv, grad: upConvGrad,
		},
		{
			name: "Attention 70×3·11", inputs: [][]int{{70, 33}, {70, 33}, {70, 33}}, result: []int{70, 33},
			forward: func(y Tensor, in, _ []Tensor) { tensor.Attention(y, in[0], in[1], in[2], 3) },
			grad: func(din []Tensor, add bool, _ []Tensor, in, _ []Tensor, dy Tensor, _ *tensor.Turn) {
				for _, d := range din {
					if !add {
						clear(d.Data)
					}
				}
				tensor.AttentionGrad(tensor.AttentionGrads{Q: din[0], K: din[1], V: din[2], AddQ: true, AddK: true, AddV: true}, in[0], in[1], in[2], dy, 3)
			},
		},
		{
			name: "GroupNorm 5×7x32", inputs: [][]int{{5, 7, 32}}, result: []int{5, 7, 32}, params: [][]int{{32}, {32}},
			forward: func(y Tensor, in, p []Tensor) {
				m := tensor.Norm{Gamma: p[0], Beta: p[1], Groups: 8, Eps: 1e-5}
				tensor.GroupNorm(y, undefined(m.StatsShape(y.Shape[0])...), in[0], m)
			},
			grad: func(din []Tensor, add bool, dp []Tensor, in, p []Tensor, dy Tensor, turn *tensor.Turn) {
				m := tensor.Norm{Gamma: p[0], Beta: p[1], Groups: 8, Eps: 1e-5}
				stats := undefined(m.StatsShape(dy.Shape[0])...)
				tensor.GroupNorm(undefined(dy.Shape...), stats, in[0], m)
				tensor.GroupNormGrad(din[0], add, dp[0], dp[1], stats, in[0], dy, m, turn)
			},
		},
		{
			name: "UpConv 4×4x128→129", inputs: [][]int{{4, 4, 128}}, result: []int{8, 8, 129}, params: [][]int{{3, 3, 128, 129}, {129}},
			forward: upConv, grad: upConvGrad,
		},
		joinedLayer(4, 5, 96, 32, 33, 8),
		joinedLayer(4, 3, 64, 64, 32, 1),
		joinedLayer(3, 4, 72, 56, 32, 8),
		convLayer(9, 7, 5, 33, 1, tensor.Window{Stride: 1}, ""),
		convLayer(8, 7, 33, 5, 3, tensor.Half3, ""),
		convLayer(6, 8, 32, 32, 3, tensor.HalfEnd3, ""),
	}
	for _, m := range methods {
		v := tensor.Same3
		v.Method = m.method
		for _, s := range [][4]int{{7, 7, 32, 33}, {2, 2, 96, 64}, {11, 20, 1, 64}} {
			all = append(all, convLayer(s[0], s[1], s[2], s[3], 3, v, m.name))
		}
		for _, s := range [][4]int{{7, 7, 32, 64}, {3, 2, 96, 32}, {19, 9, 8, 3}} {
			all = append(all, blockLayer(s[0], s[1], s[2], s[3], m.method, m.name))
		}
	}
	return all
}

func linear(y Tensor, in, p []Tensor) { tensor.Linear(y, in[0], p[0], p[1], nil) }

func linearGrad(din []Tensor, add bool, dp []Tensor, in, p []Tensor, dy Tensor, turn *tensor.Turn) {
	tensor.LinearGrad(din[0], add, dp[0], dp[1], in[0], p[0], dy, nil, turn)
}

func linearPair(transposed bool) func(y Tensor, in, p []Tensor) {
	return func(y Tensor, in, p []Tensor) { tensor.LinearPair(y, in[0], pairOf(p, transposed), nil) }
}

func linearPairGrad(transposed bool) func(din []Tensor, add bool, dp []Tensor, in, p []Tensor, dy Tensor, turn *tensor.Turn) {
	return func(din []Tensor, add bool, dp []Tensor, in, p []Tensor, dy Tensor, turn *tensor.Turn) {
		tensor.LinearPairGrad(din[0], add, tensor.PairGrad{W1: dp[0], B1: dp[1], W2: dp[2], B2: dp[3], Turn: turn}, in[0], pairOf(p, transposed), dy, nil)
	}
}

func pairOf(p []Tensor, transposed bool) tensor.Pair {
	return tensor.Pair{W1: p[0], B1: p[1], W2: p[2], B2: p[3], Transposed: transposed}
}

func upConv(y Tensor, in, p []Tensor) { tensor.UpConv(y, in[0], p[0], p[1], tensor.Auto, nil) }

func upConvGrad(din []Tensor, add bool, dp []Tensor, in, p []Tensor, dy Tensor, turn *tensor.Turn) {
	tensor.UpConvGrad(din[0], add, dp[0], dp[1], in[0], p[0], dy, tensor.Auto, nil, turn)
}

// run is all that a layer computes on a batch.
type run struct {
	y       Tensor
	din, dp []Tensor
}

// data returns random inputs for n images, parameters, and a gradient of the result.
func (l layer) data(n int) (in, p []Tensor, dy Tensor) {
	for i, s := range l.inputs {
		in = append(in, random(uint64(i), append([]int{n}, s...)...))
	}
	for i, s := range l.params {
		p = append(p, random(uint64(100+i), s...))
	}
	return in, p, random(200, append([]int{n}, l.result...)...)
}

// run computes everything for images n0…n1 of a batch. The gradients of the parameters are added to dp.
func (l layer) run(in, p []Tensor, dy Tensor, n0, n1 int, dp []Tensor) run {
	return l.share(in, p, dy, n0, n1, dp, nil)
}

// share is run for a share of the batch, which adds in turn.
func (l layer) share(in, p []Tensor, dy Tensor, n0, n1 int, dp []Tensor, turn *tensor.Turn) run {
	r := run{y: undefined(append([]int{n1 - n0}, l.result...)...), dp: dp}
	part := make([]Tensor, len(in))
	for i, x := range in {
		part[i] = images(x, n0, n1)
		r.din = append(r.din, undefined(part[i].Shape...))
	}
	l.forward(r.y, part, p)
	l.grad(r.din, false, dp, part, p, images(dy, n0, n1), turn)
	return r
}

// zeros returns gradients for the parameters.
func (l layer) zeros() (dp []Tensor) {
	for _, s := range l.params {
		dp = append(dp, tensor.New(s...))
	}
	return dp
}

// The same bits on any number of processors: for one image, where the work is cut finer, and for several chunks.
func TestProcessorsDoNotMatter(t *testing.T) {
	for _, l := range layers() {
		for _, n := range []int{1, 19} {
			in, p, dy := l.data(n)
			var want run
			for _, procs := range []int{1, 2, 3, 8} {
				old := runtime.GOMAXPROCS(procs)
				got := l.run(in, p, dy, 0, n, l.zeros())
				runtime.GOMAXPROCS(old)
				if procs == 1 {
					want = got
				}
				what := func(name string) string {
					return fmt.Sprintf("%s, %d images, %d processors: %s", l.name, n, procs, name)
				}
				identical(t, what("y"), got.y.Data, want.y.Data)
				for i := range in {
					identical(t, what(fmt.Sprint("gradient of input ", i)), got.din[i].Data, want.din[i].Data)
				}
				for i := range p {
					identical(t, what(fmt.Sprint("gradient of parameter ", i)), got.dp[i].Data, want.dp[i].Data)
				}
			}
		}
	}
}

// An image's result and gradient are its own, whatever batch it comes in and wherever it stands there.
func TestBatchDoesNotMatter(t *testing.T) {
	const n = 33
	for _, l := range layers() {
		in, p, dy := l.data(n)
		want := l.run(in, p, dy, 0, n, l.zeros())
		for _, part := range [][2]int{{0, 1}, {32, 33}, {7, 12}, {16, 32}, {1, 17}} {
			got := l.run(in, p, dy, part[0], part[1], l.zeros())
			what := func(name string) string { return fmt.Sprintf("%s, images %v: %s", l.name, part, name) }
			identical(t, what("y"), got.y.Data, images(want.y, part[0], part[1]).Data)
			for i := range in {
				identical(t, what(fmt.Sprint("gradient of input ", i)), got.din[i].Data, images(want.din[i], part[0], part[1]).Data)
			}
		}
	}
}

// A batch may be computed in parts of a multiple of 16 images, one after the other, for the same parameter gradients:
// what accumulates them over several passes, or over several machines in order, relies on it.
func TestPartsOfABatchAdd(t *testing.T) {
	const n = 48
	for _, l := range layers() {
		in, p, dy := l.data(n)
		want := l.run(in, p, dy, 0, n, l.zeros())
		for _, cut := range []int{16, 32} {
			dp := l.zeros()
			l.run(in, p, dy, 0, cut, dp)
			l.run(in, p, dy, cut, n, dp)
			for i := range p {
				identical(t, fmt.Sprintf("%s, %d+%d images: gradient of parameter %d", l.name, cut, n-cut, i), dp[i].Data, want.dp[i].Data)
			}
		}
	}
}

// Shares of a batch, of several chunks each and of a different number, may be computed at once: whichever is early waits
// for its turn, with what it has summed so far.
func TestSharesAddInTurn(t *testing.T) {
	const n = 12*tensor.GradChunk + 5
	cuts := []int{0, tensor.GradChunk, 3 * tensor.GradChunk, 12 * tensor.GradChunk, n}
	for _, l := range layers() {
		in, p, dy := l.data(n)
		want := l.run(in, p, dy, 0, n, l.zeros())
		for _, procs := range []int{1, 4} {
			old := runtime.GOMAXPROCS(procs)
			dp, turns := l.zeros(), tensor.NewTurns(len(cuts)-1)
			for _, turn := range turns {
				turn.Begin()
			}
			var wg sync.WaitGroup
			for i := len(turns) - 1; i >= 0; i-- {
				wg.Go(func() {
					time.Sleep(time.Duration(len(turns)-1-i) * time.Millisecond)
					l.share(in, p, dy, cuts[i], cuts[i+1], dp, turns[i])
				})
			}
			wg.Wait()
			runtime.GOMAXPROCS(old)
			for i := range p {
				identical(t, fmt.Sprintf("%s, %d processors: gradient of parameter %d", l.name, procs, i), dp[i].Data, want.dp[i].Data)
			}
		}
	}
}

// A weight gradient is that of one chunk of images after the other, on any number of processors, and where the chunks are
// more than are summed at a time.
func TestChunksAddInOrder(t *testing.T) {
	const n = 10*tensor.GradChunk + 3
	for _, l := range []layer{
		blockLayer(4, 4, 32, 32, tensor.Auto, "small"), blockLayer(12, 8, 96, 96, tensor.Auto, "large"),
		convLayer(4, 4, 32, 32, 3, tensor.Half3, ""),
		{name: "Linear 5→33", inputs: [][]int{{5}}, result: []int{33}, params: [][]int{{5, 33}, {33}}, forward: linear, grad: linearGrad},
	} {
		in, p, dy := l.data(n)
		want := l.zeros()
		for n0 := 0; n0 < n; n0 += tensor.GradChunk {
			l.run(in, p, dy, n0, min(n0+tensor.GradChunk, n), want)
		}
		for _, procs := range []int{1, 2, 3, 8, 16} {
			old := runtime.GOMAXPROCS(procs)
			got := l.run(in, p, dy, 0, n, l.zeros())
			runtime.GOMAXPROCS(old)
			for i := range p {
				identical(t, fmt.Sprintf("%s, %d processors: gradient of parameter %d", l.name, procs, i), got.dp[i].Data, want[i].Data)
			}
		}
	}
}

// Overwriting a weight gradient is adding to zeros.
func TestChunksOverwrite(t *testing.T) {
	for h, c := range map[int]int{4: 32, 24: 96} { // small chunks and large ones
		for _, n := range []int{3, 2*tensor.GradChunk + 1, 9 * tensor.GradChunk} {
			x, w := random(1, n, h, 4, c), random(2, 3, 3, c, c)
			b := tensor.Block{Norm: tensor.Norm{Gamma: random(3, c), Beta: random(4, c), Groups: 8, Eps: 1e-5}, W: w}
			y, stats := undefined(x.Shape...), undefined(b.StatsShape(n)...)
			tensor.NormSiLUConv(y, stats, x, b, nil)
			added, overwritten := tensor.New(w.Shape...), undefined(w.Shape...)
			tensor.NormSiLUConvGrad(tensor.BlockGrad{W: added, AddW: true}, stats, x, y, b, nil)
			tensor.NormSiLUConvGrad(tensor.BlockGrad{W: overwritten}, stats, x, y, b, nil)
			identical(t, fmt.Sprintf("%d images of %d channels", n, c), overwritten.Data, added.Data)
		}
	}
}

// Empty gradients are skipped, and what remains has the same bits.
func TestUnwantedGradients(t *testing.T) {
	const n = 17
	for _, l := range layers() {
		in, p, dy := l.data(n)
		want := l.run(in, p, dy, 0, n, l.zeros())
		none := make([]Tensor, len(p))
		got := l.run(in, p, dy, 0, n, none)
		for i := range in {
			identical(t, fmt.Sprintf("%s: gradient of input %d alone", l.name, i), got.din[i].Data, want.din[i].Data)
		}
		for i := range p {
			only := make([]Tensor, len(p))
			only[i] = tensor.New(p[i].Shape...)
			din := make([]Tensor, len(in))
			if len(in) > 1 { // a block's embedding and residual, which grad clears
				for k := range din {
					din[k] = undefined(in[k].Shape...)
				}
			}
			l.grad(din, false, only, in, p, dy, nil)
			identical(t, fmt.Sprintf("%s: gradient of parameter %d alone", l.name, i), only[i].Data, want.dp[i].Data)
		}
	}
}

// Callers on several goroutines share the workers and their memory, not results.
func TestConcurrentCalls(t *testing.T) {
	const callers, n = 3, 6
	for i, l := range layers() {
		if i%2 > 0 { // for time
			continue
		}
		in, p, dy := l.data(callers * n)
		var want [callers]run
		for k := range want {
			want[k] = l.run(in, p, dy, k*n, (k+1)*n, l.zeros())
		}
		var got [callers]run
		var wg sync.WaitGroup
		for k := range got {
			wg.Go(func() {
				for range 3 {
					got[k] = l.run(in, p, dy, k*n, (k+1)*n, l.zeros())
				}
			})
		}
		wg.Wait()
		for k := range got {
			what := func(name string) string { return fmt.Sprintf("%s, caller %d: %s", l.name, k, name) }
			identical(t, what("y"), got[k].y.Data, want[k].y.Data)
			for i := range in {
				identical(t, what(fmt.Sprint("gradient of input ", i)), got[k].din[i].Data, want[k].din[i].Data)
			}
			for i := range p {
				identical(t, what(fmt.Sprint("gradient of parameter ", i)), got[k].dp[i].Data, want[k].dp[i].Data)
			}
		}
	}
}
