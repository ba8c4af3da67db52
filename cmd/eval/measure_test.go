package main

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ddpm/cmd/internal/screen"
	"ddpm/data"
	"ddpm/internal/par"
	"ddpm/tensor"
)

func TestMain(m *testing.M) {
	par.Poison = true
	os.Exit(m.Run())
}

// opened returns count images of MNIST as data, and the set that make picks from all of it as samples.
func opened(t *testing.T, count int, pick func(s *data.Set) *data.Set) *images {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	all, err := data.Open("mnist", data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all = part(all, shuffled(all.Len())) // neighbours are of one writer
	im := &images{options: &options{screen: screen.New(null)}, data: part(all, span(count)), samples: pick(all)}
	im.n = im.samples.Len()
	return im
}

func from(first, n int) func(s *data.Set) *data.Set {
	return func(s *data.Set) *data.Set {
		index := span(n)
		for i := range index {
			index[i] += first
		}
		return part(s, index)
	}
}

func reported(t *testing.T, im *images) *report {
	t.Helper()
	c, err := chooseClassifier(im.options, im.data)
	if err != nil {
		t.Fatal(err)
	}
	return measure(im, c)
}

// TestRealSamples gives other real images as samples: all measures are at the floor.
func TestRealSamples(t *testing.T) {
	r := reported(t, opened(t, 2000, from(2000, 500)))
	if r.Features.Name != "ddpm's MNIST classifier" || *r.Features.Accuracy < 0.98 {
		t.Errorf("the classifier is %v", r.Features)
	}
	if q := r.Frechet.Samples / r.Frechet.Floor; q < 0.7 || q > 1.4 {
		t.Errorf("Fréchet distance %v, want samples at the floor", r.Frechet)
	}
	if math.Abs(r.Kernel.Samples) > 4*r.KernelError.Samples || math.Abs(r.Kernel.Floor) > 4*r.KernelError.Floor {
		t.Errorf("kernel distance %v ± %v, want 0", r.Kernel, r.KernelError)
	}
	if math.Abs(r.Precision.Samples-r.Precision.Floor) > 0.08 || math.Abs(r.Recall.Samples-r.Recall.Floor) > 0.08 || r.Precision.Samples < 0.7 {
		t.Errorf("precision %v, recall %v, want samples at the floor", r.Precision, r.Recall)
	}
	if r.Pixels.Ratio < 0.9 || r.Pixels.Ratio > 1.1 || r.Pixels.Copies.Samples > 0.01 || r.FeatureSpace.Ratio < 0.9 || r.FeatureSpace.Ratio > 1.1 {
		t.Errorf("nearest: %+v and %+v, want new images", r.Pixels, r.FeatureSpace)
	}
	// Pixels are compared in grey levels: MNIST's digits differ by some 50 of 255 on average.
	if r.Pixels.Median.Samples < 20 || r.Pixels.Median.Samples > 80 {
		t.Errorf("median distance of %v grey levels, want about 50", r.Pixels.Median)
	}
	if r.ClassesOff.Samples > 0.12 || len(r.Classes) != 10 || r.Held != 500 || r.Reference != 1500 {
		t.Errorf("classes %v, %d held, %d reference", r.Classes, r.Held, r.Reference)
	}
}

// TestPlanted gives 30 training images among 300 samples, some changed a little, and finds them all, first.
func TestPlanted(t *testing.T) {
	originals := map[int]int{}
	im := opened(t, 1000, func(s *data.Set) *data.Set {
		p := from(1000, 300)(s)
		size := s.H * s.W
		for k := range 30 {
			originals[10*k] = 33 * k
			copy(p.Pixels[10*k*size:][:size], s.Pixels[33*k*size:])
			p.Pixels[10*k*size+k*20] ^= byte(64 * (k % 2)) // every other one unlike its original in a pixel
		}
		return p
	})
	r := reported(t, im)
	if math.Abs(r.Pixels.Copies.Samples-0.1) > 0.011 || r.Pixels.Copies.Floor > 0.01 {
		t.Errorf("copies: %v, want 0.1 and about 0", r.Pixels.Copies)
	}
	for _, m := range r.closest[:30] {
		if at, planted := originals[m.sample]; !planted || at != m.original {
			t.Errorf("sample %d is found to be near image %d", m.sample, m.original)
		}
	}
	path := filepath.Join(t.TempDir(), "pairs.png")
	if err := writePairs(path, im, r.closest); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() < 1000 {
		t.Errorf("the picture of pairs: %v, %v", info, err)
	}
}

// TestSevensOnly: samples of one class are precise, and miss most of reality.
func TestSevensOnly(t *testing.T) {
	r := reported(t, opened(t, 1500, func(s *data.Set) *data.Set {
		var index []int
		for i := 1500; len(index) < 400; i++ {
			if s.Labels[i] == 7 {
				index = append(index, i)
			}
		}
		return part(s, index)
	}))
	if seven := r.Classes[7]; seven.Samples < 0.95 || seven.Data > 0.2 || math.Abs(r.ClassesOff.Samples-(1-seven.Data)) > 0.06 {
		t.Errorf("classes %v, off by %v: want sevens only", r.Classes, r.ClassesOff)
	}
	if r.Recall.Samples > 0.5*r.Recall.Floor || r.Precision.Samples < 0.6 {
		t.Errorf("precision %v, recall %v, want little recall", r.Precision, r.Recall)
	}
	if r.Frechet.Samples < 5*r.Frechet.Floor || r.Kernel.Samples < 5*r.KernelError.Samples {
		t.Errorf("Fréchet %v, kernel %v ± %v, want far above the floor", r.Frechet, r.Kernel, r.KernelError)
	}
}

// TestWarnings: few images, unlabelled data, and samples that outnumber half of the data are told of by name.
func TestWarnings(t *testing.T) {
	im := opened(t, 100, from(200, 60))
	im.data.Labels = nil
	if _, err := chooseClassifier(im.options, im.data); err == nil || !strings.Contains(err.Error(), "-classifier") {
		t.Errorf("unlabelled data: got error %v, want one that names -classifier", err)
	}
	im.classifier = "mnist"
	r := reported(t, im)
	all := strings.Join(r.Warnings, "\n")
	for _, want := range []string{"50 images are no more than the 64 features", "no labels", "50 images, half of the data, not 60"} {
		if !strings.Contains(all, want) {
			t.Errorf("no warning says %q: %s", want, all)
		}
	}
	if r.Classes != nil || strings.Contains(r.table(), "class, by") {
		t.Errorf("unlabelled data have shares of classes: %v", r.Classes)
	}
}

// TestWhichClassifier: files called like MNIST's may hold something else, which the classifier of MNIST does not know.
func TestWhichClassifier(t *testing.T) {
	im := opened(t, 300, from(0, 10))
	if recognised(im.data) == nil {
		t.Error("the built-in classifier does not know digits of MNIST")
	}
	im.classifier = "mnist"
	for i := range im.data.Labels {
		im.data.Labels[i] = (im.data.Labels[i] + 1) % 10
	}
	if recognised(im.data) != nil {
		t.Error("the built-in classifier knows a set that it gets all wrong")
	}
	r := reported(t, im)
	if !strings.Contains(strings.Join(r.Warnings, ""), "only 0.") {
		t.Errorf("no warning of a classifier that knows nothing: %v", r.Warnings)
	}
	small := *im.data
	small.H, small.W = 14, 56
	if _, err := chooseClassifier(im.options, &small); err == nil {
		t.Error("-classifier mnist looks at images of another size")
	}
}

func TestParts(t *testing.T) {
	s := &data.Set{H: 1, W: 2, C: 1, Pixels: []byte{0, 1, 2, 3, 4, 5, 6, 7}, Labels: []int{0, 1, 2, 3}, Classes: 4}
	if p := part(s, []int{2, 0}); !slices.Equal(p.Pixels, []byte{4, 5, 0, 1}) || !slices.Equal(p.Labels, []int{2, 0}) {
		t.Errorf("part: %v, %v", p.Pixels, p.Labels)
	}
	all, err := data.Open("digits", data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	learn, rest := holdOut(all)
	if learn.Len()+rest.Len() != all.Len() || rest.Len() != all.Len()/10 {
		t.Errorf("held out %d and kept %d of %d", rest.Len(), learn.Len(), all.Len())
	}
	if got := first(tensor.New(3, 2), 5); got.Shape[0] != 3 {
		t.Errorf("first 5 of 3: %v", got.Shape)
	}
}
