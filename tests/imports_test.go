package tests

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// below lists what each package may import of this module, besides what those may: imports point down only.
var below = map[string][]string{
	"internal/simd":      {},
	"internal/rng":       {},
	"internal/mem":       {},
	"internal/par":       {"internal/mem"},
	"tensor":             {"internal/simd", "internal/par", "internal/rng", "internal/mem"},
	"autograd":           {"tensor", "internal/par", "internal/mem"},
	"autograd/gradcheck": {"autograd", "tensor", "internal/rng"},
	"layers":             {"autograd", "tensor", "internal/rng", "internal/mem"},
	"optim":              {"internal/simd", "internal/par", "internal/mem"},
	"diffusion":          {"autograd", "tensor", "internal/rng", "internal/par"},
	"data":               {"tensor", "internal/rng", "internal/par"},
	"checkpoint":         {"tensor"},
}

// outside lists what the library packages may import from elsewhere, besides the standard library.
var outside = []string{"golang.org/x/sys/"}

func TestImportsPointDown(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Standard", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	require.NoError(t, err)
	seen := 0
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		name := strings.TrimPrefix(p.ImportPath, "ddpm/")
		allowed, library := below[name]
		if !library {
			if !strings.HasPrefix(name, "cmd/") && name != "tests" && !strings.HasPrefix(name, "data/embedded") {
				t.Errorf("package %s is not in the list of this test: say what it may import", name)
			}
			continue
		}
		seen++
		for _, im := range p.Imports {
			ours, local := strings.CutPrefix(im, "ddpm/")
			switch {
			case local && !slices.Contains(allowed, ours):
				t.Errorf("%s imports %s, want only %v of this module", name, ours, allowed)
			case !local && strings.Contains(im, ".") && !slices.ContainsFunc(outside, func(p string) bool { return strings.HasPrefix(im, p) }):
				t.Errorf("%s imports %s, want the standard library and %v", name, im, outside)
			case im == "C" || im == "unsafe":
				t.Errorf("%s imports %s", name, im)
			}
		}
	}
	require.Equal(t, len(below), seen)
}
