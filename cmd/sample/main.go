// Command sample draws images from a diffusion model: one that the command train made, or one published in the files of
// Hugging Face diffusers. sample -h says what it can be asked for.
//
// The files: flags.go holds what can be asked for; sampler.go makes a sampler of that and of what the model's directory
// says; draw.go runs it; output.go writes grids, pictures and animations; info.go tells what a directory holds;
// shard.go, shard_files.go and merge.go share a drawing among machines.
package main

import (
	"fmt"
	"os"

	"ddpm/checkpoint"
	"ddpm/cmd/internal/exit"
	"ddpm/cmd/internal/model"
)

func main() { exit.With("sample", command(os.Args[1:])) }

func command(args []string) error {
	if len(args) > 0 && args[0] == "merge" {
		return merge(args[1:])
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	m, err := open(o.model)
	if err != nil {
		return err
	}
	defer m.Close()
	s, err := newSource(m)
	if err != nil {
		return err
	}
	if o.info {
		return s.describe(os.Stdout)
	}
	d, err := s.plan(o)
	if err != nil {
		return err
	}
	if d.part.of > 0 {
		return d.drawShard()
	}
	return d.draw()
}

// open opens the model and warns of checkpoints it had to pass over.
func open(path string) (*checkpoint.Model, error) {
	m, skipped, err := model.Open(path)
	for _, err := range skipped {
		fmt.Fprintf(os.Stderr, "sample: warning: passed over a checkpoint: %v\n", err)
	}
	return m, err
}
