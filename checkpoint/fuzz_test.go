package checkpoint

import (
	"bytes"
	"runtime/metrics"
	"slices"
	"testing"
)

// allocated returns how many bytes the process has ever allocated.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// checkFile reads all of a file that may be anything. Reading must not panic and must not allocate beyond a multiple
// of the file's size; and what was read, written again, must come back the same.
func checkFile(t *testing.T, file []byte) {
	// A megabyte for what else the process does, and its own granularity; the worst true cost is a header of
	// many short strings, at some 60 bytes of map for each of theirs.
	limit := 1<<20 + 200*uint64(len(file))
	before := allocated()
	r, err := readBytes(file)
	if err != nil {
		if used := allocated() - before; used > limit {
			t.Fatalf("refusing %d bytes allocated %d", len(file), used)
		}
		return
	}
	var list []Named
	elements := 0
	for _, name := range r.Names() {
		dtype, shape, _ := r.Entry(name)
		x, err := r.Tensor(name)
		if (err == nil) != (decoders[dtype] != nil) || err == nil && !slices.Equal(x.Shape, shape) {
			t.Fatalf("tensor %q of type %s and shape %v: got shape %v, error %v", name, dtype, shape, x.Shape, err)
		}
		if err == nil && checkFinite(x.Data) == nil && name != "" {
			list = append(list, Plain(name, x))
		}
		elements += len(x.Data)
	}
	if elements > len(file) {
		t.Fatalf("%d bytes held %d numbers", len(file), elements)
	}
	if used := allocated() - before; used > limit+chunk*uint64(len(list)) {
		t.Fatalf("reading %d bytes allocated %d", len(file), used)
	}
	var first, second bytes.Buffer
	if err := Encode(&first, list); err != nil {
		t.Fatal(err)
	}
	again, err := readBytes(first.Bytes())
	if err != nil {
		t.Fatalf("our own file: %v", err)
	}
	if err := Encode(&second, fields(t, again)); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Fatalf("export, import, export changed the file (%v)", err)
	}
}

// FuzzFile feeds whole files to the reader.
func FuzzFile(f *testing.F) {
	for _, c := range good {
		f.Add(c.file)
	}
	for _, c := range abuses {
		f.Add(c.file)
	}
	f.Fuzz(checkFile)
}

// FuzzHeader feeds headers to the reader whose length is right, so that mutations reach what lies behind it.
func FuzzHeader(f *testing.F) {
	add := func(file []byte) {
		if len(file) > 8 {
			f.Add(string(file[8:]), uint16(4))
		}
	}
	for _, c := range good {
		add(c.file)
	}
	for _, c := range abuses {
		add(c.file)
	}
	f.Fuzz(func(t *testing.T, header string, data uint16) {
		checkFile(t, container(header, int(data)))
	})
}

// FuzzIndex feeds indexes of shards to the reader: no name it returns leads out of the directory.
func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"metadata":{"total_size":8},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}`))
	f.Add([]byte(`{"weight_map":{"a":"../1.safetensors"}}`))
	f.Add([]byte(`{"weight_map":{"a":"..\\1.safetensors"}}`))
	f.Add([]byte(`{"weight_map":{"a":"1:2.safetensors"}}`))
	f.Add([]byte(`{"weight_map":{"a":"1.safetensors","a":"2.safetensors"}}`))
	f.Add([]byte(`{"metadata":[[[[{}]]]],"weight_map":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		shardOf, err := parseIndex(text)
		for _, shard := range shardOf {
			if !isLocal(shard) || bytes.ContainsAny([]byte(shard), `/\`) {
				t.Fatalf("the index led to %q", shard)
			}
		}
		if err == nil && len(shardOf) == 0 {
			t.Fatal("an index of nothing was accepted")
		}
	})
}

// FuzzManifest feeds manifests to the reader, as FuzzIndex does indexes.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"files":{"unet/config.json":{"size":12,"sha256":"00"}}}`))
	f.Add([]byte(`{"files":{"../a":{"size":12,"sha256":"00"}}}`))
	f.Add([]byte(`{"files":{"a":null,"/":{}}}`))
	f.Add([]byte(`{"files":{}}x`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseManifest(text)
		for name := range m.Files {
			if !isLocal(name) {
				t.Fatalf("the manifest led to %q", name)
			}
		}
		if err == nil && len(m.Files) == 0 {
			t.Fatal("a manifest of nothing was accepted")
		}
	})
}
