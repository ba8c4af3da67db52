package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"strings"
	"time"

	"ddpm/cmd/internal/exit"
	"ddpm/cmd/internal/screen"
	"ddpm/data"
	"ddpm/diffusion"
	"ddpm/tensor"
)

// bound is a measured variational bound, as the JSON line has it.
type bound struct {
	Kind     string `json:"kind"`
	Model    string `json:"model"`
	Data     string `json:"data"`
	Split    string `json:"split"`
	Images   int    `json:"images"`
	Steps    int    `json:"steps"`
	Variance string `json:"variance"`
	Seed     uint64 `json:"seed"`

	Total      term `json:"bits_per_dim"`
	Prior      term `json:"prior"`
	Rate       term `json:"rate"`
	Distortion term `json:"distortion"`

	Seconds float64 `json:"seconds"`
}

// term is a Monte-Carlo estimate; its error is nil where one image gives none.
type term struct {
	Mean   float64  `json:"mean"`
	StdErr *float64 `json:"stderr"`
}

func newTerm(e diffusion.Estimate, n int) term {
	t := term{Mean: e.Mean()}
	if n > 1 {
		v := e.StdErr()
		t.StdErr = &v
	}
	return t
}

const (
	usualBound = 256  // images
	budgetBits = 1e13 // multiply-adds that -n takes unless told otherwise
	leastBound = 16   // images, whatever they take
)

// likelihood is -bpd.
func likelihood(o *options) error {
	s, err := openSubject(o)
	if err != nil {
		return err
	}
	sampler, variance, err := s.bound(o)
	if err != nil {
		return err
	}
	set, split, err := s.heldOut(o)
	if err != nil {
		return err
	}
	T := sampler.Schedule.T()
	n := o.n
	if n == 0 {
		n = min(usualBound, max(leastBound, int(budgetBits/(s.work(set.H)*float64(T)))))
	}
	n = min(n, set.Len())
	set = part(set, shuffled(set.Len())[:n])
	o.screen.Printf("Bounding the likelihood of %s %s images of %s by %s, %s terms each.", screen.Count(n), split, set.Name, s.dir, screen.Count(T+1))
	began := time.Now()
	sum := s.sum(o, sampler, set)
	b := bound{
		Kind: "bound", Model: s.dir, Data: set.Name, Split: split, Images: n, Steps: T, Variance: variance, Seed: o.seed,
		Total: newTerm(sum.Total, n), Prior: newTerm(sum.Prior, n), Rate: newTerm(sum.Rate, n), Distortion: newTerm(sum.Distortion, n),
		Seconds: time.Since(began).Seconds(),
	}
	if o.log == "json" {
		return json.NewEncoder(os.Stdout).Encode(b)
	}
	o.screen.Printf("%s", b.table())
	return nil
}

// heldOut opens the test images of the data, or its training images if there are none.
func (s *subject) heldOut(o *options) (set *data.Set, split string, err error) {
	set, err = s.open(o, "test")
	if bad, ok := errors.AsType[*data.Error](err); ok {
		o.screen.Printf("The bound is that of training images: %s: %s.", bad.Path, bad.Detail)
		set, err = s.open(o, "train")
		split = "training"
	} else {
		split = "test"
	}
	if err != nil {
		return nil, "", err
	}
	if k := s.classes(); k > 0 && (set.Labels == nil || set.Classes > k) {
		return nil, "", exit.Usage("the model knows %d classes, the images of %s have labels for %d; name its own data with -data", k, set.Name, set.Classes)
	}
	return set, split, nil
}

// bound returns the chain whose likelihood is bounded: ancestral sampling over all times, or -steps of them, with x̂_0
// clipped to the range of images, as published bounds are.
func (s *subject) bound(o *options) (sampler diffusion.Sampler, variance string, err error) {
	sampler, _, err = s.chain(o.steps, 0, false)
	if err != nil {
		return sampler, "", err
	}
	rule := s.ancestral(sampler.Rule)
	if o.variance != "" {
		v, ok := map[string]diffusion.Variance{"large": diffusion.FixedLarge, "small": diffusion.FixedSmall, "range": diffusion.LearnedRange}[o.variance]
		if !ok {
			return sampler, "", exit.Usage("-variance %s: want large, small or range", o.variance)
		}
		rule.Variance = v
	}
	if rule.Variance == diffusion.LearnedRange && s.net.Config.OutChannels != 2*s.net.Config.InChannels {
		return sampler, "", exit.Usage("the network in %s has learned no variance; give -variance large or small", s.dir)
	}
	sampler.Rule, sampler.Clip, sampler.Seed = rule, diffusion.Clip{Range: 1}, o.seed
	if err := sampler.Validate(); err != nil {
		return sampler, "", exit.Usage("%v", err)
	}
	return sampler, rule.Variance.String(), nil
}

// sum computes the bounds of all images of a set, batch after batch.
func (s *subject) sum(o *options, sampler diffusion.Sampler, set *data.Set) (sum diffusion.BoundSummary) {
	began := time.Now()
	for first := 0; first < set.Len(); first += batch {
		index := span(min(batch, set.Len()-first))
		for i := range index {
			index[i] += first
		}
		x := tensor.New(len(index), set.H, set.W, set.C)
		set.Batch(x, index)
		labels := make([]int, len(index))
		if s.classes() > 0 {
			set.BatchLabels(labels, index)
		}
		terms := sampler.Bound(s.given(labels), x, uint64(first))
		sum.Add(watched(terms, func(t int) {
			T := float64(sampler.Schedule.T())
			o.progress(began, (float64(first)+float64(len(index))*(1-float64(t)/T))/float64(set.Len()))
		}))
	}
	return sum
}

// watched tells of each term as it comes.
func watched(terms iter.Seq2[int, []float64], tell func(t int)) iter.Seq2[int, []float64] {
	return func(yield func(int, []float64) bool) {
		for t, bits := range terms {
			tell(t)
			if !yield(t, bits) {
				return
			}
		}
	}
}

// table returns the bound for people.
func (b *bound) table() string {
	var w strings.Builder
	line := func(name, what string, t term) {
		e := ""
		if t.StdErr != nil {
			e = fmt.Sprintf("± %.2g", *t.StdErr)
		}
		fmt.Fprintf(&w, "  %-12s %-42s %10.5f  %s\n", name, what, t.Mean, e)
	}
	fmt.Fprintf(&w, "\nBits per dimension, at most, to say which of 256 values each pixel has: %s %s images of %s, σ² %s\n\n", screen.Count(b.Images), b.Split, b.Data, b.Variance)
	line("total", "", b.Total)
	line("prior", "L_T: what is left of the image in x_T", b.Prior)
	line("rate", fmt.Sprintf("L_1 + … + L_%d: the steps", b.Steps-1), b.Rate)
	line("distortion", "L_0: the last step, to 256 levels", b.Distortion)
	fmt.Fprintf(&w, "\n± is one standard error, of the choice of images and of the noise. Took %s.", screen.Duration(time.Duration(b.Seconds*float64(time.Second))))
	return w.String()
}
