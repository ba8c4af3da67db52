package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"ddpm/cmd/internal/exit"
)

// options are what the command line asks for. A zero value of steps, spacing, sampler and variance stands for what the
// model's scheduler says.
type options struct {
	model    string
	n, batch int
	seed     uint64

	sampler, variance, spacing string
	steps                      int
	eta, churn, guidance       float64
	clip, threshold            float64
	x0Only                     bool
	class                      string

	editing
	out, dir, gif string
	scale         int
	info          bool
	shard         string
	part          shard // what -shard says; the zero value without it

	given map[string]bool
}

const help = `Draw images from a diffusion model. Usage: sample [flags]

  sample                                  64 images of the newest run under runs/, to grid.png
  sample -sampler dpmpp -steps 20         the same in 20 steps, not 1000
  sample -n 16 -gif noise-to-image.gif    how they emerge: x_t at the left, what the network sees in it at the right
  sample -class 7 -guidance 2             sevens only, from a model trained with -classes
  sample -from photo.png -strength 0.4    a picture noised, and drawn anew from there
  sample -n 50000 -dir images -shard 3/16 the third of 16 parts of a large number, each on a machine of its own
  sample -info                            what the model's directory holds

  -model DIR       a run of train, one of its checkpoints, or a model directory of diffusers
  -n N             number of images (64); image i depends on model, sampler, seed and i alone
  -seed N          another seed, other images                      -batch N   computed at once (64); never the result
Sampler; what the model's scheduler says, unless given
  -sampler NAME    ddpm       ancestral sampling, algorithm 2 of the paper
                   ddim       DDIM; -eta 0…1 says how much noise it adds, 0 for none
                   dpmpp      DPM-Solver++(2M), good in 10 to 50 steps; dpmpp-sde adds noise, dpmpp1 is first-order
                   heun       EDM's second-order sampler, two evaluations per step; -churn X adds noise
  -steps N         of T that are visited (ddpm: T, ddim: 50, dpmpp: 20, heun: 18)
  -spacing NAME    which: leading, trailing, linspace, karras, or a list of times (with -sampler: trailing, heun: karras)
  -variance NAME   of ddpm: large for β_t, small for its posterior β̃_t, range where the network learned it
  -clip X          bound x̂_0 to ±X, 0 for no bound; or -threshold Q by its quantile, as Imagen does (0.995)
  -x0-only         bound x̂_0 without deriving ε̂ again, as DDIM of diffusers does
Classes
  -class N|all     the label to draw, or all in turn; a class for each column
  -guidance X      classifier-free guidance: 1 for none, more to be more like the class
Editing pictures: a PNG or JPEG file, a directory of them, or a data set; brought to the model's size
  -from P          begin from P noised; -strength S, how far: from 0, as it is, to 1, all new (0.5)
  -inpaint P       paint P anew where -mask M is black, keep it where M is white; -resample N times (10), -jump N steps
                   back each time (10), for parts that fit each other (RePaint)
  -interpolate A B pictures between two, by way of the noise that DDIM leads back to
Output
  -out FILE        grid of the images (grid.png); '' for none      -scale N   size of its pixels, 0 to fit
  -dir DIR         a PNG for each image, in its own size           -gif FILE  animation of up to 25 images
  -shard K/N       draw the K-th of N parts of the images to a directory of its own in -dir, unless it is there already;
                   auto or auto/N: the part that Slurm, Kubernetes, AWS Batch or Google Cloud Batch gives this task
  sample merge DIR checks the parts in DIR and joins them; sample merge -h

Exit codes: 0 done, 1 failure, 2 usage, 3 bad model, picture or shard, 5 disk.
`

func flags(o *options) *flag.FlagSet {
	f := flag.NewFlagSet("sample", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.model, "model", "", "")
	f.IntVar(&o.n, "n", 64, "")
	f.IntVar(&o.batch, "batch", 64, "")
	f.Uint64Var(&o.seed, "seed", 0, "")
	f.StringVar(&o.sampler, "sampler", "", "")
	f.StringVar(&o.variance, "variance", "", "")
	f.StringVar(&o.spacing, "spacing", "", "")
	f.IntVar(&o.steps, "steps", 0, "")
	f.Float64Var(&o.eta, "eta", 0, "")
	f.Float64Var(&o.churn, "churn", 0, "")
	f.Float64Var(&o.clip, "clip", 0, "")
	f.Float64Var(&o.threshold, "threshold", 0, "")
	f.BoolVar(&o.x0Only, "x0-only", false, "")
	f.StringVar(&o.class, "class", "", "")
	f.Float64Var(&o.guidance, "guidance", 1, "")
	f.StringVar(&o.from, "from", "", "")
	f.Float64Var(&o.strength, "strength", 0.5, "")
	f.StringVar(&o.inpaint, "inpaint", "", "")
	f.StringVar(&o.mask, "mask", "", "")
	f.IntVar(&o.resample, "resample", 10, "")
	f.IntVar(&o.jump, "jump", 10, "")
	f.StringVar(&o.between, "interpolate", "", "")
	f.StringVar(&o.out, "out", "grid.png", "")
	f.StringVar(&o.dir, "dir", "", "")
	f.StringVar(&o.gif, "gif", "", "")
	f.IntVar(&o.scale, "scale", 0, "")
	f.BoolVar(&o.info, "info", false, "")
	f.StringVar(&o.shard, "shard", "", "")
	return f
}

// parse reads the command line.
func parse(args []string) (*options, error) {
	o := &options{given: map[string]bool{}}
	f := flags(o)
	err := f.Parse(args)
	if err == nil && o.between != "" && f.NArg() > 0 { // the second picture, and what comes after it
		o.and = f.Arg(0)
		err = f.Parse(f.Args()[1:])
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(os.Stdout, help)
		return nil, err
	case err != nil:
		return nil, exit.Usage("%v; sample -h lists the flags", err)
	case f.NArg() > 0:
		return nil, exit.Usage("%q is no flag; sample -h lists them", f.Arg(0))
	}
	f.Visit(func(f *flag.Flag) { o.given[f.Name] = true })
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := o.checkEditing(); err != nil {
		return nil, err
	}
	return o, o.checkShard()
}

// check refuses what no model can do.
func (o *options) check() error {
	switch {
	case o.n < 1:
		return exit.Usage("-n %d: want at least 1 image", o.n)
	case o.batch < 1:
		return exit.Usage("-batch %d: want at least 1", o.batch)
	case o.steps < 0, o.given["steps"] && o.steps == 0:
		return exit.Usage("-steps %d: want at least 1", o.steps)
	case !(o.eta >= 0 && o.eta <= 1):
		return exit.Usage("-eta %v: want 0 (no noise) to 1 (as much as ddpm)", o.eta)
	case !(o.clip >= 0):
		return exit.Usage("-clip %v: want a bound for x̂_0, 1 for images, or 0 for none", o.clip)
	case o.given["threshold"] && !(o.threshold > 0 && o.threshold <= 1):
		return exit.Usage("-threshold %v: want a quantile, more than 0 to 1; Imagen has 0.995", o.threshold)
	case !(o.churn >= 0):
		return exit.Usage("-churn %v: want 0 or more", o.churn)
	case o.scale < 0 || o.scale > 64:
		return exit.Usage("-scale %d: want 1…64, or 0 to fit", o.scale)
	case o.given["sampler"] && !slices.Contains(samplers, o.sampler):
		return exit.Usage("-sampler %s: there is no such sampler; there are %s", o.sampler, strings.Join(samplers, ", "))
	case o.out == "" && o.dir == "" && o.gif == "" && !o.info:
		return exit.Usage("nothing to write: give -out, -dir or -gif a name")
	}
	return nil
}

// checkShard reads -shard and refuses what does not go with it.
func (o *options) checkShard() (err error) {
	if !o.given["shard"] {
		return nil
	}
	if o.part, err = parseShard(o.shard); err != nil {
		return err
	}
	switch {
	case o.dir == "":
		return exit.Usage("-shard %s: give the directory that all shards go to with -dir", o.shard)
	case o.given["out"] || o.given["gif"]:
		return exit.Usage("-shard %s: a shard makes no pictures of all images; leave -out and -gif out, sample merge makes a grid", o.shard)
	}
	return nil
}
