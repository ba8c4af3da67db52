package main

// Sums in float64: their lanes, the way to them from float32, and the way to one number.

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A double is float64 lanes. Sums have 16, in 2 registers or 4.
type double []reg.VecVirtual

func (m *machine) doubleZero() double {
	d := make(double, 128/m.bytes())
	for i := range d {
		d[i] = m.register()
		VXORPD(d[i], d[i], d[i])
	}
	return d
}

// double converts a vector, to twice as many registers.
func (m *machine) double(v vec) double {
	d := make(double, 0, 4)
	for i := range v {
		r := v[i].(reg.VecVirtual)
		low, high := m.register(), m.register()
		if m.wide {
			half := YMM()
			VEXTRACTF32X8(Imm(1), r, half)
			VCVTPS2PD(r.AsY(), low)
			VCVTPS2PD(half, high)
		} else {
			half := XMM()
			VEXTRACTF128(Imm(1), r, half)
			VCVTPS2PD(r.AsX(), low)
			VCVTPS2PD(half, high)
		}
		d = append(d, low, high)
	}
	return d
}

// doubleFold adds the lanes up, into the first of the result.
func (m *machine) doubleFold(d double) Op {
	y := d[0].AsY()
	if m.wide {
		VADDPD(d[1], d[0], d[0])
		high := YMM()
		VEXTRACTF64X4(Imm(1), d[0], high)
		VADDPD(high, y, y)
	} else {
		VADDPD(d[2], d[0], d[0])
		VADDPD(d[3], d[1], d[1])
		VADDPD(d[1], d[0], d[0])
	}
	x, high := d[0].AsX(), XMM()
	VEXTRACTF128(Imm(1), y, high)
	VADDPD(high, x, x)
	VPERMILPD(Imm(1), x, high)
	VADDPD(high, x, x)
	return x
}
