package checkpoint

// Loading a file into a model, strictly: what the model has and what the file holds must be the same set of names and
// shapes. Half-loaded weights look like a bad model, and are the hardest of all mistakes to find.

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Load reads every tensor of want from r and hands it to its Set. Attention names from before 2023 are accepted
// ([ModernName]), and so are attention weights [Out In 1 1] stored as 1×1 convolutions.
// All names and shapes are checked before the first Set; the error names what is missing, unexpected or of another
// shape. NaN and Inf are refused as they are met: after an error the model's values are not to be used.
func Load(r *Reader, want []Named) error {
	inFile := map[string]string{} // modern name → name in the file
	for _, name := range r.Names() {
		modern := ModernName(name)
		if other, ok := inFile[modern]; ok {
			return &Error{Path: r.path, Problem: fmt.Sprintf("holds both %q and %q, two names of one tensor", other, name)}
		}
		inFile[modern] = name
	}
	if err := compare(r, inFile, want); err != nil {
		return err
	}
	for _, t := range want {
		x, err := r.Tensor(inFile[t.Name])
		if err != nil {
			return err
		}
		if err := checkFinite(x.Data); err != nil {
			return &Error{
				Path:    r.path,
				Problem: fmt.Sprintf("tensor %q %v", inFile[t.Name], err),
				Remedy:  "take a checkpoint from before, or fetch the model again",
			}
		}
		t.Set(x.Reshape(t.Shape...))
	}
	return nil
}

// compare reports every difference between the tensors of a file and those wanted.
func compare(r *Reader, inFile map[string]string, want []Named) error {
	var missing, misshapen []string
	unexpected := maps.Clone(inFile)
	for _, t := range want {
		name, ok := inFile[t.Name]
		if !ok {
			missing = append(missing, t.Name)
			continue
		}
		delete(unexpected, t.Name)
		if _, shape, _ := r.Entry(name); !fits(shape, t.Shape) {
			misshapen = append(misshapen, fmt.Sprintf("%s is %v, want %v", name, shape, t.Shape))
		}
	}
	var problems []string
	for _, list := range []struct {
		kind  string
		items []string
	}{
		{"missing", missing},
		{"unexpected", slices.Sorted(maps.Values(unexpected))},
		{"of another shape", misshapen},
	} {
		if len(list.items) > 0 {
			problems = append(problems, fmt.Sprintf("%d %s (%s)", len(list.items), list.kind, firstOf(list.items)))
		}
	}
	if problems == nil {
		return nil
	}
	return &Error{
		Path:    r.path,
		Problem: "tensors do not match the configuration: " + strings.Join(problems, ", "),
		Remedy:  "weights and configuration must come from the same model",
	}
}

// firstOf lists items, the first five of many.
func firstOf(items []string) string {
	const show = 5
	if len(items) > show {
		return strings.Join(items[:show], ", ") + ", …"
	}
	return strings.Join(items, ", ")
}

// fits reports whether a tensor of the given shape serves where want is wanted: as it is, or as the 1×1 convolution
// that does the same as a matrix.
func fits(shape, want []int) bool {
	if len(want) == 2 && len(shape) > 2 {
		for _, d := range shape[2:] {
			if d != 1 {
				return false
			}
		}
		shape = shape[:2]
	}
	return slices.Equal(shape, want)
}
