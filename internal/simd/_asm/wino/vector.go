package main

import (
	"math"
	"slices"
	"sync"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// width is an instruction set and the number of float32 in its registers.
type width struct {
	name  string
	lanes int
}

func (w width) bytes() int { return 4 * w.lanes }

func (w width) vector() reg.VecVirtual {
	if w.lanes == 16 {
		return ZMM()
	}
	return YMM()
}

func (w width) vectors(n int) []reg.VecVirtual {
	v := make([]reg.VecVirtual, n)
	for i := range v {
		v[i] = w.vector()
	}
	return v
}

func (w width) zero(v reg.VecVirtual) { VXORPS(v, v, v) }

func (w width) broadcast(m Mem) reg.VecVirtual {
	v := w.vector()
	VBROADCASTSS(m, v)
	return v
}

// lanes reads and writes a vector's channels: all, or those a mask selects.
type lanes struct {
	width
	mask reg.Register // nil for all
}

func (l lanes) load(m Mem, v reg.VecVirtual) {
	switch {
	case l.mask == nil:
		VMOVUPS(m, v)
	case l.lanes == 16:
		VMOVUPS_Z(m, l.mask, v)
	default:
		VMASKMOVPS(m, l.mask, v)
	}
}

func (l lanes) store(v reg.VecVirtual, m Mem) {
	switch {
	case l.mask == nil:
		VMOVUPS(v, m)
	case l.lanes == 16:
		VMOVUPS(v, l.mask, m)
	default:
		VMASKMOVPS(v, l.mask, m)
	}
}

// add adds memory to v.
func (l lanes) add(m Mem, v reg.VecVirtual) {
	if l.mask == nil {
		VADDPS(m, v, v)
		return
	}
	t := l.vector()
	l.load(m, t)
	VADDPS(t, v, v)
}

// sub returns a − b in a register of its own, sum a + b.
func (w width) sub(a, b reg.VecVirtual) reg.VecVirtual {
	d := w.vector()
	VSUBPS(b, a, d)
	return d
}

func (w width) sum(a, b reg.VecVirtual) reg.VecVirtual {
	d := w.vector()
	VADDPS(b, a, d)
	return d
}

// first selects the first n lanes, 0 ≤ n ≤ w.lanes.
func (w width) first(n reg.GPVirtual) lanes {
	if w.lanes == 16 {
		MOVQ(n, reg.RCX)
		bits, k := GP32(), K()
		MOVL(U32(1), bits)
		SHLL(reg.CL, bits)
		DECL(bits)
		KMOVW(bits, k)
		return lanes{w, k}
	}
	start, m := GP64(), YMM()
	LEAQ(selections(), start)
	neg := GP64()
	MOVQ(n, neg)
	NEGQ(neg)
	VMOVDQU(Mem{Base: start, Index: neg, Scale: 4, Disp: w.bytes()}, m)
	return lanes{w, m}
}

// bank keeps n vectors from the first to the second pass of a two-dimensional transform: in registers where there are
// 32 of them, else in a piece of stack that stays in L1.
type bank struct {
	width
	held  []reg.VecVirtual
	stack reg.GPVirtual
}

func (w width) bank(n int) bank {
	if w.lanes == 16 {
		return bank{w, make([]reg.VecVirtual, n), nil}
	}
	return bank{w, nil, scratch(w, n)}
}

// put keeps v as vector i; the register is the bank's from now on.
func (b bank) put(i int, v reg.VecVirtual) {
	if b.held != nil {
		b.held[i] = v
		return
	}
	VMOVAPS(v, b.slot(b.stack, i))
}

// take returns vector i, in a register that may be overwritten unless vector i is taken again.
func (b bank) take(i int) reg.VecVirtual {
	if b.held != nil {
		return b.held[i]
	}
	v := b.vector()
	VMOVAPS(b.slot(b.stack, i), v)
	return v
}

// receive makes from's vectors those of b, and leaves from undefined.
func (b bank) receive(from bank) {
	if b.held == nil {
		XCHGQ(b.stack, from.stack)
		return
	}
	for i, v := range from.held {
		VMOVAPS(v, b.held[i])
	}
}

// constant returns a function for the named table of words, which is written at its first use.
func constant(name string, words ...uint32) func() Mem {
	return sync.OnceValue(func() Mem {
		table := GLOBL(name, RODATA|NOPTR)
		for i, w := range words {
			DATA(4*i, U32(w))
		}
		return table
	})
}

var (
	half      = constant("winoHalf", math.Float32bits(0.5))
	minusZero = constant("winoMinusZero", 1<<31)
	// Eight selected lanes, then eight that are not.
	selections = constant("winoSelections", append(slices.Repeat([]uint32{1<<32 - 1}, 8), make([]uint32, 8)...)...)
)

// vectors emits a loop over the elements that the argument n counts: body for each full vector, and once more for the
// rest of them. The registers in move go along, in bytes. Labels in body end in suffix; labels of this end in name, as
// there may be several such loops in a function.
func vectors(w width, n, name string, body func(l lanes, suffix string), move ...reg.GPVirtual) {
	left := count(n)
	Label("vector" + name)
	CMPQ(left, Imm(uint64(w.lanes)))
	JL(LabelRef("rest" + name))
	body(lanes{w, nil}, "")
	for _, p := range move {
		ADDQ(Imm(uint64(w.bytes())), p)
	}
	SUBQ(Imm(uint64(w.lanes)), left)
	JMP(LabelRef("vector" + name))
	Label("rest" + name)
	TESTQ(left, left)
	JZ(LabelRef("done" + name))
	body(w.first(left), "Rest")
	Label("done" + name)
}

// channels emits a loop over the c channels and the function's end: body for each vector, offset bytes from channel 0.
// name is part of the labels, if there are several such loops.
func channels(w width, name string, body func(l lanes, offset reg.GPVirtual, suffix string)) {
	offset := GP64()
	XORQ(offset, offset)
	vectors(w, "c", name, func(l lanes, suffix string) { body(l, offset, suffix) }, offset)
	VZEROUPPER()
	RET()
}
