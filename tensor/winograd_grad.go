package tensor

import (
	"runtime"

	"ddpm/internal/par"
	"ddpm/internal/simd"
)

// The weight gradient in Winograd's form, F(3×3, m×m): for each position the product over tiles [Cin tiles]·[tiles
// Cout] of the transformed input and the transformed output gradient, summed over the images of a chunk before it is
// transformed back.

// transformed is how much memory the transformed tiles of one step may take, in floats: a part of the L3 cache.
const transformed = 2 << 20

// addWeightGrad adds dw [3 3 Cin Cout] for the images that s makes. With it goes what else has to be done for every
// image: also, which may be nil, is called once for each group of images, while these are in the cache.
func (f *winograd) addWeightGrad(dw Tensor, s *source, dy Tensor, also func(n0, n1 int, mem *par.Scratch)) {
	n, h, w, cout := dy.Dims4()
	t := f.tiling(n, h, w, s.x.Shape[3], cout)
	chunks := (n + GradChunk - 1) / GradChunk
	// Either way the bits are the same, so the choice may depend on the machine.
	if f.positions*t.cin*t.cout <= smallGrad && chunks >= runtime.GOMAXPROCS(0) {
		t.gradByChunk(dw, s, dy, chunks, also)
		return
	}
	for k := range chunks {
		t.gradByPosition(dw, s, dy, k*GradChunk, min((k+1)*GradChunk, n))
	}
	if also != nil {
		t.eachGroup(also)
	}
}

// eachGroup calls f for all images, as many at a time as fill a block of tiles.
func (t tiling) eachGroup(f func(n0, n1 int, mem *par.Scratch)) {
	group := t.group()
	par.For((t.n+group-1)/group, func(i int, mem *par.Scratch) { f(i*group, min((i+1)*group, t.n), mem) })
}

// smallGrad is the size, in floats, up to which a transformed weight gradient stays in the L2 cache of the worker that
// sums it.
const smallGrad = 1 << 17

// gradByChunk has each chunk of images summed by one worker: for small gradients of many images.
func (t tiling) gradByChunk(dw Tensor, s *source, dy Tensor, chunks int, also func(n0, n1 int, mem *par.Scratch)) {
	size := len(dw.Data)
	part := takeWork(min(chunks, partialChunks) * size)
	defer giveWork(part)
	for first := 0; first < chunks; first += partialChunks {
		count := min(partialChunks, chunks-first)
		par.For(count, func(k int, mem *par.Scratch) {
			n0 := (first + k) * GradChunk
			sum := mem.Floats(t.positions * t.cin * t.cout)
			t.gradChunk(sum, s, dy, n0, min(n0+GradChunk, t.n), mem, also)
			dst := part[k*size:][:size]
			clear(dst)
			t.transformGrad(dst, sum, 0, t.cin)
		})
		addChunks(dw.Data, part, count)
	}
}

// gradChunk computes the transformed weight gradient of images n0…n1 into sum [positions Cin Cout].
func (t tiling) gradChunk(sum []float32, s *source, dy Tensor, n0, n1 int, mem *par.Scratch, also func(n0, n1 int, mem *par.Scratch)) {
	group := t.group()
	block := t.blockRows()
	tiles := block * t.tw * group
	pRow := (t.side*t.tw + 2) * t.cin
	image := mem.Floats((t.side*block + 2) * pRow)
	vPos, dPos := posStride(tiles, t.vTile), posStride(tiles, t.mTile)
	v, d := mem.Floats(t.positions*vPos), mem.Floats(t.positions*dPos)
	fresh := true
	for n := n0; n < n1; n += group {
		images := min(group, n1-n)
		for r := 0; r < t.th; r += block {
			count := min(block, t.th-r)
			for i := range images {
				s.fill(image, pRow, n+i, t.side*r, t.side*(r+count)+2, 1, 1)
				at := i * count * t.tw
				t.transformInput(v[at*t.vTile:], vPos, image, pRow, count)
				t.transformGradOutput(d[at*t.mTile:], dPos, dy, n+i, r, count)
			}
			for pos := range t.positions {
				t.gradProduct(sum, v[pos*vPos:], d[pos*dPos:], pos, images*count*t.tw, 0, t.cin, fresh)
			}
			fresh = false
		}
		if also != nil {
			mem.Within(func() { also(n, n+images, mem) })
		}
	}
}

// gradByPosition sums images n0…n1 with the workers sharing out positions and input channels: for large gradients.
// The tiles are first transformed by all workers into memory they share, some at a time.
func (t tiling) gradByPosition(dw Tensor, s *source, dy Tensor, n0, n1 int) {
	perTile := t.positions * (t.vTile + t.mTile)
	rows := min((n1-n0)*t.th, max(1, transformed/(perTile*t.tw))) // tile rows at a time, of all images end to end
	if rows > t.th {
		rows = rows / t.th * t.th
	}
	tiles := rows * t.tw
	vPos, dPos := posStride(tiles, t.vTile), posStride(tiles, t.mTile)
	v, d := takeWork(t.positions*vPos), takeWork(t.positions*dPos)
	sum := takeWork(t.positions * t.cin * t.cout)
	defer func() { giveWork(v); giveWork(d); giveWork(sum) }()
	pRow := (t.side*t.tw + 2) * t.cin
	const perPiece = 4 // tile rows transformed in one piece
	blocks := max(1, t.cin/64)
	for n := n0; n < n1; {
		fresh := n == n0
		images := max(1, rows/t.th)
		last := min(n+images, n1)
		for r0 := 0; r0 < t.th; r0 += rows {
			r1 := min(r0+rows, t.th)
			pieces := (r1 - r0 + perPiece - 1) / perPiece
			par.For((last-n)*pieces, func(i int, mem *par.Scratch) {
				im, a := i/pieces, r0+i%pieces*perPiece
				count := min(perPiece, r1-a)
				image := mem.Floats((t.side*count + 2) * pRow)
				s.fill(image, pRow, n+im, t.side*a, t.side*(a+count)+2, 1, 1)
				at := (im*(r1-r0) + a - r0) * t.tw
				t.transformInput(v[at*t.vTile:], vPos, image, pRow, count)
				t.transformGradOutput(d[at*t.mTile:], dPos, dy, n+im, a, count)
			})
			par.For(t.positions*blocks, func(i int, _ *par.Scratch) {
				b := i % blocks
				t.gradProduct(sum, v[i/blocks*vPos:], d[i/blocks*dPos:], i/blocks, (last-n)*(r1-r0)*t.tw, b*t.cin/blocks, (b+1)*t.cin/blocks, fresh && r0 == 0)
			})
		}
		n = last
	}
	pieces := (t.cin + 15) / 16
	par.For(pieces, func(i int, _ *par.Scratch) {
		t.transformGrad(dw.Data, sum, i*t.cin/pieces, (i+1)*t.cin/pieces)
	})
}

// gradProduct adds Vᵀ·D of count tiles at one position, rows c0…c1 of Cin, to sum, or writes it there if fresh.
func (t tiling) gradProduct(sum, v, d []float32, pos, count, c0, c1 int, fresh bool) {
	g := simd.Gemm{
		M: c1 - c0, N: t.cout, K: count,
		A: v[c0:], ARow: 1, AK: t.vTile, AOff: zeroOffset,
		B: d, BRow: t.mTile, BPanel: panelWidth, BOff: zeroOffset,
		C: sum[(pos*t.cin+c0)*t.cout:], CRow: t.cout, Add: !fresh,
	}
	g.Run()
}

// transformGradOutput transforms count tile rows of image n of dy, from tile row r on.
func (t tiling) transformGradOutput(d []float32, dPos int, dy Tensor, n, r, count int) {
	row := t.w * t.cout
	image := dy.Data[n*t.h*row:][:t.h*row]
	for k := range count {
		y := t.side * (r + k)
		t.gradOutput(d[k*t.tw*t.mTile:], dPos, t.mTile, image[y*row:], row, t.cout, min(t.side, t.h-y), t.w, t.cout)
	}
}

// transformGrad adds rows c0…c1 of the transformed-back sum to dw.
func (t tiling) transformGrad(dw, sum []float32, c0, c1 int) {
	t.gradWeight(dw[c0*t.cout:], t.cin*t.cout, t.cout, sum[c0*t.cout:], t.cin*t.cout, t.cout, c1-c0, t.cout)
}
