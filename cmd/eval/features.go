package main

import (
	"fmt"
	"time"

	"ddpm/cmd/eval/internal/classifier"
	"ddpm/cmd/internal/exit"
	"ddpm/cmd/internal/screen"
	"ddpm/data"
	"ddpm/internal/rng"
)

// features is the classifier in whose features images are compared.
type features struct {
	*classifier.Net `json:"-"`

	Name     string   `json:"name"`
	Print    string   `json:"fingerprint"`
	Accuracy *float64 `json:"accuracy"` // share of the labels of images it did not learn from, or of the data's, that it gets right; nil if there are none
	Measured string   `json:"accuracy_on"`
}

const (
	builtIn = "mnist" // as a value of -classifier
	knows   = 0.95    // a classifier that gets this share of labels right knows the data
	trial   = 1000    // labels to find that out
)

// chooseClassifier returns the classifier that the flags name, or one that knows the data.
func chooseClassifier(o *options, s *data.Set) (*features, error) {
	var f *features
	switch {
	case o.classifier == builtIn:
		if s.H != 28 || s.C != 1 {
			return nil, exit.Usage("-classifier %s sees grey images of 28×28, the data are %d×%d with %d channels; leave it out, or name a file", builtIn, s.W, s.H, s.C)
		}
		f = mnist()
	case o.classifier != "":
		net, err := classifier.Load(o.classifier, s.H)
		if err != nil {
			return nil, err
		}
		if net.Channels != s.C {
			return nil, exit.Usage("-classifier %s sees images of %d channels, the data have %d", o.classifier, net.Channels, s.C)
		}
		if s.Labels != nil && net.Classes != s.Classes {
			return nil, exit.Usage("-classifier %s tells %d classes apart, the data have %d", o.classifier, net.Classes, s.Classes)
		}
		f = &features{Net: net, Name: "the classifier " + o.classifier}
	case s.Labels == nil:
		return nil, exit.Usage("the images of %s have no labels to train a classifier on; name one with -classifier: a FILE of eval train-classifier, or mnist for handwritten digits of 28×28", s.Name)
	default:
		return knowing(o, s), nil
	}
	f.Print = f.Fingerprint()
	if s.Labels != nil {
		f.test(few(s), "the data's labels")
	}
	return f, nil
}

// knowing returns a classifier that knows a labelled set: the built-in one, or one trained on the set.
func knowing(o *options, s *data.Set) *features {
	if f := recognised(s); f != nil {
		return f
	}
	learn, rest := holdOut(s)
	f := &features{Net: train(o, learn, 0), Name: "a classifier trained on the labels of " + s.Name}
	f.Print = f.Fingerprint()
	f.test(rest, "labels held out")
	return f
}

// recognised returns the built-in classifier if it knows a labelled set, else nil. Only its answers can tell: other sets
// come in files of the same names.
func recognised(s *data.Set) *features {
	if s.H != 28 || s.C != 1 || s.Classes != 10 {
		return nil
	}
	f := mnist()
	f.Print = f.Fingerprint()
	if f.test(few(s), "the data's labels"); *f.Accuracy < knows {
		return nil
	}
	return f
}

func mnist() *features {
	return &features{Net: classifier.MNIST(), Name: "ddpm's MNIST classifier"}
}

// test measures the accuracy on a labelled set.
func (f *features) test(s *data.Set, what string) {
	accuracy := f.Describe(s).Accuracy(s.Labels)
	f.Accuracy, f.Measured = &accuracy, what
}

func (f *features) String() string {
	if f.Accuracy == nil {
		return fmt.Sprintf("%s (%s)", f.Name, f.Print)
	}
	return fmt.Sprintf("%s (%s; %.1f %% of %s right)", f.Name, f.Print, 100**f.Accuracy, f.Measured)
}

// few returns some images from all over a set.
func few(s *data.Set) *data.Set {
	index := span(min(s.Len(), trial))
	for i := range index {
		index[i] = i * s.Len() / len(index)
	}
	return part(s, index)
}

// holdOut parts a set at random: nine tenths to learn from, one to test with.
func holdOut(s *data.Set) (learn, rest *data.Set) {
	index := shuffled(s.Len())
	k := max(1, len(index)/10)
	return part(s, index[k:]), part(s, index[:k])
}

// shuffled returns 0…n-1 in random order, always the same: what eval compares with does not depend on -seed.
func shuffled(n int) []int {
	s := rng.New(0, rng.Split, 0, 0)
	return s.Perm(n)
}

// train trains a classifier and shows how it goes.
func train(o *options, s *data.Set, seed uint64) *classifier.Net {
	o.screen.Printf("Training a classifier on %s labelled images of %s.", screen.Count(s.Len()), s.Name)
	began, mean := time.Now(), 0.0
	net := classifier.Train(s, seed, func(step int, loss float64) {
		mean += (loss - mean) / float64(min(step, 100))
		o.progress(began, float64(step)/classifier.Steps)
	})
	o.screen.Printf("Trained in %s, to a cross-entropy of %.3g.", screen.Duration(time.Since(began)), mean)
	return net
}
