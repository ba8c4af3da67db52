package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"ddpm/tensor"
)

// fields returns every tensor of a file as a Named of its own.
func fields(t *testing.T, r *Reader) []Named {
	t.Helper()
	var list []Named
	for _, name := range r.Names() {
		x, err := r.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, Plain(name, x))
	}
	return list
}

// The file is spelt out, so that neither the order, the padding nor the metadata can change unnoticed.
func TestEncodeBytes(t *testing.T) {
	var file bytes.Buffer
	err := Encode(&file, []Named{
		Plain("b<é>", tensor.From([]float32{1, -2}, 2, 1)),
		Plain("a", tensor.From([]float32{0.5})),
	})
	if err != nil {
		t.Fatal(err)
	}
	header := `{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},` +
		`"b<é>":{"dtype":"F32","shape":[2,1],"data_offsets":[4,12]}}`
	for len(header)%8 != 0 {
		header += " "
	}
	want := string(container(header, 0)) + "\x00\x00\x00\x3f" + "\x00\x00\x80\x3f" + "\x00\x00\x00\xc0"
	if file.String() != want {
		t.Errorf("got\n%q, want\n%q", file.String(), want)
	}
}

func TestEncodeAlignsTheData(t *testing.T) {
	for n := range 9 {
		var file bytes.Buffer
		if err := Encode(&file, []Named{Plain("x"+strings.Repeat("y", n), tensor.New(1))}); err != nil {
			t.Fatal(err)
		}
		if data := file.Len() - 4; data%8 != 0 {
			t.Errorf("a name of %d bytes: the data begins at byte %d", n+1, data)
		}
	}
}

func TestEncodeIgnoresOrderAndRoundTrips(t *testing.T) {
	list := []Named{
		Plain("z", tensor.From([]float32{1, 2, 3, 4, 5, 6}, 2, 3)),
		Plain("a.0", tensor.From([]float32{math.MaxFloat32, math.SmallestNonzeroFloat32}, 2)),
		Plain("empty", tensor.New(3, 0)),
		Plain("a.10", tensor.From([]float32{float32(math.Copysign(0, -1))}, 1, 1, 1)),
	}
	var first, second, third bytes.Buffer
	if err := Encode(&first, list); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(list)
	if err := Encode(&second, list); err != nil {
		t.Fatal(err)
	}
	if list[0].Name != "a.10" {
		t.Error("Encode sorted the caller's slice")
	}
	r, err := readBytes(first.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := Encode(&third, fields(t, r)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the order of the tensors changed the file")
	}
	if !bytes.Equal(first.Bytes(), third.Bytes()) {
		t.Error("export, import, export changed the file")
	}
}

func TestEncodeRefusesNonFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		err := Encode(io.Discard, []Named{Plain("conv.weight", tensor.From([]float32{1, float32(bad)}, 2))})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf(`"conv.weight" holds %v at element 1`, bad)) {
			t.Errorf("%v: got error %v", bad, err)
		}
	}
}

func TestEncodePanicsOnMisuse(t *testing.T) {
	x := tensor.New(1)
	for name, list := range map[string][]Named{
		"empty name":  {Plain("", x)},
		"reserved":    {Plain("__metadata__", x)},
		"twice":       {Plain("b", x), Plain("a", x), Plain("b", x)},
		"other shape": {{Name: "a", Shape: []int{2}, Get: func() tensor.Tensor { return x }}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			Encode(io.Discard, list)
		})
	}
}

// limited fails with err once n bytes have been written.
type limited struct {
	w   io.Writer
	n   int
	err error
}

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.n {
		n, _ := l.w.Write(p[:l.n])
		l.n = 0
		return n, l.err
	}
	l.n -= len(p)
	return l.w.Write(p)
}

func TestEncodeReportsFailedWrites(t *testing.T) {
	list := []Named{Plain("a", tensor.New(3)), Plain("b", tensor.New(5))}
	var whole bytes.Buffer
	if err := Encode(&whole, list); err != nil {
		t.Fatal(err)
	}
	full := errors.New("full")
	for n := range whole.Len() {
		if err := Encode(&limited{io.Discard, n, full}, list); !errors.Is(err, full) {
			t.Fatalf("write fails after %d of %d bytes: got error %v", n, whole.Len(), err)
		}
	}
}

// weights has the size of the 35.7-million-parameter CIFAR-10 network, in tensors of a typical size.
func weights() []Named {
	var list []Named
	for i := range 60 {
		list = append(list, Plain(fmt.Sprintf("layer.%02d", i), tensor.New(256, 256, 3, 3)))
	}
	return list
}

func BenchmarkEncode(b *testing.B) {
	list := weights()
	b.SetBytes(60 * 4 * 256 * 256 * 9)
	for b.Loop() {
		if err := Encode(io.Discard, list); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	list := weights()
	var file bytes.Buffer
	if err := Encode(&file, list); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(file.Len()))
	for b.Loop() {
		r, err := readBytes(file.Bytes())
		if err != nil {
			b.Fatal(err)
		}
		if err := Load(r, list); err != nil {
			b.Fatal(err)
		}
	}
}
