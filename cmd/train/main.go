// Command train trains a diffusion model and keeps it in directories that the command sample, and Hugging Face
// diffusers, read. train -h says what it can be asked for.
//
// The files: settings.go, presets.go and flags.go hold what can be asked for; run.go and state.go a run, and how it is
// begun, saved and resumed; loop.go is the training itself; report.go, preview.go and curve.go show how it goes; bench.go
// measures speed.
package main

import (
	"os"

	"ddpm/cmd/internal/exit"
	"ddpm/tensor"
)

// maxSteps is the largest number of a training step: the random streams count steps in 32 bits.
const maxSteps = 1<<32 - 2

// methods are the values of -convolution.
var methods = map[string]tensor.Method{"auto": tensor.Auto, "direct": tensor.Direct, "winograd2": tensor.Winograd2, "winograd4": tensor.Winograd4}

func main() { exit.With("train", command(os.Args[1:])) }

func command(args []string) error {
	s, given, err := parse(args)
	if err != nil {
		return err
	}
	if s.Bench > 0 {
		return bench(s, os.Stdout)
	}
	r, err := begin(s, given)
	if err != nil {
		return err
	}
	defer r.close()
	ctx := exit.Context()
	r.introduce()
	return r.finish(r.train(ctx))
}
