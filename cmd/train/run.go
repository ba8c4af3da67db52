package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"ddpm/autograd"
	"ddpm/checkpoint"
	"ddpm/cmd/internal/exit"
	"ddpm/cmd/internal/model"
	"ddpm/data"
	"ddpm/diffusion"
	"ddpm/internal/mem"
	"ddpm/layers"
	"ddpm/optim"
)

// run is a training in progress.
type run struct {
	settings
	progress
	dir string

	set       *data.Set
	digest    string // of the set's images and labels
	order     *data.Stream
	net       *layers.UNet
	scheduler diffusion.SchedulerConfig
	objective diffusion.Objective
	losses    *diffusion.SecondMoment // of each t, for -draw second-moment; else nil
	moments   *optim.State
	averages  []average

	tape    *autograd.Tape
	indices []int
	labels  []int
	report  *report
	began   time.Time     // of this call
	before  time.Duration // spent by earlier ones
	saved   int           // the step of the last checkpoint
}

// progress is how far a run has come.
type progress struct {
	Step    int `json:"step"`             // steps done
	Skipped int `json:"skipped"`          // of these, steps whose gradient was not finite
	InARow  int `json:"skipped_in_a_row"` // of these, the latest
}

// average is a moving average of the weights.
type average struct {
	optim.EMA
	weights []float32
}

// begin starts a run, or takes up an old one.
func begin(s settings, given map[string]bool) (*run, error) {
	if s.Resume {
		return resume(s, given)
	}
	r := &run{settings: s}
	if err := r.openData(); err != nil {
		return nil, err
	}
	r.scheduler = s.scheduler()
	if err := r.newNetwork(given); err != nil {
		return nil, err
	}
	if err := r.prepare(); err != nil {
		return nil, err
	}
	for i := range r.averages {
		copy(r.averages[i].weights, r.net.Params.Values())
	}
	if err := r.newDirectory(); err != nil {
		return nil, err
	}
	return r, r.openReport()
}

// openData opens the training set, and settles the size of the images.
func (r *run) openData() (err error) {
	if r.set, err = data.Open(r.Data, data.Options{Side: r.Side, Channels: r.Colours}); err != nil {
		if exit.Code(err) == exit.Failure {
			err = exit.Usage("%v", err)
		}
		return err
	}
	if r.set.H != r.set.W {
		return exit.Usage("the images of %s are %d×%d; give -side N to crop and resize them to squares", r.Data, r.set.W, r.set.H)
	}
	if r.Classes && r.set.Labels == nil {
		return exit.Usage("-classes: the images of %s have no labels; put them in one folder per class, or leave -classes out", r.Data)
	}
	r.Side, r.Colours = r.set.H, r.set.C
	r.digest = digest(r.set)
	return r.settings.check(nil)
}

// newNetwork makes the network that the settings describe, or reads the one to start from.
func (r *run) newNetwork(given map[string]bool) (err error) {
	if r.Init != "" {
		return r.startFrom(r.Init, given)
	}
	r.net, err = layers.New(r.settings.network(r.set.Classes), r.Seed)
	if err != nil {
		return exit.Usage("%v", err)
	}
	return nil
}

// network returns the configuration of the network that the settings describe.
func (s *settings) network(classes int) layers.Config {
	cfg := layers.DDPM(s.Side, s.Colours, s.Channels, s.Layers, s.Attention, s.Groups)
	cfg.Dropout = s.Dropout
	if s.Variance == "learned" {
		cfg.OutChannels *= 2
	}
	if s.Heads > 0 {
		cfg.AttentionHeadDim = &s.Heads
	}
	if s.Classes {
		if s.LabelDrop > 0 {
			classes++ // the last stands for "unknown"
		}
		cfg.NumClassEmbeds = &classes
	}
	return cfg
}

// published are the flags for what a published network brings along.
var published = []string{"channels", "attention", "layers", "groups", "heads", "recipe", "schedule", "timesteps", "zero-snr", "prediction", "variance"}

// startFrom reads a published network, and its scheduler, to train it further.
func (r *run) startFrom(dir string, given map[string]bool) error {
	for _, name := range published {
		if given[name] {
			return exit.Usage("-%s: the network, and what it has learned, are those of -init %s; leave the flag out", name, dir)
		}
	}
	m, err := openModel(dir)
	if err != nil {
		return err
	}
	defer m.Close()
	if r.net, err = model.Load(m); err != nil {
		return err
	}
	cfg := &r.net.Config
	switch {
	case cfg.InChannels != r.set.C || cfg.OutChannels != r.set.C && cfg.OutChannels != 2*r.set.C:
		return exit.Usage("-init %s has %d input and %d output channels, the images of %s have %d; try -in-channels %d", dir, cfg.InChannels, cfg.OutChannels, r.Data, r.set.C, cfg.InChannels)
	case r.set.H%(1<<(len(cfg.BlockOutChannels)-1)) != 0:
		return exit.Usage("-init %s needs images whose side is divisible by %d, not %d; give -side", dir, 1<<(len(cfg.BlockOutChannels)-1), r.set.H)
	case cfg.NumClassEmbeds != nil && (r.set.Labels == nil || r.set.Classes > *cfg.NumClassEmbeds):
		return exit.Usage("-init %s tells %d classes apart, the images of %s have %d", dir, *cfg.NumClassEmbeds, r.Data, r.set.Classes)
	case cfg.NumClassEmbeds != nil && r.LabelDrop > 0 && *cfg.NumClassEmbeds != r.set.Classes+1:
		return exit.Usage("-init %s has no class for \"unknown\" beside the %d of %s; give -label-dropout 0", dir, r.set.Classes, r.Data)
	case r.learnsVariance() && r.Weight != "simple":
		return exit.Usage("-weight %s: -init %s learns the variance, and the loss for that has weights of its own; leave -weight out", r.Weight, dir)
	case cfg.NumClassEmbeds == nil && r.Classes:
		return exit.Usage("-classes: -init %s is a network without classes; leave -classes out", dir)
	}
	cfg.SampleSize = r.set.H
	if given["dropout"] {
		cfg.Dropout = r.Dropout
	}
	r.scheduler, err = model.Scheduler(m)
	if err == nil && r.Weight == "vlb" && r.scheduler.Class != diffusion.DDPMClass {
		return exit.Usage("-weight vlb: the bound is that of ancestral sampling, and -init %s is made for another sampler; leave -weight out", dir)
	}
	return err
}

// prepare makes what a run needs beside its network, empty still.
func (r *run) prepare() error {
	var err error
	if r.objective, err = r.newObjective(); err != nil {
		return exit.Bad(r.dir, err)
	}
	if r.Draw == "second-moment" {
		r.losses = diffusion.NewSecondMoment(r.objective.Schedule.T())
	}
	r.net.Method = methods[r.Convolution]
	r.order = data.NewStream(r.Seed, r.set.Len())
	weights := len(r.net.Params.Values())
	r.moments = optim.NewState(weights)
	for _, decay := range r.EMA {
		r.averages = append(r.averages, average{optim.EMA{Decay: decay, Warmup: true}, mem.Floats(weights)})
	}
	r.tape = autograd.New()
	r.indices = make([]int, r.part())
	if r.Classes = r.net.Classes() > 0; r.Classes {
		r.labels = make([]int, len(r.indices))
	}
	return nil
}

// newDirectory makes the directory of the run, which must not hold another's.
func (r *run) newDirectory() error {
	r.dir = r.Out
	if r.dir == "" {
		stamp := filepath.Join(model.Runs, r.Preset+"-"+time.Now().Format("20060102-150405"))
		r.dir = stamp
		for i := 2; exists(r.dir); i++ {
			r.dir = fmt.Sprintf("%s-%d", stamp, i)
		}
	}
	if list, err := os.ReadDir(r.dir); len(list) > 0 {
		return exit.Usage("-out %s is not empty; add -resume to go on with the run in it, or name another directory", r.dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cannotWrite(r.dir, err)
	}
	if err := os.MkdirAll(r.dir, 0o777); err != nil {
		return cannotWrite(r.dir, err)
	}
	return nil
}

func exists(path string) bool { _, err := os.Lstat(path); return err == nil }

// cannotWrite says that a directory cannot be written to, and what to do.
func cannotWrite(dir string, err error) error {
	return fmt.Errorf("cannot keep a run in %s: %w; name a directory that can be written to with -out", dir, err)
}

// openModel opens a model directory and warns of what it had to pass over.
func openModel(path string) (*checkpoint.Model, error) {
	m, skipped, err := model.Open(path)
	warn(skipped)
	return m, err
}

// warn tells of checkpoints that cannot be used.
func warn(skipped []error) {
	for _, err := range skipped {
		fmt.Fprintf(os.Stderr, "train: warning: passed over a checkpoint: %v\n", err)
	}
}
