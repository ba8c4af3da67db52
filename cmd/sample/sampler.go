package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"ddpm/checkpoint"
	"ddpm/cmd/internal/exit"
	"ddpm/cmd/internal/model"
	"ddpm/diffusion"
	"ddpm/layers"
	"ddpm/tensor"
)

// samplers are the values of -sampler.
var samplers = []string{"ddpm", "ddim", "dpmpp", "dpmpp1", "dpmpp-sde", "heun"}

// source is a model to draw from.
type source struct {
	dir       string
	net       *layers.UNet
	scheduler diffusion.SchedulerConfig
	schedule  diffusion.Schedule
	training  *training // nil for a model from elsewhere
}

// training is what sampling wants to know of how a model was trained.
type training struct {
	Step     int
	Settings struct {
		Preset, Data string
		Batch        int
		Classes      bool
		LabelDropout float64 `json:"label_dropout"`
		EMA          []float64
		Seed         uint64
	}
}

// newSource loads a model.
func newSource(m *checkpoint.Model) (*source, error) {
	s := &source{dir: m.Dir}
	var err error
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
	return s, nil
}

// null returns the label that stands for "unknown", which a network must have learned for guidance.
func (s *source) null() (label int, ok bool) {
	if s.net.Classes() < 2 || s.training == nil || s.training.Settings.LabelDropout == 0 {
		return 0, false
	}
	return s.net.Classes() - 1, true
}

// classes returns how many classes can be drawn.
func (s *source) classes() int {
	if _, ok := s.null(); ok {
		return s.net.Classes() - 1
	}
	return s.net.Classes()
}

// drawing is a sampler with the network it asks, and what is to be drawn.
type drawing struct {
	*options
	source  *source
	sampler diffusion.Sampler
	name    string // of the sampler
	class   int    // to draw, or -1 for all in turn
	start   int    // time of the sampler's schedule at which drawing begins

	pictures tensor.Tensor // to edit [N H W C]; of an interpolation, the two ends, or the noise that leads to them
	kept     tensor.Tensor // parts of the pictures that stay [N H W 1]
}

// plan makes a drawing of what the command line asks for and the model's scheduler says.
func (s *source) plan(o *options) (*drawing, error) {
	d := &drawing{options: o, source: s}
	if err := s.drawable(); err != nil {
		return nil, exit.Bad(s.dir, err)
	}
	if err := d.planSampler(); err != nil {
		return nil, err
	}
	if err := d.planClass(); err != nil {
		return nil, err
	}
	return d, d.planEditing()
}

// drawable says why the network makes no pictures, if it does not.
func (s *source) drawable() error {
	c := s.net.Config
	multiple := 1 << (len(c.BlockOutChannels) - 1)
	switch {
	case c.InChannels != 1 && c.InChannels != 3:
		return fmt.Errorf("its images have %d channels, which make no picture; want 1 (grey) or 3 (RGB)", c.InChannels)
	case c.OutChannels != c.InChannels && c.OutChannels != 2*c.InChannels:
		return fmt.Errorf("the network turns %d channels into %d; want as many, or twice for a learned variance", c.InChannels, c.OutChannels)
	case c.SampleSize < 1 || c.SampleSize > 4096 || c.SampleSize%multiple != 0:
		return fmt.Errorf("sample_size in its config.json is %d; set it to the side of the images, a multiple of %d", c.SampleSize, multiple)
	}
	return nil
}

// defaultSteps is how many steps a sampler takes unless told otherwise; 0 is all.
var defaultSteps = map[string]int{"ddpm": 0, "ddim": 50, "dpmpp": 20, "dpmpp1": 20, "dpmpp-sde": 20, "heun": 18}

// ofClass is the sampler that a class of scheduler is.
var ofClass = map[string]string{diffusion.DDPMClass: "ddpm", diffusion.DDIMClass: "ddim", diffusion.DPMMultistepClass: "dpmpp"}

// planSampler makes the sampler that the model's scheduler describes, and then what the flags change in it.
func (d *drawing) planSampler() error {
	if d.between != "" {
		d.options.sampler = "ddim"
	}
	if d.name = d.options.sampler; d.name == "" {
		d.name = ofClass[d.source.scheduler.Class]
	}
	times, err := d.times()
	if err != nil {
		return err
	}
	if d.sampler, err = d.source.scheduler.Sampler(times); err != nil {
		return exit.Usage("%v", err)
	}
	d.sampler.Seed = d.seed
	if d.options.sampler != "" {
		// Another sampler ends at the clean image, and where x̂_0 is bounded its ε̂ follows.
		d.sampler.Schedule, d.sampler.Clip.X0Only = d.source.schedule.Strided(times...), false
		d.sampler.Rule = d.rule()
	}
	if err := d.adjust(); err != nil {
		return err
	}
	if err := d.sampler.Validate(); err != nil {
		return exit.Usage("%v", err)
	}
	return nil
}

// times chooses the times to visit.
func (d *drawing) times() (times []int, err error) {
	T, steps, spacing := d.source.schedule.T(), d.steps, d.spacing
	if steps > T {
		return nil, exit.Usage("-steps %d: the model was trained for %d steps; give at most that", steps, T)
	}
	if d.name == "heun" && d.source.schedule.AlphaBar[T] == 0 {
		return nil, exit.Usage("-sampler heun: the model's x_T holds no trace of the image, and noise without end per signal is no start for this sampler; give -sampler dpmpp or ddim")
	}
	if steps == 0 {
		steps = defaultSteps[d.name]
		if d.name == "ddpm" && d.inpaint != "" {
			steps = usualInpainting
		}
		if steps == 0 || steps > T {
			steps = T
		}
	}
	switch {
	case spacing != "": // as asked for
	case d.name == "heun":
		spacing = "karras"
	case d.options.sampler != "":
		spacing = "trailing"
	}
	switch spacing {
	case "":
		times, err = d.source.scheduler.Times(steps)
	case "leading":
		times, err = diffusion.Leading(T, steps, d.source.scheduler.StepsOffset)
	case "trailing":
		times, err = diffusion.Trailing(T, steps)
	case "linspace":
		times, err = diffusion.Linspace(T, steps)
	case "karras":
		times, err = diffusion.Karras(d.source.schedule, steps, 7)
	default:
		times, err = d.listed(spacing)
	}
	if err != nil {
		return nil, exit.Usage("%v", err)
	}
	return times, nil
}

// listed reads a list of times.
func (d *drawing) listed(text string) (times []int, err error) {
	for word := range strings.SplitSeq(text, ",") {
		t, err := strconv.Atoi(word)
		if err != nil || t < 1 || len(times) > 0 && t <= times[len(times)-1] {
			return nil, exit.Usage("-spacing %s: want leading, trailing, linspace, karras, or times such as 1,250,500,1000, rising", text)
		}
		times = append(times, t)
	}
	switch T, last := d.source.schedule.T(), times[len(times)-1]; {
	case last > T:
		return nil, exit.Usage("-spacing …,%d: the model was trained for %d steps; give times of at most that", last, T)
	case d.given["steps"] && d.steps != len(times):
		return nil, exit.Usage("-steps %d: -spacing lists %d times; leave -steps out", d.steps, len(times))
	}
	return times, nil
}

// rule returns the rule that -sampler names.
func (d *drawing) rule() diffusion.Rule {
	switch d.name {
	case "ddim":
		return diffusion.DDIM{}
	case "dpmpp":
		return diffusion.DPMSolver{Order: 2}
	case "dpmpp1":
		return diffusion.DPMSolver{Order: 1}
	case "dpmpp-sde":
		return diffusion.DPMSolver{Order: 2, SDE: true}
	case "heun":
		return diffusion.Heun{Levels: d.source.schedule}
	}
	if a, ok := d.sampler.Rule.(diffusion.Ancestral); ok {
		return a // with the variance of the model's scheduler
	}
	if d.source.learned() {
		return diffusion.Ancestral{Variance: diffusion.LearnedRange}
	}
	return diffusion.Ancestral{Variance: diffusion.FixedLarge}
}

// learned reports whether the network has learned the variance, too.
func (s *source) learned() bool { return s.net.Config.OutChannels == 2*s.net.Config.InChannels }

// adjust applies the flags that are for one sampler only.
func (d *drawing) adjust() error {
	owners := map[string]string{"eta": "ddim", "churn": "heun", "variance": "ddpm"}
	for _, flag := range []string{"eta", "churn", "variance"} {
		if d.given[flag] && owners[flag] != d.name {
			return exit.Usage("-%s is for -sampler %s, not %s; leave it out, or choose that", flag, owners[flag], d.name)
		}
	}
	if err := d.adjustClip(); err != nil {
		return err
	}
	switch rule := d.sampler.Rule.(type) {
	case diffusion.DDIM:
		rule.Eta = d.eta
		d.sampler.Rule = rule
	case diffusion.Heun:
		rule.Churn = d.churn
		d.sampler.Rule = rule
	case diffusion.Ancestral:
		return d.adjustVariance(rule)
	}
	return nil
}

// adjustClip says how x̂_0 is bounded.
func (d *drawing) adjustClip() error {
	clip := &d.sampler.Clip
	switch {
	case d.given["clip"] && d.given["threshold"]:
		return exit.Usage("-clip and -threshold are two ways to bound x̂_0; give one of them")
	case d.given["clip"]:
		*clip = diffusion.Clip{Range: d.clip}
	case d.given["threshold"]:
		*clip = diffusion.Clip{Quantile: d.threshold}
	}
	if d.given["x0-only"] {
		if *clip == (diffusion.Clip{}) {
			return exit.Usage("-x0-only: x̂_0 is not bounded at all; give -clip or -threshold, too")
		}
		clip.X0Only = d.x0Only
	}
	return nil
}

func (d *drawing) adjustVariance(rule diffusion.Ancestral) error {
	if d.given["variance"] {
		v, ok := map[string]diffusion.Variance{"large": diffusion.FixedLarge, "small": diffusion.FixedSmall, "range": diffusion.LearnedRange}[d.variance]
		if !ok {
			return exit.Usage("-variance %s: want large, small or range", d.variance)
		}
		rule.Variance = v
	}
	if rule.Variance == diffusion.LearnedRange && !d.source.learned() {
		return exit.Usage("the network in %s has learned no variance; give -variance large or small", d.source.dir)
	}
	d.sampler.Rule = rule
	return nil
}

// planClass reads -class and -guidance.
func (d *drawing) planClass() (err error) {
	k := d.source.classes()
	_, null := d.source.null()
	d.class = -1
	switch {
	case k == 0 && (d.given["class"] || d.given["guidance"]):
		return exit.Usage("-class and -guidance are for models that know classes, which this one does not: %s; train one with -classes", d.source.dir)
	case d.given["guidance"] && !null:
		return exit.Usage("-guidance needs a model that was trained to go without labels now and then: train -classes -label-dropout 0.1")
	case d.options.class == "all" || d.options.class == "":
	default:
		if d.class, err = strconv.Atoi(d.options.class); err != nil || d.class < 0 || d.class >= k {
			return exit.Usage("-class %s: want 0…%d, or all", d.options.class, k-1)
		}
	}
	if k > 1 && k <= 16 && d.class < 0 && !d.given["n"] {
		d.n = 8 * k
	}
	return nil
}

// denoiser returns the network for n images numbered from first.
func (d *drawing) denoiser(first, n int) diffusion.Denoiser {
	k := d.source.classes()
	if k == 0 {
		return d.source.net
	}
	labels := make([]int, n)
	for i := range labels {
		if labels[i] = d.class; d.class < 0 {
			labels[i] = (first + i) % k
		}
	}
	net := model.Conditional{UNet: d.source.net}
	if null, ok := d.source.null(); ok {
		return diffusion.Guided{Net: net, Labels: labels, Null: null, Scale: d.guidance}
	}
	return diffusion.Labelled{Net: net, Labels: labels}
}
