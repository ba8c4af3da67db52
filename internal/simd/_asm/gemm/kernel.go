package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// shape is the part of C that a kernel keeps in registers.
type shape struct {
	rows    int
	vectors int
	masked  bool // the last vector is masked
}

func (s shape) label(v *isa) string {
	l := fmt.Sprintf("%s_%dx%d", v.name, s.rows, s.vectors*v.lanes)
	if s.masked && s.vectors == 2 && !v.maskIsFree {
		l += "m"
	}
	return l
}

// registers holds what every kernel keeps in general registers, and on the stack
// for want of more. Strides are in bytes. Seven rows of A are reached from one
// pointer with row, 3·row and 5·row.
type registers struct {
	row, row3, row5, ak, bRow Register

	left, seg, next Mem // tiles to do, segments done, where in the next panel of B
}

type Register = reg.GPVirtual

// panel is the number of columns that lie together in B.
const panel = 32

// setup loads the strides and the mask of the last vector's columns.
func setup(v *isa) *registers {
	n := Load(Param("cols"), GP64()).(Register)
	wide := n
	over := GP64()
	MOVQ(wide, over)
	SUBQ(Imm(uint64(v.lanes)), over)
	CMOVQGT(over, n)
	v.setMask(n)

	stride := func(name string) Register {
		r := Load(Param(name), GP64()).(Register)
		SHLQ(Imm(2), r)
		return r
	}
	r := &registers{row: stride("aRow"), ak: stride("aK"), bRow: stride("bRow"), row3: GP64(), row5: GP64(), left: AllocLocal(8), seg: AllocLocal(8), next: AllocLocal(8)}
	LEAQ(Mem{Base: r.row, Index: r.row, Scale: 2}, r.row3)
	LEAQ(Mem{Base: r.row, Index: r.row, Scale: 4}, r.row5)
	return r
}

// address is A's element in row i of the tile at the current k; p points to
// row 0 and q to row 7.
func (r *registers) address(p, q Register, i int) Mem {
	if i >= 7 {
		p, i = q, i-7
	}
	switch i {
	case 0:
		return Mem{Base: p}
	case 3:
		return Mem{Base: p, Index: r.row3, Scale: 1}
	case 5:
		return Mem{Base: p, Index: r.row5, Scale: 1}
	case 6:
		return Mem{Base: p, Index: r.row3, Scale: 2}
	}
	return Mem{Base: p, Index: r.row, Scale: uint8(i)} // 1, 2, 4
}

// kernel is the program for one shape: loops over panels, tiles, segments and k,
// which advance the arguments c, b, bias and ahead in place.
//
// Large operands are read faster than the hardware foresees: its prefetchers
// stop at the end of a page, and a panel of B takes few microseconds. So while
// one panel of B is used, the next is brought to the L2 cache: a packed one
// evenly, as a line for each k keeps the caches from serving the products, and
// rows that lie apart anew with each tile. And while one tile is computed, the
// elements of A for the tile below it come to the L1, and with add those of C.
// Where there is no next panel or tile that is in vain. With B in memory this
// halves the time of a product of 64 rows, with B in the caches it costs 1 %;
// with A in the L2 a training step takes 2 % less on an Emerald Rapids Xeon.
// What the caller will need after this product is fetched with it, up to a line
// for each turn of the loop over k.
type kernel struct {
	shape
	v *isa
	r *registers

	aTile, cTile Register // the tile's first row
	c, cRow      Register // a row of it, and the bytes to the next
	p, q, b      Register // rows 0 and 7 of A and the row of B, at the current k
	k            Register // turns left
	below, next  Register // what is fetched of A and of B,
	ahead        Register // and for the caller
}

// write writes the kernel.
func (k *kernel) write() {
	k.aTile, k.cTile, k.c, k.cRow = GP64(), GP64(), GP64(), GP64()
	k.p, k.q, k.b, k.k = GP64(), GP64(), GP64(), GP64()
	k.below, k.next, k.ahead = GP64(), GP64(), GP64()

	Label(k.label("")) // panel loop
	k.beginPanel()
	Label(k.label("_tile"))
	k.beginSums()
	MOVQ(I32(0), k.r.seg)
	Label(k.label("_segment"))
	k.beginSegment()
	k.addSegment()
	INCQ(k.r.seg)
	MOVQ(k.r.seg, k.k)
	CMPQ(k.k, argument("segments"))
	JLT(LabelRef(k.label("_segment")))
	k.finishTile()
	DECQ(k.r.left)
	JNE(LabelRef(k.label("_tile")))
	k.endPanel()
	DECQ(argument("panels"))
	JNE(LabelRef(k.label("")))
	VZEROUPPER()
	RET()
}

// argument is the place of an argument.
func argument(name string) Mem {
	b, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

func (k *kernel) label(part string) string { return k.shape.label(k.v) + part }

// sum holds vector j of row i of the tile.
func (k *kernel) sum(i, j int) Op { return k.v.vector(i*k.vectors + j) }

// lastMasked reports whether vector j is masked.
func (k *kernel) lastMasked(j int) bool { return k.masked && j == k.vectors-1 }

// column is vector j of the row of C at hand.
func (k *kernel) column(j int) Mem { return Mem{Base: k.c, Disp: 4 * k.v.lanes * j} }

// eachRow has c go through the rows of the tile, and stay below it.
func (k *kernel) eachRow(f func(i int)) {
	Load(Param("cRow"), k.cRow)
	SHLQ(Imm(2), k.cRow)
	MOVQ(k.cTile, k.c)
	for i := 0; i < k.rows; i++ {
		f(i)
		ADDQ(k.cRow, k.c)
	}
}

// eachVector calls f for the vectors of a row.
func (k *kernel) eachVector(f func(j int)) {
	for j := 0; j < k.vectors; j++ {
		f(j)
	}
}

// beginPanel goes to the first tile of a panel.
func (k *kernel) beginPanel() {
	Load(Param("bPanel"), k.aTile)
	SHLQ(Imm(2), k.aTile)
	ADDQ(argument("b"), k.aTile)
	MOVQ(k.aTile, k.r.next)
	Load(Param("tiles"), k.aTile)
	MOVQ(k.aTile, k.r.left)
	Load(Param("a"), k.aTile)
	Load(Param("c"), k.cTile)
}

// endPanel advances the arguments to the next.
func (k *kernel) endPanel() {
	ADDQ(Imm(4*panel), argument("c"))
	CMPQ(argument("bias"), Imm(0))
	JEQ(LabelRef(k.label("_next")))
	ADDQ(Imm(4*panel), argument("bias"))
	Label(k.label("_next"))
	step := GP64()
	Load(Param("bPanel"), step)
	SHLQ(Imm(2), step)
	ADDQ(step, argument("b"))
}

// beginSums sets the tile's sums to what they start from: C, the bias or zero.
func (k *kernel) beginSums() {
	CMPB(argument("add"), Imm(0))
	JEQ(LabelRef(k.label("_fresh")))
	k.eachRow(func(i int) {
		k.eachVector(func(j int) { k.v.load(k.column(j), k.sum(i, j), k.lastMasked(j)) })
	})
	for i := 0; i < k.rows; i++ { // of the tile below
		k.eachVector(func(j int) { PREFETCHT0(k.column(j)) })
		ADDQ(k.cRow, k.c)
	}
	JMP(LabelRef(k.label("_start")))

	Label(k.label("_fresh"))
	Load(Param("bias"), k.c)
	TESTQ(k.c, k.c)
	JEQ(LabelRef(k.label("_zero")))
	k.eachVector(func(j int) {
		k.v.load(k.column(j), k.sum(0, j), k.lastMasked(j))
		for i := 1; i < k.rows; i++ {
			VMOVAPS(k.sum(0, j), k.sum(i, j))
		}
	})
	JMP(LabelRef(k.label("_start")))

	Label(k.label("_zero"))
	for i := 0; i < k.rows; i++ {
		k.eachVector(func(j int) { k.v.zero(k.sum(i, j)) })
	}
	Label(k.label("_start"))
}

// beginSegment goes to the first k of segment seg.
func (k *kernel) beginSegment() {
	MOVQ(k.r.seg, k.k)
	Load(Param("aOff"), k.p)
	MOVQ(Mem{Base: k.p, Index: k.k, Scale: 8}, k.p)
	LEAQ(Mem{Base: k.aTile, Index: k.p, Scale: 4}, k.p)
	if k.rows > 7 {
		LEAQ(Mem{Base: k.p, Index: k.r.row3, Scale: 2}, k.q)
		ADDQ(k.r.row, k.q)
	}
	Load(Param("bOff"), k.b)
	MOVQ(Mem{Base: k.b, Index: k.k, Scale: 8}, k.b)
	Load(Param("b"), k.k)
	LEAQ(Mem{Base: k.k, Index: k.b, Scale: 4}, k.b)
	Load(Param("k"), k.k)

	Load(Param("ahead"), k.ahead)
	Load(Param("bPanel"), k.next)
	SHLQ(Imm(2), k.next)
	ADDQ(k.b, k.next)
	CMPQ(k.r.bRow, Imm(4*panel))
	CMOVQEQ(k.r.next, k.next)
	IMUL3Q(Imm(uint64(k.rows)), k.r.row, k.below)
	ADDQ(k.p, k.below)
}

// addSegment adds the products of a segment, of the last one but those of
// finishTile. AVX2 has two k's in a turn: a k is six cycles or less of
// multiply-adds, and with fetches for each its loads took longer. On a Zen 4 a
// turn of two is worth 12 % with 6 rows and 20 % with 5.
func (k *kernel) addSegment() {
	segment := GP64()
	MOVQ(k.r.seg, segment)
	INCQ(segment)
	CMPQ(segment, argument("segments"))
	JLT(LabelRef(k.label("_ks")))
	SUBQ(Imm(uint64(k.atEnd())), k.k)
	JEQ(LabelRef(k.label("_added")))
	if k.atEnd() > 1 {
		JHI(LabelRef(k.label("_ks")))
		ADDQ(Imm(uint64(k.atEnd()-1)), k.k) // there are not so many: all but one
		JEQ(LabelRef(k.label("_added")))
	}

	Label(k.label("_ks"))
	if k.v.ks == 2 { // one without a partner comes first, and fetches nothing
		SHRQ(Imm(1), k.k)
		JCC(LabelRef(k.label("_even")))
		k.addK()
		Label(k.label("_even"))
		TESTQ(k.k, k.k)
		JEQ(LabelRef(k.label("_added")))
	}
	Label(k.label("_turn"))
	k.fetch()
	for range k.v.ks {
		k.addK()
	}
	DECQ(k.k)
	JNE(LabelRef(k.label("_turn")))
	Label(k.label("_added"))
	k.fetched()
}

// addK adds the products of one k.
func (k *kernel) addK() {
	b := func(j int) Op { return k.v.vector(2*k.v.rows + j) }
	k.eachVector(func(j int) { k.loadB(j, b(j)) })
	for i := 0; i < k.rows; i++ {
		k.addRow(i, k.r.address(k.p, k.q, i), b, false) // which takes fewer loads
	}
	ADDQ(k.r.ak, k.p)
	if k.rows > 7 {
		ADDQ(k.r.ak, k.q)
	}
	ADDQ(k.r.bRow, k.b)
}

// addRow adds the product of an element of A with a row of B to row i.
func (k *kernel) addRow(i int, a Mem, b func(j int) Op, embedded bool) {
	if embedded {
		k.eachVector(func(j int) { VFMADD231PS_BCST(a, b(j), k.sum(i, j)) })
		return
	}
	element := k.v.vector(2*k.v.rows + 2)
	k.v.broadcast(a, element)
	k.eachVector(func(j int) { VFMADD231PS(element, b(j), k.sum(i, j)) })
}

// loadB loads vector j of the row of B.
func (k *kernel) loadB(j int, v Op) {
	k.v.load(Mem{Base: k.b, Disp: 4 * k.v.lanes * j}, v, k.lastMasked(j))
}

// fetch is what goes with a turn.
func (k *kernel) fetch() {
	PREFETCHT0(Mem{Base: k.below})
	ADDQ(argument("belowStep"), k.below)
	for line := 0; line < k.vectors*k.v.lanes; line += 16 {
		PREFETCHT1(Mem{Base: k.next, Disp: 4 * line})
	}
	ADDQ(argument("nextStep"), k.next)
	PREFETCHT1(Mem{Base: k.ahead})
	ADDQ(argument("aheadStep"), k.ahead)
}

// fetched keeps how far.
func (k *kernel) fetched() {
	MOVQ(k.ahead, argument("ahead"))
	MOVQ(k.next, k.r.next)
}

// atEnd is the number of k's that finishTile adds, for whose rows of B there are
// registers.
func (k *kernel) atEnd() int {
	if !k.v.embedded {
		return 1
	}
	return min(4, 32/k.vectors-k.rows)
}

// finishTile adds the last k's row by row, stores each row with them, and goes to
// the tile below. Stores one after the other hold that up: compared with a single
// k at the end, a product on a Zen 4 takes 4 % less time with K = 32 and 14 rows,
// and 8 % less with K = 16 and 13.
func (k *kernel) finishTile() {
	if k.atEnd() > 1 {
		Load(Param("k"), k.k)
		CMPQ(k.k, Imm(uint64(k.atEnd())))
		JLT(LabelRef(k.label("_one")))
		k.storeWith(k.atEnd())
		JMP(LabelRef(k.label("_stored")))
		Label(k.label("_one"))
	}
	k.storeWith(1)
	Label(k.label("_stored"))
	step := GP64()
	IMUL3Q(Imm(uint64(k.rows)), k.r.row, step)
	ADDQ(step, k.aTile)
	MOVQ(k.c, k.cTile)
}

// storeWith adds so many k's and stores the tile.
func (k *kernel) storeWith(ks int) {
	for i := 0; i < ks; i += k.v.ks {
		k.fetch()
	}
	k.fetched()
	b := func(i, j int) Op { return k.v.vector((k.rows+i)*k.vectors + j) }
	for i := range ks {
		k.eachVector(func(j int) { k.loadB(j, b(i, j)) })
		ADDQ(k.r.bRow, k.b)
	}
	a := GP64()
	k.eachRow(func(row int) {
		LEAQ(k.r.address(k.p, k.q, row), a)
		for i := range ks {
			k.addRow(row, Mem{Base: a}, func(j int) Op { return b(i, j) }, k.v.embedded)
			if i < ks-1 {
				ADDQ(k.r.ak, a)
			}
		}
		k.eachVector(func(j int) { k.v.store(k.sum(row, j), k.column(j), k.lastMasked(j)) })
	})
}
