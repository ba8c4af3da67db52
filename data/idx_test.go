package data

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// idxFile returns an IDX file of the given values, whose shape its header may belie.
func idxFile(values []byte, dims ...uint32) []byte {
	b := []byte{0, 0, 8, byte(len(dims))}
	for _, d := range dims {
		b = binary.BigEndian.AppendUint32(b, d)
	}
	return append(b, values...)
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	z.Close()
	return out.Bytes()
}

func TestIDX(t *testing.T) {
	pixels := randomSet(3, 4, 5, 1).Pixels
	images, labels := idxFile(pixels, 3, 4, 5), idxFile([]byte{2, 0, 6}, 3)
	for name, files := range map[string]map[string][]byte{
		"plain": {"train-images-idx3-ubyte": images, "train-labels-idx1-ubyte": labels},
		"gzip":  {"train-images-idx3-ubyte.gz": zipped(images), "train-labels-idx1-ubyte.gz": zipped(labels)},
		"mixed": {"train-images-idx3-ubyte": images, "train-labels-idx1-ubyte.gz": zipped(labels)},
		"dots":  {"train-images.idx3-ubyte": images, "train-labels.idx1-ubyte": labels, "notes.txt": []byte("x")},
	} {
		dir := filepath.Join(t.TempDir(), "my-set")
		for file, content := range files {
			write(t, dir, file, content)
		}
		s := mustOpen(t, dir, Options{})
		if s.Name != "my-set" || s.H != 4 || s.W != 5 || s.C != 1 || !slices.Equal(s.Pixels, pixels) {
			t.Errorf("%s: got %q, %d×%d×%d, %d images", name, s.Name, s.H, s.W, s.C, s.Len())
		}
		if !slices.Equal(s.Labels, []int{2, 0, 6}) || s.Classes != 7 {
			t.Errorf("%s: got labels %v of %d classes", name, s.Labels, s.Classes)
		}
		_, err := Open(dir, Options{Split: "test"})
		wantError(t, err, dir, "holds no t10k-images-idx3-ubyte.gz")
	}
}

func TestIDXWithoutLabels(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "t10k-images-idx3-ubyte", idxFile([]byte{1, 2}, 2, 1, 1))
	s := mustOpen(t, dir, Options{Split: "test"})
	if s.Len() != 2 || s.Labels != nil || s.Classes != 0 {
		t.Errorf("got %d images, labels %v, %d classes", s.Len(), s.Labels, s.Classes)
	}
}

func TestIDXRefusesImages(t *testing.T) {
	good := idxFile(make([]byte, 24), 2, 3, 4)
	flipped := zipped(good)
	flipped[len(flipped)-5] ^= 1 // the checksum
	for _, c := range []struct {
		name    string
		content []byte
		gz      bool
		detail  string
	}{
		{"empty file", nil, false, "within its 16-byte header"},
		{"header cut short", good[:11], false, "within its 16-byte header"},
		{"truncated", good[:len(good)-1], false, "announces more values than the 23 it can hold"},
		{"trailing byte", append(slices.Clone(good), 0), false, "goes on after the 24 values"},
		{"not IDX", []byte("a text that is long enough for a header"), false, "begins with 61 20 74 65, want 00 00 08 03"},
		{"labels for images", idxFile(make([]byte, 99), 99), false, "want 00 00 08 03"},
		{"floats", append([]byte{0, 0, 13, 3}, good[4:]...), false, "begins with 00 00 0d 03"},
		{"no images", idxFile(nil, 0, 3, 4), false, "dimension 1 is 0"},
		{"no width", idxFile(nil, 2, 3, 0), false, "dimension 3 is 0"},
		{"2^96 values", idxFile(make([]byte, 24), 1<<32-1, 1<<32-1, 1<<32-1), false, "more values than the 24"},
		{"2^64 values, 0 in 64 bits", idxFile(make([]byte, 24), 1<<31, 1<<31, 4), false, "more values than the 24"},
		{"gzip of nothing", nil, true, "is not a gzip file"},
		{"gzip in name only", good, true, "is not a gzip file"},
		{"gzip truncated inside", zipped(good[:len(good)-1]), true, "announces 24 values, 23 could be read"},
		{"gzip cut short", zipped(good)[:30], true, "damaged"},
		{"gzip with trailing byte", zipped(append(slices.Clone(good), 0)), true, "goes on after the 24 values"},
		{"gzip with more behind it", append(zipped(good), "more"...), true, "damaged at its end"},
		{"gzip with wrong checksum", flipped, true, "damaged at its end"},
		{"gzip that claims terabytes", zipped(idxFile(make([]byte, 24), 60000, 28000, 28000)), true, "announces more values than"},
	} {
		name := "train-images-idx3-ubyte"
		if c.gz {
			name += ".gz"
		}
		dir := t.TempDir()
		path := write(t, dir, name, c.content)
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(dir, Options{})
			wantError(t, err, path, c.detail)
		})
	}
	// A folder under the name of a file is a folder like any other.
	dir := t.TempDir()
	write(t, dir, "train-images-idx3-ubyte/x", nil)
	_, err := Open(dir, Options{})
	wantError(t, err, dir, "nothing known as a data set: train-images-idx3-ubyte/x")
}

func TestIDXRefusesLabels(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "train-images-idx3-ubyte", idxFile(make([]byte, 12), 3, 2, 2))
	path := write(t, dir, "train-labels-idx1-ubyte", idxFile(make([]byte, 2), 2))
	_, err := Open(dir, Options{})
	wantError(t, err, path, "holds 2 labels for the 3 images of train-images-idx3-ubyte")
	write(t, dir, "train-labels-idx1-ubyte", idxFile(make([]byte, 2), 3))
	_, err = Open(dir, Options{})
	wantError(t, err, path, "announces more values than the 2")
}

func FuzzIDX(f *testing.F) {
	good := idxFile(make([]byte, 24), 2, 3, 4)
	f.Add(good, false)
	f.Add(good[:20], false)
	f.Add(append(slices.Clone(good), 1), false)
	f.Add(idxFile(nil, 1<<32-1, 1<<32-1, 1<<32-1), false)
	f.Add(idxFile(nil, 1<<31, 1<<31, 4), false)
	f.Add(zipped(good), true)
	f.Add(zipped(good[:20]), true)
	f.Add(zipped(idxFile(nil, 60000, 28000, 28000)), true)
	f.Fuzz(func(t *testing.T, content []byte, gz bool) {
		r, limit := bytes.NewReader(content), uint64(len(content))
		var shape []int
		var values []byte
		var err error
		if gz {
			z, zerr := gzip.NewReader(r)
			if zerr != nil {
				return
			}
			limit *= maxDeflate
			shape, values, err = decodeIDX("f", z, limit, 3)
		} else {
			shape, values, err = decodeIDX("f", r, limit, 3)
		}
		if uint64(len(values)) > limit {
			t.Fatalf("%d values from at most %d bytes", len(values), limit)
		}
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Path != "f" || e.Remedy == "" || strings.Contains(e.Error(), "\n") {
				t.Fatalf("error %q, want an *Error of one line", err)
			}
			return
		}
		if len(shape) != 3 || shape[0]*shape[1]*shape[2] != len(values) || len(values) == 0 {
			t.Fatalf("shape %v, %d values", shape, len(values))
		}
		again := idxFile(values, uint32(shape[0]), uint32(shape[1]), uint32(shape[2]))
		if !gz && !bytes.Equal(again, content) {
			t.Fatalf("% x was read as % x", content, again)
		}
		if gz && crc32.ChecksumIEEE(again) != binary.LittleEndian.Uint32(content[len(content)-8:]) {
			t.Fatal("the checksum was not verified")
		}
	})
}
