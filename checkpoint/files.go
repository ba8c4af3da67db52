package checkpoint

// Files and directories as this package needs them: opened without surprises, and durable once made.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// openFile opens a file for reading and returns its size. It refuses pipes and devices, which might never end, and
// reports a missing file as an [*Error].
func openFile(path string) (*os.File, int64, error) {
	info, err := os.Stat(path) // before the open: opening a pipe waits for its other end
	if isAbsent(err) {
		return nil, 0, &Error{Path: path, Problem: "no such file"}
	}
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, &Error{Path: path, Problem: "is not a regular file"}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// readText returns the whole of a text file (JSON, a model card) of at most limit bytes.
func readText(path string, limit int64) ([]byte, error) {
	f, size, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, &Error{Path: path, Problem: fmt.Sprintf("has %d bytes, more than the %d expected of such a file", size, limit)}
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

// exists reports whether something of that name is there. What cannot be looked up counts as being there: whoever goes
// on to open it learns why.
func exists(elem ...string) bool {
	_, err := os.Stat(filepath.Join(elem...))
	return !isAbsent(err)
}

// isAbsent reports whether err says that a name leads to nothing.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// readDirs returns the names of the directories in dir.
func readDirs(dir string) ([]string, error) {
	list, err := os.ReadDir(dir)
	if isAbsent(err) {
		return nil, &Error{Path: dir, Problem: "no such directory"}
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range list {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// makeDir makes dir and the parents it lacks. Each is on the disk before anything is put into it.
func makeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
		}
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

// syncDir forces the entries of a directory to the disk, so that a rename in it survives a power cut. Systems that
// cannot do so for directories keep them in a journal, or have no disk.
func syncDir(dir string) error {
	if slices.Contains([]string{"windows", "js", "wasip1"}, runtime.GOOS) {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}

// isLocal reports whether a slash-separated name stays inside the directory it is relative to, on every system.
func isLocal(name string) bool {
	return fs.ValidPath(name) && name != "." && filepath.IsLocal(filepath.FromSlash(name)) && !strings.ContainsAny(name, `\:`)
}
