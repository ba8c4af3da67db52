package main

import (
	"fmt"
	"slices"
	"strings"

	"ddpm/cmd/internal/exit"
	"ddpm/cmd/internal/model"
	"ddpm/diffusion"
	"ddpm/optim"
)

// recipe is what the network is to learn. A run keeps it; to samplers the scheduler's configuration says the same.
type recipe struct {
	Recipe     string `json:"recipe"`
	Schedule   string `json:"schedule"`
	T          int    `json:"timesteps"`
	ZeroSNR    bool   `json:"zero_snr"`
	Prediction string `json:"prediction"`
	Variance   string `json:"variance"`
	Weight     string `json:"weight"`
	Draw       string `json:"draw"`
}

// recipes are bundles of defaults, which flags override.
var recipes = map[string]recipe{
	// Ho, Jain and Abbeel (2020).
	"paper": {Schedule: "linear", T: 1000, Prediction: "eps", Variance: "large", Weight: "simple", Draw: "uniform"},
	// Nichol and Dhariwal (arXiv:2102.09672).
	"improved": {Schedule: "cosine", T: 1000, Prediction: "eps", Variance: "learned", Weight: "simple", Draw: "uniform"},
}

const defaultRecipe = "paper"

// The values of the flags.
var (
	schedules   = []string{"linear", "linear-rescaled", "scaled-linear", "cosine", "sigmoid", "sigmoid-jabri"}
	predictions = map[string]diffusion.Prediction{"eps": diffusion.Epsilon, "x0": diffusion.X0, "v": diffusion.V}
	variances   = map[string]diffusion.Variance{"large": diffusion.FixedLarge, "small": diffusion.FixedSmall, "learned": diffusion.LearnedRange}
	weights     = []string{"simple", "snr", "min-snr", "vlb"}
	draws       = []string{"uniform", "stratified", "second-moment"}
)

const (
	minSNR = 5     // γ of -weight min-snr (arXiv:2303.09556)
	bound  = 0.001 // λ of the hybrid loss that learns the variance (arXiv:2102.09672)

	// mostSignal is how much of an image's variance may be left at T, where sampling starts from noise alone: 300 steps of
	// the paper's linear schedule leave as much, 1000 leave 4e-5.
	mostSignal = 0.05
)

// check refuses what cannot be learned.
func (c recipe) check() error {
	_, prediction := predictions[c.Prediction]
	_, variance := variances[c.Variance]
	switch {
	case !slices.Contains(schedules, c.Schedule):
		return exit.Usage("-schedule %s: want %s", c.Schedule, strings.Join(schedules, ", "))
	case c.T < 1 || c.T > diffusion.MaxSteps:
		return exit.Usage("-timesteps %d: want 1…%d; the paper has 1000", c.T, diffusion.MaxSteps)
	case c.Schedule == "linear-rescaled" && c.T <= 20:
		return exit.Usage("-timesteps %d: -schedule linear-rescaled needs more than 20; give more, or -schedule cosine", c.T)
	case c.ZeroSNR && c.T < 2:
		return exit.Usage("-zero-snr needs at least 2 -timesteps")
	case !prediction:
		return exit.Usage("-prediction %s: want eps, x0 or v", c.Prediction)
	case c.ZeroSNR && c.Prediction == "eps":
		return exit.Usage("-zero-snr: where x_t is nothing but noise, to predict that noise (-prediction eps) says nothing of the image; give -prediction v or x0")
	case !variance:
		return exit.Usage("-variance %s: want large (β_t), small (its posterior β̃_t) or learned", c.Variance)
	case !slices.Contains(weights, c.Weight):
		return exit.Usage("-weight %s: want %s", c.Weight, strings.Join(weights, ", "))
	case c.Variance == "learned" && c.Weight != "simple":
		return exit.Usage("-weight %s: the loss that learns the variance has weights of its own; leave -weight out, or give -variance large or small", c.Weight)
	case !slices.Contains(draws, c.Draw):
		return exit.Usage("-draw %s: want %s", c.Draw, strings.Join(draws, ", "))
	}
	schedule, err := c.scheduler().Schedule()
	if err != nil {
		return exit.Usage("%v", err)
	}
	if left := schedule.AlphaBar[schedule.T()]; left > mostSignal {
		return exit.Usage("-timesteps %d: the %s schedule then leaves %.0f %% of the image in x_T, where sampling starts from noise alone; give more, or -schedule linear-rescaled or cosine", c.T, c.Schedule, 100*left)
	}
	return nil
}

// scheduler returns the configuration that tells samplers, ours and diffusers', what the network has learned.
func (c recipe) scheduler() diffusion.SchedulerConfig {
	s := model.Paper()
	s.NumTrainTimesteps, s.RescaleBetasZeroSNR = c.T, c.ZeroSNR
	s.PredictionType = predictions[c.Prediction].String()
	variance := variances[c.Variance].String()
	s.VarianceType = &variance
	switch c.Schedule {
	case "linear-rescaled":
		s.BetaStart, s.BetaEnd = s.BetaStart*1000/float64(c.T), s.BetaEnd*1000/float64(c.T)
	case "scaled-linear":
		s.BetaSchedule = "scaled_linear"
	case "cosine":
		s.BetaSchedule = "squaredcos_cap_v2"
	case "sigmoid":
		s.BetaSchedule = "sigmoid"
	case "sigmoid-jabri": // which diffusers has not
		s.TrainedBetas = diffusion.SigmoidJabri(c.T, -3, 3, 1).Beta[1:]
	}
	return s
}

// newObjective returns what training minimises: what the scheduler's configuration says, weighed as the settings say.
func (r *run) newObjective() (o diffusion.Objective, err error) {
	o.Seed = r.Seed
	if o.Schedule, err = r.scheduler.Schedule(); err != nil {
		return o, err
	}
	if o.Prediction, err = diffusion.ParsePrediction(r.scheduler.PredictionType); err != nil {
		return o, err
	}
	switch r.Weight {
	case "snr":
		o.Weighting = diffusion.WeighSNR
	case "min-snr":
		o.Weighting = diffusion.WeighMinSNR(minSNR)
	case "vlb":
		variance, err := diffusion.ParseVariance(*r.scheduler.VarianceType)
		if err != nil {
			return o, err
		}
		o.Weighting = diffusion.WeighVLB(variance)
	}
	if r.learnsVariance() {
		o.Bound = bound
	}
	if r.Draw == "stratified" {
		o.Times = diffusion.Stratified(o.Schedule.T())
	}
	return o, nil
}

// learnsVariance reports whether half of the network's output channels are for the variance.
func (r *run) learnsVariance() bool { return r.net.Config.OutChannels == 2*r.net.Config.InChannels }

// remember tells -draw second-moment of a step's losses: each image's own term of what is minimised.
func (r *run) remember(loss stepLoss) {
	if r.losses == nil {
		return
	}
	o := r.objective
	for _, image := range loss.images {
		term := image.Loss + o.Bound*float64(o.Schedule.T())*image.Bits
		if o.Weighting != nil { // in x̂_0, of which an error is co of one in the output
			_, co := o.Prediction.In(diffusion.X0, o.Schedule.AlphaBar[image.T])
			term *= o.Weighting(o.Schedule, image.T) * co * co
		}
		r.losses.Add(image.T, term)
	}
}

// rate returns the learning rate as a function of the step.
func (s *settings) rate() optim.Rate {
	rate := optim.Rate{Base: s.LR, Warmup: s.Warmup}
	if s.Rate == "cosine" {
		rate.Total, rate.Floor = s.Steps, s.Floor
	}
	return rate
}

// describe says what is minimised.
func (r *run) describe() string {
	o, c := r.objective, r.scheduler
	symbol := map[diffusion.Prediction]string{diffusion.Epsilon: "ε", diffusion.X0: "x_0", diffusion.V: "v"}[o.Prediction]
	schedule := r.Schedule
	switch {
	case r.Init == "":
	case c.TrainedBetas != nil:
		schedule = "its own"
	default:
		schedule = c.BetaSchedule
	}
	text := fmt.Sprintf("%s schedule, T = %d", schedule, o.Schedule.T())
	if c.RescaleBetasZeroSNR {
		text += ", zero SNR at T"
	}
	text += ", prediction of " + symbol
	switch {
	case o.Bound > 0:
		text += fmt.Sprintf(" and of the variance, L_simple + %v·L_vlb", o.Bound)
	case o.Weighting == nil:
		text += ", L_simple"
	default:
		text += ", loss weighed by " + r.Weight
	}
	if r.Draw != "uniform" {
		text += ", t drawn " + map[string]string{"stratified": "from equal strata", "second-moment": "by the losses' second moment"}[r.Draw]
	}
	paper := recipes["paper"]
	if paper.Recipe = r.Recipe; r.Init == "" && r.recipe == paper {
		text += ": the paper's recipe"
	}
	return text
}
