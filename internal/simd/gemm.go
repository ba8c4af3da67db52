package simd

import (
	"fmt"
	"math"
	"math/bits"
)

//go:generate go run -C _asm ./gemm -out ../gemm_amd64.s -stubs ../gemm_stubs_amd64.go -pkg simd
//go:generate go run -C _asm ./gemmneon -out ../gemm_arm64.s
//go:generate go run -C _asm ./gemmpeak -out ../gemm_peak_amd64.s -stubs ../gemm_peak_amd64.go -pkg simd

// Gemm is a batch-reduce matrix product,
//
//	C = Bias + Σ_s A_s·B_s    or    C = C + Σ_s A_s·B_s
//
// with C [M N], Bias [N] in every row, A_s [M K], B_s [K N], and s running over
// AOff and BOff. One call is a whole convolution of an image row (the segments s
// are the taps, each a shifted view of the image), a plain product (one segment),
// or a weight gradient (ARow = 1 makes the channels rows; the segments are image
// rows). The idea is LIBXSMM's and oneDNN's: Georganas et al. 2020,
// "Harnessing Deep Learning via a Single Building Block", arXiv:1906.06440.
//
// Elements are found by strides and offsets, all counted in elements:
//
//	A_s[i][k] = A[AOff[s] + i·ARow + k·AK]
//	B_s[k][j] = B[BOff[s] + j/32·BPanel + k·BRow + j%32]
//	C[i][j]   = C[i·CRow + j]
//
// B is thus a row of panels of 32 columns. A row-major B of width w has BRow =
// w and BPanel = 32; packed panels of K rows have BRow = 32 and BPanel = 32·K.
//
// Every element of C is one chain of multiply-adds over s and then k, from Bias
// or C on, whatever the rows and columns around it, so its bits depend on neither
// M nor N. The assembly fuses them, and is the same to the bit for all
// instruction sets; plain Go rounds the products as well.
type Gemm struct {
	M, N, K int

	A    []float32
	ARow int
	AK   int
	AOff []int

	B      []float32
	BRow   int
	BPanel int
	BOff   []int

	C    []float32
	CRow int
	Add  bool      // add to C instead of overwriting it
	Bias []float32 // [N] or empty; empty if Add

	Ahead *Ahead // fetched meanwhile; may be nil
}

// Ahead is memory that will be read or written soon after some products. While
// they keep the processor busy its caches have time for more, so the assembly
// brings up to a line of this to the L2 cache for every k of every tile, or with
// AVX2 every other. Results do not depend on it.
type Ahead struct {
	parts [6][]float32
	n     int
	left  int // elements to be fetched
	work  int // multiply-adds left to fetch them in; 0 if unknown
}

// Add appends x to what will be fetched, if there is room left for one more.
func (a *Ahead) Add(x []float32) {
	if len(x) > 0 && a.n < len(a.parts) {
		a.parts[a.n] = x
		a.n++
		a.left += len(x)
	}
}

// During spreads what was added evenly over the given number of multiply-adds,
// for what is still under way keeps the caches from serving the products.
// Without it, all is fetched as early as possible.
func (a *Ahead) During(multiplyAdds int) { a.work = multiplyAdds }

// take returns where the next elements are, nil if there are none, and how many
// to advance at each of the fetches of a product of so many multiply-adds. Lines
// beyond a part's end are not worth a test in the kernel.
func (a *Ahead) take(fetches, work int) (next *float32, step int) {
	if a == nil || a.n == 0 {
		return nil, 0
	}
	step = lineFloats
	if a.work > 0 {
		step = min(lineFloats, int(float64(a.left)*float64(work)/float64(a.work*fetches))+1)
		a.work = max(0, a.work-work)
	}
	x := a.parts[0]
	if n := fetches * step; n < len(x) {
		a.parts[0] = x[n:]
		a.left -= n
	} else {
		a.n--
		copy(a.parts[:], a.parts[1:])
		a.left -= len(x)
	}
	return &x[0], step
}

// lineFloats is the number of elements in a cache line.
const lineFloats = 16

// panel is the number of columns that lie together in B.
const panel = 32

// Run computes the product. It panics unless all elements lie inside A, B and
// C and Bias, strides are non-negative, the rows of C do not overlap (CRow ≥ N), and
// AOff and BOff are of one length, at least 1. C must not share memory with A
// or B. The assembly cannot be preempted, and a garbage collection waits for
// it, so a call should stay below a millisecond or so: 10⁸ multiply-adds.
func (g *Gemm) Run() {
	g.check()
	switch {
	case g.M == 0 || g.N == 0:
	case g.K == 0:
		g.runGo()
	default:
		g.run()
	}
}

func (g *Gemm) check() {
	if g.M < 0 || g.N < 0 || g.K < 0 {
		panic(fmt.Sprintf("simd: Gemm: got M, N, K = %d, %d, %d, want none negative", g.M, g.N, g.K))
	}
	if min(g.ARow, g.AK, g.BRow, g.BPanel) < 0 {
		panic(fmt.Sprintf("simd: Gemm: got strides ARow %d, AK %d, BRow %d, BPanel %d, want none negative", g.ARow, g.AK, g.BRow, g.BPanel))
	}
	if len(g.AOff) != len(g.BOff) || len(g.AOff) == 0 {
		panic(fmt.Sprintf("simd: Gemm: got %d offsets into A and %d into B, want as many, at least 1", len(g.AOff), len(g.BOff)))
	}
	if g.M == 0 || g.N == 0 {
		return
	}
	if g.CRow < g.N && g.M > 1 {
		panic(fmt.Sprintf("simd: Gemm: got CRow %d, want at least N = %d", g.CRow, g.N))
	}
	if len(g.Bias) > 0 && (g.Add || len(g.Bias) < g.N) {
		panic(fmt.Sprintf("simd: Gemm: got a bias of length %d with N = %d, Add = %v, want N and not Add", len(g.Bias), g.N, g.Add))
	}
	checkSpan("C", len(g.C), 0, reach(g.M, g.CRow, g.N-1))
	if g.K == 0 {
		return
	}

	// The last column of B that is read is that of the last panel, or of the
	// last whole one if BPanel is so short that panels overlap.
	a := reach(g.M, g.ARow, reach(g.K, g.AK, 0))
	panels := (g.N-1)/panel + 1
	b := reach(panels, g.BPanel, (g.N-1)%panel)
	if panels > 1 {
		b = max(b, reach(panels-1, g.BPanel, panel-1))
	}
	b = reach(g.K, g.BRow, b)
	for s := range g.AOff {
		checkSpan("A", len(g.A), g.AOff[s], a)
		checkSpan("B", len(g.B), g.BOff[s], b)
	}
}

// reach is first plus n-1 strides, or math.MaxInt if that overflows.
func reach(n, stride, first int) int {
	hi, lo := bits.Mul(uint(n-1), uint(stride))
	if hi != 0 || lo > math.MaxInt || int(lo) > math.MaxInt-first {
		return math.MaxInt
	}
	return first + int(lo)
}

func checkSpan(name string, length, off, last int) {
	if off < 0 || last >= length || off >= length-last {
		panic(fmt.Sprintf("simd: Gemm: got %s of length %d, want elements %d to %d+%d", name, length, off, off, last))
	}
}
