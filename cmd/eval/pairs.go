package main

import (
	"fmt"

	"ddpm/cmd/internal/model"
	"ddpm/data"
	"ddpm/tensor"
)

const (
	pairs   = 24 // in the picture
	abreast = 6  // of them in a row
	gap     = 3  // pixels between pairs
)

// writePairs draws the samples likeliest to be copies, each to the left of the training image nearest to it.
func writePairs(path string, im *images, closest []match) error {
	closest = closest[:min(pairs, len(closest))]
	h, w, c := im.data.H, im.data.W, im.data.C
	x := tensor.New(len(closest), h, 2*w, c)
	one := tensor.New(1, h, w, c)
	for i, m := range closest {
		pair := x.Data[i*h*2*w*c:][:h*2*w*c]
		for half, source := range []struct {
			set   *data.Set
			index int
		}{{im.samples, m.sample}, {im.data, m.original}} {
			source.set.Batch(one, []int{source.index})
			for row := range h {
				copy(pair[(2*row+half)*w*c:][:w*c], one.Data[row*w*c:])
			}
		}
	}
	columns := min(abreast, len(closest))
	scale := model.Scale(2*w, columns*columns, 1000)
	if err := model.WritePNG(path, data.Grid(x, columns, scale, gap)); err != nil {
		return fmt.Errorf("cannot write %s: %w; name another place with -pairs", path, err)
	}
	im.screen.Printf("Wrote %s: pairs of a sample and the training image nearest to it, the likeliest copies first.", path)
	return nil
}
