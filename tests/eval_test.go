package tests

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// buildEval adds eval to the commands that the tests run.
var buildEval = sync.OnceValue(func() error {
	bin, err := binaries()
	if err != nil {
		return err
	}
	return exec.Command("go", "build", "-o", bin+string(filepath.Separator), "ddpm/cmd/eval").Run()
})

// trained is a directory with a run of a network that has hardly learned anything of MNIST at 28×28.
func trained(t *testing.T, flags ...string) string {
	t.Helper()
	require.NoError(t, buildEval())
	dir := t.TempDir()
	succeed(t, dir, "train", with(strings.Fields("-data mnist -channels 8,16 -attention 0,0 -groups 4 -layers 1 -batch 4 -sample-every 0 -steps 2 -out run"), flags...)...)
	return dir
}

func TestEvalQuality(t *testing.T) {
	dir := trained(t)
	args := strings.Fields("-model run -n 70 -steps 2 -pairs pairs.png -log json")
	one := run(t, prepared(t, dir, "eval", args...))
	require.Zero(t, one.code, one.errors)
	require.FileExists(t, filepath.Join(dir, "pairs.png"))

	var r struct {
		Kind      string
		Images    int
		Floor     int `json:"images_floor"`
		Reference int `json:"images_reference"`
		Features  struct{ Name string }
		Frechet   struct{ Samples, Floor float64 }
		Precision struct{ Samples, Floor float64 }
		Classes   []struct{ Samples, Data float64 }
	}
	require.NoError(t, json.Unmarshal([]byte(one.out), &r), one.out)
	require.Equal(t, []int{70, 70, 9930, 10}, []int{r.Images, r.Floor, r.Reference, len(r.Classes)})
	require.Equal(t, "ddpm's MNIST classifier", r.Features.Name)
	require.Greater(t, r.Frechet.Samples, 3*r.Frechet.Floor, "noise is no digits")
	require.Less(t, r.Precision.Samples, 0.2)
	sum := 0.0
	for _, c := range r.Classes {
		sum += c.Samples
	}
	require.InDelta(t, 1, sum, 1e-9)

	// The same again, but for the time it took; and the same of the pictures that sample makes.
	strip := func(s string) string { return s[:strings.LastIndex(s, `"seconds"`)] }
	require.Equal(t, strip(one.out), strip(succeed(t, dir, "eval", args...)))
	succeed(t, dir, "sample", strings.Fields("-model run -n 70 -sampler dpmpp -steps 2 -dir made -out made.png")...)
	read := strings.Fields("-images made -data mnist -log json")
	require.Equal(t, cut(t, one.out), cut(t, succeed(t, dir, "eval", read...)))

	text := succeed(t, dir, "eval", strings.Fields("-model run -n 40 -steps 2")...)
	for _, want := range []string{"Fréchet distance", "kernel distance", "precision", "recall", "nearest training image", "real (floor)", "not FID", "40 images", "9,960 real ones"} {
		require.Contains(t, text, want)
	}
}

// cut returns the measures of a JSON line.
func cut(t *testing.T, line string) string {
	t.Helper()
	var m map[string]any
	require.NoError(t, json.Unmarshal([]byte(line), &m))
	delete(m, "seconds")
	delete(m, "samples")
	b, err := json.Marshal(m)
	require.NoError(t, err)
	return string(b)
}

func TestEvalBound(t *testing.T) {
	dir := trained(t)
	args := strings.Fields("-model run -bpd -n 3 -steps 10 -log json")
	out := run(t, prepared(t, dir, "eval", args...))
	require.Zero(t, out.code, out.errors)
	require.Contains(t, out.errors, "training images", "MNIST as it is built in has no test images")
	var b struct {
		Kind, Split             string
		Images, Steps           int
		Total                   struct{ Mean, StdErr float64 } `json:"bits_per_dim"`
		Prior, Rate, Distortion struct{ Mean, StdErr float64 }
	}
	require.NoError(t, json.Unmarshal([]byte(out.out), &b), out.out)
	require.Equal(t, []int{3, 10}, []int{b.Images, b.Steps})
	require.InDelta(t, b.Total.Mean, b.Prior.Mean+b.Rate.Mean+b.Distortion.Mean, 1e-9)
	require.Positive(t, b.Total.StdErr)
	require.Greater(t, b.Total.Mean, 1.0, "it has hardly learned anything")
	require.Less(t, b.Prior.Mean, 1e-4, "the schedule ends in noise")
	require.Contains(t, succeed(t, dir, "eval", strings.Fields("-model run -bpd -n 2 -steps 5 -variance small")...), "fixed_small")
}

// TestEvalClasses: a network with classes draws all in turn, and its bound is that of images with their labels.
func TestEvalClasses(t *testing.T) {
	dir := trained(t, "-classes")
	require.Contains(t, succeed(t, dir, "eval", strings.Fields("-model run -n 20 -steps 2")...), "class, by the classifier")
	require.Contains(t, succeed(t, dir, "eval", strings.Fields("-model run -bpd -n 2 -steps 5")...), "total")
}

// TestTrainClassifier trains a classifier of other data and compares images in its features.
func TestTrainClassifier(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a training")
	}
	require.NoError(t, buildEval())
	dir := t.TempDir()
	out := succeed(t, dir, "eval", strings.Fields("train-classifier -data digits -out new/c.safetensors")...)
	require.Regexp(t, `Wrote new/c.safetensors \(.*\): (9[89]|100)\.\d\d % of 179 images held out right`, out)
	succeed(t, dir, "train", with(small, "-steps", "1", "-out", "run")...)
	require.Contains(t, succeed(t, dir, "eval", strings.Fields("-model run -n 16 -steps 2 -classifier new/c.safetensors")...), "the classifier new/c.safetensors")
	got := run(t, prepared(t, dir, "eval", strings.Fields("-model run -data mnist -side 32 -n 16 -steps 2 -classifier new/c.safetensors")...))
	require.Equal(t, 3, got.code)
	require.Contains(t, got.errors, "a side of 1 to 8, not 32")
}

func TestEvalRefuses(t *testing.T) {
	dir := trained(t)
	text := filepath.Join(dir, "text.safetensors")
	require.NoError(t, os.WriteFile(text, []byte("no classifier"), 0o666))
	succeed(t, dir, "sample", strings.Fields("-model run -n 4 -sampler dpmpp -steps 2 -dir few -out few.png")...)
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"-nonsense", 2, "eval -h"},
		{"extra", 2, "no flag"},
		{"-model run -n 3", 2, "at least 8"},
		{"-model run -sampler magic", 2, "dpmpp"},
		{"-model run -steps 2000", 2, "trained for 1000"},
		{"-model run -log xml", 2, "text or json"},
		{"-model run -side 27", 2, "divisible by 2"},
		{"-images run", 2, "-data"},
		{"-images few -data mnist", 3, "at least 8"},
		{"-images few -data digits", 2, "8×8"},
		{"-images few -data mnist -model run", 2, "-model does not go with -images"},
		{"-bpd -sampler ddim", 2, "-sampler does not go with -bpd"},
		{"-model run -bpd -variance range", 2, "has learned no variance"},
		{"-model run -variance large", 2, "-bpd"},
		{"-model nowhere", 3, "nowhere"},
		{"-model run -data nowhere", 3, "nowhere"},
		{"-model run -classifier text.safetensors", 3, "text.safetensors"},
		{"-model run -classifier mnist -side 32", 2, "28×28"},
		{"train-classifier -data mnist", 2, "-out"},
		{"train-classifier -data few -out c.safetensors", 2, "one folder per class"},
	} {
		got := run(t, prepared(t, dir, "eval", strings.Fields(c.args)...))
		require.Equal(t, c.code, got.code, "eval %s: %s", c.args, got.errors)
		require.Contains(t, got.errors, c.says, c.args)
		require.Equal(t, 1, strings.Count(got.errors, "\n"), "one line, not %q", got.errors)
		require.Empty(t, got.out, c.args)
	}
	got := run(t, prepared(t, dir, "eval", "-h"))
	require.Zero(t, got.code)
	require.Contains(t, got.out, "eval -bpd")
}
