package main

import (
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"

	"ddpm/cmd/internal/model"
	"ddpm/data"
	"ddpm/diffusion"
	"ddpm/tensor"
)

// output is where images go.
type output struct {
	*drawing
	grid      tensor.Tensor // the images of the grid
	animation data.Animation
	frames    map[int]bool  // steps at which the animation gets a frame
	strip     []image.Image // of an interpolation, its frames instead
}

const (
	mostInGrid      = 400 // images; -dir takes any number
	mostInAnimation = 25
	frames          = 60
	gap             = 2 // pixels between images
)

// newOutput makes the directories, so that a long drawing does not fail at its end.
func (d *drawing) newOutput() (*output, error) {
	o := &output{drawing: d, frames: map[int]bool{}}
	for _, dir := range []string{filepath.Dir(d.out), filepath.Dir(d.gif), d.dir} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return nil, fmt.Errorf("cannot write to %s: %w; name another place", dir, err)
		}
	}
	for k := range frames + 1 {
		o.frames[k*d.looks()/frames] = true
	}
	return o, nil
}

// frame adds to the animation what the first images look like at a step.
func (o *output) frame(step int, s diffusion.State) {
	if o.gif == "" || !o.frames[step] || o.between != "" {
		return
	}
	n := min(s.X.Shape[0], mostInAnimation)
	scale := o.magnification(n, 320)
	o.animation.Add(data.Beside(8, data.Grid(firstOf(s.X, n), o.columns(n), scale, gap), data.Grid(firstOf(s.X0, n), o.columns(n), scale, gap)))
}

// add takes the images numbered from first.
func (o *output) add(first int, x tensor.Tensor) error {
	n, h, w, c := x.Dims4()
	if room := mostInGrid - first; o.out != "" && room > 0 {
		kept := firstOf(x, min(n, room))
		o.grid.Data = slices.Concat(o.grid.Data, kept.Data)
		o.grid.Shape = []int{first + kept.Shape[0], h, w, c}
	}
	for i := range n {
		one := tensor.From(x.Data[i*h*w*c:(i+1)*h*w*c], h, w, c)
		if o.gif != "" && o.between != "" {
			o.strip = append(o.strip, data.Grid(tensor.From(one.Data, 1, h, w, c), 1, o.magnification(1, 320), gap))
		}
		if o.dir == "" {
			continue
		}
		m := data.Image(one)
		if err := o.write(filepath.Join(o.dir, pngName(first+i)), m); err != nil {
			return err
		}
	}
	return nil
}

// pngName returns the name of an image's file.
func pngName(id int) string { return fmt.Sprintf("%05d.png", id) }

// close writes what is of all images.
func (o *output) close() error {
	if o.out != "" {
		n := o.grid.Shape[0]
		if err := o.write(o.out, data.Grid(o.grid, o.columns(n), o.magnification(n, 640), gap)); err != nil {
			return err
		}
		of := ""
		if n < o.n {
			of = fmt.Sprintf(", with the first %d images", n)
		}
		fmt.Printf("Wrote %s%s.\n", o.out, of)
	}
	for _, m := range o.strip {
		o.animation.Add(m)
	}
	for _, m := range slices.Backward(o.strip) {
		o.animation.Add(m)
	}
	if o.gif != "" {
		if err := o.animation.WriteFile(o.gif); err != nil {
			return fmt.Errorf("cannot write %s: %w; name another place with -gif", o.gif, err)
		}
		fmt.Printf("Wrote %s.\n", o.gif)
	}
	if o.dir != "" {
		fmt.Printf("Wrote %d pictures to %s.\n", o.n, o.dir)
	}
	return nil
}

func (o *output) write(path string, m image.Image) error {
	if err := data.WritePNG(path, m); err != nil {
		return fmt.Errorf("cannot write %s: %w; name another place", path, err)
	}
	return nil
}

// columns returns the width of a grid of n images: a column for each class, or 0 for about a square.
func (o *output) columns(n int) int {
	if o.between != "" {
		return min(n, interpolationRow)
	}
	if k := o.source.classes(); o.class < 0 && k > 1 && k <= 32 && n > k {
		return k
	}
	return 0
}

// magnification returns the size of a pixel in a grid of n images: -scale, or what fills width.
func (o *output) magnification(n, width int) int {
	if o.scale > 0 {
		return o.scale
	}
	return model.Scale(o.source.net.Config.SampleSize, n, width)
}

// firstOf returns the first n images of x.
func firstOf(x tensor.Tensor, n int) tensor.Tensor {
	all, h, w, c := x.Dims4()
	return tensor.From(x.Data[:len(x.Data)/all*n], n, h, w, c)
}
