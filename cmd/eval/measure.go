package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	"ddpm/cmd/eval/internal/classifier"
	"ddpm/cmd/eval/internal/quality"
	"ddpm/data"
	"ddpm/tensor"
)

// measure compares the samples with the data.
//
// The data are parted, at random but always alike: held is as many images as there are samples, or half of the data, and
// stands in for samples that are perfect: what it measures is the floor. All others are the reference that both are
// compared with. For the nearest training image, which may be any, a held image is compared with all but itself.
func measure(im *images, c *features) *report {
	began := time.Now()
	order := shuffled(im.data.Len())
	held := order[:min(im.n, len(order)/2)]
	described := c.Describe(im.data)
	m := &comparison{
		samples:   c.Describe(im.samples),
		held:      choose(described, held),
		reference: choose(described, order[len(held):]),
	}
	r := &report{
		Kind: "quality", Source: im.source, Data: im.data.Name, Images: im.n, Held: len(held), Reference: len(order) - len(held),
		Features: c, Side: im.data.H, Channels: im.data.C,
	}
	if c.Accuracy != nil && *c.Accuracy < doubtful {
		r.warn("the classifier gets only %.1f %% of the data's labels right, so its features say little about them", 100**c.Accuracy)
	}
	if least := min(im.n, len(held)); least <= classifier.Features {
		r.warn("%d images are no more than the %d features: their covariance is singular and the Fréchet distance mostly chance; give more, 1000 or so", least, classifier.Features)
	}
	if len(held) < im.n {
		r.warn("the floor is that of %d images, half of the data, not %d as for the samples, and so somewhat higher", len(held), im.n)
	}
	m.distances(r)
	m.shares(r, im.data)
	pixels := searchPixels(im, held)
	r.Pixels = pixels.memory(math.Sqrt(float64(im.data.H*im.data.W*im.data.C)) / 127.5)
	features := searchFeatures(m, described, held)
	r.FeatureSpace = features.memory(1)
	r.closest = pixels.closest()
	r.Seconds = time.Since(began).Seconds()
	return r
}

// doubtful is an accuracy below which a classifier's features are not to be relied on.
const doubtful = 0.8

// comparison is what the classifier sees.
type comparison struct{ samples, held, reference classifier.Description }

// choose returns the descriptions of some images.
func choose(d classifier.Description, index []int) classifier.Description {
	c := classifier.Description{Features: tensor.New(len(index), classifier.Features), Votes: make([]int, len(index))}
	for i, j := range index {
		copy(c.Features.Data[i*classifier.Features:][:classifier.Features], d.Features.Data[j*classifier.Features:])
		c.Votes[i] = d.Votes[j]
	}
	return c
}

// first returns the first n points of x, or all if there are fewer.
func first(x tensor.Tensor, n int) tensor.Tensor {
	n = min(n, x.Shape[0])
	return tensor.From(x.Data[:n*x.Shape[1]], n, x.Shape[1])
}

// distances measures sets as wholes. Precision and recall depend on how many points there are, so they get equally many
// of each kind; for the kernel distance that saves time.
func (m *comparison) distances(r *report) {
	samples, held, reference := m.samples.Features, m.held.Features, m.reference.Features
	fit := quality.Fit(reference)
	r.Frechet = pair{quality.Frechet(quality.Fit(samples), fit), quality.Frechet(quality.Fit(held), fit)}
	few := min(r.Images, r.Held, r.Reference)
	r.Kernel.Samples, r.KernelError.Samples = quality.Kernel(samples, first(reference, r.Images))
	r.Kernel.Floor, r.KernelError.Floor = quality.Kernel(held, first(reference, r.Images))
	r.Precision.Samples, r.Recall.Samples = quality.PrecisionRecall(first(samples, few), first(reference, few))
	r.Precision.Floor, r.Recall.Floor = quality.PrecisionRecall(first(held, few), first(reference, few))
}

// shares compares how often the classifier votes for each class with how often the data's labels name it.
func (m *comparison) shares(r *report, s *data.Set) {
	if s.Labels == nil {
		r.warn("the data have no labels, so the share of each class is left out")
		return
	}
	share := func(votes []int) []float64 {
		f := make([]float64, s.Classes)
		for _, v := range votes {
			f[v] += 1 / float64(len(votes))
		}
		return f
	}
	real, samples, held := share(s.Labels), share(m.samples.Votes), share(m.held.Votes)
	off := &pair{}
	for k, v := range real {
		name := fmt.Sprint(k)
		if s.ClassNames != nil {
			name = s.ClassNames[k]
		}
		r.Classes = append(r.Classes, class{name, samples[k], v})
		off.Samples += math.Abs(samples[k]-v) / 2
		off.Floor += math.Abs(held[k]-v) / 2
	}
	r.ClassesOff = off
}

// nearest is the search for the training images nearest to each sample and to each held image.
type nearest struct{ samples, held *quality.Search }

// block is how many training images are compared at once.
const block = 1024

func searchPixels(im *images, held []int) nearest {
	batch := func(s *data.Set, index []int) tensor.Tensor {
		x := tensor.New(len(index), s.H, s.W, s.C)
		s.Batch(x, index)
		return x
	}
	n := nearest{
		quality.NewSearch(batch(im.samples, span(im.n)), 2, nil),
		quality.NewSearch(batch(im.data, held), 2, held),
	}
	all, began := span(im.data.Len()), time.Now()
	for k := range slices.Chunk(all, block) {
		points := batch(im.data, k)
		n.samples.Add(points, k[0])
		n.held.Add(points, k[0])
		im.progress(began, float64(k[0]+len(k))/float64(len(all)))
	}
	return n
}

func searchFeatures(m *comparison, all classifier.Description, held []int) nearest {
	n := nearest{quality.NewSearch(m.samples.Features, 2, nil), quality.NewSearch(m.held.Features, 2, held)}
	n.samples.Add(all.Features, 0)
	n.held.Add(all.Features, 0)
	return n
}

// memory sums up a search; distances are divided by unit.
func (n nearest) memory(unit float64) memory {
	samples, real := n.samples.Copying(), n.held.Copying()
	return memory{
		Median: pair{samples.Median / unit, real.Median / unit},
		Ratio:  samples.Median / real.Median,
		Copies: pair{samples.Copies, real.Copies},
	}
}

// match is a sample with the training image nearest to it.
type match struct{ sample, original int }

// closest returns the samples in order of how likely they are to be copies: how much nearer the nearest training image is
// than the second.
func (n nearest) closest() []match {
	list := n.samples.Nearest
	index := span(len(list))
	ratio := func(i int) float64 {
		if list[i][1].Square == 0 {
			return 0
		}
		return list[i][0].Square / list[i][1].Square
	}
	slices.SortStableFunc(index, func(a, b int) int {
		switch ra, rb := ratio(a), ratio(b); {
		case ra < rb:
			return -1
		case ra > rb:
			return 1
		}
		return 0
	})
	matches := make([]match, len(index))
	for k, i := range index {
		matches[k] = match{i, list[i][0].Index}
	}
	return matches
}
