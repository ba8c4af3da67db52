package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A machine is an instruction set and a number of registers that are worked on
// as one vector, two unless said otherwise. Two independent chains of
// instructions side by side keep the processor busier than one after the other.
type machine struct {
	wide      bool // AVX-512
	registers int
	held      map[float32]Op // constants kept in registers
}

// A vec holds one operand for each register of the machine. It is immutable:
// operations return a new one, and avo assigns the registers. The exception is
// fma, which overwrites one it reads, as the instruction does: to copy that first
// costs some processors as much as the multiply-add itself.
type vec []Op

// A place is where the registers of a vector are in memory.
type place []Mem

// A mask covers the first lanes of a vector. The nil mask covers all of them.
type mask []Op

// begin starts a function. The name becomes nameAVX512 or nameAVX2.
func begin(wide bool, name, signature string) *machine {
	suffix := "AVX2"
	if wide {
		suffix = "AVX512"
	}
	TEXT(name+suffix, attr.NOSPLIT, "func"+signature)
	Pragma("noescape")
	declared = append(declared, [2]string{name + suffix, signature})
	return &machine{wide: wide, registers: 2, held: map[float32]Op{}}
}

func (m *machine) end() {
	VZEROUPPER()
	RET()
}

func (m *machine) bytes() int {
	if m.wide {
		return 64
	}
	return 32
}

func (m *machine) lanes() int { return m.bytes() / 4 * m.registers }

func (m *machine) register() reg.VecVirtual {
	if m.wide {
		return ZMM()
	}
	return YMM()
}

// each builds a vec register by register.
func (m *machine) each(f func(i int, d Op)) vec {
	v := make(vec, m.registers)
	for i := range v {
		v[i] = m.register()
		f(i, v[i])
	}
	return v
}

func (m *machine) same(op Op) vec {
	v := make(vec, m.registers)
	for i := range v {
		v[i] = op
	}
	return v
}

// Constants.

var globals = map[string]Mem{}

func global(name string, values ...uint32) Mem {
	if mem, ok := globals[name]; ok {
		return mem
	}
	mem := GLOBL(name, attr.RODATA|attr.NOPTR)
	for i, v := range values {
		DATA(4*i, U32(v))
	}
	globals[name] = mem
	return mem
}

// constantMem is eight copies of c: AVX2 reads them as an operand, and
// both broadcast the first.
func constantMem(c float32) Mem {
	bits := math.Float32bits(c)
	return global(fmt.Sprintf("vec_%08x", bits), bits, bits, bits, bits, bits, bits, bits, bits)
}

// hold keeps constants in a register from here on, for loops to use.
func (m *machine) hold(constants ...float32) {
	for _, c := range constants {
		if _, ok := m.held[c]; !ok {
			r := m.register()
			VBROADCASTSS(constantMem(c), r)
			m.held[c] = r
		}
	}
}

// prefer holds constants in AVX-512, which has 32 registers. In AVX2 they stay
// in memory and can be the second operand only.
func (m *machine) prefer(constants ...float32) {
	if m.wide {
		m.hold(constants...)
	}
}

func (m *machine) constant(c float32) vec {
	if r, ok := m.held[c]; ok {
		return m.same(r)
	}
	if m.wide {
		panic(fmt.Sprint("constant not held: ", c))
	}
	return m.same(constantMem(c))
}

// fresh is c in registers of its own, to overwrite.
func (m *machine) fresh(c float32) vec {
	return m.each(func(_ int, d Op) { VBROADCASTSS(constantMem(c), d) })
}

// zero is a new vector, to accumulate in.
func (m *machine) zero() vec {
	return m.each(func(_ int, d Op) { VXORPS(d, d, d) })
}

// sixteen is 16 lanes of c, to accumulate in.
func (m *machine) sixteen(c float32) vec {
	v := make(vec, 64/m.bytes())
	for i := range v {
		v[i] = m.register()
		VBROADCASTSS(constantMem(c), v[i])
	}
	return v
}

// broadcast fills a vector with a float32 in memory.
func (m *machine) broadcast(mem Mem) vec {
	r := m.register()
	VBROADCASTSS(mem, r)
	return m.same(r)
}

func (m *machine) scalar(param string) vec {
	b, err := Param(param).Resolve()
	if err != nil {
		panic(err)
	}
	return m.broadcast(b.Addr)
}

// Memory.

// at is consecutive registers from mem on.
func (m *machine) at(mem Mem) place {
	p := make(place, m.registers)
	for i := range p {
		p[i] = mem.Offset(m.bytes() * i)
	}
	return p
}

// firstLanes is the mask of the first n lanes, n less than all of them.
func (m *machine) firstLanes(n reg.GPVirtual) mask {
	k := make(mask, m.registers)
	if m.wide {
		bits := GP64()
		MOVQ(I32(-1), bits)
		BZHIQ(n, bits, bits)
		for i := range k {
			k[i] = K()
			KMOVW(bits.As32(), k[i])
			SHRQ(Imm(16), bits)
		}
		return k
	}
	var table [32]uint32
	for i := range 16 {
		table[i] = 0xffffffff
	}
	p, bytes := GP64(), GP64()
	LEAQ(global("vec_lanes", table[:]...).Offset(64), p)
	MOVQ(n, bytes)
	SHLQ(Imm(2), bytes)
	SUBQ(bytes, p)
	for i := range k {
		k[i] = YMM()
		VMOVUPS(Mem{Base: p, Disp: 32 * i}, k[i])
	}
	return k
}

// load reads the lanes of k; the others become 0.
func (m *machine) load(from place, k mask) vec {
	return m.each(func(i int, d Op) {
		switch {
		case k == nil:
			VMOVUPS(from[i], d)
		case m.wide:
			VMOVUPS_Z(from[i], k[i], d)
		default:
			VMASKMOVPS(from[i], k[i], d)
		}
	})
}

// fetch brings what lies so many bytes further to the L1 cache, wherever that is. The processor's own prefetchers begin
// anew with each page of 4 KB. What takes tens of cycles a vector has time for more: with images in the L3 a training
// step takes 1 % less on an Emerald Rapids Xeon. Where the work on a vector is short it gained nothing there; one stream
// from memory, the gradient whose squares are summed, comes in 0.7 of the time.
func (m *machine) fetch(from place, distance int) {
	for i := 0; i < len(from); i += 64 / m.bytes() {
		PREFETCHT0(from[i].Offset(distance))
	}
}

func (m *machine) store(v vec, to place, k mask) {
	for i := range v {
		switch {
		case k == nil:
			VMOVUPS(v[i], to[i])
		case m.wide:
			VMOVUPS(v[i], k[i], to[i])
		default:
			VMASKMOVPS(v[i], k[i], to[i])
		}
	}
}

// Arithmetic. The second operand of each may be memory.

func (m *machine) binary(instruction func(...Op), a, b vec) vec {
	return m.each(func(i int, d Op) { instruction(b[i], a[i], d) })
}

func (m *machine) add(a, b vec) vec { return m.binary(VADDPS, a, b) }
func (m *machine) sub(a, b vec) vec { return m.binary(VSUBPS, a, b) }
func (m *machine) mul(a, b vec) vec { return m.binary(VMULPS, a, b) }
func (m *machine) div(a, b vec) vec { return m.binary(VDIVPS, a, b) }

// max and min are b where either operand is NaN.
func (m *machine) max(a, b vec) vec { return m.binary(VMAXPS, a, b) }
func (m *machine) min(a, b vec) vec { return m.binary(VMINPS, a, b) }

func (m *machine) sqrt(a vec) vec {
	return m.each(func(i int, d Op) { VSQRTPS(a[i], d) })
}

// fma is a·b + c with one rounding, in the place of a. b must be in a register.
func (m *machine) fma(a, b, c vec) vec {
	for i := range a {
		for constant, r := range m.held {
			if r == a[i] {
				panic(fmt.Sprint("fma would overwrite the constant ", constant))
			}
		}
		VFMADD213PS(c[i], b[i], a[i])
	}
	return a
}

// accumulate is acc += v, in place. An acc of fewer registers takes those of v
// in turn.
func (m *machine) accumulate(instruction func(...Op), acc, v vec) {
	for i := range v {
		a := acc[i%len(acc)]
		instruction(v[i], a, a)
	}
}

// scalb adds the integer in the low bits of n to the exponent of p.
func (m *machine) scalb(p, n vec) vec {
	return m.each(func(i int, d Op) {
		shifted := m.register()
		VPSLLD(Imm(23), n[i], shifted)
		VPADDD(shifted, p[i], d)
	})
}

// Predicates of VCMPPS. Both are true of NaN.
const (
	notLess      = 5
	notLessEqual = 6
)

func (m *machine) compare(predicate uint64, a, b vec) mask {
	k := make(mask, m.registers)
	for i := range k {
		if m.wide {
			k[i] = K()
		} else {
			k[i] = YMM()
		}
		VCMPPS(Imm(predicate), b[i], a[i], k[i])
	}
	return k
}

// keep is v in the lanes of k and 0 elsewhere.
func (m *machine) keep(v vec, k mask) vec {
	if k == nil {
		return v
	}
	return m.each(func(i int, d Op) {
		if m.wide {
			VMOVAPS_Z(v[i], k[i], d)
		} else {
			VANDPS(v[i], k[i], d)
		}
	})
}

// choose is v in the lanes of k and other elsewhere.
func (m *machine) choose(k mask, v, other vec) vec {
	if k == nil {
		return v
	}
	return m.each(func(i int, d Op) {
		if m.wide {
			VBLENDMPS(v[i], other[i], k[i], d)
		} else {
			VBLENDVPS(k[i], v[i], other[i], d)
		}
	})
}

// Folding lanes: lane l meets lane l+8, then l+4, l+2 and l+1.

// fold combines 16 lanes into one, in the first lane of the result.
func (m *machine) fold(instruction func(...Op), v vec) reg.VecVirtual {
	y := YMM()
	if m.wide {
		z := v[0].(reg.VecVirtual)
		VEXTRACTF32X8(Imm(1), z, y)
		instruction(z.AsY(), y, y)
	} else {
		instruction(v[1], v[0], y)
	}
	x, high := y.AsX(), XMM()
	VEXTRACTF128(Imm(1), y, high)
	instruction(high, x, x)
	VPERMILPD(Imm(1), x, high)
	instruction(high, x, x)
	VMOVSHDUP(x, high)
	instruction(high, x, x)
	return y
}

// spread fills a vector with the first lane of y.
func (m *machine) spread(y reg.VecVirtual) vec {
	r := m.register()
	VBROADCASTSS(y.AsX(), r)
	return m.same(r)
}
