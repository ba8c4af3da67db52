package data

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// wantError checks that err is an *Error about path whose detail contains the given words, in one line with a remedy.
func wantError(t *testing.T, err error, path, detail string) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got %T %v, want *Error about %q", err, err, detail)
	}
	if e.Path != path || !strings.Contains(e.Detail, detail) || e.Remedy == "" {
		t.Errorf("got %q, want path %q, detail with %q, a remedy", e, path, detail)
	}
	if msg := e.Error(); strings.Contains(msg, "\n") || !strings.HasPrefix(msg, path+": ") || !strings.HasSuffix(msg, "; "+e.Remedy) {
		t.Errorf("message %q: want one line, path first, remedy last", msg)
	}
}

// write makes a file below dir, and the folders it lies in.
func write(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustOpen(t *testing.T, spec string, opt Options) *Set {
	t.Helper()
	s, err := Open(spec, opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestEmbedded compares the sets with the originals, of which the sums were taken.
func TestEmbedded(t *testing.T) {
	sum := func(b []byte) string {
		h := sha256.Sum256(b)
		return hex.EncodeToString(h[:])
	}
	for _, c := range []struct {
		name           string
		n, side        int
		pixels, labels string // SHA-256
		first          []int
	}{
		{"digits", 1797, 8, "b41ca9fd335466eee997366c2e6f6bbe0a1b4582afe091fc4eba35f4a254182f",
			"8ba4f891220f5e4c9c819638d1602d74b83618f167043c6da52a2a247841ddf0", []int{0, 1, 2}},
		{"mnist", 10000, 28, "2f7182bf021ffc5c1f62db987487f14d899b5c639f421a80f3095affc09a7db2",
			"2f345bad07338ec537641465e169cc4b7288a44244f251211c7f842641e7d927", []int{5, 0, 4}},
	} {
		s := mustOpen(t, c.name, Options{})
		if s.Name != c.name || s.Len() != c.n || s.H != c.side || s.W != c.side || s.C != 1 || s.Classes != 10 {
			t.Errorf("%s: got %s, %d images %d×%d×%d, %d classes", c.name, s.Name, s.Len(), s.H, s.W, s.C, s.Classes)
		}
		if !slices.Equal(s.Labels[:3], c.first) || len(s.Labels) != c.n {
			t.Errorf("%s: got %d labels %v…, want %d, %v…", c.name, len(s.Labels), s.Labels[:3], c.n, c.first)
		}
		labels := make([]byte, c.n)
		for i, l := range s.Labels {
			labels[i] = byte(l)
		}
		if sum(s.Pixels) != c.pixels || sum(labels) != c.labels {
			t.Errorf("%s: pixels %s, labels %s, want %s, %s", c.name, sum(s.Pixels), sum(labels), c.pixels, c.labels)
		}
	}
	// The first line of the digits' table, "0,0,5,13,9,1,0,0", in bytes.
	if got, want := mustOpen(t, "digits", Options{}).Pixels[:8], []byte{0, 0, 80, 207, 143, 16, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("first line of the first digit: got %v, want %v", got, want)
	}
}

func TestEmbeddedOptions(t *testing.T) {
	s := mustOpen(t, "digits", Options{Side: 16, Channels: 3})
	if s.H != 16 || s.W != 16 || s.C != 3 || s.Len() != 1797 || len(s.Labels) != 1797 {
		t.Errorf("got %d images %d×%d×%d", s.Len(), s.H, s.W, s.C)
	}
	_, err := Open("digits", Options{Split: "test"})
	wantError(t, err, "digits", "no test split")
	_, err = Open("mnist", Options{Side: maxSide})
	wantError(t, err, "mnist", "more than the limit")
}

func TestOpenRefusesOptions(t *testing.T) {
	for _, opt := range []Options{{Side: -1}, {Side: maxSide + 1}, {Channels: 2}, {Channels: -1}, {Split: "val"}} {
		_, err := Open("digits", opt)
		if _, bad := errors.AsType[*Error](err); err == nil || bad {
			t.Errorf("%+v: got %v, want an error that is no *Error", opt, err)
		}
	}
}

func TestOpenRefusesDirectories(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	_, err := Open(missing, Options{})
	wantError(t, err, missing, "no such directory")

	file := write(t, t.TempDir(), "cifar-10-binary.tar.gz", []byte("x"))
	_, err = Open(file, Options{})
	wantError(t, err, file, "is a file")

	empty := t.TempDir()
	_, err = Open(empty, Options{})
	wantError(t, err, empty, "is empty")

	strange := t.TempDir()
	for _, name := range []string{"a.csv", "b.csv", "c.csv", "d.csv", "e.csv"} {
		write(t, strange, name, []byte("1,2,3"))
	}
	_, err = Open(strange, Options{})
	wantError(t, err, strange, "nothing known as a data set: a.csv, b.csv, c.csv and 2 more")
}

func TestErrorNamesItsPathOnce(t *testing.T) {
	cause := &fs.PathError{Op: "open", Path: "dir/a.png", Err: fs.ErrPermission}
	err := &Error{"dir/a.png", "cannot be read", "make it readable", cause}
	if got, want := err.Error(), "dir/a.png: cannot be read: permission denied; make it readable"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(err, fs.ErrPermission) {
		t.Error("the cause is lost")
	}
}
