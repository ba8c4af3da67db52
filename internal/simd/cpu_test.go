package simd

import (
	"errors"
	"os"
	"os/exec"
	"testing"
)

// implementations runs f as a subtest under each implementation this machine
// has, and under plain Go. Such tests cannot run in parallel with others.
func implementations(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	eachImplementation(func(name string) { t.Run(name, f) })
}

// benchmarks is implementations for benchmarks.
func benchmarks(b *testing.B, f func(b *testing.B)) {
	b.Helper()
	eachImplementation(func(name string) { b.Run(name, f) })
}

func eachImplementation(f func(name string)) {
	avx512, avx2, neon := useAVX512, useAVX2, useNEON
	defer func() { useAVX512, useAVX2, useNEON = avx512, avx2, neon }()
	if avx512 {
		f(Implementation())
	}
	useAVX512 = false
	if avx2 {
		f(Implementation())
	}
	useAVX2 = false
	if neon {
		f(Implementation())
	}
	useNEON = false
	f(Implementation())
}

// TestGODEBUG runs this test again in a process of its own for each setting,
// since the choice is made when the program starts.
func TestGODEBUG(t *testing.T) {
	if want := os.Getenv("SIMD_WANT"); want != "" {
		if got := Implementation(); got != want {
			t.Fatalf("under GODEBUG=%s: got %s, want %s", os.Getenv("GODEBUG"), got, want)
		}
		return
	}
	type choice struct{ setting, want string }
	choices := []choice{{os.Getenv("GODEBUG"), Implementation()}}
	switch {
	case useAVX512:
		choices = append(choices, choice{"cpu.avx512f=off", "avx2"})
		fallthrough
	case useAVX2:
		choices = append(choices, choice{"cpu.avx2=off", "go"}, choice{"cpu.fma=off", "go"})
	case useNEON:
		choices = append(choices, choice{"cpu.asimd=off", "go"})
	}
	for _, c := range choices {
		cmd := exec.Command(os.Args[0], "-test.run=^TestGODEBUG$")
		cmd.Env = append(os.Environ(), "GODEBUG="+c.setting, "SIMD_WANT="+c.want)
		out, err := cmd.CombinedOutput()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Skip(err) // under an emulator
		}
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}
