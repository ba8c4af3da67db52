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
	"ddpm/cmd/internal/screen"
)

// options are what the command line asks for.
type options struct {
	model, images, data, classifier string
	n, side                         int // 0: see images.go
	seed                            uint64
	sampler                         string
	steps                           int // 0: the sampler's default
	bpd                             bool
	variance                        string
	pairs, log                      string

	given  map[string]bool
	screen *screen.Screen // where progress is shown
}

const help = `Measure a diffusion model. Usage: eval [flags]

  eval                                    quality of the newest run under runs/, on the data it was trained on
  eval -model DIR -data mnist -n 5000     of another model; more images, surer numbers
  eval -sampler ddpm                      the same with the paper's sampler, at 1000 steps an image
  eval -images DIR -data mnist            of images already made: a folder of pictures, or anything -data takes
  eval -bpd                               likelihood instead: the variational bound, in bits per dimension
  eval train-classifier -data DIR -out FILE    a classifier for other data, for -classifier

Compared in the 64 features of a small classifier, never those of Inception, so none of this is FID or KID:
  Fréchet distance and kernel distance, precision and recall, the share of each class, the nearest training images.
  Beside each stands the floor: the same for real images that the reference does not contain.

  -model DIR       a run of train, one of its checkpoints, or a model directory of diffusers
  -images DIR      judge these images, and no model
  -data SET        digits, mnist, or a directory, as for train; what the model was trained on, unless given
  -classifier X    a FILE of train-classifier, or mnist for the one that is built in; unless given, that one if it knows
                   the data, else one trained on the data's labels there and then
  -n N             images (1000, but at most half the data, and fewer of slow models; -bpd: fewer still)
  -side N          of the images, 0 for the model's or the data's own
  -sampler NAME    ddpm, ddim, dpmpp, dpmpp1, dpmpp-sde or heun, as for sample; here dpmpp, for speed
  -steps N         of T that are visited (ddpm: T, ddim: 50, dpmpp: 20, heun: 18; -bpd: T)
  -seed N          of the images and of the noise
  -bpd             the bound in its terms, on test images where the data has them
  -variance NAME   with -bpd: large for β_t, small for β̃_t, range where the network learned it
  -pairs FILE      picture of the samples likeliest to be copies, each with the training image nearest to it
  -log text|json   json: one line to stdout

Exit codes: 0 done, 1 failure, 2 usage, 3 bad model or data, 5 disk.
`

func flags(o *options) *flag.FlagSet {
	f := flag.NewFlagSet("eval", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.model, "model", "", "")
	f.StringVar(&o.images, "images", "", "")
	f.StringVar(&o.data, "data", "", "")
	f.StringVar(&o.classifier, "classifier", "", "")
	f.IntVar(&o.n, "n", 0, "")
	f.IntVar(&o.side, "side", 0, "")
	f.Uint64Var(&o.seed, "seed", 0, "")
	f.StringVar(&o.sampler, "sampler", "dpmpp", "")
	f.IntVar(&o.steps, "steps", 0, "")
	f.BoolVar(&o.bpd, "bpd", false, "")
	f.StringVar(&o.variance, "variance", "", "")
	f.StringVar(&o.pairs, "pairs", "", "")
	f.StringVar(&o.log, "log", "text", "")
	return f
}

// parse reads the command line.
func parse(args []string) (*options, error) {
	o := &options{}
	var err error
	if o.given, err = parseFlags(flags(o), args, help); err != nil {
		return nil, err
	}
	out := os.Stdout
	if o.log == "json" { // which is for the result alone
		out = os.Stderr
	}
	o.screen = screen.New(out)
	return o, o.check()
}

// parseFlags returns the names of the flags that args give.
func parseFlags(f *flag.FlagSet, args []string, help string) (map[string]bool, error) {
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(os.Stdout, help)
		return nil, err
	case err != nil:
		return nil, exit.Usage("%v; %s -h lists the flags", err, f.Name())
	case f.NArg() > 0:
		return nil, exit.Usage("%q is no flag; %s -h lists them", f.Arg(0), f.Name())
	}
	given := map[string]bool{}
	f.Visit(func(f *flag.Flag) { given[f.Name] = true })
	return given, nil
}

// fewest is the number of images that the statistics need at the least; they say little about so few.
const fewest = 8

// check refuses what no model can do.
func (o *options) check() error {
	switch {
	case o.given["n"] && (o.n < 1 || !o.bpd && o.n < fewest):
		return exit.Usage("-n %d: want at least %d images, 1 with -bpd; 1000 give useful numbers", o.n, fewest)
	case o.given["steps"] && o.steps < 1:
		return exit.Usage("-steps %d: want at least 1", o.steps)
	case o.side < 0 || o.side > 1024:
		return exit.Usage("-side %d: want 1…1024, or 0 for the images' own", o.side)
	case !slices.Contains(samplers, o.sampler):
		return exit.Usage("-sampler %s: there is no such sampler; there are %s", o.sampler, strings.Join(samplers, ", "))
	case o.log != "text" && o.log != "json":
		return exit.Usage("-log %s: want text or json", o.log)
	}
	return o.checkTogether()
}

// checkTogether refuses flags that do not go together.
func (o *options) checkTogether() error {
	clash := func(with string, names ...string) error {
		for _, name := range names {
			if o.given[name] {
				return exit.Usage("-%s does not go with %s; leave one of them out", name, with)
			}
		}
		return nil
	}
	switch {
	case o.images != "" && !o.given["data"]:
		return exit.Usage("-images needs the real images to compare with; name them with -data")
	case o.images != "":
		return clash("-images", "model", "sampler", "steps", "seed", "bpd", "variance")
	case o.bpd:
		return clash("-bpd", "sampler", "classifier", "pairs")
	case o.variance != "":
		return exit.Usage("-variance is for -bpd; images are drawn by -sampler ddpm with the variance of the model's scheduler")
	}
	return nil
}
