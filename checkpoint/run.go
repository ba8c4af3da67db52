package checkpoint

// A training run is a directory of checkpoints, each named by the step after which it was taken:
//
//	runs/NAME/step-00001000/
//	runs/NAME/step-00002000/
//
// A checkpoint is never changed once it is there; the newest one that is whole is where the run stands.

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// StepDir returns the directory of a run's checkpoint after the given number of steps.
func StepDir(run string, step int) string {
	return filepath.Join(run, fmt.Sprintf("step-%08d", step))
}

// stepOf returns the step in a name made by StepDir, and whether it is one.
func stepOf(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, "step-")
	step, err := strconv.Atoi(digits)
	return step, ok && err == nil && step >= 0 && name == filepath.Base(StepDir("", step))
}

// Latest opens the newest checkpoint of a run that is whole. skipped says what is wrong with each newer one, for the
// user must know of them. If there is none it fails and says why: a run never starts afresh in silence.
func Latest(run string) (m *Model, skipped []error, err error) {
	steps, err := listSteps(run)
	if err != nil {
		return nil, nil, err
	}
	slices.Reverse(steps)
	return firstWhole(run, steps)
}

// Newest opens, of all runs under root, the checkpoint that was written last and is whole. skipped is as in [Latest].
func Newest(root string) (m *Model, skipped []error, err error) {
	runs, err := readDirs(root)
	if err != nil {
		return nil, nil, err
	}
	var all []string
	written := map[string]time.Time{}
	for _, run := range runs {
		steps, err := listSteps(filepath.Join(root, run))
		if err != nil {
			return nil, nil, err
		}
		for _, dir := range steps {
			if info, err := os.Stat(filepath.Join(dir, manifestName)); err == nil {
				written[dir] = info.ModTime()
			}
		}
		all = append(all, steps...)
	}
	// Of checkpoints as old as each other, and of those without a manifest, the one of the later step comes first.
	slices.SortStableFunc(all, func(a, b string) int {
		return cmp.Or(written[b].Compare(written[a]), cmp.Compare(filepath.Base(b), filepath.Base(a)))
	})
	return firstWhole(root, all)
}

// firstWhole opens the first of dirs that can be opened. place is what to call them all in an error.
func firstWhole(place string, dirs []string) (*Model, []error, error) {
	var skipped []error
	for _, dir := range dirs {
		m, err := openVerified(dir)
		if err == nil {
			return m, skipped, nil
		}
		skipped = append(skipped, err)
	}
	if len(dirs) == 0 {
		return nil, nil, &Error{Path: place, Problem: "holds no checkpoint"}
	}
	err := &Error{Path: place, Problem: fmt.Sprintf("none of its %d checkpoints can be used", len(dirs))}
	return nil, skipped, errors.Join(append([]error{err}, skipped...)...)
}

// openVerified opens a checkpoint, which unlike a model from elsewhere must have a manifest.
func openVerified(dir string) (*Model, error) {
	if !exists(dir, manifestName) {
		return nil, &Error{Path: dir, Problem: "was not finished, or lost its " + manifestName}
	}
	return OpenModel(dir)
}

// Prune removes all checkpoints of a run that are older than its keep newest ones. It counts only those whose files
// are there in full size, so that it never removes a good one in favour of a broken one.
func Prune(run string, keep int) error {
	if keep < 1 {
		panic(fmt.Sprintf("checkpoint: Prune: got keep = %d, want at least 1", keep))
	}
	steps, err := listSteps(run)
	if err != nil {
		return err
	}
	var errs []error
	whole := 0
	for _, dir := range slices.Backward(steps) {
		if whole == keep {
			errs = append(errs, remove(dir))
		} else if verifySizes(dir) == nil {
			whole++
		}
	}
	return errors.Join(errs...)
}

// listSteps returns the directories of a run's checkpoints, oldest first.
func listSteps(run string) ([]string, error) {
	names, err := readDirs(run)
	if err != nil {
		return nil, err
	}
	var steps []int
	for _, name := range names {
		if step, ok := stepOf(name); ok {
			steps = append(steps, step)
		}
	}
	slices.Sort(steps)
	dirs := make([]string, len(steps))
	for i, step := range steps {
		dirs[i] = StepDir(run, step)
	}
	return dirs, nil
}
