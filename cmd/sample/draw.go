package main

import (
	"os"
	"time"

	"ddpm/cmd/internal/screen"
	"ddpm/tensor"
)

// draw samples all images, batch after batch, and writes them.
func (d *drawing) draw() error {
	out, err := d.newOutput()
	if err != nil {
		return err
	}
	p := newPace(d)
	side, channels := d.source.net.Config.SampleSize, d.source.net.Config.InChannels
	for first := 0; first < d.n; first += d.batch {
		n := min(d.batch, d.n-first)
		start := d.sampler.Start(uint64(first), n, side, side, channels)
		var x tensor.Tensor
		for t, state := range d.sampler.Steps(d.denoiser(first, n), start, uint64(first)) {
			x = state.X
			p.step(t, first, n)
			if first == 0 {
				out.frame(t, state)
			}
		}
		if err := out.add(first, x); err != nil {
			return err
		}
	}
	p.end()
	return out.close()
}

// pace shows how far the drawing is.
type pace struct {
	*drawing
	screen *screen.Screen
	began  time.Time
}

func newPace(d *drawing) *pace {
	p := &pace{d, screen.New(os.Stdout), time.Now()}
	p.screen.Printf("Drawing %s images of %s: %s in %s steps, seed %d.", screen.Count(d.n), d.source.dir, d.name, screen.Count(d.sampler.Schedule.T()), d.seed)
	return p
}

// step says that the n images from first have come to t. Its cost is that of the evaluations, a batch at a time.
func (p *pace) step(t, first, n int) {
	T := p.sampler.Schedule.T()
	done := (float64(first) + float64(n)*float64(T-t)/float64(T)) / float64(p.n)
	spent := time.Since(p.began)
	p.screen.Progress(done, func() string {
		text := "t = " + screen.Count(t)
		if p.n > p.batch {
			text = "image " + screen.Count(first+1) + "–" + screen.Count(first+n) + " of " + screen.Count(p.n) + "  " + text
		}
		if done > 0 {
			text += "  " + screen.Duration(time.Duration(float64(spent)*(1-done)/done)) + " left"
		}
		return text
	})
}

func (p *pace) end() {
	spent := time.Since(p.began)
	p.screen.Printf("Drawn in %s, %.3g images/s.", screen.Duration(spent), float64(p.n)/spent.Seconds())
}
