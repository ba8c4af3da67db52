// Command vecneon writes the vector primitives of package simd that a training step spends most on for arm64, those of
// command vec: over images four channels at a time, and all their pixels before the next four.
package main

import (
	"flag"
	"log"

	"ddpm/internal/simd/_asm/neon"
)

func main() {
	out := flag.String("out", "", "file to write")
	flag.Parse()
	file := neon.New("vecneon")
	normSiLU(file)
	normSiLUGrad(file)
	channelSums(file)
	channelSquares(file)
	affine(file, false)
	affine(file, true)
	adam(file)
	lerp(file)
	axpy(file)
	if err := file.Write(*out); err != nil {
		log.Fatal(err)
	}
}

// A loop is a function being written: over channels, and over the pixels of images in pairs.
type loop struct {
	*neon.Func
	images []string            // parameters that point to pixels
	step   map[string]neon.Reg // from pixel to pixel
	rows   []string            // parameters that point to coefficients or sums of channels
}

// A vec is a vector for each of the pixels that are worked on side by side, two or one.
type vec []neon.Vec

// begin begins a function. images are its parameters that point to pixels, each with the one that counts the elements
// from pixel to pixel.
func begin(file *neon.File, name, signature string, images [][2]string, rows []string) *loop {
	l := &loop{Func: file.Func(name, signature), rows: rows, step: map[string]neon.Reg{}}
	for _, im := range images {
		l.images = append(l.images, im[0])
		l.step[im[0]] = l.Stride(im[1])
	}
	return l
}

// run writes the loops. before prepares for the pixels of four channels, of which at are the rows; pixel is given the
// place of the next pixels in each image, and how many of them there are; after ends the channels.
func (l *loop) run(before, after func(at map[string]neon.Reg), pixel func(at map[string]neon.Reg, n int)) {
	c := l.Load("c")
	first := map[string]neon.Reg{}
	for _, name := range append(append([]string(nil), l.images...), l.rows...) {
		first[name] = l.Load(name)
	}
	l.Label("channels")
	mark := l.Mark()
	before(first)
	at := map[string]neon.Reg{}
	for _, name := range l.images {
		at[name] = l.Copy(first[name])
	}
	left := l.Load("pixels")
	l.Emit("SUBS $2, %s", left)
	l.Emit("BLT last")
	l.Label("pair")
	inner := l.Mark()
	pixel(at, 2)
	l.Free(inner)
	l.Emit("SUBS $2, %s", left)
	l.Emit("BGE pair")
	l.Label("last")
	l.Emit("ADDS $1, %s", left)
	l.Emit("BNE end")
	pixel(at, 1)
	l.Label("end")
	after(first)
	l.Free(mark)
	for _, name := range append(append([]string(nil), l.images...), l.rows...) {
		l.Emit("ADD $16, %s", first[name])
	}
	l.Emit("SUB $4, %s", c)
	l.Emit("CBNZ %s, channels", c)
	l.Emit("RET")
}

func nothing(map[string]neon.Reg) {}

// next loads n pixels at p and advances it.
func (l *loop) next(p, step neon.Reg, n int) (v vec) {
	for range n {
		v = append(v, l.Vec())
		l.LoadNext(p, step, v[len(v)-1])
	}
	return v
}

// put stores v at p and advances it.
func (l *loop) put(v vec, p, step neon.Reg) {
	for _, v := range v {
		l.StoreNext(v, p, step)
	}
}

// each calls f for each of v.
func (v vec) each(f func(v neon.Vec)) {
	for _, v := range v {
		f(v)
	}
}
