package data

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
)

// The IDX format (yann.lecun.com/exdb/mnist): two zero bytes, the type of the values (8: unsigned byte), the number of
// dimensions, each dimension as a big-endian uint32, the values in row-major order, nothing else.

// idxStem is how the names of a split's files begin.
var idxStem = map[string]string{"train": "train", "test": "t10k"}

// idxNames are the names a split's images or labels go by: MNIST's own, and with the dot that some archives have.
func idxNames(split, kind string) []string {
	stem := idxStem[split] + "-" + kind
	rank := map[string]string{"images": "3", "labels": "1"}[kind]
	return []string{
		stem + "-idx" + rank + "-ubyte", stem + "-idx" + rank + "-ubyte.gz",
		stem + ".idx" + rank + "-ubyte", stem + ".idx" + rank + "-ubyte.gz",
	}
}

// hasIDX reports whether a directory holds IDX images of any split.
func hasIDX(entries []entry) bool {
	names := append(idxNames("train", "images"), idxNames("test", "images")...)
	return slices.ContainsFunc(entries, func(e entry) bool { return !e.dir && slices.Contains(names, e.name) })
}

func openIDX(d directory, split string) (*Set, error) {
	images, labels := d.first(idxNames(split, "images")), d.first(idxNames(split, "labels"))
	if images == "" {
		name := idxNames(split, "images")[1]
		return nil, &Error{d.path, "holds no " + name, "add that file or choose the other split", nil}
	}
	return readIDX(d, images, labels)
}

// first returns the first of the names that is a file, "" if none is.
func (d directory) first(names []string) string {
	for _, name := range names {
		if info, err := fs.Stat(d, name); err == nil && !info.IsDir() {
			return name
		}
	}
	return ""
}

// readIDX reads a file of images [N H W] and, unless labels is "", one of labels [N].
func readIDX(d directory, images, labels string) (*Set, error) {
	shape, pixels, err := readIDXFile(d, images, 3)
	if err != nil {
		return nil, err
	}
	s := &Set{H: shape[1], W: shape[2], C: 1, Pixels: pixels}
	if labels == "" {
		return s, nil
	}
	count, bytes, err := readIDXFile(d, labels, 1)
	if err != nil {
		return nil, err
	}
	if count[0] != shape[0] {
		detail := fmt.Sprintf("holds %d labels for the %d images of %s", count[0], shape[0], images)
		return nil, &Error{d.join(labels), detail, "put the two files of one set together", nil}
	}
	s.Labels = make([]int, len(bytes))
	for i, b := range bytes {
		s.Labels[i] = int(b)
	}
	s.Classes = slices.Max(s.Labels) + 1
	return s, nil
}

// maxDeflate is how many bytes one compressed byte can stand for: DEFLATE spends at least two bits on a match, which is
// at most 258 bytes long.
const maxDeflate = 258 * 8 / 2

func readIDXFile(d directory, name string, rank int) (shape []int, values []byte, err error) {
	f, size, err := d.open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	path, limit := d.join(name), uint64(size)
	if !strings.HasSuffix(name, ".gz") {
		return decodeIDX(path, f, limit, rank)
	}
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return nil, nil, &Error{path, "is not a gzip file", "download it again", err}
	}
	return decodeIDX(path, z, limit*maxDeflate, rank)
}

// decodeIDX reads unsigned bytes with the given number of dimensions from r, which can hold limit bytes at most.
func decodeIDX(path string, r io.Reader, limit uint64, rank int) (shape []int, values []byte, err error) {
	const again = "download it again"
	header := make([]byte, 4+4*rank)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, nil, &Error{path, fmt.Sprintf("ends or is damaged within its %d-byte header", len(header)), again, err}
	}
	if want := [4]byte{0, 0, 8, byte(rank)}; [4]byte(header) != want {
		detail := fmt.Sprintf("begins with % x, want % x for an IDX file of bytes with %d dimensions", header[:4], want, rank)
		return nil, nil, &Error{path, detail, "check that it is the file its name says", nil}
	}
	for b := header[4:]; len(b) > 0; b = b[4:] {
		shape = append(shape, int(binary.BigEndian.Uint32(b)))
	}
	if i := slices.Index(shape, 0); i >= 0 {
		return nil, nil, &Error{path, fmt.Sprintf("its header announces an empty set: dimension %d is 0", i+1), again, nil}
	}
	limit = min(limit-min(limit, uint64(len(header))), maxBytes)
	n := uint64(1)
	for _, d := range shape {
		if uint64(d) > limit/n { // n·d > limit, without overflow
			detail := fmt.Sprintf("is truncated or damaged: its header announces more values than the %d it can hold", limit)
			return nil, nil, &Error{path, detail, again, nil}
		}
		n *= uint64(d)
	}
	values = make([]byte, n)
	if got, err := io.ReadFull(r, values); err != nil {
		detail := fmt.Sprintf("is truncated or damaged: its header announces %d values, %d could be read", n, got)
		return nil, nil, &Error{path, detail, again, err}
	}
	// Reading to the end also makes gzip verify its checksum.
	switch _, err := io.ReadFull(r, header[:1]); err {
	case io.EOF:
		return shape, values, nil
	case nil:
		return nil, nil, &Error{path, fmt.Sprintf("goes on after the %d values its header announces", n), again, nil}
	default:
		return nil, nil, &Error{path, "is damaged at its end", again, err}
	}
}
