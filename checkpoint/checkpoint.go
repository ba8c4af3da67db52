// Package checkpoint keeps models and training runs on disk, in the files that Hugging Face diffusers reads.
//
// It has three layers, each usable alone:
//
//   - safetensors: [Open] reads tensors by name, [Encode] writes them. The reader believes nothing in a file before it
//     has checked it, and allocates nothing that the size of the file does not justify.
//   - directories: [Write] makes a directory appear whole or not at all, and [Verify] checks it against its manifest.
//   - models: [Save] and [OpenModel] know the layout of a diffusers pipeline; [Latest], [Newest], [Prune] and [Clean]
//     know how a training run lays its checkpoints out in time.
//
// Two kinds of failure matter to whoever runs a command, and both can be told from every other: an [*Error] says that
// a file is not what it should be, [IsDisk] that the disk or its permissions refused.
package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
)

// Error reports a checkpoint that cannot be used: which file, what is wrong at which place in it, and what to do.
type Error struct {
	Path    string // the file or directory
	Problem string // what is wrong, naming the place: a key, a tensor, an offset
	Remedy  string // what the user can do about it; may be empty
}

func (e *Error) Error() string {
	if e.Remedy == "" {
		return fmt.Sprintf("%s: %s", e.Path, e.Problem)
	}
	return fmt.Sprintf("%s: %s; %s", e.Path, e.Problem, e.Remedy)
}

// diskErrors are the ways a file system refuses that say nothing about what the files hold.
var diskErrors = []error{
	fs.ErrPermission, // EACCES, EPERM, and Windows' ERROR_ACCESS_DENIED
	syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EROFS, syscall.EIO,
	syscall.ENOTDIR, // a file stands where a directory is to be made
}

// IsDisk reports whether err came from the disk or its permissions: no space left, over quota, read-only, input/output
// error, access denied. The checkpoints that were there before are still there.
func IsDisk(err error) bool {
	for _, disk := range slices.Concat(diskErrors, diskErrorsOfSystem) {
		if errors.Is(err, disk) {
			return true
		}
	}
	return false
}
