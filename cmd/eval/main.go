// Command eval measures how good a diffusion model is: how its images compare with the data's, and how likely it finds
// the data. eval -h says what it can be asked for.
//
// The files: flags.go holds what can be asked for; subject.go and sampler.go open a model and say how it is sampled;
// images.go draws or reads what is to be judged; features.go finds the classifier whose features images are compared
// in, and train.go trains one; measure.go measures, report.go and pairs.go show; likelihood.go is -bpd. The statistics
// are in internal/quality, the classifier is in internal/classifier.
package main

import (
	"os"

	"ddpm/cmd/internal/exit"
)

func main() { exit.With("eval", command(os.Args[1:])) }

func command(args []string) error {
	if len(args) > 0 && args[0] == "train-classifier" {
		return trainClassifier(args[1:])
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.bpd {
		return likelihood(o)
	}
	return judge(o)
}

// judge measures the quality of images and reports it.
func judge(o *options) error {
	im, err := openImages(o)
	if err != nil {
		return err
	}
	c, err := chooseClassifier(o, im.data)
	if err != nil {
		return err
	}
	if err := im.make(); err != nil {
		return err
	}
	r := measure(im, c)
	if o.pairs != "" {
		if err := writePairs(o.pairs, im, r.closest); err != nil {
			return err
		}
	}
	return r.show(o)
}
