package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"ddpm/cmd/internal/exit"
)

const help = `Train a diffusion model (DDPM, Ho et al. 2020). Usage: train [flags]

  train                               MNIST's handwritten digits, built in: new ones after minutes
  train -for 20m -classes             for longer, and to draw the digit that one asks for
  train -data photos -side 32         PNG and JPEG images of a folder, cropped and resized to 32×32
  train -resume                       go on with the newest run, where Ctrl-C or a power cut ended it
  train -preset cifar10 -bench 5      measure speed on random data, train nothing

What and how long
  -preset NAME      tiny, digits, mnist or cifar10: defaults for all the rest (%s)
  -data SET         digits, mnist, or a directory: IDX files, CIFAR-10 binary files, PNG and JPEG images
  -out DIR          where the run is kept (runs/PRESET-DATE-TIME)      -resume     go on with the newest run, or -out
  -steps N          in all, 0 for no limit                            -for 10m    in all; alone, it lifts -steps
  -init DIR         start from a model directory, ours or of diffusers, and its network
  -seed N           of everything random: same seed, same bits
What is learned: the paper's recipe, unless given
  -recipe NAME      paper: linear, eps, large, simple, uniform; improved: cosine, learned (Nichol and Dhariwal 2021)
  -schedule NAME    linear, linear-rescaled (for T other than 1000), scaled-linear, cosine, sigmoid or sigmoid-jabri
  -timesteps T      of the schedule (1000)                            -zero-snr      leave no trace of the image at T
  -prediction NAME  eps, x0 or v                                      -variance NAME large (β_t), small (β̃_t) or learned
  -weight NAME      of t in the loss: simple, snr, min-snr or vlb     -draw NAME     uniform, stratified, second-moment
Optimisation
  -batch N          images per step                                   -accumulate K  in K parts, 0 to fit the caches
  -lr X             learning rate of Adam                             -warmup N      steps until it is reached
  -rate NAME        constant, or cosine: fall to -floor X (0) at the last of -steps
  -clip X           largest norm of a gradient, 0 for none            -dropout P     in the residual blocks
  -ema D,D,…        decays of averaged weights, the first published   -flip          mirror images at random
  -weight-decay X   of AdamW, 0 for plain Adam
Network
  -side N           of the images, 0 for the data's own               -in-channels C 1 grey, 3 colour, 0 the data's
  -channels A,B,…   width of each level; each halves the image        -attention 0,1,…  at which levels
  -layers N         residual blocks per level                         -groups N      of normalisation; divides the widths
  -heads D          channels per attention head, 0 for one head of all (attention_head_dim in diffusers)
  -classes          learn the data's labels too, for sample -class    -label-dropout P  to go without, for -guidance
  -convolution      auto, direct, winograd2 or winograd4
Output
  -save-every N     steps between checkpoints                         -keep N        checkpoints kept
  -sample-every N   steps between pictures, 0 for none                -log text|json json: one line per step to stdout
  -bench N          time N training and N denoising steps, print one line of JSON

Exit codes: 0 done, 1 failure, 2 usage, 3 bad data or checkpoint, 4 diverged, 5 disk, 130/143 stopped after saving.
`

// flags returns the flags that set s, whose present values are the defaults.
func flags(s *settings) *flag.FlagSet {
	f := flag.NewFlagSet("train", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&s.Preset, "preset", s.Preset, "")
	f.StringVar(&s.Data, "data", s.Data, "")
	f.StringVar(&s.Out, "out", s.Out, "")
	f.BoolVar(&s.Resume, "resume", s.Resume, "")
	f.StringVar(&s.Init, "init", s.Init, "")
	f.IntVar(&s.Steps, "steps", s.Steps, "")
	f.DurationVar(&s.For, "for", s.For, "")
	f.Uint64Var(&s.Seed, "seed", s.Seed, "")

	f.StringVar(&s.Recipe, "recipe", s.Recipe, "")
	f.StringVar(&s.Schedule, "schedule", s.Schedule, "")
	f.IntVar(&s.T, "timesteps", s.T, "")
	f.BoolVar(&s.ZeroSNR, "zero-snr", s.ZeroSNR, "")
	f.StringVar(&s.Prediction, "prediction", s.Prediction, "")
	f.StringVar(&s.Variance, "variance", s.Variance, "")
	f.StringVar(&s.Weight, "weight", s.Weight, "")
	f.StringVar(&s.Draw, "draw", s.Draw, "")

	f.IntVar(&s.Batch, "batch", s.Batch, "")
	f.IntVar(&s.Accumulate, "accumulate", s.Accumulate, "")
	f.Float64Var(&s.LR, "lr", s.LR, "")
	f.StringVar(&s.Rate, "rate", s.Rate, "")
	f.Float64Var(&s.Floor, "floor", s.Floor, "")
	f.Float64Var(&s.Decay, "weight-decay", s.Decay, "")
	f.IntVar(&s.Warmup, "warmup", s.Warmup, "")
	f.Float64Var(&s.Clip, "clip", s.Clip, "")
	f.Float64Var(&s.Dropout, "dropout", s.Dropout, "")
	f.Var(&s.EMA, "ema", "")
	f.BoolVar(&s.Flip, "flip", s.Flip, "")

	f.IntVar(&s.Side, "side", s.Side, "")
	f.IntVar(&s.Colours, "in-channels", s.Colours, "")
	f.Var(&s.Channels, "channels", "")
	f.Var(&s.Attention, "attention", "")
	f.IntVar(&s.Layers, "layers", s.Layers, "")
	f.IntVar(&s.Groups, "groups", s.Groups, "")
	f.IntVar(&s.Heads, "heads", s.Heads, "")
	f.BoolVar(&s.Classes, "classes", s.Classes, "")
	f.Float64Var(&s.LabelDrop, "label-dropout", s.LabelDrop, "")
	f.StringVar(&s.Convolution, "convolution", s.Convolution, "")

	f.IntVar(&s.SaveEvery, "save-every", s.SaveEvery, "")
	f.IntVar(&s.SampleEvery, "sample-every", s.SampleEvery, "")
	f.IntVar(&s.Keep, "keep", s.Keep, "")
	f.StringVar(&s.Log, "log", s.Log, "")
	f.IntVar(&s.Bench, "bench", s.Bench, "")
	return f
}

// parse reads the command line, and returns the names of the flags it gives. It reads it twice: to learn the preset,
// and then over the preset's defaults.
func parse(args []string) (s settings, given map[string]bool, err error) {
	if given, err = read(&settings{}, args); err != nil {
		return s, nil, err
	}
	var named settings
	read(&named, args)
	switch {
	case given["preset"]:
	case given["data"] && presets[named.Data].Data == "":
		named.Preset = dataPreset
	case given["data"]:
		named.Preset = named.Data // the sets that are built in are called like their presets
	default:
		named.Preset = defaultPreset
	}
	s, ok := preset(named.Preset)
	if !ok {
		return s, nil, exit.Usage("-preset %s: there is no such preset; there are %s", named.Preset, names(presets))
	}
	if given["data"] && s.Data != named.Data { // not what the preset was made for: take the images as they are
		s.Side, s.Colours = 0, 0
	}
	if named.Recipe == "" {
		named.Recipe = defaultRecipe
	}
	if s.recipe, ok = recipes[named.Recipe]; !ok {
		return s, nil, exit.Usage("-recipe %s: there is no such recipe; there are %s", named.Recipe, names(recipes))
	}
	s.Recipe = named.Recipe
	read(&s, args)
	if !given["attention"] && len(s.Attention) > len(s.Channels) { // the preset's, at the image sizes that there are
		s.Attention = s.Attention[:len(s.Channels)]
	}
	if given["for"] && !given["steps"] && s.Rate != "cosine" {
		s.Steps = 0
	}
	if s.Bench > 0 && !given["batch"] && !given["accumulate"] && s.Accumulate > 0 { // the part of a step that is computed at once
		s.Batch, s.Accumulate = s.Batch/s.Accumulate, 0
	}
	return s, given, s.check(given)
}

// read sets s by the flags in args.
func read(s *settings, args []string) (given map[string]bool, err error) {
	f := flags(s)
	err = f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(os.Stdout, help, defaultPreset)
		return nil, err
	case err != nil:
		return nil, exit.Usage("%v; train -h lists the flags", err)
	case f.NArg() > 0:
		return nil, exit.Usage("%q is no flag; train -h lists them", f.Arg(0))
	}
	given = map[string]bool{}
	f.Visit(func(f *flag.Flag) { given[f.Name] = true })
	return given, nil
}

// names lists the keys of a map, for messages.
func names[V any](m map[string]V) string { return strings.Join(slices.Sorted(maps.Keys(m)), ", ") }

// check refuses settings that cannot be, each with what can.
func (s *settings) check(given map[string]bool) error {
	levels := len(s.Channels)
	switch {
	case s.Steps < 0 || s.Steps > maxSteps:
		return exit.Usage("-steps %d: want 0…%d, 0 for no limit", s.Steps, maxSteps)
	case s.For < 0:
		return exit.Usage("-for %v: want a duration such as 90s, 10m or 2h", s.For)
	case s.Batch < 1:
		return exit.Usage("-batch %d: want at least 1", s.Batch)
	case s.Accumulate < 0 || s.Accumulate > 0 && s.Batch%s.Accumulate != 0:
		return exit.Usage("-accumulate %d: want a divisor of -batch %d, or 0 for parts that suit the caches", s.Accumulate, s.Batch)
	case !(s.LR > 0) || s.LR > 1:
		return exit.Usage("-lr %v: want more than 0, at most 1; the paper has 2e-4", s.LR)
	case s.Warmup < 0:
		return exit.Usage("-warmup %d: want 0 or more steps", s.Warmup)
	case !(s.Clip >= 0):
		return exit.Usage("-clip %v: want a norm above 0, or 0 for none", s.Clip)
	case !(s.Dropout >= 0 && s.Dropout < 1):
		return exit.Usage("-dropout %v: want 0 ≤ p < 1", s.Dropout)
	case !(s.LabelDrop >= 0 && s.LabelDrop < 1):
		return exit.Usage("-label-dropout %v: want 0 ≤ p < 1; 0.1 is usual", s.LabelDrop)
	case slices.ContainsFunc(s.EMA, func(d float64) bool { return !(d >= 0 && d < 1) }):
		return exit.Usage("-ema %v: want decays of at least 0 and below 1, such as 0.999", &s.EMA)
	case levels > 8:
		return exit.Usage("-channels %v: want at most 8 levels", &s.Channels)
	case s.Side < 0 || s.Side > 1024:
		return exit.Usage("-side %d: want 1…1024, or 0 for the data's own", s.Side)
	case s.Side%(1<<(levels-1)) != 0:
		return exit.Usage("-side %d is halved %d times by %d levels and must be divisible by %d; try -side %d, or fewer -channels",
			s.Side, levels-1, levels, 1<<(levels-1), (s.Side>>(levels-1)+1)<<(levels-1))
	case s.Colours != 0 && s.Colours != 1 && s.Colours != 3:
		return exit.Usage("-in-channels %d: want 1 for grey images, 3 for colour, 0 for what the data has", s.Colours)
	case given["attention"] && len(s.Attention) != levels:
		return exit.Usage("-attention %v has %d levels, -channels %v has %d; give one 0 or 1 for each", &s.Attention, len(s.Attention), &s.Channels, levels)
	case s.Layers < 1 || s.Layers > 64:
		return exit.Usage("-layers %d: want 1…64", s.Layers)
	case s.Groups < 1:
		return exit.Usage("-groups %d: want at least 1", s.Groups)
	case s.Heads < 0:
		return exit.Usage("-heads %d: want the channels of one head, or 0 for one head of all", s.Heads)
	case s.SaveEvery < 1:
		return exit.Usage("-save-every %d: want at least 1 step", s.SaveEvery)
	case s.SampleEvery < 0:
		return exit.Usage("-sample-every %d: want a number of steps, or 0 for no pictures", s.SampleEvery)
	case s.Keep < 1:
		return exit.Usage("-keep %d: want at least 1 checkpoint", s.Keep)
	case s.Log != "text" && s.Log != "json":
		return exit.Usage("-log %s: want text or json", s.Log)
	case s.Bench < 0:
		return exit.Usage("-bench %d: want a number of steps to time", s.Bench)
	case s.Data == "" && s.Bench == 0:
		return exit.Usage("the preset %s has no data built in: unpack cifar-10-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html "+
			"and give -data DIR, the directory with data_batch_1.bin … data_batch_5.bin", s.Preset)
	}
	if _, ok := methods[s.Convolution]; !ok {
		return exit.Usage("-convolution %s: want %s", s.Convolution, names(methods))
	}
	if err := s.checkWidths(); err != nil {
		return err
	}
	if err := s.checkRate(); err != nil {
		return err
	}
	return s.recipe.check()
}

func (s *settings) checkRate() error {
	cosine := s.Rate == "cosine"
	switch {
	case s.Rate != "constant" && !cosine:
		return exit.Usage("-rate %s: want constant or cosine", s.Rate)
	case s.Floor != 0 && !cosine:
		return exit.Usage("-floor %v is where a -rate cosine ends; give that, too", s.Floor)
	case !(s.Floor >= 0 && s.Floor <= s.LR):
		return exit.Usage("-floor %v: want 0 to the learning rate, -lr %v", s.Floor, s.LR)
	case cosine && s.Steps <= s.Warmup:
		return exit.Usage("-rate cosine falls until the last of -steps, which must be more than -warmup %d; got %d", s.Warmup, s.Steps)
	case !(s.Decay >= 0 && s.Decay < 1):
		return exit.Usage("-weight-decay %v: want 0 (plain Adam) or more, below 1; 0.01 is usual", s.Decay)
	}
	return nil
}

func (s *settings) checkWidths() error {
	for _, c := range s.Channels {
		if c < 1 || c > 1<<14 || c%2 != 0 || c%s.Groups != 0 {
			return exit.Usage("-channels %v: %d must be even, at most %d, and divisible by -groups %d", &s.Channels, c, 1<<14, s.Groups)
		}
		if s.Heads > c {
			return exit.Usage("-heads %d: want at most the %d channels of the narrowest level", s.Heads, c)
		}
	}
	return nil
}
