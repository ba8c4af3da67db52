package checkpoint

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// damage flips a bit in the middle of a checkpoint's weights.
func damage(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "unet", weightsName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	writeFile(t, path, data)
}

func TestStepNames(t *testing.T) {
	for step, name := range map[int]string{0: "step-00000000", 1000: "step-00001000", 123456789: "step-123456789"} {
		if got := filepath.Base(StepDir("run", step)); got != name {
			t.Errorf("step %d: got %s, want %s", step, got, name)
		}
		if got, ok := stepOf(name); got != step || !ok {
			t.Errorf("%s: got step %d, %v", name, got, ok)
		}
	}
	for _, name := range []string{"", "step-", "step-1000", "step-0000100x", "step--0000100", "step-+0001000", "step-000001000", "stop-00001000", ".tmp-step-00001000-abc"} {
		if step, ok := stepOf(name); ok {
			t.Errorf("%q was taken for step %d", name, step)
		}
	}
}

func TestLatest(t *testing.T) {
	run := filepath.Join(t.TempDir(), "run")
	wantError(t, third(Latest(run)), "no such directory")
	if err := os.Mkdir(run, 0o777); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(run, "metrics.jsonl"), nil)
	wantError(t, third(Latest(run)), "holds no checkpoint")

	for _, step := range []int{99999999, 100000000, 20, 3} { // the numeric order is not the order of the names
		mustSave(t, StepDir(run, step), at(step))
	}
	// What a dead process left, and what only looks like a step.
	mustSave(t, tempName(StepDir(run, 200000000)), at(200000000))
	mustSave(t, filepath.Join(run, "step-300000000-copy"), at(300000000))
	writeFile(t, filepath.Join(run, "step-400000000"), []byte("a file"))
	m, skipped, err := Latest(run)
	if err != nil || len(skipped) != 0 || stepIn(t, m) != 100000000 {
		t.Fatalf("got %v, skipped %v, error %v, want step 100000000", m, skipped, err)
	}
}

func TestLatestFallsBackAndSaysSo(t *testing.T) {
	run := filepath.Join(t.TempDir(), "run")
	for step := range 4 {
		mustSave(t, StepDir(run, step), at(step))
	}
	damage(t, StepDir(run, 3))
	if err := os.Remove(filepath.Join(StepDir(run, 2), manifestName)); err != nil {
		t.Fatal(err)
	}
	m, skipped, err := Latest(run)
	if err != nil || stepIn(t, m) != 1 || len(skipped) != 2 {
		t.Fatalf("got %v, skipped %v, error %v, want step 1 and two skipped", m, skipped, err)
	}
	wantError(t, skipped[0], filepath.Join(StepDir(run, 3), "unet", weightsName)+": was changed or damaged")
	wantError(t, skipped[1], StepDir(run, 2)+": was not finished, or lost its manifest.json")

	damage(t, StepDir(run, 1))
	damage(t, StepDir(run, 0))
	m, skipped, err = Latest(run)
	if m != nil || len(skipped) != 4 {
		t.Errorf("got %v, skipped %v", m, skipped)
	}
	wantError(t, err, "none of its 4 checkpoints can be used")
	wantError(t, err, StepDir(run, 0)) // each with its reason
}

func TestNewest(t *testing.T) {
	root := t.TempDir()
	wantError(t, third(Newest(filepath.Join(root, "none"))), "no such directory")
	wantError(t, third(Newest(root)), "holds no checkpoint")
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, c := range []struct {
		run  string
		step int
	}{{"z", 900}, {"a", 5}, {"m", 10}, {"a", 6}, {"b", 1}} { // in the order of time, not of names or steps
		dir := StepDir(filepath.Join(root, c.run), c.step)
		mustSave(t, dir, at(c.step))
		when := start.Add(time.Duration(i) * time.Hour)
		if err := os.Chtimes(filepath.Join(dir, manifestName), when, when); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(root, "notes.txt"), nil)
	for _, want := range []struct {
		run     string
		step    int
		skipped int
	}{{"b", 1, 0}, {"a", 6, 1}, {"m", 10, 2}, {"a", 5, 3}, {"z", 900, 4}} {
		m, skipped, err := Newest(root)
		if err != nil || len(skipped) != want.skipped {
			t.Fatalf("got %v, skipped %v, error %v, want step %d of %s", m, skipped, err, want.step, want.run)
		}
		if got := stepIn(t, m); got != want.step || m.Dir != StepDir(filepath.Join(root, want.run), want.step) {
			t.Errorf("got step %d in %s, want step %d of %s", got, m.Dir, want.step, want.run)
		}
		damage(t, m.Dir)
	}
	wantError(t, third(Newest(root)), "none of its 5 checkpoints")
}

func TestPrune(t *testing.T) {
	run := filepath.Join(t.TempDir(), "run")
	for step := range 6 {
		mustSave(t, StepDir(run, step), at(step))
	}
	if err := os.Truncate(filepath.Join(StepDir(run, 4), "unet", weightsName), 1); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(run, "metrics.jsonl"), nil)
	if err := Prune(run, 9); err != nil {
		t.Fatal(err)
	}
	wantNames(t, run, "metrics.jsonl", "step-00000000", "step-00000001", "step-00000002", "step-00000003", "step-00000004", "step-00000005")
	if err := Prune(run, 2); err != nil {
		t.Fatal(err)
	}
	// Step 4 is broken, so the two newest whole ones are 5 and 3.
	wantNames(t, run, "metrics.jsonl", "step-00000003", "step-00000004", "step-00000005")
}

// A reader that looks again and again while checkpoints come and go always finds one, and never half of one.
func TestReadWhileWriting(t *testing.T) {
	const steps, keep = 20, 3
	run := filepath.Join(t.TempDir(), "run")
	mustSave(t, StepDir(run, 0), at(0))
	done := make(chan error)
	go func() {
		var err error
		for step := 1; step <= steps && err == nil; step++ {
			if err = Save(StepDir(run, step), at(step)); err == nil {
				err = Prune(run, keep)
			}
		}
		done <- err
	}()
	seen := []int{0}
	for writing := true; writing; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			writing = false
		default:
		}
		m, skipped, err := Latest(run)
		if err != nil || len(skipped) != 0 {
			t.Fatalf("skipped %v, error %v", skipped, err)
		}
		seen = append(seen, stepIn(t, m))
	}
	if !slices.IsSorted(seen) || seen[len(seen)-1] != steps {
		t.Errorf("saw the steps %v, want them ascending to %d", slices.Compact(seen), steps)
	}
}

// third returns the error of a call that returns two values and an error.
func third[T, U any](_ T, _ U, err error) error { return err }
