package tests

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	_ "image/gif"
	_ "image/png"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// The commands as their users have them: built once, run as processes, judged by exit code, files and what they say.

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

var built string // the directory of the commands, once there is one

// binaries builds the commands and returns their directory.
var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "ddpm-commands-")
	if err != nil {
		return "", err
	}
	built = dir
	lookAtSources()
	out, err := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "ddpm/cmd/train", "ddpm/cmd/sample", "ddpm/cmd/export").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, out)
	}
	return dir, err
})

// lookAtSources lists the directories that the commands are built from, which makes go test run these tests again when a
// file there has changed: it knows what a test imports and opens, not what it has built.
func lookAtSources() {
	for _, dir := range []string{"cmd", "data", "checkpoint", "diffusion", "layers", "autograd", "optim", "tensor", "internal"} {
		filepath.WalkDir(filepath.Join("..", dir), func(string, os.DirEntry, error) error { return nil })
	}
}

// call is a command that has ended.
type call struct {
	code        int
	out, errors string
}

// prepared returns a command that will run in dir.
func prepared(t testing.TB, dir, name string, args ...string) *exec.Cmd {
	t.Helper()
	bin, err := binaries()
	require.NoError(t, err)
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	c := exec.Command(filepath.Join(bin, name), args...)
	c.Dir = dir
	return c
}

func run(t testing.TB, c *exec.Cmd) call {
	t.Helper()
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return call{c.ProcessState.ExitCode(), out.String(), errs.String()}
}

// succeed runs a command that is to succeed, and returns what it printed.
func succeed(t testing.TB, dir, name string, args ...string) string {
	t.Helper()
	got := run(t, prepared(t, dir, name, args...))
	require.Zero(t, got.code, "%s %v: %s", name, args, got.errors)
	return got.out
}

// small is a network that takes a step in a millisecond or two.
var small = strings.Fields("-preset tiny -channels 8,16 -groups 4 -batch 8 -sample-every 0")

func with(flags []string, more ...string) []string {
	return append(flags[:len(flags):len(flags)], more...)
}

func TestTrainThenSample(t *testing.T) {
	dir := t.TempDir()
	out := succeed(t, dir, "train", with(small, "-steps", "12", "-sample-every", "6", "-save-every", "5", "-keep", "2")...)
	require.Contains(t, out, "train -resume")

	runs, err := filepath.Glob(filepath.Join(dir, "runs", "tiny-*"))
	require.NoError(t, err)
	require.Len(t, runs, 1)
	for _, name := range []string{
		"step-00000010/manifest.json", "step-00000012/unet/config.json", "step-00000012/scheduler/scheduler_config.json",
		"step-00000012/train_state.json", "samples/step-00000006.png", "samples/step-00000012.png", "loss.png",
	} {
		require.FileExists(t, filepath.Join(runs[0], name))
	}
	require.NoDirExists(t, filepath.Join(runs[0], "step-00000005"), "-keep 2")
	metrics := readMetrics(t, filepath.Join(runs[0], "metrics.jsonl"))
	require.Len(t, metrics, 12)
	require.InDelta(t, 1, metrics[0]["loss"], 0.1, "a fresh network predicts nothing")
	for _, key := range []string{"step", "grad_norm", "lr", "images_per_s", "skipped", "loss_quartile"} {
		require.Contains(t, metrics[0], key)
	}

	succeed(t, dir, "sample", "-n", "5", "-steps", "4", "-scale", "3", "-dir", "images", "-gif", "x.gif")
	require.Equal(t, image.Pt(3*(3*8+2)+2, 2*(3*8+2)+2), pictureSize(t, filepath.Join(dir, "grid.png")))
	require.Equal(t, image.Pt(8, 8), pictureSize(t, filepath.Join(dir, "images", "00004.png")), "native size")
	require.NoFileExists(t, filepath.Join(dir, "images", "00005.png"))
	pictureSize(t, filepath.Join(dir, "x.gif"))
	require.Contains(t, succeed(t, dir, "sample", "-info"), "parameters")
	for _, sampler := range []string{"ddim", "dpmpp", "dpmpp1", "dpmpp-sde", "heun"} {
		succeed(t, dir, "sample", "-n", "1", "-steps", "3", "-sampler", sampler)
	}
}

func TestClassesAndGuidance(t *testing.T) {
	dir := t.TempDir()
	succeed(t, dir, "train", with(small, "-steps", "40", "-lr", "0.01", "-ema", "0.5", "-warmup", "0", "-classes", "-out", "run")...)
	pixels := map[string]bool{}
	for _, flags := range []string{"-class 1", "-class 2", "-class 2 -guidance 4"} {
		succeed(t, dir, "sample", strings.Fields("-model run -n 1 -steps 10 -dir "+t.Name()+" "+flags)...)
		data, err := os.ReadFile(filepath.Join(dir, t.Name(), "00000.png"))
		require.NoError(t, err)
		pixels[string(data)] = true
	}
	require.Len(t, pixels, 3, "each class and each scale of guidance has its own picture")
	require.Equal(t, 2, run(t, prepared(t, dir, "sample", "-model", "run", "-class", "10")).code, "the label for \"unknown\" is no class")
}

// TestFoldersAndFineTuning trains on a folder of pictures, those of another model, and from that model's weights.
func TestFoldersAndFineTuning(t *testing.T) {
	dir := t.TempDir()
	succeed(t, dir, "train", with(small, "-steps", "2", "-out", "first")...)
	for _, class := range []string{"a", "b"} {
		succeed(t, dir, "sample", "-model", "first", "-n", "8", "-steps", "2", "-out", "", "-dir", filepath.Join("photos", class))
	}
	succeed(t, dir, "train", with(small, "-data", "photos", "-side", "16", "-classes", "-in-channels", "3", "-steps", "2", "-out", "folder")...)
	require.Contains(t, succeed(t, dir, "sample", "-model", "folder", "-info"), "16×16, 3 in")

	out := succeed(t, dir, "train", "-data", "photos", "-init", "first", "-batch", "4", "-steps", "2", "-out", "second")
	require.Contains(t, out, "8×8")
	succeed(t, dir, "train", "-resume", "-out", "second", "-steps", "3")
	got := run(t, prepared(t, dir, "train", "-data", "photos", "-init", "first", "-in-channels", "3", "-out", "third"))
	require.Equal(t, 2, got.code, "grey model, colour images: %s", got.errors)
}

func TestBench(t *testing.T) {
	out := succeed(t, t.TempDir(), "train", with(small, "-bench", "1")...)
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	for _, key := range []string{"train_ms", "infer_ms", "train_img_s", "infer_img_s", "params", "batch", "gflop_per_step", "gflops", "peak_rss_mb", "allocs_per_step", "cpu", "gomaxprocs"} {
		require.Contains(t, got, key)
	}
	require.Equal(t, 8.0, got["batch"])
}

// TestSignalsSave stops a run by a signal, and takes it up again.
func TestSignalsSave(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be sent these signals there")
	}
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		dir := t.TempDir()
		c := prepared(t, dir, "train", with(small, "-steps", "0", "-out", "run", "-log", "json")...)
		out, err := c.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, c.Start())
		lines := bufio.NewScanner(out)
		for lines.Scan() && !strings.HasPrefix(lines.Text(), `{"step":5,`) {
		}
		require.NoError(t, c.Process.Signal(signal))
		for lines.Scan() {
		}
		c.Wait()
		require.Equal(t, 128+int(signal), c.ProcessState.ExitCode())

		saved, err := filepath.Glob(filepath.Join(dir, "run", "step-*"))
		require.NoError(t, err)
		require.Len(t, saved, 1)
		var step int
		_, err = fmt.Sscanf(filepath.Base(saved[0]), "step-%d", &step)
		require.NoError(t, err)
		require.Len(t, readMetrics(t, filepath.Join(dir, "run", "metrics.jsonl")), step)
		succeed(t, dir, "train", "-resume", "-out", "run", "-steps", fmt.Sprint(step+2))
		require.Len(t, readMetrics(t, filepath.Join(dir, "run", "metrics.jsonl")), step+2)
	}
}

func TestResumePassesOverCorruptCheckpoints(t *testing.T) {
	dir := t.TempDir()
	succeed(t, dir, "train", with(small, "-steps", "10", "-save-every", "5", "-out", "run")...)
	flipByte(t, filepath.Join(dir, "run", "step-00000010", "train_state.safetensors"))
	got := run(t, prepared(t, dir, "train", "-resume", "-out", "run", "-steps", "7"))
	require.Zero(t, got.code, got.errors)
	require.Contains(t, got.errors, "warning")
	require.Contains(t, got.errors, "step-00000010")
	require.DirExists(t, filepath.Join(dir, "run", "step-00000007"))

	for _, name := range []string{"step-00000005", "step-00000007"} {
		flipByte(t, filepath.Join(dir, "run", name, "unet", "diffusion_pytorch_model.safetensors"))
	}
	before := tree(t, dir)
	got = run(t, prepared(t, dir, "train", "-resume", "-out", "run", "-steps", "20"))
	require.Equal(t, 3, got.code, got.errors)
	require.Equal(t, before, tree(t, dir), "nothing is begun afresh")
	require.Equal(t, 3, run(t, prepared(t, dir, "sample", "-model", "run")).code)
}

func TestHelpFitsAScreen(t *testing.T) {
	for _, name := range []string{"train", "sample"} {
		out := succeed(t, t.TempDir(), name, "-h")
		require.LessOrEqual(t, strings.Count(out, "\n"), 48, name)
		for line := range strings.Lines(out) {
			require.LessOrEqual(t, len([]rune(line)), 122, line)
		}
	}
}

func readMetrics(t testing.TB, path string) (lines []map[string]any) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	for line := range bytes.Lines(data) {
		var v map[string]any
		require.NoError(t, json.Unmarshal(line, &v))
		require.EqualValues(t, len(lines)+1, v["step"])
		lines = append(lines, v)
	}
	return lines
}

func pictureSize(t testing.TB, path string) image.Point {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	m, _, err := image.Decode(f)
	require.NoError(t, err)
	return m.Bounds().Size()
}

// tree lists all files below dir with their sizes.
func tree(t testing.TB, dir string) (files []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if !e.IsDir() {
			path += fmt.Sprintf(" %d", info.Size())
		}
		files = append(files, path)
		return nil
	}))
	return files
}

func put(t testing.TB, dir, name string, data []byte) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
	require.NoError(t, os.WriteFile(path, data, 0o666))
}

func edit(t testing.TB, path, old, new string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(data), old)
	require.NoError(t, os.WriteFile(path, bytes.Replace(data, []byte(old), []byte(new), 1), 0o666))
}

func flipByte(t testing.TB, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data[len(data)-5] ^= 0x10
	require.NoError(t, os.WriteFile(path, data, 0o666))
}
