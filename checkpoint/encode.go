package checkpoint

// Writing safetensors: as the reference implementation does for float32 tensors, to the byte. Names are sorted, the
// header is compact JSON padded by spaces to a multiple of 8, and equal tensors make equal files.

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"

	"ddpm/tensor"
)

// Named is a tensor that lives in a checkpoint: what it is called there, and how to get its value out of the program
// and into it. Shape and values are in the layout of files, [Cout Cin KH KW] for a convolution, [Out In] for a linear layer.
type Named struct {
	Name  string
	Shape []int
	Get   func() tensor.Tensor  // called by Encode; the result is read before the next Get
	Set   func(x tensor.Tensor) // called by Load; x has the given shape, and is Set's to keep
}

// Plain names a tensor that is stored as it is. Loading copies into x.
func Plain(name string, x tensor.Tensor) Named {
	return Named{
		Name:  name,
		Shape: x.Shape,
		Get:   func() tensor.Tensor { return x },
		Set:   func(y tensor.Tensor) { copy(x.Data, y.Data) },
	}
}

// Encode writes tensors to w as one safetensors file, one tensor at a time, sorted by name. It refuses NaN and Inf:
// no checkpoint is better than one that poisons every run started from it.
// It panics if a name is empty or given twice, or if Get's result is not of the shape announced.
func Encode(w io.Writer, tensors []Named) error {
	tensors = slices.SortedFunc(slices.Values(tensors), func(a, b Named) int { return cmp.Compare(a.Name, b.Name) })
	if _, err := w.Write(encodeHeader(tensors)); err != nil {
		return err
	}
	buf := make([]byte, chunk)
	for _, t := range tensors {
		x := t.Get()
		if !slices.Equal(x.Shape, t.Shape) {
			panic(fmt.Sprintf("checkpoint: Encode: got %s of shape %v, want %v", t.Name, x.Shape, t.Shape))
		}
		if err := checkFinite(x.Data); err != nil {
			return fmt.Errorf("tensor %q %w", t.Name, err)
		}
		for values := range slices.Chunk(x.Data, chunk/4) {
			for i, v := range values {
				binary.LittleEndian.PutUint32(buf[4*i:], math.Float32bits(v))
			}
			if _, err := w.Write(buf[:4*len(values)]); err != nil {
				return err
			}
		}
	}
	return nil
}

// encodeHeader returns the header of a file that holds tensors in the order given, its length in front.
// The metadata is what PyTorch's readers ask for.
func encodeHeader(tensors []Named) []byte {
	b := bytes.NewBuffer(make([]byte, 8)) // the length comes last
	b.WriteString(`{"__metadata__":{"format":"pt"}`)
	end := 0
	for i, t := range tensors {
		if t.Name == "" || t.Name == "__metadata__" || i > 0 && t.Name == tensors[i-1].Name {
			panic(fmt.Sprintf("checkpoint: Encode: got the name %q, want names that are free, each once", t.Name))
		}
		begin := end
		end += 4 * tensor.Size(t.Shape)
		b.WriteByte(',')
		b.Write(compactJSON(t.Name))
		b.WriteByte(':')
		b.Write(compactJSON(struct {
			Dtype   string `json:"dtype"`
			Shape   []int  `json:"shape"`
			Offsets [2]int `json:"data_offsets"`
		}{"F32", append([]int{}, t.Shape...), [2]int{begin, end}})) // a nil shape would be null
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	header := b.Bytes()
	binary.LittleEndian.PutUint64(header, uint64(len(header)-8))
	return header
}

// compactJSON returns strings and integers as JSON on one line.
func compactJSON(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("checkpoint: " + err.Error()) // neither can fail
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// checkFinite reports the first NaN or Inf among values.
func checkFinite(values []float32) error {
	for i, v := range values {
		if v-v != 0 { // Inf - Inf and NaN - NaN are NaN
			return fmt.Errorf("holds %v at element %d", v, i)
		}
	}
	return nil
}
