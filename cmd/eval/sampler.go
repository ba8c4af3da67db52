package main

import (
	"fmt"

	"ddpm/cmd/internal/exit"
	"ddpm/diffusion"
)

// samplers are the values of -sampler.
var samplers = []string{"ddpm", "ddim", "dpmpp", "dpmpp1", "dpmpp-sde", "heun"}

// defaultSteps is how many steps a sampler takes unless told otherwise; 0 is all.
var defaultSteps = map[string]int{"ddpm": 0, "ddim": 50, "dpmpp": 20, "dpmpp1": 20, "dpmpp-sde": 20, "heun": 18}

// sampler returns the sampler that the flags name, and how it is called in reports.
func (s *subject) sampler(o *options) (diffusion.Sampler, string, error) {
	sampler, steps, err := s.chain(o.steps, defaultSteps[o.sampler], o.sampler == "heun")
	if err != nil {
		return sampler, "", err
	}
	sampler.Seed = o.seed
	switch o.sampler {
	case "ddpm":
		sampler.Rule = s.ancestral(sampler.Rule)
	case "ddim":
		sampler.Rule = diffusion.DDIM{}
	case "dpmpp":
		sampler.Rule = diffusion.DPMSolver{Order: 2}
	case "dpmpp1":
		sampler.Rule = diffusion.DPMSolver{Order: 1}
	case "dpmpp-sde":
		sampler.Rule = diffusion.DPMSolver{Order: 2, SDE: true}
	case "heun":
		sampler.Rule = diffusion.Heun{Levels: s.schedule}
	}
	if err := sampler.Validate(); err != nil {
		return sampler, "", exit.Usage("%v", err)
	}
	return sampler, fmt.Sprintf("%s in %d steps", o.sampler, steps), nil
}

// chain returns the model's sampler over some of its times: steps, or usual if that is 0, or all if that is too. They end
// at T, and at the clean image.
func (s *subject) chain(steps, usual int, karras bool) (sampler diffusion.Sampler, visited int, err error) {
	T := s.schedule.T()
	if steps > T {
		return sampler, 0, exit.Usage("-steps %d: the model was trained for %d steps; give at most that", steps, T)
	}
	if steps == 0 {
		steps = usual
	}
	if steps == 0 || steps > T {
		steps = T
	}
	var times []int
	if karras {
		times, err = diffusion.Karras(s.schedule, steps, 7)
	} else {
		times, err = diffusion.Trailing(T, steps)
	}
	if err != nil {
		return sampler, 0, exit.Usage("%v", err)
	}
	if sampler, err = s.scheduler.Sampler(times); err != nil {
		return sampler, 0, exit.Usage("%v", err)
	}
	sampler.Schedule, sampler.Clip.X0Only = s.schedule.Strided(times...), false
	return sampler, len(times), nil
}

// ancestral returns the rule of DDPM with the variance of the model's scheduler, or that which suits the network.
func (s *subject) ancestral(rule diffusion.Rule) diffusion.Ancestral {
	a, ok := rule.(diffusion.Ancestral)
	switch learned := s.net.Config.OutChannels == 2*s.net.Config.InChannels; {
	case ok:
		return a
	case learned:
		return diffusion.Ancestral{Variance: diffusion.LearnedRange}
	}
	return diffusion.Ancestral{Variance: diffusion.FixedLarge}
}
