package classifier

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"ddpm/autograd"
	"ddpm/checkpoint"
	"ddpm/data"
	"ddpm/internal/par"
	"ddpm/tensor"
)

func TestMain(m *testing.M) {
	par.Poison = true
	os.Exit(m.Run())
}

// some returns n images of an embedded set.
func some(t *testing.T, name string, n int) *data.Set {
	t.Helper()
	s, err := data.Open(name, data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Pixels, s.Labels = s.Pixels[:n*s.H*s.W*s.C], s.Labels[:n]
	return s
}

// TestMNIST checks what is built in: it knows digits, and its features are standardised over those it learned from.
func TestMNIST(t *testing.T) {
	s := some(t, "mnist", 2000)
	d := MNIST().Describe(s)
	if a := d.Accuracy(s.Labels); a < 0.99 {
		t.Errorf("accuracy %.3f on 2000 training images, want 0.99 or more", a)
	}
	const chance = 0.15 // six standard errors of the mean of 2000 numbers, and as much as a standard deviation's
	for k := range Features {
		mean, square := 0.0, 0.0
		for i := range s.Len() {
			v := float64(d.Features.Data[i*Features+k])
			mean += v / float64(s.Len())
			square += v * v / float64(s.Len())
		}
		if deviation := math.Sqrt(square - mean*mean); math.Abs(mean) > chance || math.Abs(deviation-1) > chance {
			t.Errorf("feature %d: mean %.3f, standard deviation %.3f, want 0 and 1", k, mean, deviation)
		}
	}
}

// TestDescribe: what is seen in an image does not depend on the others, nor on how many there are.
func TestDescribe(t *testing.T) {
	n := MNIST()
	s := some(t, "mnist", batch+3)
	all := n.Describe(s)
	last := *s
	size := s.H * s.W
	last.Pixels = s.Pixels[(batch+1)*size : (batch+2)*size]
	one := n.Describe(&last)
	if !slices.Equal(one.Features.Data, all.Features.Data[(batch+1)*Features:(batch+2)*Features]) || one.Votes[0] != all.Votes[batch+1] {
		t.Error("an image is described otherwise alone than among others")
	}
}

// TestFeaturesAreMeans gives a map of two pixels by hand.
func TestFeaturesAreMeans(t *testing.T) {
	n := New(8, 1, 2, 0)
	seen := make([]float32, 2*Features)
	seen[3], seen[Features+3], seen[5] = 1, 5, 2
	n.mean.Data[3], n.deviation.Data[3] = 1, 4
	f := make([]float32, Features)
	n.features(f, seen)
	if f[3] != 0.5 || f[5] != 1 || f[4] != 0 { // ((1+5)/2 - 1)/4, 2/2, nothing
		t.Errorf("got %v, %v, %v, want 0.5, 1, 0", f[3], f[5], f[4])
	}
}

// TestLearn takes a few steps on small images: the loss falls, and the weights are the same bits on one processor as on
// several.
func TestLearn(t *testing.T) {
	s := some(t, "digits", 500)
	fit := func(procs int) (n *Net, before, after float64) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		n = learn(s, 1, 60, func(step int, loss float64) {
			if step == 1 {
				before = loss
			}
			after = loss
		})
		return n, before, after
	}
	n, before, after := fit(1)
	if before < 1.5 || before > 4 { // ln 10 = 2.3 for one that knows nothing
		t.Errorf("the first loss is %.3f, want about ln 10", before)
	}
	if after > before/3 {
		t.Errorf("the loss went from %.3f to %.3f in 60 steps, want a third", before, after)
	}
	if a := n.Describe(s).Accuracy(s.Labels); a < 0.8 {
		t.Errorf("accuracy %.3f after 60 steps, want 0.8", a)
	}
	if other, _, _ := fit(2); other.Fingerprint() != n.Fingerprint() {
		t.Error("other weights on two processors than on one")
	}
}

// TestShift finds each image among the nine it can become, and all nine among many; and moves them the same however they
// are parted in batches.
func TestShift(t *testing.T) {
	const h, w, count = 4, 5, 200
	picture := func() tensor.Tensor {
		x := tensor.New(count, h, w, 2)
		for i := range x.Data {
			x.Data[i] = float32(i % (h * w * 2))
		}
		return x
	}
	x := picture()
	shift(x, 7, 100)
	seen := map[[2]int]int{}
	for i := range count {
		image := x.Data[i*h*w*2:][:h*w*2]
		found := 0
		for down := -1; down <= 1; down++ {
			for right := -1; right <= 1; right++ {
				same := true
				for row := range h {
					for col := range w {
						from := (min(max(row-down, 0), h-1)*w + min(max(col-right, 0), w-1)) * 2
						at := (row*w + col) * 2
						same = same && image[at] == float32(from) && image[at+1] == float32(from+1)
					}
				}
				if same {
					seen[[2]int{down, right}]++
					found++
				}
			}
		}
		if found != 1 {
			t.Fatalf("image %d is none of the nine shifts", i)
		}
	}
	for move, n := range seen {
		if n < count/9/3 {
			t.Errorf("moved by %v only %d times of %d", move, n, count)
		}
	}
	if len(seen) != 9 {
		t.Errorf("%d different shifts, want 9", len(seen))
	}
	y := picture()
	half := y.Data[count/2*h*w*2:]
	shift(tensor.From(half, count/2, h, w, 2), 7, 100+count/2)
	if !slices.Equal(half, x.Data[count/2*h*w*2:]) {
		t.Error("the second half is moved otherwise as a batch of its own")
	}
}

func TestSaveLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "c.safetensors")
	n := New(10, 3, 4, 5)
	n.deviation.Data[2] = 7
	if err := n.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path, 10)
	if err != nil {
		t.Fatal(err)
	}
	if got.Fingerprint() != n.Fingerprint() || got.Channels != 3 || got.Classes != 4 || got.Side != 10 {
		t.Errorf("got %d channels, %d classes, side %d, %s, want what was saved", got.Channels, got.Classes, got.Side, got.Fingerprint())
	}
	if n.Fingerprint() == New(10, 3, 4, 6).Fingerprint() {
		t.Error("another seed has the same fingerprint")
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("%d files beside the classifier, want none", len(entries)-1)
	}
	refused := func(path string, side int, want string) {
		t.Helper()
		if _, err := Load(path, side); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one that says %q", err, want)
		}
	}
	refused(path, 28, "a side of 9 to 16, not 28")
	refused(path+"x", 10, "no such file")

	n.deviation.Data[2] = 0 // features would be infinite
	if err := n.Save(path); err != nil {
		t.Fatal(err)
	}
	refused(path, 10, "features.deviation[2]")
	other, err := os.Create(filepath.Join(filepath.Dir(path), "other.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := checkpoint.Encode(other, []checkpoint.Named{checkpoint.Plain("stem.weight", tensor.New(2))}); err != nil {
		t.Fatal(err)
	}
	refused(other.Name(), 10, "holds no classifier")
}

// TestSizes: images of any side go through, down to a pixel.
func TestSizes(t *testing.T) {
	for _, side := range []int{1, 8, 9, 17} {
		n := New(side, 3, 5, 0)
		_, logits := n.forward(autograd.NewInference(), autograd.Const(tensor.New(2, side, side, 3)))
		if want := []int{2, 1, 1, 5}; !slices.Equal(logits.Shape, want) {
			t.Errorf("side %d: logits %v, want %v", side, logits.Shape, want)
		}
	}
}
