package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"ddpm/cmd/internal/exit"
	"ddpm/cmd/internal/screen"
	"ddpm/data"
)

const trainHelp = `Train the classifier whose features images are compared in. Usage: eval train-classifier [flags]

  eval train-classifier -data fashion -out fashion.safetensors
  eval -data fashion -classifier fashion.safetensors

  -data SET    labelled images: digits, mnist, or a directory, as for train
  -out FILE    where it goes
  -side N      of the images, 0 for the data's own
  -in-channels C  1 grey, 3 colour, 0 the data's own
  -seed N      another seed, another classifier, and other distances

It sees the images that it is to tell apart about 240,000 times in all, which takes a minute or two. Test images are used
to say how good it is; where the data has none, a tenth is held out. Exit codes are those of eval.
`

// trainClassifier is the command train-classifier.
func trainClassifier(args []string) error {
	o := &options{screen: screen.New(os.Stdout)}
	var out string
	var opt data.Options
	f := flag.NewFlagSet("eval train-classifier", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.data, "data", "", "")
	f.StringVar(&out, "out", "", "")
	f.IntVar(&opt.Side, "side", 0, "")
	f.IntVar(&opt.Channels, "in-channels", 0, "")
	f.Uint64Var(&o.seed, "seed", 0, "")
	if _, err := parseFlags(f, args, trainHelp); err != nil {
		return err
	}
	if o.data == "" || out == "" {
		return exit.Usage("want -data, the labelled images, and -out, the file to write; eval train-classifier -h gives an example")
	}
	learn, err := openData(o.data, opt)
	if err != nil {
		return err
	}
	if learn.Labels == nil || learn.Classes < 2 || learn.Len() < 2*fewest {
		return exit.Usage("%s holds %d images of %d classes; want at least %d, of two classes or more: put pictures in one folder per class", o.data, learn.Len(), learn.Classes, 2*fewest)
	}
	opt.Split = "test"
	rest, err := openData(o.data, opt)
	what := "test images"
	if bad, ok := errors.AsType[*data.Error](err); ok {
		o.screen.Printf("A tenth of the images is held out to test with: %s: %s.", bad.Path, bad.Detail)
		learn, rest = holdOut(learn)
		what = "images held out"
	} else if err != nil {
		return err
	}
	net := train(o, learn, o.seed)
	if err := net.Save(out); err != nil {
		return fmt.Errorf("cannot write %s: %w; name another place with -out", out, err)
	}
	o.screen.Printf("Wrote %s (%s): %.2f %% of %s %s right.", out, net.Fingerprint(), 100*net.Describe(rest).Accuracy(rest.Labels), screen.Count(rest.Len()), what)
	return nil
}
