package checkpoint

// Directories that appear whole or not at all. All files go into a temporary directory beside the final one; each is
// forced to the disk as it is finished; the manifest comes last; then one rename makes the directory visible. Whatever
// goes wrong on the way (an error, a kill, a power cut) leaves what was there before, and at most a directory
// named .tmp-… that [Clean] removes.

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	tempPrefix = ".tmp-" // a directory being written or removed: worthless once its process is gone
	oldPrefix  = ".old-" // a directory being replaced: wanted back if its replacement never arrived
)

// Writer collects the files of a directory under construction. Names are slash-separated and relative to it.
// After a first failure it does nothing more; [Write] returns that failure.
type Writer struct {
	dir   string
	files map[string]fileSum
	err   error
}

// Write makes the directory dir hold exactly the files that fill creates, and a manifest of them. If fill or the disk
// fails, dir is what it was. An older checkpoint called dir is replaced as a whole; any other directory with
// something in it is refused, as is a file.
func Write(dir string, fill func(w *Writer) error) error {
	if err := write(filepath.Clean(dir), fill); err != nil {
		return fmt.Errorf("writing %s: %w", dir, err)
	}
	return nil
}

func write(dir string, fill func(w *Writer) error) error {
	if err := checkReplaceable(dir); err != nil {
		return err
	}
	if err := makeDir(filepath.Dir(dir)); err != nil {
		return err
	}
	w := &Writer{dir: tempName(dir), files: map[string]fileSum{}}
	if err := os.Mkdir(w.dir, 0o777); err != nil {
		return err
	}
	defer os.RemoveAll(w.dir) // a panic in fill included; after the rename there is nothing left to remove
	if err := fill(w); err != nil {
		return err
	}
	w.finish()
	if w.err != nil {
		return w.err
	}
	return replace(dir, w.dir)
}

// File creates a file with what write writes, and forces it to the disk.
// It panics if the name leads out of the directory, is taken, or is manifest.json.
func (w *Writer) File(name string, write func(io.Writer) error) {
	if _, taken := w.files[name]; taken || name == manifestName || !isLocal(name) {
		panic(fmt.Sprintf("checkpoint: File: got the name %q, want one that is free and inside the directory", name))
	}
	w.files[name] = w.create(name, write)
}

// Text creates a file that holds text.
func (w *Writer) Text(name, text string) {
	w.File(name, func(f io.Writer) error {
		_, err := io.WriteString(f, text)
		return err
	})
}

// JSON creates a file that holds v as JSON: keys sorted, indented by 2.
func (w *Writer) JSON(name string, v any) {
	w.File(name, func(f io.Writer) error {
		text, err := canonicalJSON(v)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		_, err = f.Write(text)
		return err
	})
}

// Tensors creates a safetensors file. See [Encode].
func (w *Writer) Tensors(name string, tensors []Named) {
	w.File(name, func(f io.Writer) error {
		if err := Encode(f, tensors); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

// create writes one file and returns its checksum.
func (w *Writer) create(name string, write func(io.Writer) error) (sum fileSum) {
	if w.err != nil {
		return
	}
	full := filepath.Join(w.dir, filepath.FromSlash(name))
	if w.err = os.MkdirAll(filepath.Dir(full), 0o777); w.err != nil {
		return
	}
	f, err := os.OpenFile(full, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		w.err = err
		return
	}
	s := summer{hash: sha256.New()}
	err = write(io.MultiWriter(f, &s))
	if err == nil {
		err = f.Sync()
	}
	w.err = errors.Join(err, f.Close())
	return s.sum()
}

// finish writes the manifest and forces the directory's own entries to the disk.
func (w *Writer) finish() {
	w.create(manifestName, func(f io.Writer) error {
		text, err := canonicalJSON(manifest{Files: w.files})
		if err != nil {
			return err
		}
		_, err = f.Write(text)
		return err
	})
	if w.err == nil {
		w.err = filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			return syncDir(path)
		})
	}
}

// checkReplaceable refuses to put a checkpoint in the place of anything but a checkpoint or an empty directory.
func checkReplaceable(dir string) error {
	list, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && len(list) == 0:
		return nil
	case err != nil:
		return err
	}
	if _, ok := stepOf(filepath.Base(dir)); ok || exists(dir, manifestName) {
		return nil
	}
	return &Error{Path: dir, Problem: "is not empty and holds no checkpoint, so it is not overwritten", Remedy: "choose another directory or remove it"}
}

// replace renames temp to dir. What dir was before stays until temp has taken its place; a kill between the two
// renames leaves it under another name, from which Clean brings it back.
func replace(dir, temp string) error {
	parent := filepath.Dir(dir)
	old := filepath.Join(parent, oldPrefix+filepath.Base(dir))
	replacing := exists(dir)
	if replacing {
		if err := os.RemoveAll(old); err != nil {
			return err
		}
		if err := os.Rename(dir, old); err != nil {
			return err
		}
	}
	if err := os.Rename(temp, dir); err != nil {
		if replacing {
			err = errors.Join(err, os.Rename(old, dir))
		}
		return err
	}
	if err := syncDir(parent); err != nil {
		return err
	}
	os.RemoveAll(old) // the new one is in place; if this fails, Clean finds it
	return nil
}

// Clean removes what dead processes left half done in a run, and brings back a checkpoint whose replacement was cut
// short. Call it before going on with a run; no other process may be writing into it. A run not yet begun is clean.
func Clean(run string) error {
	list, err := os.ReadDir(run)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, entry := range list {
		name := entry.Name()
		left := filepath.Join(run, name)
		if dir, ok := strings.CutPrefix(name, oldPrefix); ok && !exists(run, dir) {
			errs = append(errs, os.Rename(left, filepath.Join(run, dir)))
		} else if ok || strings.HasPrefix(name, tempPrefix) {
			errs = append(errs, os.RemoveAll(left))
		}
	}
	return errors.Join(errs...)
}

// remove makes the directory dir disappear in one step: a kill on the way leaves no half of it under its name.
func remove(dir string) error {
	temp := tempName(dir)
	if err := os.Rename(dir, temp); err != nil {
		return err
	}
	return os.RemoveAll(temp)
}

// tempName returns a new name beside dir that Clean knows for worthless.
func tempName(dir string) string {
	return filepath.Join(filepath.Dir(dir), tempPrefix+filepath.Base(dir)+"-"+rand.Text()[:8])
}

// summer counts and hashes what is written to it.
type summer struct {
	hash hash.Hash
	size int64
}

func (s *summer) Write(p []byte) (int, error) {
	s.size += int64(len(p))
	return s.hash.Write(p)
}

func (s *summer) sum() fileSum {
	return fileSum{Size: s.size, SHA256: hex.EncodeToString(s.hash.Sum(nil))}
}
