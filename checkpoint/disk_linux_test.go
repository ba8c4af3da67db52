package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"ddpm/tensor"
)

// mount puts a small file system of its own at a new directory, or skips the test where that is not allowed.
func mount(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skip("needs the right to mount a file system: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// large is a checkpoint of 4 MB.
func large() Content {
	c := at(1)
	c.Weights = []Named{Plain("w", tensor.New(1<<20))}
	return c
}

func TestDiskFull(t *testing.T) {
	run := mount(t, "size=1m")
	mustSave(t, StepDir(run, 0), at(0))
	before := tree(t, run)
	err := Save(StepDir(run, 1), large())
	if !IsDisk(err) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got error %v", err)
	}
	wantTree(t, run, before)
	wantNames(t, run, "step-00000000")
	mustSave(t, StepDir(run, 1), at(1)) // the space came back
}

func TestDiskOutOfFiles(t *testing.T) {
	run := mount(t, "nr_inodes=8")
	if err := Save(StepDir(run, 0), at(0)); !IsDisk(err) {
		t.Errorf("got error %v", err)
	}
	wantNames(t, run)
}

func TestDiskReadOnly(t *testing.T) {
	run := mount(t, "size=1m")
	mustSave(t, StepDir(run, 0), at(0))
	if err := syscall.Mount("", run, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"a new step":   Save(StepDir(run, 1), at(1)),
		"the old step": Save(StepDir(run, 0), at(1)),
		"a new run":    Save(StepDir(filepath.Join(run, "new"), 0), at(0)),
	} {
		if !IsDisk(err) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
	m, _, err := Latest(run)
	if err != nil || stepIn(t, m) != 0 {
		t.Errorf("the old checkpoint cannot be read: %v", err)
	}
}

// /dev/full has no space left, whoever asks.
func TestDeviceFull(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	if err := Encode(f, large().Weights); !IsDisk(err) {
		t.Errorf("got error %v", err)
	}
}

// asNobody runs f on a thread whose rights to files are those of user 65534, or as it is if we are not root.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	done := make(chan bool)
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0)
		f()
	}()
	<-done
}

func TestPermissionDenied(t *testing.T) {
	run := filepath.Join(t.TempDir(), "run")
	mustSave(t, StepDir(run, 0), at(0))
	locked := StepDir(run, 0)
	if err := os.Chmod(run, 0o555); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(run, 0o777)
	asNobody(t, func() {
		if err := Save(StepDir(run, 1), at(1)); !IsDisk(err) {
			t.Errorf("writing into a read-only directory: got error %v", err)
		}
	})
	wantNames(t, run, "step-00000000")

	if err := os.Chmod(locked, 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(locked, 0o777)
	asNobody(t, func() {
		if err := second(OpenModel(locked)); !IsDisk(err) {
			t.Errorf("reading a directory without permission: got error %v", err)
		}
		if err := third(Latest(run)); !IsDisk(err) {
			t.Errorf("latest of a run whose only step cannot be read: got error %v", err)
		}
	})
}

func TestIsDisk(t *testing.T) {
	for _, err := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EDQUOT, syscall.EFBIG, syscall.EACCES, syscall.EPERM, syscall.ENOTDIR} {
		wrapped := fmt.Errorf("writing x: %w", errors.Join(&os.PathError{Op: "write", Path: "x", Err: err}, io.ErrShortWrite))
		if !IsDisk(wrapped) {
			t.Errorf("%v is not a disk error", err)
		}
	}
	for _, err := range []error{nil, io.EOF, syscall.ENOENT, &Error{Path: "x", Problem: "bad"}} {
		if IsDisk(err) {
			t.Errorf("%v is a disk error", err)
		}
	}
}

// A pipe in the place of a file must not make the reader wait for its other end.
func TestPipeIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.safetensors")
	if err := syscall.Mkfifo(path, 0o666); err != nil {
		t.Skip(err)
	}
	wantError(t, second(Open(path)), "not a regular file")
}
