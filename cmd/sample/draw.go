package main

import (
	"os"
	"time"

	"ddpm/cmd/internal/screen"
	"ddpm/diffusion"
	"ddpm/tensor"
)

// draw samples all images, batch after batch, and writes them.
func (d *drawing) draw() error {
	out, err := d.newOutput()
	if err != nil {
		return err
	}
	if d.between != "" {
		d.encode()
	}
	if err := d.images(0, d.n, out.frame, out.add); err != nil {
		return err
	}
	return out.close()
}

// images samples the images begin…end-1, batch after batch, and hands each batch to add. Frame, if there is one, sees
// every step of the first batch, counted from 0.
func (d *drawing) images(begin, end int, frame func(step int, s diffusion.State), add func(first int, x tensor.Tensor) error) error {
	p := newPace(d, begin, end)
	for first := begin; first < end; first += d.batch {
		n := min(d.batch, end-first)
		var x tensor.Tensor
		step := 0
		for t, state := range d.walk(first, n) {
			x = state.X
			p.step(step, t, first, n)
			if frame != nil && first == begin {
				frame(step, state)
			}
			step++
		}
		if err := add(first, x); err != nil {
			return err
		}
	}
	p.end()
	return nil
}

// pace shows how far the drawing is.
type pace struct {
	*drawing
	begin, finish int // the images
	screen        *screen.Screen
	began         time.Time
}

func newPace(d *drawing, begin, end int) *pace {
	p := &pace{d, begin, end, screen.New(os.Stdout), time.Now()}
	p.screen.Printf("Drawing %s images of %s: %s in %s steps, seed %d.", screen.Count(end-begin), d.source.dir, d.name, screen.Count(d.looks()), d.seed)
	return p
}

// step says that the n images from first have come to t. Its cost is that of the steps, a batch at a time.
func (p *pace) step(step, t, first, n int) {
	done := (float64(first-p.begin) + float64(n)*float64(step)/float64(p.looks())) / float64(p.finish-p.begin)
	spent := time.Since(p.began)
	p.screen.Progress(done, func() string {
		text := "t = " + screen.Count(t)
		if p.finish-p.begin > p.batch {
			text = "image " + screen.Count(first+1) + "–" + screen.Count(first+n) + " of " + screen.Count(p.finish) + "  " + text
		}
		if done > 0 {
			text += "  " + screen.Duration(time.Duration(float64(spent)*(1-done)/done)) + " left"
		}
		return text
	})
}

func (p *pace) end() {
	spent := time.Since(p.began)
	p.screen.Printf("Drawn in %s, %.3g images/s.", screen.Duration(spent), float64(p.finish-p.begin)/spent.Seconds())
}
