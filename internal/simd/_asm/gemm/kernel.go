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

// kernel writes the loops over panels, tiles, segments and k for one shape.
// The loops advance the arguments c, b, bias and ahead in place.
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
// for each turn of the loop. AVX2 has two k's in a turn: a k is six cycles or
// less of multiply-adds, and with fetches for each the loads took longer. On a
// Zen 4 one turn for two is worth 12 % with 6 rows and 20 % with 5.
//
// Each row is stored as soon as its last k is added: stores one after the other
// hold up the next tile (on a Zen 4 by 0 to 3 % of a product with K = 32, and by
// 3 to 7 % with 16).
func kernel(v *isa, r *registers, s shape) {
	label := func(part string) string { return s.label(v) + part }
	acc := func(i, j int) Op { return v.vector(i*s.vectors + j) }
	bVec := func(j int) Op { return v.vector(2*v.rows + j) }
	aElem := v.vector(2*v.rows + 2)
	masked := func(j int) bool { return s.masked && j == s.vectors-1 }
	address := func(name string) Mem {
		b, err := Param(name).Resolve()
		if err != nil {
			panic(err)
		}
		return b.Addr
	}

	Label(s.label(v)) // panel loop
	aTile, cTile := GP64(), GP64()
	Load(Param("bPanel"), aTile)
	SHLQ(Imm(2), aTile)
	ADDQ(address("b"), aTile)
	MOVQ(aTile, r.next)
	Load(Param("tiles"), aTile)
	MOVQ(aTile, r.left)
	Load(Param("a"), aTile)
	Load(Param("c"), cTile)

	Label(label("_tile"))
	cRow, cp := GP64(), GP64()
	eachRow := func(f func(i int)) {
		Load(Param("cRow"), cRow)
		SHLQ(Imm(2), cRow)
		MOVQ(cTile, cp)
		for i := 0; i < s.rows; i++ {
			f(i)
			ADDQ(cRow, cp)
		}
	}
	column := func(j int) Mem { return Mem{Base: cp, Disp: 4 * v.lanes * j} }
	CMPB(address("add"), Imm(0))
	JEQ(LabelRef(label("_fresh")))
	eachRow(func(i int) {
		for j := 0; j < s.vectors; j++ {
			v.load(column(j), acc(i, j), masked(j))
		}
	})
	for i := 0; i < s.rows; i++ { // of the tile below
		for j := 0; j < s.vectors; j++ {
			PREFETCHT0(column(j))
		}
		ADDQ(cRow, cp)
	}
	JMP(LabelRef(label("_start")))
	Label(label("_fresh"))
	Load(Param("bias"), cp)
	TESTQ(cp, cp)
	JEQ(LabelRef(label("_zero")))
	for j := 0; j < s.vectors; j++ {
		v.load(column(j), acc(0, j), masked(j))
		for i := 1; i < s.rows; i++ {
			VMOVAPS(acc(0, j), acc(i, j))
		}
	}
	JMP(LabelRef(label("_start")))
	Label(label("_zero"))
	for i := 0; i < s.rows; i++ {
		for j := 0; j < s.vectors; j++ {
			v.zero(acc(i, j))
		}
	}

	Label(label("_start"))
	MOVQ(I32(0), r.seg)
	Label(label("_segment"))
	p, q, b, k := GP64(), GP64(), GP64(), GP64()
	MOVQ(r.seg, k)
	Load(Param("aOff"), p)
	MOVQ(Mem{Base: p, Index: k, Scale: 8}, p)
	LEAQ(Mem{Base: aTile, Index: p, Scale: 4}, p)
	if s.rows > 7 {
		LEAQ(Mem{Base: p, Index: r.row3, Scale: 2}, q)
		ADDQ(r.row, q)
	}
	Load(Param("bOff"), b)
	MOVQ(Mem{Base: b, Index: k, Scale: 8}, b)
	Load(Param("b"), k)
	LEAQ(Mem{Base: k, Index: b, Scale: 4}, b)
	Load(Param("k"), k)
	next, ahead := GP64(), GP64()
	Load(Param("ahead"), ahead)
	Load(Param("bPanel"), next)
	SHLQ(Imm(2), next)
	ADDQ(b, next)
	CMPQ(r.bRow, Imm(4*panel))
	CMOVQEQ(r.next, next)

	below := GP64()
	IMUL3Q(Imm(uint64(s.rows)), r.row, below)
	ADDQ(p, below)

	fetch := func() {
		PREFETCHT0(Mem{Base: below})
		ADDQ(address("belowStep"), below)
		for line := 0; line < s.vectors*v.lanes; line += 16 {
			PREFETCHT1(Mem{Base: next, Disp: 4 * line})
		}
		ADDQ(address("nextStep"), next)
		PREFETCHT1(Mem{Base: ahead})
		ADDQ(address("aheadStep"), ahead)
	}
	loadB := func() {
		for j := 0; j < s.vectors; j++ {
			v.load(Mem{Base: b, Disp: 4 * v.lanes * j}, bVec(j), masked(j))
		}
	}
	multiplyAdd := func(i int) {
		v.broadcast(r.address(p, q, i), aElem)
		for j := 0; j < s.vectors; j++ {
			VFMADD231PS(aElem, bVec(j), acc(i, j))
		}
	}
	last := GP64()
	MOVQ(r.seg, last)
	INCQ(last)
	CMPQ(last, address("segments"))
	JLT(LabelRef(label("_ks")))
	DECQ(k) // the last k of the last segment is below
	JEQ(LabelRef(label("_done")))

	oneK := func() {
		loadB()
		for i := 0; i < s.rows; i++ {
			multiplyAdd(i)
		}
		ADDQ(r.ak, p)
		if s.rows > 7 {
			ADDQ(r.ak, q)
		}
		ADDQ(r.bRow, b)
	}
	Label(label("_ks"))
	if v.ks == 2 { // one without a partner comes first, and fetches nothing
		SHRQ(Imm(1), k)
		JCC(LabelRef(label("_even")))
		oneK()
		Label(label("_even"))
		TESTQ(k, k)
		JEQ(LabelRef(label("_done")))
	}
	Label(label("_turn"))
	fetch()
	for range v.ks {
		oneK()
	}
	DECQ(k)
	JNE(LabelRef(label("_turn")))
	Label(label("_done"))
	fetched := func() { // keeps how far
		MOVQ(ahead, address("ahead"))
		MOVQ(next, r.next)
	}
	fetched()
	INCQ(r.seg)
	MOVQ(r.seg, k)
	CMPQ(k, address("segments"))
	JLT(LabelRef(label("_segment")))

	fetch()
	fetched()
	loadB()
	eachRow(func(i int) {
		multiplyAdd(i)
		for j := 0; j < s.vectors; j++ {
			v.store(acc(i, j), column(j), masked(j))
		}
	})
	MOVQ(cp, cTile)
	step := GP64()
	IMUL3Q(Imm(uint64(s.rows)), r.row, step)
	ADDQ(step, aTile)
	DECQ(r.left)
	JNE(LabelRef(label("_tile")))

	ADDQ(Imm(4*panel), address("c"))
	CMPQ(address("bias"), Imm(0))
	JEQ(LabelRef(label("_next")))
	ADDQ(Imm(4*panel), address("bias"))
	Label(label("_next"))
	Load(Param("bPanel"), step)
	SHLQ(Imm(2), step)
	ADDQ(step, address("b"))
	DECQ(address("panels"))
	JNE(LabelRef(s.label(v)))
	VZEROUPPER()
	RET()
}
