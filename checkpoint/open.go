package checkpoint

// From the name of a weights file to a Reader: one file, the shards of one behind an index, or a pickle, which is
// recognised only to be refused.

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// Open opens a safetensors file, or, where path ends in ".index.json", the shards which that index lists. It checks
// everything but the values. A PyTorch pickle is refused with the command that converts it.
func Open(path string) (*Reader, error) {
	if strings.HasSuffix(path, ".index.json") {
		return openShards(path)
	}
	f, size, err := openFile(path)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(f, size, path)
	if err != nil {
		f.Close()
		return nil, err
	}
	r.closers = append(r.closers, f)
	return r, nil
}

// openShards opens every shard of an index and joins them under one Reader.
func openShards(path string) (_ *Reader, err error) {
	text, err := readText(path, maxHeader)
	if err != nil {
		return nil, err
	}
	shardOf, err := parseIndex(text)
	if err != nil {
		return nil, &Error{Path: path, Problem: err.Error()}
	}
	all := &Reader{path: path, entries: map[string]entry{}}
	defer func() {
		if err != nil {
			all.Close()
		}
	}()
	shards := slices.Compact(slices.Sorted(maps.Values(shardOf)))
	for _, shard := range shards {
		r, err := Open(filepath.Join(filepath.Dir(path), shard))
		if err != nil {
			return nil, err
		}
		all.closers = append(all.closers, r.closers...)
		for _, name := range r.Names() {
			if shardOf[name] != shard {
				return nil, &Error{Path: path, Problem: fmt.Sprintf("weight_map: %q is in %q, where the map does not place it", name, shard)}
			}
			all.entries[name] = r.entries[name]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(shardOf)) {
		if _, ok := all.entries[name]; !ok {
			return nil, &Error{Path: path, Problem: fmt.Sprintf("weight_map: %q is not in %q", name, shardOf[name])}
		}
	}
	return all, nil
}

// parseIndex reads {"metadata": …, "weight_map": {TENSOR: FILE, …}} and returns the map. Files are plain names of
// safetensors files, so that an index can lead nowhere but to its own directory.
func parseIndex(text []byte) (map[string]string, error) {
	d, err := newWalker(text)
	if err != nil {
		return nil, err
	}
	var shardOf map[string]string
	err = walkObject(d, func(key string) (err error) {
		if key == "weight_map" {
			shardOf, err = parseStrings(d)
			return inKey(key, err)
		}
		return skipValue(d)
	})
	if err != nil {
		return nil, err
	}
	if len(shardOf) == 0 {
		return nil, errors.New("has no weight_map")
	}
	for _, name := range slices.Sorted(maps.Keys(shardOf)) {
		shard := shardOf[name]
		if !isLocal(shard) || strings.Contains(shard, "/") || !strings.HasSuffix(shard, ".safetensors") {
			return nil, fmt.Errorf("weight_map: %q is placed in %q, which is not the plain name of a safetensors file", name, shard)
		}
	}
	return shardOf, nil
}

// isPickle reports whether a file that begins so was written by torch.save: a zip archive, or before PyTorch 1.6 a
// bare pickle of protocol 2 to 5.
func isPickle(start []byte) bool {
	return bytes.HasPrefix(start, []byte("PK\x03\x04")) || start[0] == 0x80 && start[1] >= 2 && start[1] <= 5
}

// pickleError refuses a pickle: to read one is to run the program inside it.
func pickleError(path string) error {
	return &Error{
		Path:    path,
		Problem: "is a PyTorch pickle, which can run any code when read",
		Remedy: fmt.Sprintf(`convert it to safetensors: python -c "from diffusers import UNet2DModel as U; d = r'%s'; `+
			`U.from_pretrained(d).save_pretrained(d)"`, filepath.Dir(path)),
	}
}
