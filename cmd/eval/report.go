package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"ddpm/cmd/internal/screen"
)

// report is what was measured, as the JSON line has it.
type report struct {
	Kind      string    `json:"kind"`
	Source    string    `json:"samples"`
	Data      string    `json:"data"`
	Side      int       `json:"side"`
	Channels  int       `json:"channels"`
	Images    int       `json:"images"`           // samples
	Held      int       `json:"images_floor"`     // real images that the floor is measured with
	Reference int       `json:"images_reference"` // real images that both are compared with
	Features  *features `json:"features"`

	Frechet     pair `json:"frechet"`
	Kernel      pair `json:"kernel"`
	KernelError pair `json:"kernel_stderr"`
	Precision   pair `json:"precision"`
	Recall      pair `json:"recall"`

	Classes      []class `json:"classes,omitempty"`
	ClassesOff   *pair   `json:"classes_total_variation,omitempty"`
	Pixels       memory  `json:"nearest_pixels"` // distances in root mean squared grey levels
	FeatureSpace memory  `json:"nearest_features"`

	Warnings []string `json:"warnings,omitempty"`
	Seconds  float64  `json:"seconds"` // of measuring, without drawing

	closest []match
}

// pair is a measure of the samples, and of as many real images.
type pair struct {
	Samples float64 `json:"samples"`
	Floor   float64 `json:"floor"`
}

// class is the share of a class.
type class struct {
	Name    string  `json:"name"`
	Samples float64 `json:"samples"`
	Data    float64 `json:"data"`
}

// memory says how near training images are.
type memory struct {
	Median pair    `json:"median"`
	Ratio  float64 `json:"ratio"`  // of the medians: far below 1, samples are closer to training images than these are to one another
	Copies pair    `json:"copies"` // share whose nearest training image is less than 1/3 as far away as the second
}

func (r *report) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// show prints the report.
func (r *report) show(o *options) error {
	for _, w := range r.Warnings {
		fmt.Fprintf(os.Stderr, "eval: warning: %s\n", w)
	}
	if o.log == "json" {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	o.screen.Printf("%s", r.table())
	return nil
}

// table returns the report for people.
func (r *report) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s images: %s\n", screen.Count(r.Images), r.Source)
	fmt.Fprintf(&b, "compared with %s real ones of %s; floor: %s others of them, compared with the same\n", screen.Count(r.Reference), r.Data, screen.Count(r.Held))
	fmt.Fprintf(&b, "in the features of %s\n\n", r.Features)
	line := func(name, format string, p pair) {
		fmt.Fprintf(&b, "  %-40s %16s %16s\n", name, fmt.Sprintf(format, p.Samples), fmt.Sprintf(format, p.Floor))
	}
	fmt.Fprintf(&b, "  %-40s %16s %16s\n", "", "samples", "real (floor)")
	line("Fréchet distance", "%.4g", r.Frechet)
	fmt.Fprintf(&b, "  %-40s %16s %16s\n", "kernel distance", withError(r.Kernel.Samples, r.KernelError.Samples), withError(r.Kernel.Floor, r.KernelError.Floor))
	line("precision: look real", "%.3f", r.Precision)
	line("recall: reality covered", "%.3f", r.Recall)
	line("nearest training image, in grey levels", "%.4g", r.Pixels.Median)
	line("  copies", "%.2f %%", percent(r.Pixels.Copies))
	line("nearest training image, in features", "%.4g", r.FeatureSpace.Median)
	line("  copies", "%.2f %%", percent(r.FeatureSpace.Copies))
	fmt.Fprintf(&b, "\nSamples are %.2f times as far from the nearest training image as training images are from one another, in features %.2f times.\n", r.Pixels.Ratio, r.FeatureSpace.Ratio)
	if r.Frechet.Samples < r.Frechet.Floor {
		b.WriteString("Below the floor: the samples are of a model that learned from the reference, which the images of the floor are no part of.\n")
	}
	r.classTable(&b)
	b.WriteString("\nThis is not FID or KID: compare only with distances in the same features, to the same data, of as many images.")
	return b.String()
}

func (r *report) classTable(w io.Writer) {
	if r.Classes == nil {
		return
	}
	fmt.Fprintf(w, "\n  %-24s %10s %10s\n", "class, by the classifier", "samples", "data")
	for _, c := range r.Classes {
		fmt.Fprintf(w, "  %-24s %8.1f %% %8.1f %%\n", c.Name, 100*c.Samples, 100*c.Data)
	}
	fmt.Fprintf(w, "  %-24s %8.1f %%      (real: %.1f %%)\n", "in another class", 100*r.ClassesOff.Samples, 100*r.ClassesOff.Floor)
}

func percent(p pair) pair { return pair{100 * p.Samples, 100 * p.Floor} }

// withError writes a number with its standard error, as many digits as that has meaning.
func withError(v, e float64) string { return fmt.Sprintf("%.4f ± %.4f", v, e) }
