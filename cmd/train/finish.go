package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"ddpm/checkpoint"
	"ddpm/cmd/internal/exit"
	"ddpm/cmd/internal/screen"
)

// finish ends a run: it saves what is not saved yet, draws the loss curve and says what can be done next. err is why
// the training ended, nil if it is complete.
func (r *run) finish(err error) error {
	_, stopped := errors.AsType[exit.Stopped](err)
	if err != nil && !stopped {
		r.report.flush()
		return err
	}
	spent := r.spent()
	if r.saved != r.Step {
		if err := r.save(); err != nil {
			return err
		}
	}
	if !stopped && r.SampleEvery > 0 && r.Step%r.SampleEvery != 0 {
		if err := r.preview(); err != nil {
			return err
		}
	}
	if err := r.curve(); err != nil {
		return err
	}
	r.conclude(spent, stopped)
	return err
}

// conclude says how the run ended and what can be done next.
func (r *run) conclude(spent time.Duration, stopped bool) {
	p := r.report.screen
	loss := ""
	if r.report.loss.weight > 0 {
		loss = fmt.Sprintf(", loss %.4f", r.report.loss.value())
	}
	verb := "Done"
	if stopped {
		verb = "Stopped"
	}
	p.Printf("%s after %s steps and %s%s; saved in %s.", verb, screen.Count(r.Step), screen.Duration(spent), loss, checkpoint.StepDir(r.dir, r.Step))
	p.Printf("Loss curve: %s", filepath.Join(r.dir, curveName))
	switch {
	case stopped:
		p.Printf("To go on:   %s", r.resumeCommand())
	case r.Rate != "cosine": // whose end is the run's
		p.Printf("To go on:   %s -steps %d", r.resumeCommand(), 2*r.Step)
	}
	p.Printf("To sample:  %s -model %s", screen.Command("sample"), r.dir)
}

// card returns the model card, the README.md of a checkpoint.
func (r *run) card() string {
	var b strings.Builder
	fmt.Fprintf(&b, "---\nlibrary_name: diffusers\npipeline_tag: unconditional-image-generation\ntags: [ddpm, unconditional-image-generation]\n---\n\n")
	fmt.Fprintf(&b, "# Diffusion model of %s, %d×%d\n\n", r.set.Name, r.set.W, r.set.H)
	fmt.Fprintf(&b, "A DDPM (Ho, Jain and Abbeel 2020, arXiv:2006.11239) with %s parameters, after %s training steps.\n\n", screen.Count(r.net.Params.Count()), screen.Count(r.Step))
	fmt.Fprintf(&b, "| | |\n|---|---|\n")
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, fmt.Sprintf(format, args...))
	}
	row("data", "%s: %s images of %d×%d×%d, SHA-256 %.16s…", r.set.Name, screen.Count(r.set.Len()), r.set.W, r.set.H, r.set.C, r.digest)
	row("objective", "%s", r.describe())
	rate := ""
	if r.Rate == "cosine" {
		rate = fmt.Sprintf(" and then along a cosine to %v at step %d", r.Floor, r.Steps)
	}
	row("optimiser", "Adam, learning rate %v after %d steps of warm-up%s, weight decay %v, batch %d, gradient norm at most %v", r.LR, r.Warmup, rate, r.Decay, r.Batch, r.clip())
	row("weights", "moving average with decay %v", r.EMA[0])
	row("seed", "%d", r.Seed)
	if r.Init != "" {
		row("started from", "%s", r.Init)
	}
	fmt.Fprintf(&b, "\n```python\nfrom diffusers import DDPMPipeline\nDDPMPipeline.from_pretrained(\"THIS DIRECTORY\")().images[0].save(\"sample.png\")\n```\n")
	return b.String()
}
