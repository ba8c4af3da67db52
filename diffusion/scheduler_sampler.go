package diffusion

import (
	"fmt"
	"math"
	"slices"
)

// Schedule returns the schedule that the network was trained on, or what Validate says.
func (c SchedulerConfig) Schedule() (Schedule, error) {
	if err := c.Validate(); err != nil {
		return Schedule{}, err
	}
	var s Schedule
	T, first, last := c.NumTrainTimesteps, c.BetaStart, c.BetaEnd
	switch {
	case c.TrainedBetas != nil:
		s = fromBetas(c.TrainedBetas)
	case c.BetaSchedule == "linear":
		s = Linear(T, first, last)
	case c.BetaSchedule == "scaled_linear":
		s = ScaledLinear(T, first, last)
	case c.BetaSchedule == "squaredcos_cap_v2":
		s = Cosine(T)
	case c.BetaSchedule == "sigmoid":
		s = Sigmoid(T, first, last)
	}
	if c.RescaleBetasZeroSNR {
		s = s.ZeroTerminalSNR()
	}
	return s, nil
}

// Times returns the n times of the schedule that diffusers' scheduler of this class visits, rising, for Sampler; DPMMultistep
// has spacings of its own. It returns an error if the schedule does not have so many.
func (c SchedulerConfig) Times(n int) ([]int, error) {
	if c.Class == DPMMultistepClass {
		return c.solverTimes(n)
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	switch c.TimestepSpacing {
	case "linspace":
		return Linspace(c.NumTrainTimesteps, n)
	case "trailing":
		return Trailing(c.NumTrainTimesteps, n)
	default:
		return Leading(c.NumTrainTimesteps, n, c.StepsOffset)
	}
}

// solverTimes leaves out the lowest of n+1 times, since the step to the end follows the n-th, and the times of a log-SNR
// below LambdaMinClipped.
func (c SchedulerConfig) solverTimes(n int) ([]int, error) {
	s, err := c.Schedule()
	if err != nil {
		return nil, err
	}
	T := s.T()
	for c.LambdaMinClipped != nil && T > 0 && s.LogSNR(T) < *c.LambdaMinClipped {
		T--
	}
	most := T - 1
	if c.TimestepSpacing == "trailing" {
		most = T
	}
	if n < 1 || n > most {
		return nil, fmt.Errorf("diffusion: got %d sampling steps, want 1…%d: no more than the schedule has for %s spacing", n, most, c.TimestepSpacing)
	}
	if c.TimestepSpacing == "trailing" {
		stride := float64(c.NumTrainTimesteps) / float64(n)
		var times []int
		for k := 0; ; k++ {
			t := int(math.RoundToEven(float64(T) - float64(k)*stride))
			if t < 1 {
				slices.Reverse(times)
				return times, nil
			}
			times = append(times, t)
		}
	}
	var times []int
	if c.TimestepSpacing == "linspace" {
		times, err = Linspace(T, n+1)
	} else {
		times, err = Leading(T, n+1, c.StepsOffset)
	}
	if err != nil {
		return nil, err
	}
	return times[1:], nil
}

// Sampler returns the sampler that this configuration describes, over the given times of its schedule (from Times, or of
// one's own choice). The DDIM is deterministic; its η is not part of the configuration. Two departures from diffusers: the
// step that ends at the clean image adds no noise, and a DDIM step ends where the next begins, for all spacings.
func (c SchedulerConfig) Sampler(times []int) (Sampler, error) {
	full, err := c.Schedule()
	if err != nil {
		return Sampler{}, err
	}
	if len(times) == 0 || times[0] < 1 || times[len(times)-1] > full.T() || !slices.IsSorted(times) || len(slices.Compact(slices.Clone(times))) < len(times) {
		return Sampler{}, fmt.Errorf("diffusion: got sampling times %v, want some rising from 1 or more to %d or less", times, full.T())
	}
	s := Sampler{Schedule: full.Strided(times...)}
	if s.Prediction, err = ParsePrediction(c.PredictionType); err != nil {
		return Sampler{}, err
	}
	switch {
	case c.Thresholding:
		s.Clip = Clip{Quantile: c.DynamicThresholdingRatio, Max: c.SampleMaxValue}
	case c.ClipSample && c.Class != DPMMultistepClass:
		s.Clip = Clip{Range: c.ClipSampleRange}
	}
	ending := false // at the noise level of t = 1
	switch c.Class {
	case DDPMClass:
		s.Rule = Ancestral{configVariances[*c.VarianceType]}
	case DDIMClass:
		s.Rule = DDIM{}
		s.Clip.X0Only = s.Clip != Clip{}
		ending = !c.SetAlphaToOne
	case DPMMultistepClass:
		s.Rule = DPMSolver{
			Order: c.SolverOrder, SDE: c.AlgorithmType == "sde-dpmsolver++", Heun: c.SolverType == "heun",
			EulerLast: c.EulerAtFinal || c.LowerOrderFinal && len(times) < 15,
		}
		ending = c.FinalSigmasType == "sigma_min"
	}
	if ending {
		s.Schedule = s.Schedule.EndingAt(full.AlphaBar[1])
	}
	return s, s.Validate()
}

// configVariances are the values of variance_type that this package does. Those of "_log" mean the same as those without, but
// "fixed_large_log" is √(ln β), NaN, in diffusers, and "learned" is not a range.
var configVariances = map[string]Variance{
	"fixed_small": FixedSmall, "fixed_small_log": FixedSmall, "fixed_large": FixedLarge, "learned_range": LearnedRange,
}

// Validate reports the first field that cannot be, and what it can be.
func (c SchedulerConfig) Validate() error {
	finite := func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
	switch {
	case classFields[c.Class] == nil:
		return fmt.Errorf("diffusion: the scheduler is of class %q, want %q, %q or %q", c.Class, DDPMClass, DDIMClass, DPMMultistepClass)
	case c.NumTrainTimesteps < 1 || c.NumTrainTimesteps > MaxSteps:
		return c.refuse("num_train_timesteps", c.NumTrainTimesteps, fmt.Sprintf("1…%d", MaxSteps))
	case c.TrainedBetas != nil && len(c.TrainedBetas) != c.NumTrainTimesteps:
		return c.refuse("trained_betas", fmt.Sprintf("a list of %d", len(c.TrainedBetas)), fmt.Sprintf("num_train_timesteps = %d of them", c.NumTrainTimesteps))
	case c.TrainedBetas == nil && !slices.Contains([]string{"linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"}, c.BetaSchedule):
		return c.refuse("beta_schedule", c.BetaSchedule, `"linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid" or a list in trained_betas`)
	case c.TrainedBetas == nil && !(0 < c.BetaStart && c.BetaStart <= c.BetaEnd && c.BetaEnd < 1):
		return c.refuse("beta_start, beta_end", []float64{c.BetaStart, c.BetaEnd}, "0 < beta_start ≤ beta_end < 1")
	case c.RescaleBetasZeroSNR && c.NumTrainTimesteps < 2:
		return c.refuse("rescale_betas_zero_snr", true, "false for one time step")
	case !slices.Contains(predictions, c.PredictionType):
		return c.refuse("prediction_type", c.PredictionType, fmt.Sprintf("one of %q", []string(predictions)))
	case c.RescaleBetasZeroSNR && c.PredictionType == Epsilon.String():
		return c.refuse("prediction_type", c.PredictionType, `"sample" or "v_prediction" with rescale_betas_zero_snr: at zero SNR epsilon says nothing of the image`)
	case !slices.Contains([]string{"leading", "linspace", "trailing"}, c.TimestepSpacing):
		return c.refuse("timestep_spacing", c.TimestepSpacing, `"leading", "linspace" or "trailing"`)
	case c.StepsOffset < 0:
		return c.refuse("steps_offset", c.StepsOffset, "0 or more")
	case c.Thresholding && !(c.DynamicThresholdingRatio > 0 && c.DynamicThresholdingRatio <= 1):
		return c.refuse("dynamic_thresholding_ratio", c.DynamicThresholdingRatio, "more than 0, up to 1")
	case c.Thresholding && !(c.SampleMaxValue >= 1 && finite(c.SampleMaxValue)):
		return c.refuse("sample_max_value", c.SampleMaxValue, "at least 1")
	case c.Class != DPMMultistepClass && c.ClipSample && !(c.ClipSampleRange > 0 && finite(c.ClipSampleRange)):
		return c.refuse("clip_sample_range", c.ClipSampleRange, "more than 0")
	case c.Class == DDPMClass && c.VarianceType == nil:
		return c.refuse("variance_type", "null", fmt.Sprintf("one of %q", sortedKeys(configVariances)))
	}
	if c.TrainedBetas != nil {
		if _, err := FromBetas(c.TrainedBetas); err != nil {
			return err
		}
	}
	switch c.Class {
	case DDPMClass:
		if _, ok := configVariances[*c.VarianceType]; !ok {
			return c.refuse("variance_type", *c.VarianceType, fmt.Sprintf("one of %q", sortedKeys(configVariances)))
		}
	case DPMMultistepClass:
		return c.validateSolver()
	}
	return nil
}

// validateSolver is Validate for the fields of DPMMultistep.
func (c SchedulerConfig) validateSolver() error {
	switch {
	case c.AlgorithmType != "dpmsolver++" && c.AlgorithmType != "sde-dpmsolver++":
		return c.refuse("algorithm_type", c.AlgorithmType, `"dpmsolver++" or "sde-dpmsolver++"`)
	case c.SolverOrder != 1 && c.SolverOrder != 2:
		return c.refuse("solver_order", c.SolverOrder, "1 or 2")
	case c.SolverType != "midpoint" && c.SolverType != "heun":
		return c.refuse("solver_type", c.SolverType, `"midpoint" or "heun"`)
	case c.FinalSigmasType != "zero" && c.FinalSigmasType != "sigma_min":
		return c.refuse("final_sigmas_type", c.FinalSigmasType, `"zero" or "sigma_min"`)
	case c.LambdaMinClipped != nil && math.IsNaN(*c.LambdaMinClipped):
		return c.refuse("lambda_min_clipped", *c.LambdaMinClipped, "a number")
	case c.VarianceType != nil && *c.VarianceType != "learned" && *c.VarianceType != "learned_range":
		return c.refuse("variance_type", *c.VarianceType, `null, "learned" or "learned_range"`)
	case c.FlowShift != 1:
		return c.refuse("flow_shift", c.FlowShift, "1: flow matching is not done here")
	case c.TimeShiftType != "exponential":
		return c.refuse("time_shift_type", c.TimeShiftType, `"exponential"`)
	}
	elsewhere := map[string]bool{
		"use_karras_sigmas": c.UseKarrasSigmas, "use_exponential_sigmas": c.UseExponentialSigmas, "use_beta_sigmas": c.UseBetaSigmas,
		"use_lu_lambdas": c.UseLuLambdas, "use_flow_sigmas": c.UseFlowSigmas, "use_dynamic_shifting": c.UseDynamicShifting,
	}
	for _, name := range sortedKeys(elsewhere) {
		if elsewhere[name] {
			return c.refuse(name, true, "false; choose the noise levels by a spacing, such as Karras")
		}
	}
	return nil
}

func (c SchedulerConfig) refuse(field string, got any, want string) error {
	return fmt.Errorf("diffusion: %s: %s is %v, want %s", c.Class, field, got, want)
}
