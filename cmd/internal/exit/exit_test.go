package exit

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"ddpm/checkpoint"
	"ddpm/data"
)

func TestCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, Done},
		{flag.ErrHelp, Done},
		{errors.New("x"), Failure},
		{Usage("x"), BadUsage},
		{fmt.Errorf("more: %w", Bad("file", errors.New("x"))), BadFile},
		{Diverge("x"), Diverged},
		{&data.Error{Path: "p"}, BadFile},
		{&data.Error{Path: "p", Err: fs.ErrNotExist}, BadFile},
		{fmt.Errorf("more: %w", &checkpoint.Error{Path: "p"}), BadFile},
		{errors.Join(errors.New("x"), &checkpoint.Error{Path: "p"}), BadFile},
		{&fs.PathError{Op: "write", Path: "p", Err: syscall.ENOSPC}, Disk},
		{&fs.PathError{Op: "mkdir", Path: "p", Err: syscall.EACCES}, Disk},
		{Stopped{syscall.SIGINT}, 130},
		{Stopped{syscall.SIGTERM}, 143},
	} {
		if got := Code(c.err); got != c.want {
			t.Errorf("%v: got code %d, want %d", c.err, got, c.want)
		}
	}
}
