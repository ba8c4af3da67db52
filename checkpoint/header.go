package checkpoint

// The header of a safetensors file: JSON that says where each tensor lies. Everything it claims is checked here, so
// that whoever holds an entry can trust it.

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/bits"
	"slices"
	"strconv"
)

const maxRank = 64 // dimensions of one tensor; PyTorch's own limit

// entry is what a header says of one tensor, and where to find it.
type entry struct {
	dtype      string
	shape      []int
	begin, end int64             // byte offsets into data
	data       *io.SectionReader // everything after the header
	path       string            // the file, for messages
}

// parseHeader checks a header against the size of the data that follows it. It allocates in proportion to the header.
func parseHeader(header []byte, dataSize int64) (map[string]entry, map[string]string, error) {
	d, err := newWalker(header)
	if err != nil {
		return nil, nil, err
	}
	entries := map[string]entry{}
	var metadata map[string]string
	err = walkObject(d, func(name string) error {
		if name == "__metadata__" {
			m, err := parseStrings(d)
			metadata = m
			return inKey(name, err)
		}
		e, err := parseEntry(d)
		entries[name] = e
		return inKey(name, err)
	})
	if err != nil {
		return nil, nil, err
	}
	return entries, metadata, checkCover(entries, dataSize)
}

// checkCover reports an error unless the entries cover 0 … dataSize without hole or overlap.
func checkCover(entries map[string]entry, dataSize int64) error {
	names := slices.SortedFunc(maps.Keys(entries), func(a, b string) int {
		x, y := entries[a], entries[b] // an empty tensor, which ends where it begins, goes before its neighbour
		return cmp.Or(cmp.Compare(x.begin, y.begin), cmp.Compare(x.end, y.end), cmp.Compare(a, b))
	})
	at := int64(0)
	for _, name := range names {
		e := entries[name]
		switch {
		case e.end > dataSize:
			return fmt.Errorf("%q: data_offsets [%d, %d] leave the file, which has %d bytes of data", name, e.begin, e.end, dataSize)
		case e.begin < at:
			return fmt.Errorf("%q: data_offsets [%d, %d] overlap the tensor before, which ends at %d", name, e.begin, e.end, at)
		case e.begin > at:
			return fmt.Errorf("%q: data_offsets [%d, %d] leave a hole from %d on", name, e.begin, e.end, at)
		}
		at = e.end
	}
	if at != dataSize {
		return fmt.Errorf("the tensors end at byte %d of %d bytes of data", at, dataSize)
	}
	return nil
}

// parseEntry reads {"dtype": …, "shape": …, "data_offsets": …} and checks that the three agree.
func parseEntry(d *json.Decoder) (entry, error) {
	var e entry
	var shape, offsets []int64
	fields := 0
	err := walkObject(d, func(key string) (err error) {
		fields++
		switch key {
		case "dtype":
			e.dtype, err = walkString(d)
		case "shape":
			shape, err = parseInts(d, maxRank)
		case "data_offsets":
			offsets, err = parseInts(d, 2)
		default:
			err = errors.New("unknown")
		}
		return inKey(key, err)
	})
	if err != nil {
		return e, err
	}
	if fields != 3 || len(offsets) != 2 {
		return e, errors.New("want dtype, shape and two data_offsets")
	}
	e.begin, e.end = offsets[0], offsets[1]
	size, err := sizeOf(e.dtype, shape)
	if err != nil {
		return e, err
	}
	if e.begin > e.end || uint64(e.end-e.begin) != size {
		return e, fmt.Errorf("data_offsets [%d, %d], but %s %v takes %d bytes", e.begin, e.end, e.dtype, shape, size)
	}
	e.shape = make([]int, len(shape))
	for i, dim := range shape {
		if dim > math.MaxInt {
			return e, fmt.Errorf("shape %v is too large", shape)
		}
		e.shape[i] = int(dim)
	}
	return e, nil
}

// sizeOf returns how many bytes a tensor takes.
func sizeOf(dtype string, shape []int64) (uint64, error) {
	width, ok := dtypeBits[dtype]
	if !ok {
		return 0, fmt.Errorf("unknown dtype %q", dtype)
	}
	size := width
	for _, dim := range shape {
		hi, lo := bits.Mul64(size, uint64(dim))
		if hi != 0 {
			return 0, fmt.Errorf("shape %v is too large", shape)
		}
		size = lo
	}
	if size%8 != 0 {
		return 0, fmt.Errorf("%s %v ends within a byte", dtype, shape)
	}
	return size / 8, nil
}

// parseInts reads an array of at most limit integers, none negative.
func parseInts(d *json.Decoder, limit int) ([]int64, error) {
	var ints []int64
	err := walkArray(d, func() error {
		token, err := d.Token()
		if err != nil {
			return err
		}
		number, ok := token.(json.Number)
		if !ok {
			return fmt.Errorf("got %v, want an integer", token)
		}
		n, err := strconv.ParseUint(number.String(), 10, 63)
		if err != nil {
			return fmt.Errorf("got %v, want an integer from 0 to 2⁶³-1", number)
		}
		if len(ints) == limit {
			return fmt.Errorf("more than %d integers", limit)
		}
		ints = append(ints, int64(n))
		return nil
	})
	return ints, err
}

// parseStrings reads an object whose values are strings.
func parseStrings(d *json.Decoder) (map[string]string, error) {
	m := map[string]string{}
	err := walkObject(d, func(key string) error {
		value, err := walkString(d)
		m[key] = value
		return inKey(key, err)
	})
	return m, err
}

// inKey says at which key of an object err arose.
func inKey(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%q: %w", key, err)
}
