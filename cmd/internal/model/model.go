// Package model joins the packages that know nothing of each other, networks, schedules and files: it finds and opens a
// model directory, and lists a network's numbers for one.
package model

import (
	"os"
	"path/filepath"
	"strings"

	"ddpm/checkpoint"
	"ddpm/cmd/internal/exit"
	"ddpm/diffusion"
	"ddpm/layers"
	"ddpm/tensor"
)

// Runs is the directory below which training runs are kept unless told otherwise.
const Runs = "runs"

// Open opens the model that path names: a model directory, or a training run for its newest whole checkpoint; for an
// empty path the newest checkpoint of all runs. skipped says which newer ones could not be used, and why.
func Open(path string) (m *checkpoint.Model, skipped []error, err error) {
	if path == "" {
		if _, err := os.Stat(Runs); err != nil {
			return nil, nil, exit.Usage("there is no directory %s here with a trained model; train one first (go run ./cmd/train), or name one with -model DIR", Runs)
		}
		return checkpoint.Newest(Runs)
	}
	if steps, _ := filepath.Glob(filepath.Join(escape(path), "step-*")); len(steps) > 0 {
		return checkpoint.Latest(path)
	}
	m, err = checkpoint.OpenModel(path)
	return m, nil, err
}

// escape makes Glob take a path as it is.
func escape(path string) string {
	if filepath.Separator == '\\' { // where a backslash cannot escape
		return path
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// Load builds the network of a model and fills in its published weights.
func Load(m *checkpoint.Model) (*layers.UNet, error) {
	cfg, err := layers.ParseConfig(m.Config)
	if err != nil {
		return nil, exit.Bad(configPath(m), err)
	}
	net, err := layers.New(cfg, 0)
	if err != nil {
		return nil, exit.Bad(configPath(m), err)
	}
	return net, checkpoint.Load(m.Weights, Named(net.Params, "", net.Params.Values()))
}

// configPath names the file that holds a model's configuration, for messages.
func configPath(m *checkpoint.Model) string {
	if path := filepath.Join(m.Dir, "unet", "config.json"); exists(path) {
		return path
	}
	return filepath.Join(m.Dir, "config.json")
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// Paper is the scheduler of DDPM §4: T = 1000, β linear from 1e-4 to 0.02, ε prediction, σ² = β. If fewer steps are to be
// taken, they begin at T.
func Paper() diffusion.SchedulerConfig {
	large := diffusion.FixedLarge.String()
	c := diffusion.NewSchedulerConfig(diffusion.DDPMClass)
	c.VarianceType, c.TimestepSpacing = &large, "trailing"
	return c
}

// Scheduler reads a model's scheduler; a bare U-Net is taken to have the paper's.
func Scheduler(m *checkpoint.Model) (diffusion.SchedulerConfig, error) {
	if m.Scheduler == nil {
		return Paper(), nil
	}
	c, err := diffusion.ParseSchedulerConfig(m.Scheduler)
	if err != nil {
		return c, exit.Bad(filepath.Join(m.Dir, "scheduler", "scheduler_config.json"), err)
	}
	return c, nil
}

// Named lists a network's parameters as they are in slab, which is laid out like Params.Values, with a prefix to each
// name.
func Named(p *layers.Params, prefix string, slab []float32) []checkpoint.Named {
	var list []checkpoint.Named
	for _, e := range p.Entries() {
		list = append(list, checkpoint.Named{
			Name: prefix + e.Name, Shape: e.Shape,
			Get: func() tensor.Tensor { return e.From(slab) },
			Set: func(x tensor.Tensor) { e.Into(slab, x) },
		})
	}
	return list
}
