package main

import (
	"encoding/json"
	"fmt"
	"os"

	"ddpm/autograd"
	"ddpm/cmd/internal/exit"
	"ddpm/cmd/internal/model"
	"ddpm/data"
	"ddpm/diffusion"
	"ddpm/layers"
)

// subject is the model that is measured.
type subject struct {
	dir       string
	net       *layers.UNet
	scheduler diffusion.SchedulerConfig
	schedule  diffusion.Schedule
	training  training
}

// training is what is known of how a model was trained; the zero value for one from elsewhere.
type training struct {
	Settings struct {
		Data         string
		LabelDropout float64 `json:"label_dropout"`
	}
}

// openSubject loads the model that the flags name.
func openSubject(o *options) (*subject, error) {
	m, skipped, err := model.Open(o.model)
	for _, err := range skipped {
		fmt.Fprintf(os.Stderr, "eval: warning: passed over a checkpoint: %v\n", err)
	}
	if err != nil {
		return nil, err
	}
	defer m.Close()
	s := &subject{dir: m.Dir}
	if s.net, err = model.Load(m); err != nil {
		return nil, err
	}
	if s.scheduler, err = model.Scheduler(m); err != nil {
		return nil, err
	}
	if s.schedule, err = s.scheduler.Schedule(); err != nil {
		return nil, exit.Bad(m.Dir, err)
	}
	if m.State != nil {
		if err := json.Unmarshal(m.State, &s.training); err != nil {
			return nil, exit.Bad(m.Dir, err)
		}
	}
	if c := s.net.Config; c.OutChannels != c.InChannels && c.OutChannels != 2*c.InChannels {
		return nil, exit.Bad(s.dir, fmt.Errorf("the network turns %d channels into %d; it can be sampled only if they are as many, or twice", c.InChannels, c.OutChannels))
	}
	return s, nil
}

// open opens data as the model sees it.
func (s *subject) open(o *options, split string) (*data.Set, error) {
	name := o.data
	if name == "" {
		name = s.training.Settings.Data
	}
	if name == "" {
		return nil, exit.Usage("%s does not say what it was trained on; name the real images with -data", s.dir)
	}
	side := o.side
	if side == 0 {
		side = s.net.Config.SampleSize
	}
	return openData(name, data.Options{Side: side, Channels: s.net.Config.InChannels, Split: split})
}

// openData opens a set. Options that do not fit it are the command line's fault.
func openData(name string, opt data.Options) (*data.Set, error) {
	s, err := data.Open(name, opt)
	if err != nil && exit.Code(err) == exit.Failure {
		return nil, exit.Usage("%v", err)
	}
	if err == nil && s.H != s.W {
		return nil, exit.Usage("the images of %s are %d×%d; give -side N to crop and resize them to squares", name, s.W, s.H)
	}
	return s, err
}

// classes returns how many classes the network knows, besides the label for "unknown".
func (s *subject) classes() int {
	k := s.net.Classes()
	if k > 1 && s.training.Settings.LabelDropout > 0 {
		k--
	}
	return k
}

// given returns the network for images with these labels, which it is told if it knows classes.
func (s *subject) given(labels []int) diffusion.Denoiser {
	if s.classes() == 0 {
		return s.net
	}
	return diffusion.Labelled{Net: model.Conditional{UNet: s.net}, Labels: labels}
}

// work returns the multiply-adds of an evaluation of the network for one image of the given side.
func (s *subject) work(side int) float64 {
	tape := autograd.NewInference()
	x := tape.Temp(1, side, side, s.net.Config.InChannels)
	clear(x.Data)
	s.given([]int{0}).Denoise(tape, x, []int{0})
	return float64(tape.MACs)
}
