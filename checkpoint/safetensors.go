package checkpoint

// Reading safetensors (https://github.com/huggingface/safetensors, "Format"):
//
//	8 bytes   n, the length of the header, little-endian
//	n bytes   the header: {"NAME": {"dtype": "F32", "shape": [2,3], "data_offsets": [BEGIN, END]}, …}, perhaps padded by spaces;
//	          the key "__metadata__" maps strings to strings
//	the rest  the elements of all tensors, row-major and little-endian; offsets count from here
//
// The bytes after the header belong to exactly one tensor each: no hole, no overlap, nothing left over. So a file can
// hide nothing, and its size bounds what reading it can allocate.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"ddpm/tensor"
)

const (
	maxHeader = 100_000_000 // bytes; the format's own limit
	chunk     = 1 << 17     // bytes converted at a time: they stay in the cache; a multiple of every width
)

// Reader reads tensors by name from a safetensors file or from the shards of one. Its methods may be called
// concurrently.
type Reader struct {
	path     string // for messages
	entries  map[string]entry
	metadata map[string]string
	closers  []io.Closer
}

// NewReader reads and checks the header of a safetensors file of size bytes. path stands for the file in errors.
func NewReader(r io.ReaderAt, size int64, path string) (*Reader, error) {
	var start [9]byte // the header's length, and the brace that opens it
	if size < int64(len(start)) {
		return nil, &Error{Path: path, Problem: fmt.Sprintf("is no safetensors file: it has %d bytes", size)}
	}
	if err := readAt(r, start[:], 0, path); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(start[:8])
	switch {
	case start[8] != '{' && isPickle(start[:]):
		return nil, pickleError(path)
	case start[8] != '{':
		return nil, &Error{Path: path, Problem: "is no safetensors file: its header does not begin with {"}
	case n > maxHeader:
		return nil, &Error{Path: path, Problem: fmt.Sprintf("claims a header of %d bytes; the format allows %d", n, maxHeader)}
	case int64(n) > size-8:
		return nil, &Error{Path: path, Problem: fmt.Sprintf("claims a header of %d bytes, but has only %d bytes after its length", n, size-8)}
	}
	header := make([]byte, n)
	if err := readAt(r, header, 8, path); err != nil {
		return nil, err
	}
	dataSize := size - 8 - int64(n)
	entries, metadata, err := parseHeader(header, dataSize)
	if err != nil {
		return nil, &Error{Path: path, Problem: "bad header: " + err.Error()}
	}
	data := io.NewSectionReader(r, 8+int64(n), dataSize)
	for name, e := range entries {
		e.path, e.data = path, data
		entries[name] = e
	}
	return &Reader{path: path, entries: entries, metadata: metadata}, nil
}

// Names returns the names of all tensors, sorted.
func (r *Reader) Names() []string { return slices.Sorted(maps.Keys(r.entries)) }

// Entry returns the element type ("F32", "BF16", …) and the shape of a tensor, and whether there is one of that name.
func (r *Reader) Entry(name string) (dtype string, shape []int, ok bool) {
	e, ok := r.entries[name]
	return e.dtype, e.shape, ok
}

// Metadata returns the strings stored beside the tensors.
func (r *Reader) Metadata() map[string]string { return r.metadata }

// Tensor reads a tensor as float32. F32, F16 and BF16 are exact, F64 is rounded; other element types are refused.
func (r *Reader) Tensor(name string) (tensor.Tensor, error) {
	e, ok := r.entries[name]
	if !ok {
		return tensor.Tensor{}, &Error{Path: r.path, Problem: fmt.Sprintf("holds no tensor %q", name)}
	}
	decode := decoders[e.dtype]
	if decode == nil {
		return tensor.Tensor{}, &Error{
			Path:    e.path,
			Problem: fmt.Sprintf("tensor %q has element type %s", name, e.dtype),
			Remedy:  "only F32, F16, BF16 and F64 can be read: convert it",
		}
	}
	x := tensor.New(e.shape...)
	width := int(dtypeBits[e.dtype] / 8)
	buf := make([]byte, min(len(x.Data)*width, chunk))
	for dst, at := x.Data, e.begin; len(dst) > 0; {
		n := min(len(dst), len(buf)/width)
		src := buf[:n*width]
		if err := readAt(e.data, src, at, e.path); err != nil {
			return tensor.Tensor{}, fmt.Errorf("tensor %q: %w", name, err)
		}
		decode(dst[:n], src)
		dst, at = dst[n:], at+int64(len(src))
	}
	return x, nil
}

// Close closes the files that [Open] opened.
func (r *Reader) Close() error {
	var errs []error
	for _, c := range r.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// readAt fills p from offset at on. A file that ends early has shrunk since its size was taken.
func readAt(r io.ReaderAt, p []byte, at int64, path string) error {
	n, err := r.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	if err == io.EOF {
		return &Error{Path: path, Problem: fmt.Sprintf("ends at byte %d of a part that begins at %d and has %d", n, at, len(p))}
	}
	return err
}
