package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// isa is an instruction set as kernel sees it. Register numbers are assigned
// here: accumulators from 0 up, then the vectors of B, the broadcast element
// of A, and with AVX2 the mask.
type isa struct {
	name       string
	lanes      int  // float32 elements in a vector
	rows       int  // rows of the largest tile, two vectors wide
	ks         int  // k's in a turn of the loop, 1 or 2
	maskIsFree bool // a masked load costs no more than a whole one
	embedded   bool // multiply-adds can broadcast an element from memory

	vector    func(i int) reg.VecPhysical
	broadcast func(m Mem, v Op)
	zero      func(v Op)
	load      func(m Mem, v Op, masked bool)
	store     func(v Op, m Mem, masked bool)
	setMask   func(n reg.GPVirtual) // n: columns in the last vector
}

func avx512() *isa {
	regs := []reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
		reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
		reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
	}
	return &isa{
		name: "AVX512", lanes: 16, rows: 14, ks: 1, maskIsFree: true, embedded: true,
		vector:    func(i int) reg.VecPhysical { return regs[i] },
		broadcast: func(m Mem, v Op) { VBROADCASTSS(m, v) },
		zero:      func(v Op) { VPXORD(v, v, v) },
		load: func(m Mem, v Op, masked bool) {
			if masked {
				VMOVUPS_Z(m, reg.K1, v)
			} else {
				VMOVUPS(m, v)
			}
		},
		store: func(v Op, m Mem, masked bool) {
			if masked {
				VMOVUPS(v, reg.K1, m)
			} else {
				VMOVUPS(v, m)
			}
		},
		setMask: func(n reg.GPVirtual) { // the low n bits
			bits := GP64()
			MOVQ(I32(-1), bits)
			BZHIQ(n, bits, bits)
			KMOVW(bits.As32(), reg.K1)
		},
	}
}

func avx2() *isa {
	regs := []reg.VecPhysical{
		reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7,
		reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
	}
	mask := reg.Y15
	return &isa{
		name: "AVX2", lanes: 8, rows: 6, ks: 2,
		vector:    func(i int) reg.VecPhysical { return regs[i] },
		broadcast: func(m Mem, v Op) { VBROADCASTSS(m, v) },
		zero:      func(v Op) { VXORPS(v, v, v) },
		load: func(m Mem, v Op, masked bool) {
			if masked {
				VMASKMOVPS(m, mask, v)
			} else {
				VMOVUPS(m, v)
			}
		},
		store: func(v Op, m Mem, masked bool) {
			if masked {
				VMASKMOVPS(v, mask, m)
			} else {
				VMOVUPS(v, m)
			}
		},
		setMask: func(n reg.GPVirtual) { // the 8 words that end n words into a run of ones
			table := GLOBL("gemmMask", RODATA|NOPTR)
			for i := 0; i < 8; i++ {
				DATA(4*i, U32(0xffffffff))
			}
			for i := 8; i < 16; i++ {
				DATA(4*i, U32(0))
			}
			end := GP64()
			LEAQ(table.Offset(32), end)
			NEGQ(n)
			VMOVUPS(Mem{Base: end, Index: n, Scale: 4}, mask)
		},
	}
}
