package main

import (
	"fmt"
	"time"

	"ddpm/cmd/internal/exit"
	"ddpm/cmd/internal/screen"
	"ddpm/data"
	"ddpm/diffusion"
)

// images are what is judged: drawn from a model, or read; and the real ones that they are judged by.
type images struct {
	*options
	data    *data.Set
	samples *data.Set // of the size of data; those of a model once make has drawn them
	source  string    // where samples come from, for reports
	n       int       // how many samples there are, or are to be

	subject *subject // nil for images that were read
	sampler diffusion.Sampler
}

const (
	usual  = 1000 // images
	budget = 5e13 // multiply-adds that -n takes unless told otherwise: minutes, not hours
	batch  = 64   // images computed at once
)

// openImages opens all that is needed, and says how many images it will be.
func openImages(o *options) (im *images, err error) {
	if o.images != "" {
		return readImages(o)
	}
	im = &images{options: o}
	if im.subject, err = openSubject(o); err != nil {
		return nil, err
	}
	if im.data, err = im.subject.open(o, "train"); err != nil {
		return nil, err
	}
	if err := im.checkData(); err != nil {
		return nil, err
	}
	if d := 1 << (len(im.subject.net.Config.BlockOutChannels) - 1); im.data.H%d != 0 {
		return nil, exit.Usage("the model needs images whose side is divisible by %d, not %d; give -side", d, im.data.H)
	}
	sampler, name, err := im.subject.sampler(o)
	if err != nil {
		return nil, err
	}
	im.sampler, im.source = sampler, fmt.Sprintf("%s, %s, seed %d", im.subject.dir, name, o.seed)
	if im.n = o.n; im.n == 0 {
		each := im.subject.work(im.data.H) * float64(sampler.Schedule.T())
		im.n = max(fewest, min(usual, im.data.Len()/2, int(budget/each)))
	}
	return im, nil
}

// readImages opens images that were made already.
func readImages(o *options) (im *images, err error) {
	im = &images{options: o, source: o.images}
	if im.data, err = openData(o.data, data.Options{Side: o.side}); err != nil {
		return nil, err
	}
	if err := im.checkData(); err != nil {
		return nil, err
	}
	if im.samples, err = openData(o.images, data.Options{Channels: im.data.C}); err != nil {
		return nil, err
	}
	if a, b := im.samples, im.data; a.H != b.H {
		return nil, exit.Usage("the images of %s are %d×%d, those of %s are %d×%d; give -side %d if the model learned from images of that size", o.images, a.W, a.H, o.data, b.W, b.H, a.H)
	}
	im.n = im.samples.Len()
	if o.n > im.n {
		return nil, exit.Usage("-n %d: %s holds %d images", o.n, o.images, im.n)
	}
	if im.n < fewest {
		return nil, exit.Bad(o.images, fmt.Errorf("holds %d images; make at least %d, 1000 give useful numbers", im.n, fewest))
	}
	if o.n > 0 {
		im.n = o.n
		im.samples = part(im.samples, shuffled(im.samples.Len())[:im.n]) // files may be in some order
	}
	return im, nil
}

func (im *images) checkData() error {
	if n := im.data.Len(); n < 2*fewest {
		return exit.Bad(im.data.Name, fmt.Errorf("holds %d images; at least %d are needed to compare with", n, 2*fewest))
	}
	return nil
}

// make draws the samples, as bytes: what a picture of them would hold.
func (im *images) make() error {
	if im.samples != nil {
		return nil
	}
	d := im.data
	im.samples = &data.Set{Name: "samples", H: d.H, W: d.W, C: d.C, Pixels: make([]byte, im.n*d.H*d.W*d.C)}
	size, began := d.H*d.W*d.C, time.Now()
	im.screen.Printf("Drawing %s images: %s.", screen.Count(im.n), im.source)
	for first := 0; first < im.n; first += batch {
		labels := make([]int, min(batch, im.n-first))
		for i := range labels {
			labels[i] = (first + i) % max(im.subject.classes(), 1) // all classes in turn
		}
		start := im.sampler.Start(uint64(first), len(labels), d.H, d.W, d.C)
		for t, state := range im.sampler.Steps(im.subject.given(labels), start, uint64(first)) {
			T := float64(im.sampler.Schedule.T())
			im.progress(began, (float64(first)+float64(len(labels))*(1-float64(t)/T))/float64(im.n))
			if t == 0 {
				data.ToPixels(im.samples.Pixels[first*size:(first+len(labels))*size], state.X)
			}
		}
	}
	return nil
}

// progress shows how far a piece of work is.
func (o *options) progress(began time.Time, done float64) {
	o.screen.Progress(done, func() string {
		if done == 0 {
			return ""
		}
		spent := time.Since(began)
		return screen.Duration(time.Duration(float64(spent)*(1-done)/done)) + " left"
	})
}

// part returns the images of a set with the given indices.
func part(s *data.Set, index []int) *data.Set {
	size := s.H * s.W * s.C
	p := *s
	p.Pixels, p.Labels = make([]byte, 0, len(index)*size), nil
	for _, i := range index {
		p.Pixels = append(p.Pixels, s.Pixels[i*size:(i+1)*size]...)
		if s.Labels != nil {
			p.Labels = append(p.Labels, s.Labels[i])
		}
	}
	return &p
}

// span returns 0…n-1.
func span(n int) []int {
	index := make([]int, n)
	for i := range index {
		index[i] = i
	}
	return index
}
