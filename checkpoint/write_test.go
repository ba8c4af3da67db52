package checkpoint

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"ddpm/tensor"
)

// put writes a checkpoint of three files whose contents depend on text.
func put(dir, text string) error {
	return Write(dir, func(w *Writer) error {
		w.Text("README.md", text)
		w.JSON("unet/config.json", map[string]string{"text": text})
		w.Tensors("unet/weights.safetensors", []Named{Plain("w", tensor.New(len(text)))})
		return nil
	})
}

func mustPut(t *testing.T, dir, text string) {
	t.Helper()
	if err := put(dir, text); err != nil {
		t.Fatal(err)
	}
}

// tree returns the contents of all files under dir by their slash-separated names.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func wantTree(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	if got := tree(t, dir); !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %q, want %q", dir, got, want)
	}
}

func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range list {
		got = append(got, entry.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}

func TestWrite(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "made", "on", "the", "way")
	dir := filepath.Join(parent, "model")
	mustPut(t, dir, "one")
	if err := Verify(dir); err != nil {
		t.Error(err)
	}
	first := tree(t, dir)
	if len(first) != 4 || first["README.md"] != "one" {
		t.Errorf("got files %q", first)
	}
	mustPut(t, dir, "two, which replaces one as a whole")
	if err := Verify(dir); err != nil {
		t.Error(err)
	}
	mustPut(t, dir+"/", "one") // a trailing slash is no other directory
	wantTree(t, dir, first)    // equal contents are equal files, the manifest too
	wantNames(t, parent, "model")
}

func TestWriteThatFailsChangesNothing(t *testing.T) {
	full := errors.New("full")
	steps := map[string]func(w *Writer) error{
		"at once":    func(w *Writer) error { return full },
		"in between": func(w *Writer) error { w.Text("README.md", "new"); return full },
		"in a file": func(w *Writer) error {
			w.File("a", func(f io.Writer) error { io.WriteString(f, "half"); return full })
			return nil
		},
		"then others": func(w *Writer) error {
			w.File("a", func(io.Writer) error { return full })
			w.Text("b", "whole")
			return nil
		},
		"in tensors": func(w *Writer) error {
			w.File("a", func(f io.Writer) error {
				return Encode(&limited{f, 100, full}, []Named{Plain("x", tensor.New(100))})
			})
			return nil
		},
	}
	for name, fill := range steps {
		parent := t.TempDir()
		dir := filepath.Join(parent, "model")
		if err := Write(dir, fill); !errors.Is(err, full) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: got error %v, want one that names %s and the cause", name, err, dir)
		}
		wantNames(t, parent)
		mustPut(t, dir, "before")
		before := tree(t, dir)
		if err := Write(dir, fill); !errors.Is(err, full) {
			t.Errorf("%s: got error %v", name, err)
		}
		wantTree(t, dir, before)
		wantNames(t, parent, "model")
	}
}

func TestWriteCleansUpAfterPanic(t *testing.T) {
	parent := t.TempDir()
	func() {
		defer func() { recover() }()
		Write(filepath.Join(parent, "model"), func(w *Writer) error { w.Text("a", ""); panic("bug") })
	}()
	wantNames(t, parent)
}

func TestWriteRefusesToReplaceOtherThings(t *testing.T) {
	parent := t.TempDir()
	thesis := filepath.Join(parent, "home", "thesis.txt")
	writeFile(t, thesis, []byte("years of work"))
	wantError(t, put(filepath.Dir(thesis), "new"), "not empty and holds no checkpoint")
	if err := put(thesis, "new"); !IsDisk(err) {
		t.Errorf("a file in the way: got error %v", err)
	}
	if err := put(filepath.Join(thesis, "model"), "new"); !IsDisk(err) {
		t.Errorf("a file as the parent: got error %v", err)
	}
	wantTree(t, parent, map[string]string{"home/thesis.txt": "years of work"})

	empty := filepath.Join(parent, "empty")
	if err := os.Mkdir(empty, 0o777); err != nil {
		t.Fatal(err)
	}
	mustPut(t, empty, "new")
	broken := StepDir(parent, 7) // a step that lost its manifest must not stop the run that passes it again
	writeFile(t, filepath.Join(broken, "README.md"), nil)
	mustPut(t, broken, "new")
}

func TestFilePanicsOnMisuse(t *testing.T) {
	for _, name := range []string{"", ".", "..", "../a", "/a", "a/../b", `a\b`, "c:a", "taken", manifestName} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Errorf("the name %q did not panic", name)
				}
			}()
			Write(filepath.Join(t.TempDir(), "model"), func(w *Writer) error {
				w.Text("taken", "")
				w.Text(name, "")
				return nil
			})
		})
	}
}

// killAt names, for the process that TestKill starts, the directory it is to write and the place where it dies.
const killAt = "CHECKPOINT_TEST_KILL"

// A process killed at any moment of a write leaves the old checkpoint as it was, and rubbish that Clean removes.
func TestKill(t *testing.T) {
	die := func() {
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		time.Sleep(time.Minute) // the signal needs a moment
		panic(err)
	}
	if dir := os.Getenv(killAt); dir != "" {
		place := os.Getenv(killAt + "_PLACE")
		Write(dir, func(w *Writer) error {
			w.Text("README.md", "new")
			w.File("unet/weights", func(f io.Writer) error {
				io.WriteString(f, "half of the")
				if place == "in a file" {
					die()
				}
				return nil
			})
			die()
			return nil
		})
	}
	self, err := os.Executable()
	if err != nil {
		t.Skip("cannot start another process here: ", err)
	}
	for _, place := range []string{"in a file", "before the manifest"} {
		parent := t.TempDir()
		dir := filepath.Join(parent, "model")
		mustPut(t, dir, "before")
		before := tree(t, dir)
		child := exec.Command(self, "-test.run=^TestKill$")
		child.Env = append(os.Environ(), killAt+"="+dir, killAt+"_PLACE="+place)
		out, err := child.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Skip("cannot start another process here: ", err)
		}
		left, err := filepath.Glob(filepath.Join(parent, tempPrefix+"*", "unet", "weights"))
		if err != nil || len(left) != 1 {
			t.Fatalf("%s: the kill left %q (%v); output %s", place, left, err, out)
		}
		wantTree(t, dir, before)
		if err := Clean(parent); err != nil {
			t.Error(err)
		}
		wantTree(t, dir, before)
		wantNames(t, parent, "model")
	}
}

// Killed between the two renames of a replacement, the old checkpoint is away and the new one not yet there.
func TestCleanBringsBackWhatWasBeingReplaced(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "model")
	mustPut(t, dir, "before")
	before := tree(t, dir)
	if err := os.Rename(dir, filepath.Join(parent, oldPrefix+"model")); err != nil {
		t.Fatal(err)
	}
	mustPut(t, tempName(dir), "after")
	if err := Clean(parent); err != nil {
		t.Fatal(err)
	}
	wantTree(t, dir, before)
	wantNames(t, parent, "model")
}

// A replacement that cannot be moved into place leaves what it was to replace.
func TestReplaceThatFails(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "model")
	mustPut(t, dir, "before")
	before := tree(t, dir)
	if err := replace(dir, tempName(dir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got error %v", err)
	}
	wantTree(t, dir, before)
	wantNames(t, parent, "model")
}

// Killed between the second rename and the removal, the old checkpoint is rubbish; a write or Clean removes it.
func TestWhatWasReplacedIsRemoved(t *testing.T) {
	for name, again := range map[string]func(parent string) error{
		"Clean": Clean,
		"Write": func(parent string) error { return put(filepath.Join(parent, "model"), "after") },
	} {
		parent := t.TempDir()
		dir := filepath.Join(parent, "model")
		mustPut(t, dir, "after")
		mustPut(t, filepath.Join(parent, oldPrefix+"model"), "before")
		after := tree(t, dir)
		if err := again(parent); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		wantTree(t, dir, after)
		wantNames(t, parent, "model")
	}
}

func TestCleanOfNothing(t *testing.T) {
	if err := Clean(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Error(err)
	}
	parent := t.TempDir()
	writeFile(t, filepath.Join(parent, "metrics.jsonl"), nil)
	writeFile(t, filepath.Join(parent, ".hidden"), nil)
	if err := Clean(parent); err != nil {
		t.Error(err)
	}
	wantNames(t, parent, ".hidden", "metrics.jsonl")
}
