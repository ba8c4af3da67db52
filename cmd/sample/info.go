package main

import (
	"fmt"
	"io"
	"strings"

	"ddpm/autograd"
	"ddpm/cmd/internal/screen"
	"ddpm/layers"
)

// describe tells what a model directory holds.
func (s *source) describe(w io.Writer) error {
	c := s.net.Config
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-11s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("model", "%s", s.dir)
	line("images", "%d×%d, %d in, %d out channels", c.SampleSize, c.SampleSize, c.InChannels, c.OutChannels)
	line("network", "U-Net, widths %v, %d blocks per level, %d groups; %s parameters", c.BlockOutChannels, c.LayersPerBlock, c.NormNumGroups, screen.Count(s.net.Params.Count()))
	line("levels", "%s; %s", strings.Join(c.DownBlockTypes, ", "), strings.Join(c.UpBlockTypes, ", "))
	heads := "one head"
	if c.AttentionHeadDim != nil {
		heads = fmt.Sprintf("heads of %d channels", *c.AttentionHeadDim)
	}
	line("attention", "%s", heads)
	line("cost", "%.3g GFLOP per image and evaluation", 2e-9*s.work())
	classes := "none"
	if k := s.classes(); k > 0 {
		classes = fmt.Sprint(k)
		if _, ok := s.null(); ok {
			classes += ", and unknown, for -guidance"
		}
	}
	line("classes", "%s", classes)
	line("scheduler", "%s: %s schedule, T = %d, %s prediction, %s spacing", s.scheduler.Class, s.scheduler.BetaSchedule, s.schedule.T(),
		s.scheduler.PredictionType, s.scheduler.TimestepSpacing)
	if t := s.training; t != nil {
		line("training", "%s steps of %d images of %s, preset %s, seed %d; weights averaged with decay %v", screen.Count(t.Step), t.Settings.Batch, t.Settings.Data, t.Settings.Preset, t.Settings.Seed, t.Settings.EMA[0])
	}
	return nil
}

// work returns the multiply-adds of one evaluation of the network for one image.
func (s *source) work() float64 {
	tape, c := autograd.NewInference(), s.net.Config
	x := tape.Temp(1, c.SampleSize, c.SampleSize, c.InChannels)
	clear(x.Data)
	var cond layers.Condition
	if s.net.Classes() > 0 {
		cond.Labels = []int{0}
	}
	s.net.Forward(tape, x, []int{0}, cond)
	return float64(tape.MACs)
}
