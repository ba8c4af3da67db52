package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"ddpm/tensor"
)

// container returns a file with the given header, its true length in front, and n bytes of data 0, 1, 2, ….
func container(header string, n int) []byte {
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	file = append(file, header...)
	for i := range n {
		file = append(file, byte(i))
	}
	return file
}

// withLength returns a file whose length field says length, whatever follows.
func withLength(length uint64, rest string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, length), rest...)
}

func readBytes(file []byte) (*Reader, error) {
	return NewReader(bytes.NewReader(file), int64(len(file)), "file")
}

// good are files that must be read: what the format allows beyond the obvious.
var good = []struct {
	name  string
	file  []byte
	names []string
}{
	{"no tensors", container(`{}`, 0), nil},
	{"metadata only", container(`{"__metadata__":{"format":"pt","":""}}`, 0), nil},
	{"header padded by spaces", container(`{}      `, 0), nil},
	{"scalar", container(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}`, 4), []string{"a"}},
	{"fields in any order", container(`{"a":{"data_offsets":[0,4],"shape":[2],"dtype":"F16"}}`, 4), []string{"a"}},
	{"tensors in any order", container(`{"b":{"dtype":"U8","shape":[3],"data_offsets":[4,7]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 7), []string{"a", "b"}},
	{"empty tensors between others", container(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"F32","shape":[0,9223372036854775807],"data_offsets":[2,2]},`+
		`"c":{"dtype":"F32","shape":[3,0],"data_offsets":[2,2]},"d":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 3), []string{"a", "b", "c", "d"}},
	{"six-bit elements", container(`{"a":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}}`, 3), []string{"a"}},
}

// abuses are files that must be refused, with a part of the reason.
var abuses = []struct {
	name string
	file []byte
	want string
}{
	{"empty", nil, "0 bytes"},
	{"length only", withLength(0, ""), "8 bytes"},
	{"no header", withLength(0, "x"), "does not begin with {"},
	{"header length 0", withLength(0, "{}"), "bad header"},
	{"header longer than the file", withLength(3, "{}"), "only 2 bytes"},
	{"header over the limit", withLength(100_000_001, "{}"), "the format allows"},
	{"header length negative as int64", withLength(1<<63+2, "{}"), "the format allows"},
	{"header of 99 MB in a file of 10 bytes", withLength(99_000_000, "{}"), "only 2 bytes"},
	{"zip", []byte("PK\x03\x04\x00\x00\x08\x08\x00\x00"), "PyTorch pickle"},
	{"bare pickle", []byte("\x80\x02\x8a\x0al\xfc\x9cF\xf9\x20j\xa8"), "PyTorch pickle"},
	{"space before the header", container(` {}`, 0), "does not begin with {"},
	{"not JSON", container(`{"a":}`, 0), "not valid JSON"},
	{"two JSON values", container(`{}{}`, 0), "not valid JSON"},
	{"NUL after the header", container("{}\x00", 0), "not valid JSON"},
	{"not UTF-8", container("{\"\xff\":0}", 0), "not valid UTF-8"},
	{"tensor is a number", container(`{"a":1}`, 0), `"a": got 1, want {`},
	{"tensor is null", container(`{"a":null}`, 0), `"a": got <nil>, want {`},
	{"metadata is a number", container(`{"__metadata__":{"a":1}}`, 0), "want a string"},
	{"metadata twice", container(`{"__metadata__":{},"__metadata__":{}}`, 0), "twice"},
	{"metadata key twice", container(`{"__metadata__":{"a":"","a":""}}`, 0), "twice"},
	{"name twice", container(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2), `"a" appears twice`},
	{"name twice, once escaped", container(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0061":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2), `"a" appears twice`},
	{"dtype twice", container(`{"a":{"dtype":"F32","dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1), `"dtype" appears twice`},
	{"no dtype", container(`{"a":{"shape":[1],"data_offsets":[0,1]}}`, 1), "want dtype"},
	{"no shape", container(`{"a":{"dtype":"U8","data_offsets":[0,1]}}`, 1), "want dtype"},
	{"no offsets", container(`{"a":{"dtype":"U8","shape":[1]}}`, 1), "want dtype"},
	{"one offset", container(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1]}}`, 1), "want dtype"},
	{"three offsets", container(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}`, 1), "more than 2"},
	{"unknown field", container(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"strides":[1]}}`, 1), `"strides"`},
	{"unknown dtype", container(`{"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}`, 4), `unknown dtype "F31"`},
	{"negative dimension", container(`{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}`, 1), "got -1"},
	{"fractional dimension", container(`{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}`, 1), "got 1.0"},
	{"dimension with an exponent", container(`{"a":{"dtype":"U8","shape":[1e0],"data_offsets":[0,1]}}`, 1), "got 1e0"},
	{"dimension as a string", container(`{"a":{"dtype":"U8","shape":["1"],"data_offsets":[0,1]}}`, 1), "want an integer"},
	{"dimension over 2^63", container(`{"a":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1]}}`, 1), "want an integer"},
	{"nested shape", container(`{"a":{"dtype":"U8","shape":[[1]],"data_offsets":[0,1]}}`, 1), "want an integer"},
	{"65 dimensions", container(`{"a":{"dtype":"U8","shape":[1`+strings.Repeat(",1", 64)+`],"data_offsets":[0,1]}}`, 1), "more than 64"},
	{"size overflows to 0", container(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0), "too large"},
	{"size overflows to 4", container(`{"a":{"dtype":"F32","shape":[2305843009213693953,8],"data_offsets":[0,32]}}`, 32), "too large"},
	{"part of a byte", container(`{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}`, 1), "within a byte"},
	{"size less than the shape", container(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4), "takes 8 bytes"},
	{"size more than the shape", container(`{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,4]}}`, 4), "takes 2 bytes"},
	{"begin after end", container(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}`, 1), "[1, 0]"},
	{"negative offset", container(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}}`, 1), "got -1"},
	{"offsets leave the file", container(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 1), "leave the file"},
	{"terabytes in a small file", container(`{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}`, 4), "leave the file"},
	{"overlap", container(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3), "overlap"},
	{"same bytes twice", container(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 2), "overlap"},
	{"hole at the start", container(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2), "hole from 0"},
	{"hole between", container(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 3), "hole from 1"},
	{"bytes left over", container(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 2), "end at byte 1 of 2"},
	{"data without tensors", container(`{}`, 1), "end at byte 0 of 1"},
	{"file cut short", container(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 7), "leave the file"},
}

func TestReaderAcceptsWhatTheFormatAllows(t *testing.T) {
	for _, test := range good {
		r, err := readBytes(test.file)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if got := r.Names(); !slices.Equal(got, test.names) {
			t.Errorf("%s: got names %q, want %q", test.name, got, test.names)
		}
	}
}

// Whatever a file claims, refusing it costs no more memory than a few times its size.
func TestReaderRefusesAbuse(t *testing.T) {
	const constant = 64 << 10 // decoder, maps, messages
	for _, test := range abuses {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := readBytes(test.file)
		runtime.ReadMemStats(&after)
		var bad *Error
		if !errors.As(err, &bad) || bad.Path != "file" || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v, want one about %q", test.name, err, test.want)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > constant+100*uint64(len(test.file)) {
			t.Errorf("%s: refusing a file of %d bytes allocated %d", test.name, len(test.file), used)
		}
	}
}

func TestReaderConvertsToFloat32(t *testing.T) {
	header := `{"__metadata__":{"format":"pt"},` +
		`"d":{"dtype":"F64","shape":[2],"data_offsets":[0,16]},` +
		`"f":{"dtype":"F32","shape":[1,2],"data_offsets":[16,24]},` +
		`"h":{"dtype":"F16","shape":[2],"data_offsets":[24,28]},` +
		`"b":{"dtype":"BF16","shape":[2,1],"data_offsets":[28,32]},` +
		`"i":{"dtype":"I64","shape":[1],"data_offsets":[32,40]}}`
	file := container(header, 0)
	for _, v := range []uint64{0x3ff0000000000000, 0xc000000000000000} { // 1, -2
		file = binary.LittleEndian.AppendUint64(file, v)
	}
	for _, v := range []uint32{0x3f800000, 0xc0000000} {
		file = binary.LittleEndian.AppendUint32(file, v)
	}
	for _, v := range []uint16{0x3c00, 0xc000, 0x3f80, 0xc000} {
		file = binary.LittleEndian.AppendUint16(file, v)
	}
	file = append(file, make([]byte, 8)...)
	r, err := readBytes(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, shape := range map[string][]int{"d": {2}, "f": {1, 2}, "h": {2}, "b": {2, 1}} {
		x, err := r.Tensor(name)
		if err != nil || !slices.Equal(x.Shape, shape) || !slices.Equal(x.Data, []float32{1, -2}) {
			t.Errorf("%s: got %v, %v, want [1 -2] of shape %v", name, x, err, shape)
		}
	}
	if got := r.Metadata(); !reflect.DeepEqual(got, map[string]string{"format": "pt"}) {
		t.Errorf("metadata: got %v", got)
	}
	if dtype, shape, ok := r.Entry("i"); dtype != "I64" || !slices.Equal(shape, []int{1}) || !ok {
		t.Errorf("entry i: got %s %v %v, want I64 [1]: listed although it cannot be read", dtype, shape, ok)
	}
	wantError(t, second(r.Tensor("i")), `tensor "i" has element type I64`)
	wantError(t, second(r.Tensor("x")), `no tensor "x"`)
}

// A tensor larger than the conversion buffer, and not a multiple of it.
func TestReaderJoinsChunks(t *testing.T) {
	x := tensor.New(chunk/4*2 + 3)
	for i := range x.Data {
		x.Data[i] = float32(i)
	}
	var file bytes.Buffer
	if err := Encode(&file, []Named{Plain("x", x)}); err != nil {
		t.Fatal(err)
	}
	r, err := readBytes(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	y, err := r.Tensor("x")
	if err != nil || !slices.Equal(y.Data, x.Data) {
		t.Fatalf("got other values back (%v)", err)
	}
}

// A file that shrinks after it was opened is an error, not a tensor of zeros.
func TestReaderNoticesShrunkFile(t *testing.T) {
	file := container(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8)
	r, err := NewReader(bytes.NewReader(file[:len(file)-1]), int64(len(file)), "file")
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, second(r.Tensor("a")), "ends at byte 7")
}

func TestOpenShards(t *testing.T) {
	one := func(name string) []byte {
		return container(fmt.Sprintf(`{%q:{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, name), 4)
	}
	const shards = `{"metadata":{"total_size":8},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}`
	for _, test := range []struct{ name, index, want string }{
		{"good", shards, ""},
		{"leaves the directory", `{"weight_map":{"a":"../1.safetensors"}}`, "not the plain name"},
		{"leaves it by an absolute path", `{"weight_map":{"a":"/etc/1.safetensors"}}`, "not the plain name"},
		{"leaves it on Windows", `{"weight_map":{"a":"..\\1.safetensors"}}`, "not the plain name"},
		{"leads to a directory below", `{"weight_map":{"a":"sub/1.safetensors"}}`, "not the plain name"},
		{"names a stream of another file", `{"weight_map":{"a":"1:2.safetensors"}}`, "not the plain name"},
		{"leads to another kind of file", `{"weight_map":{"a":"1.bin"}}`, "not the plain name"},
		{"leads to an index", `{"weight_map":{"a":"model.safetensors.index.json"}}`, "not the plain name"},
		{"tensor twice", `{"weight_map":{"a":"1.safetensors","a":"2.safetensors"}}`, `"a" appears twice`},
		{"map twice", `{"weight_map":{"a":"1.safetensors"},"weight_map":{}}`, "twice"},
		{"no map", `{"metadata":{}}`, "no weight_map"},
		{"map of numbers", `{"weight_map":{"a":1}}`, "want a string"},
		{"not JSON", `{"weight_map":`, "not valid JSON"},
		{"missing shard", `{"weight_map":{"a":"1.safetensors","b":"3.safetensors"}}`, "no such file"},
		{"tensor in another shard", `{"weight_map":{"a":"2.safetensors","b":"1.safetensors"}}`, "does not place it"},
		{"tensor in no shard", `{"weight_map":{"a":"1.safetensors","b":"2.safetensors","c":"2.safetensors"}}`, `"c" is not in`},
		{"tensor not in the map", `{"weight_map":{"a":"1.safetensors","c":"2.safetensors"}}`, "does not place it"},
	} {
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, "1.safetensors"), one("a"))
		writeFile(t, filepath.Join(dir, "2.safetensors"), one("b"))
		path := filepath.Join(dir, "model.safetensors.index.json")
		writeFile(t, path, []byte(test.index))
		r, err := Open(path)
		if test.want != "" {
			t.Run(test.name, func(t *testing.T) { wantError(t, err, test.want) })
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		for _, name := range []string{"a", "b"} {
			if x, err := r.Tensor(name); err != nil || len(x.Data) != 1 {
				t.Errorf("tensor %s: got %v, %v", name, x, err)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestPickleIsRefusedWithTheRemedy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "diffusion_pytorch_model.bin")
	writeFile(t, path, []byte("PK\x03\x04\x00\x00\x08\x08\x00\x00"))
	err := second(Open(path))
	wantError(t, err, path+": is a PyTorch pickle")
	wantError(t, err, "U.from_pretrained(d).save_pretrained(d)")
}

// A header of 640 bytes begins like a pickle of protocol 2. It is none.
func TestHeaderThatLooksLikePickle(t *testing.T) {
	file := container("{}"+strings.Repeat(" ", 0x280-2), 0)
	if !isPickle(file) {
		t.Fatal("the file does not look like a pickle, so it tests nothing")
	}
	if _, err := readBytes(file); err != nil {
		t.Error(err)
	}
}

// second returns the error of a call that returns a value and an error.
func second[T any](_ T, err error) error { return err }

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	var bad *Error
	if !errors.As(err, &bad) {
		t.Errorf("got error %v, want an *Error about %q", err, want)
	} else if !strings.Contains(err.Error(), want) {
		t.Errorf("got error %q, want one about %q", err, want)
	}
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
}
