package main

import (
	"iter"
	"math"

	"ddpm/cmd/internal/exit"
	"ddpm/diffusion"
	"ddpm/tensor"
)

// editing is what is done with pictures that are there already, instead of drawing new ones. At most one of from, inpaint
// and between is set.
type editing struct {
	from     string
	strength float64

	inpaint, mask  string
	resample, jump int

	between, and string // the two values of -interpolate
}

// editFlags are those that only make sense with another.
var editFlags = []struct{ name, of string }{
	{"strength", "from"}, {"mask", "inpaint"}, {"resample", "inpaint"}, {"jump", "inpaint"},
}

// checkEditing refuses what does not go together.
func (o *options) checkEditing() error {
	var modes []string
	for _, name := range []string{"from", "inpaint", "interpolate"} {
		if o.given[name] {
			modes = append(modes, name)
		}
	}
	if len(modes) > 1 {
		return exit.Usage("-%s and -%s are different things to do with a picture; give one of them", modes[0], modes[1])
	}
	for _, f := range editFlags {
		if o.given[f.name] && !o.given[f.of] {
			return exit.Usage("-%s is for -%s; give that, too, or leave it out", f.name, f.of)
		}
	}
	switch {
	case len(modes) > 0 && o.given["shard"]:
		return exit.Usage("-%s does not go with -shard; leave one of them out", modes[0])
	case !(o.strength > 0 && o.strength <= 1):
		return exit.Usage("-strength %v: want more than 0 (the picture as it is) to 1 (little is left of it)", o.strength)
	case o.given["inpaint"] && o.mask == "":
		return exit.Usage("-inpaint %s: say with -mask which parts to paint anew: a picture of the same size, white where it is to stay, black where not", o.inpaint)
	case o.resample < 1 || o.resample > 1000:
		return exit.Usage("-resample %d: want 1 (paint once) to 1000; RePaint has 10", o.resample)
	case o.jump < 1:
		return exit.Usage("-jump %d: want at least 1 step; RePaint has 10", o.jump)
	case o.given["interpolate"]:
		return o.checkInterpolation()
	}
	return nil
}

func (o *options) checkInterpolation() error {
	for _, name := range []string{"eta", "clip", "threshold", "x0-only"} {
		if o.given[name] {
			return exit.Usage("-%s does not go with -interpolate: the way from noise to a picture could not be walked back; leave it out", name)
		}
	}
	switch {
	case o.and == "":
		return exit.Usage("-interpolate %s: name the second picture, too: -interpolate A B", o.between)
	case o.given["sampler"] && o.sampler != "ddim":
		return exit.Usage("-interpolate is a matter of -sampler ddim, whose way can be walked back; leave -sampler %s out", o.sampler)
	case o.given["n"] && o.n < 2:
		return exit.Usage("-n %d: an interpolation has at least 2 pictures, those it is between", o.n)
	}
	return nil
}

const (
	usualEdits       = 16  // images drawn from one picture
	usualInpainting  = 100 // steps of ancestral sampling, each walked -resample times
	inversions       = 5   // iterations for each step of the way back to noise
	interpolationRow = 8   // images
)

// planEditing reads the pictures and says where to begin.
func (d *drawing) planEditing() error {
	d.start = d.sampler.Schedule.T()
	switch {
	case d.from != "":
		d.start = max(1, int(math.Round(d.strength*float64(d.start))))
		return d.readPictures(d.from)
	case d.inpaint != "":
		if !d.given["jump"] {
			d.jump = min(d.jump, d.start)
		}
		if d.jump > d.start {
			return exit.Usage("-jump %d: want at most the %d steps of the sampler", d.jump, d.start)
		}
		if err := d.readMask(); err != nil {
			return err
		}
		if err := d.readPictures(d.inpaint); err != nil {
			return err
		}
		if err := d.inpainting(0, 1).Validate(d.sampler); err != nil {
			return exit.Usage("%v", err)
		}
	case d.between != "":
		if d.source.classes() > 0 && d.class < 0 {
			return exit.Usage("-interpolate: say which class the network is to see in the pictures with -class N")
		}
		return d.readEnds()
	}
	return nil
}

// walk draws the n images numbered from first.
func (d *drawing) walk(first, n int) iter.Seq2[int, diffusion.State] {
	s, net, id := d.sampler, d.denoiser(first, n), uint64(first)
	side, channels := d.source.net.Config.SampleSize, d.source.net.Config.InChannels
	switch {
	case d.from != "":
		return s.StepsFrom(net, s.Noised(repeat(d.pictures, first, n), d.start, id), d.start, id)
	case d.inpaint != "":
		return s.Inpaint(net, s.Start(id, n, side, side, channels), d.inpainting(first, n), id)
	case d.between != "":
		return s.Steps(net, d.blend(first, n), id)
	}
	return s.Steps(net, s.Start(id, n, side, side, channels), id)
}

// looks returns how many steps walk takes.
func (d *drawing) looks() int {
	n := d.start
	if d.inpaint != "" {
		n += (d.resample - 1) * d.jump * (d.start / d.jump)
	}
	return n
}

func (d *drawing) inpainting(first, n int) diffusion.Inpainting {
	return diffusion.Inpainting{Known: repeat(d.pictures, first, n), Mask: repeat(d.kept, first, n), Resamplings: d.resample, Jump: d.jump}
}

// encode turns the two pictures of an interpolation into the noise that leads to them.
func (d *drawing) encode() {
	d.sampler.Clip = diffusion.Clip{} // which has no inverse
	d.pictures = d.sampler.Invert(d.denoiser(0, 2), d.pictures, d.start, inversions)
}

// blend returns the noise between the two ends for the n images numbered from first.
func (d *drawing) blend(first, n int) tensor.Tensor {
	_, h, w, c := d.pictures.Dims4()
	x, size := tensor.New(n, h, w, c), h*w*c
	a, b := repeat(d.pictures, 0, 1), repeat(d.pictures, 1, 1)
	for i := range n {
		copy(x.Data[i*size:], diffusion.Slerp(a, b, float64(first+i)/float64(d.n-1)).Data)
	}
	return x
}

// repeat returns n images of x numbered from first, as if x went on for ever.
func repeat(x tensor.Tensor, first, n int) tensor.Tensor {
	k, h, w, c := x.Dims4()
	y, size := tensor.New(n, h, w, c), h*w*c
	for i := range n {
		j := (first + i) % k
		copy(y.Data[i*size:], x.Data[j*size:(j+1)*size])
	}
	return y
}
