package checkpoint_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"ddpm/checkpoint"
	"ddpm/tensor"
)

// A run saves its steps; later, or elsewhere, the newest one is loaded.
func Example() {
	root, err := os.MkdirTemp("", "runs")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(root)
	run := filepath.Join(root, "digits")

	weight := tensor.From([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	err = checkpoint.Save(checkpoint.StepDir(run, 1000), checkpoint.Content{
		Config:    map[string]any{"_class_name": "UNet2DModel", "sample_size": 8},
		Scheduler: map[string]any{"_class_name": "DDPMScheduler", "beta_start": 1e-4, "beta_end": 0.02},
		Weights:   []checkpoint.Named{checkpoint.Plain("conv_in.weight", weight)},
		Card:      "# Digits\n",
	})
	if err != nil {
		log.Fatal(err)
	}

	model, skipped, err := checkpoint.Latest(run)
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	loaded := tensor.New(2, 3)
	if err := checkpoint.Load(model.Weights, []checkpoint.Named{checkpoint.Plain("conv_in.weight", loaded)}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(filepath.Base(model.Dir), len(skipped), model.Weights.Names(), loaded.Data)
	// Output: step-00001000 0 [conv_in.weight] [1 2 3 4 5 6]
}
