package diffusion

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestParsePublishedConfig reads the configuration of google/ddpm-cifar10-32, which lacks fields that came later.
func TestParsePublishedConfig(t *testing.T) {
	c, err := ParseSchedulerConfig([]byte(`{"_class_name":"DDPMScheduler","_diffusers_version":"0.1.1","beta_end":0.02,"beta_schedule":"linear",
		"beta_start":0.0001,"clip_sample":true,"num_train_timesteps":1000,"trained_betas":null,"variance_type":"fixed_large"}`))
	if err != nil {
		t.Fatal(err)
	}
	times, err := c.Times(1000)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Sampler(times)
	if err != nil {
		t.Fatal(err)
	}
	if s.Rule != (Ancestral{FixedLarge}) || s.Clip != (Clip{Range: 1}) || s.Prediction != Epsilon {
		t.Errorf("sampler is %+v", s)
	}
	for time, b := range Linear(1000, 1e-4, 0.02).Beta {
		if math.Abs(s.Schedule.Beta[time]-b) > 4e-16 { // re-derived
			t.Fatalf("β_%d = %g, want %g", time, s.Schedule.Beta[time], b)
		}
	}
}

// TestConfigRefusesByName checks that what cannot be honoured is refused, and that the message names it.
func TestConfigRefusesByName(t *testing.T) {
	for _, c := range []struct{ class, fields, want string }{
		{"PNDMScheduler", ``, "PNDMScheduler"},
		{"DDPMScheduler", `"beta_schedule": "laplace"`, "beta_schedule"},
		{"DDPMScheduler", `"beta_start": 0`, "beta_start"},
		{"DDPMScheduler", `"beta_end": 1.5`, "beta_end"},
		{"DDPMScheduler", `"beta_start": "a"`, "beta_start"},
		{"DDPMScheduler", `"num_train_timesteps": 0`, "num_train_timesteps"},
		{"DDPMScheduler", `"num_train_timesteps": 2000000000`, "num_train_timesteps"},
		{"DDPMScheduler", `"trained_betas": [0.1, 0.2]`, "trained_betas"},
		{"DDPMScheduler", `"num_train_timesteps": 2, "trained_betas": [0.1, -1]`, "beta 2 of 2"},
		{"DDPMScheduler", `"prediction_type": "flow_prediction"`, "prediction_type"},
		{"DDPMScheduler", `"rescale_betas_zero_snr": true`, "prediction_type"},
		{"DDPMScheduler", `"num_train_timesteps": 1, "rescale_betas_zero_snr": true`, "rescale_betas_zero_snr"},
		{"DDPMScheduler", `"timestep_spacing": "random"`, "timestep_spacing"},
		{"DDPMScheduler", `"steps_offset": -1`, "steps_offset"},
		{"DDPMScheduler", `"thresholding": true, "dynamic_thresholding_ratio": 0`, "dynamic_thresholding_ratio"},
		{"DDPMScheduler", `"thresholding": true, "sample_max_value": 0.5`, "sample_max_value"},
		{"DDPMScheduler", `"clip_sample_range": 0`, "clip_sample_range"},
		{"DDPMScheduler", `"variance_type": "fixed_large_log"`, "variance_type"},
		{"DDPMScheduler", `"variance_type": "learned"`, "variance_type"},
		{"DDPMScheduler", `"variance_type": null`, "variance_type"},
		{"DDPMScheduler", `"solver_order": 2`, "solver_order"},
		{"DDIMScheduler", `"variance_type": "fixed_small"`, "variance_type"},
		{"DPMSolverMultistepScheduler", `"clip_sample": true`, "clip_sample"},
		{"DPMSolverMultistepScheduler", `"algorithm_type": "dpmsolver"`, "algorithm_type"},
		{"DPMSolverMultistepScheduler", `"solver_order": 3`, "solver_order"},
		{"DPMSolverMultistepScheduler", `"solver_type": "bh1"`, "solver_type"},
		{"DPMSolverMultistepScheduler", `"final_sigmas_type": "one"`, "final_sigmas_type"},
		{"DPMSolverMultistepScheduler", `"variance_type": "fixed_small"`, "variance_type"},
		{"DPMSolverMultistepScheduler", `"flow_shift": 3`, "flow_shift"},
		{"DPMSolverMultistepScheduler", `"time_shift_type": "linear"`, "time_shift_type"},
		{"DPMSolverMultistepScheduler", `"use_karras_sigmas": true`, "use_karras_sigmas"},
		{"DPMSolverMultistepScheduler", `"use_exponential_sigmas": true`, "use_exponential_sigmas"},
		{"DPMSolverMultistepScheduler", `"use_beta_sigmas": true`, "use_beta_sigmas"},
		{"DPMSolverMultistepScheduler", `"use_lu_lambdas": true`, "use_lu_lambdas"},
		{"DPMSolverMultistepScheduler", `"use_flow_sigmas": true`, "use_flow_sigmas"},
		{"DPMSolverMultistepScheduler", `"use_dynamic_shifting": true`, "use_dynamic_shifting"},
		{"DDPMScheduler", `"beta_shedule": "linear"`, "beta_shedule"},
	} {
		text := fmt.Sprintf(`{"_class_name": %q`, c.class)
		if c.fields != "" {
			text += ", " + c.fields
		}
		if _, err := ParseSchedulerConfig([]byte(text + "}")); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %s: got error %v, want one about %s", c.class, c.fields, err, c.want)
		}
	}
	for _, text := range []string{``, `[]`, `{`, `{}`, `{"_class_name": 1}`, `null`} {
		if _, err := ParseSchedulerConfig([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
	if _, err := ParseSchedulerConfig([]byte(`{"_class_name": "DDPMScheduler", "tensor_format": "pt", "_name_or_path": "x"}`)); err != nil {
		t.Errorf("a note of diffusers is refused: %v", err)
	}
	mustPanic(t, "class", func() { NewSchedulerConfig("EulerDiscreteScheduler") })
	if err := (SchedulerConfig{}).Validate(); err == nil {
		t.Error("the zero configuration is accepted")
	}
}

// TestConfigRoundTrip writes configurations with all kinds of fields set, and reads them back.
func TestConfigRoundTrip(t *testing.T) {
	clip := -5.1
	trained := NewSchedulerConfig(DDIMClass)
	trained.TrainedBetas, trained.NumTrainTimesteps, trained.SetAlphaToOne = []float64{0.1, 0.3, 0.25}, 3, false
	solver := NewSchedulerConfig(DPMMultistepClass)
	solver.LambdaMinClipped, solver.AlgorithmType, solver.Thresholding = &clip, "sde-dpmsolver++", true
	zero := NewSchedulerConfig(DDPMClass)
	zero.RescaleBetasZeroSNR, zero.PredictionType, zero.TimestepSpacing = true, "v_prediction", "trailing"
	for _, want := range []SchedulerConfig{trained, solver, zero} {
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseSchedulerConfig(data)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s\nreads as %+v, error %v", data, got, err)
		}
	}
	if s, err := trained.Schedule(); err != nil || s.Beta[2] != 0.3 {
		t.Errorf("trained betas give %v, error %v", s.Beta, err)
	}
	if s, err := zero.Schedule(); err != nil || s.AlphaBar[1000] != 0 {
		t.Errorf("zero SNR is not, error %v", err)
	}
}

// TestConfigTimes checks the limits on the number of steps and on explicit times, and the clipped log-SNR.
func TestConfigTimes(t *testing.T) {
	c, solver := NewSchedulerConfig(DDPMClass), NewSchedulerConfig(DPMMultistepClass)
	for _, n := range []int{0, -1, 1001} {
		if _, err := c.Times(n); err == nil {
			t.Errorf("%d steps are accepted", n)
		}
		if _, err := solver.Times(n); err == nil {
			t.Errorf("%d steps of DPM-Solver++ are accepted", n)
		}
	}
	if _, err := solver.Times(1000); err == nil {
		t.Error("DPM-Solver++ cannot take all 1000 times, since linspace leaves out the lowest")
	}
	for _, spacing := range []string{"linspace", "leading", "trailing"} {
		solver.TimestepSpacing = spacing
		for _, n := range []int{1, 7, 20, 999, 1000} {
			if n == 1000 && spacing != "trailing" {
				continue
			}
			times, err := solver.Times(n)
			if err != nil || len(times) != n || !slices.IsSorted(times) {
				t.Errorf("%s, %d steps: %d times, error %v", spacing, n, len(times), err)
				continue
			}
			if _, err := solver.Sampler(times); err != nil {
				t.Errorf("%s, %d steps: %v", spacing, n, err)
			}
		}
	}
	for _, times := range [][]int{nil, {0, 1}, {1, 1001}, {5, 4}, {3, 3}} {
		if _, err := c.Sampler(times); err == nil {
			t.Errorf("times %v are accepted", times)
		}
	}
	clip := -3.0
	solver.LambdaMinClipped, solver.TimestepSpacing = &clip, "trailing"
	times, err := solver.Times(1)
	if s := Linear(1000, 1e-4, 0.02); err != nil || s.LogSNR(times[0]) < clip || s.LogSNR(times[0]+1) >= clip {
		t.Errorf("times %v do not start where the log-SNR is %g, error %v", times, clip, err)
	}
	clip = 10.0 // above all of them
	solver.LambdaMinClipped = &clip
	if _, err := solver.Times(1); err == nil {
		t.Error("no time is left, and one step is accepted")
	}
}
