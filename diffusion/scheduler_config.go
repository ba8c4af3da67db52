package diffusion

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// SchedulerConfig is the scheduler_config.json of a diffusers model directory: how the model was trained to see noise,
// and how to sample it. The fields are those of the scheduler classes DDPM, DDIM and DPMMultistep under their names; a
// class has only some of them. NewSchedulerConfig and ParseSchedulerConfig fill in the class's defaults.
type SchedulerConfig struct {
	Class string `json:"-"` // "_class_name"

	// Of every class.
	NumTrainTimesteps        int       `json:"num_train_timesteps"` // T
	BetaStart                float64   `json:"beta_start"`          // β_1
	BetaEnd                  float64   `json:"beta_end"`            // β_T
	BetaSchedule             string    `json:"beta_schedule"`       // "linear", "scaled_linear", "squaredcos_cap_v2" or "sigmoid"
	TrainedBetas             []float64 `json:"trained_betas"`       // instead of the four above: β_1…β_T
	RescaleBetasZeroSNR      bool      `json:"rescale_betas_zero_snr"`
	PredictionType           string    `json:"prediction_type"`  // "epsilon", "sample" or "v_prediction"
	TimestepSpacing          string    `json:"timestep_spacing"` // "leading", "linspace" or "trailing"
	StepsOffset              int       `json:"steps_offset"`     // of leading spacing
	Thresholding             bool      `json:"thresholding"`     // dynamic thresholding, instead of clipping
	DynamicThresholdingRatio float64   `json:"dynamic_thresholding_ratio"`
	SampleMaxValue           float64   `json:"sample_max_value"`

	// Of DDPM and DDIM.
	ClipSample      bool    `json:"clip_sample"`
	ClipSampleRange float64 `json:"clip_sample_range"`

	// Of DDIM. Its eta is not in the file.
	SetAlphaToOne bool `json:"set_alpha_to_one"` // end at the clean image

	// Of DDPM ("fixed_small", "fixed_small_log", "fixed_large" or "learned_range") and DPMMultistep (nil, or that the network
	// has variance channels, which the solver does not need).
	VarianceType *string `json:"variance_type"`

	// Of DPMMultistep.
	AlgorithmType    string   `json:"algorithm_type"` // "dpmsolver++" or "sde-dpmsolver++"
	SolverOrder      int      `json:"solver_order"`   // 1 or 2
	SolverType       string   `json:"solver_type"`    // "midpoint" or "heun"
	LowerOrderFinal  bool     `json:"lower_order_final"`
	EulerAtFinal     bool     `json:"euler_at_final"`
	FinalSigmasType  string   `json:"final_sigmas_type"`  // "zero" or "sigma_min"
	LambdaMinClipped *float64 `json:"lambda_min_clipped"` // leave out times of lower log-SNR λ; nil for -∞

	// Of DPMMultistep, and to be left at false and the defaults: ways to choose noise levels that are not done here.
	UseKarrasSigmas      bool    `json:"use_karras_sigmas"`
	UseExponentialSigmas bool    `json:"use_exponential_sigmas"`
	UseBetaSigmas        bool    `json:"use_beta_sigmas"`
	UseLuLambdas         bool    `json:"use_lu_lambdas"`
	UseFlowSigmas        bool    `json:"use_flow_sigmas"`
	FlowShift            float64 `json:"flow_shift"`
	UseDynamicShifting   bool    `json:"use_dynamic_shifting"`
	TimeShiftType        string  `json:"time_shift_type"`
}

// The scheduler classes of diffusers that a SchedulerConfig can be of.
const (
	DDPMClass         = "DDPMScheduler"
	DDIMClass         = "DDIMScheduler"
	DPMMultistepClass = "DPMSolverMultistepScheduler"
)

// classFields lists the fields of each class, for which of them a file may hold and is to hold.
var classFields = func() map[string][]string {
	common := []string{
		"num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "rescale_betas_zero_snr", "prediction_type",
		"timestep_spacing", "steps_offset", "thresholding", "dynamic_thresholding_ratio", "sample_max_value",
	}
	return map[string][]string{
		DDPMClass: append([]string{"clip_sample", "clip_sample_range", "variance_type"}, common...),
		DDIMClass: append([]string{"clip_sample", "clip_sample_range", "set_alpha_to_one"}, common...),
		DPMMultistepClass: append([]string{
			"variance_type", "algorithm_type", "solver_order", "solver_type", "lower_order_final", "euler_at_final", "final_sigmas_type",
			"lambda_min_clipped", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas", "use_flow_sigmas",
			"flow_shift", "use_dynamic_shifting", "time_shift_type",
		}, common...),
	}
}()

// NewSchedulerConfig returns diffusers' defaults for a class. It panics if the class is none of the three.
func NewSchedulerConfig(class string) SchedulerConfig {
	if classFields[class] == nil {
		panic(fmt.Sprintf("diffusion: NewSchedulerConfig: got class %q, want %q, %q or %q", class, DDPMClass, DDIMClass, DPMMultistepClass))
	}
	c := SchedulerConfig{
		Class: class, NumTrainTimesteps: 1000, BetaStart: 1e-4, BetaEnd: 0.02, BetaSchedule: "linear", PredictionType: "epsilon",
		TimestepSpacing: "leading", DynamicThresholdingRatio: 0.995, SampleMaxValue: 1,
	}
	switch class {
	case DDPMClass:
		small := "fixed_small"
		c.ClipSample, c.ClipSampleRange, c.VarianceType = true, 1, &small
	case DDIMClass:
		c.ClipSample, c.ClipSampleRange, c.SetAlphaToOne = true, 1, true
	case DPMMultistepClass:
		c.TimestepSpacing, c.AlgorithmType, c.SolverOrder, c.SolverType = "linspace", "dpmsolver++", 2, "midpoint"
		c.LowerOrderFinal, c.FinalSigmasType, c.FlowShift, c.TimeShiftType = true, "zero", 1, "exponential"
	}
	return c
}

// ParseSchedulerConfig reads a scheduler_config.json, old or new. What it lacks takes the class's defaults; a class or
// a field that is not known, or asks for what this package does not do, is refused by name.
func ParseSchedulerConfig(data []byte) (SchedulerConfig, error) {
	data = minusInfinity.ReplaceAll(data, []byte("$1 null"))
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return SchedulerConfig{}, fmt.Errorf("diffusion: the scheduler configuration is not a JSON object: %w", err)
	}
	var class string
	if err := json.Unmarshal(all["_class_name"], &class); err != nil || classFields[class] == nil {
		return SchedulerConfig{}, fmt.Errorf("diffusion: the scheduler is of class %s, want %q, %q or %q", all["_class_name"], DDPMClass, DDIMClass, DPMMultistepClass)
	}
	c := NewSchedulerConfig(class)
	for _, name := range sortedKeys(all) {
		if strings.HasPrefix(name, "_") || name == "tensor_format" { // diffusers' own notes, and its choice of torch or numpy before 0.3
			continue
		}
		if !slices.Contains(classFields[class], name) {
			return SchedulerConfig{}, fmt.Errorf("diffusion: %s has no field %q that is supported; remove it if it does not matter", class, name)
		}
		one, _ := json.Marshal(map[string]json.RawMessage{name: all[name]})
		if err := json.Unmarshal(one, &c); err != nil {
			return SchedulerConfig{}, fmt.Errorf("diffusion: %s: field %q: %w", class, name, err)
		}
	}
	return c, c.Validate()
}

// MarshalJSON returns the configuration as diffusers writes it: all fields of its class, and the class. A
// LambdaMinClipped of -∞, which JSON cannot hold, is left out.
func (c SchedulerConfig) MarshalJSON() ([]byte, error) {
	type fields SchedulerConfig // without this method
	flat, err := json.Marshal(fields(c))
	if err != nil {
		return nil, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(flat, &all); err != nil {
		return nil, err
	}
	for name := range all {
		if !slices.Contains(classFields[c.Class], name) || name == "lambda_min_clipped" && c.LambdaMinClipped == nil {
			delete(all, name)
		}
	}
	if all["_class_name"], err = json.Marshal(c.Class); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}

// minusInfinity is how Python writes the default of lambda_min_clipped, which is not JSON.
var minusInfinity = regexp.MustCompile(`("lambda_min_clipped"\s*:)\s*-Infinity`)

func sortedKeys[E any](m map[string]E) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
