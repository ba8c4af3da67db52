package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"ddpm/cmd/internal/screen"
	"ddpm/diffusion"
	"ddpm/internal/simd"
	"ddpm/optim"
)

// metricsName is the file of a run with a line for every step.
const metricsName = "metrics.jsonl"

// record is a line of metrics.jsonl.
type record struct {
	Step      int       `json:"step"`
	Loss      number    `json:"loss"`
	GradNorm  number    `json:"grad_norm"` // before clipping
	LR        float64   `json:"lr"`
	Rate      float64   `json:"images_per_s"`
	Skipped   int       `json:"skipped"`       // steps so far whose loss or gradient was not finite
	Quartiles [4]number `json:"loss_quartile"` // mean loss of the images with t in each quarter of 1…T, the least noisy first
}

// number is a float64 that JSON can say: NaN and the infinities become null.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	if !finite(float64(n)) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// report shows how a run goes: on the screen, in metrics.jsonl, and as lines of JSON if asked to.
type report struct {
	screen  *screen.Screen
	file    *os.File
	metrics *bufio.Writer
	lines   *bufio.Writer // JSON to standard output, or nil
	err     error         // the first failure to write metrics

	loss smoothed
	norm float64
	rate smoothed // images per second
	last time.Time
}

// openReport opens a run's report. Lines of metrics.jsonl from beyond the step it resumes at are dropped: they will come
// again.
func (r *run) openReport() error {
	path := filepath.Join(r.dir, metricsName)
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cannotWrite(r.dir, err)
	}
	if err := os.WriteFile(path, upTo(old, r.Step), 0o666); err != nil {
		return cannotWrite(r.dir, err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return cannotWrite(r.dir, err)
	}
	r.report = &report{screen: screen.New(os.Stdout), file: f, metrics: bufio.NewWriter(f)}
	if r.Log == "json" {
		r.report.screen = screen.New(os.Stderr)
		r.report.lines = bufio.NewWriter(os.Stdout)
	}
	r.began, r.report.last = time.Now(), time.Now()
	return nil
}

// upTo returns the lines of metrics for the steps up to last.
func upTo(metrics []byte, last int) []byte {
	var kept []byte
	for line := range bytes.Lines(metrics) {
		var rec struct{ Step int }
		if json.Unmarshal(line, &rec) == nil && rec.Step <= last {
			kept = append(kept, line...)
		}
	}
	return kept
}

// step reports a step.
func (p *report) step(r *run, loss stepLoss, norm, lr float64) {
	now := time.Now()
	rate := float64(r.Batch) / now.Sub(p.last).Seconds()
	p.last = now
	p.rate.add(rate)
	p.loss.add(loss.mean)
	p.norm = norm
	line, err := json.Marshal(record{r.Step, number(loss.mean), number(norm), lr, math.Round(10*rate) / 10, r.Skipped, quartiles(loss, r.objective.Schedule.T())})
	if err != nil {
		panic(err) // every field can be said in JSON
	}
	line = append(line, '\n')
	if _, err := p.metrics.Write(line); err != nil && p.err == nil {
		p.err = err
	}
	if p.lines != nil {
		p.lines.Write(line)
		p.lines.Flush()
	}
	p.screen.Progress(r.done(), func() string { return p.line(r) })
}

// line is the text beside the bar.
func (p *report) line(r *run) string {
	text := fmt.Sprintf("step %s", screen.Count(r.Step))
	if r.Steps > 0 {
		text += "/" + screen.Count(r.Steps)
	}
	text += fmt.Sprintf("  loss %.4f  gradient %.3f  %.0f images/s", p.loss.value(), p.norm, p.rate.value())
	if r.Skipped > 0 {
		text += fmt.Sprintf("  %d skipped", r.Skipped)
	}
	if left, ok := r.left(time.Duration(float64(r.Batch) / p.rate.value() * float64(time.Second))); ok {
		text += "  " + screen.Duration(left) + " left"
	}
	return text
}

// done returns how much of the run is done, in [0, 1], or -1 if it has no end.
func (r *run) done() float64 {
	done := -1.0
	if r.Steps > 0 {
		done = float64(r.Step) / float64(r.Steps)
	}
	if r.For > 0 {
		done = max(done, r.spent().Seconds()/r.For.Seconds())
	}
	return done
}

// left returns how much longer the run takes if a step takes as long as given.
func (r *run) left(step time.Duration) (left time.Duration, known bool) {
	if r.Steps > 0 {
		left, known = time.Duration(r.Steps-r.Step)*step, true
	}
	if limit := r.For - r.spent(); r.For > 0 && (!known || limit < left) {
		left, known = limit, true
	}
	return left, known
}

// sampled tells of a picture, whose time is not the next step's.
func (p *report) sampled(step int, path string) {
	p.screen.Printf("step %s: samples in %s", screen.Count(step), path)
	p.last = time.Now()
}

// flush writes to disk what is buffered.
func (p *report) flush() error {
	if p.err == nil {
		p.err = p.metrics.Flush()
	}
	if p.err != nil {
		return fmt.Errorf("cannot write %s: %w", p.file.Name(), p.err)
	}
	return nil
}

func (r *run) close() { r.report.file.Close() }

// smoothed is an exponential moving average that forgets its start.
type smoothed struct{ sum, weight float64 }

const smoothing = 0.98

func (s *smoothed) add(x float64) {
	if finite(x) {
		s.sum = smoothing*s.sum + (1-smoothing)*x
		s.weight = smoothing*s.weight + (1 - smoothing)
	}
}

func (s *smoothed) value() float64 { return s.sum / s.weight }

// quartiles returns the mean loss of the images whose t lies in each quarter of 1…T.
func quartiles(loss stepLoss, T int) (mean [4]number) {
	var count [4]int
	for _, l := range loss.images {
		q := (l.T - 1) * 4 / T
		mean[q] += number(l.Loss)
		count[q]++
	}
	for q := range mean {
		mean[q] /= number(count[q]) // NaN, that is null, where there is none
	}
	return mean
}

// introduce says what will be done, how long it will take, and how to stop.
func (r *run) introduce() {
	p, cfg := r.report.screen, r.net.Config
	loss, step := r.measure()
	gflop := 6e-9 * float64(r.tape.MACs) // forward, and twice as much backward
	verb := "Training"
	if r.Step > 0 {
		verb = fmt.Sprintf("Resuming at step %s the training of", screen.Count(r.Step))
	}
	p.Printf("%s a diffusion model on %s: %s images of %d×%d in %s.", verb, r.set.Name, screen.Count(r.set.Len()), r.set.W, r.set.H, colour(r.set.C))
	p.Printf("U-Net: widths %s, %d blocks per level, attention %s; %s parameters.", join(cfg.BlockOutChannels, func(c int) string { return fmt.Sprint(c) }),
		cfg.LayersPerBlock, attends(cfg.DownBlockTypes, r.set.H), screen.Count(r.net.Params.Count()))
	p.Printf("A step of %d images is %.3g GFLOP and takes %.0f ms: %.0f GFLOP/s, %.0f images/s (%s, %d processors); memory %d MB.",
		r.Batch, gflop, 1e3*step.Seconds(), gflop/step.Seconds(), float64(r.Batch)/step.Seconds(), simd.Implementation(), runtime.GOMAXPROCS(0), memory()>>20)
	p.Printf("Objective: %s.", r.describe())
	if r.Step == 0 && r.Init == "" && r.objective.Prediction == diffusion.Epsilon && r.Weight == "simple" && !r.learnsVariance() {
		p.Printf("Loss before the first step: %.3f; a fresh network predicts nothing, which is 1.", loss)
	}
	if left, ok := r.left(step); ok {
		p.Printf("%s to go. Ctrl-C saves and stops; to go on then: %s", screen.Duration(left), r.resumeCommand())
	} else {
		p.Printf("No end is set. Ctrl-C saves and stops; to go on then: %s", r.resumeCommand())
	}
	r.began, r.report.last = time.Now(), time.Now()
}

// measure times a step whose result is thrown away. What it took on the way to the memory that a step needs goes back to
// the system, before the optimiser's state is there too.
func (r *run) measure() (loss float64, step time.Duration) {
	const enough = time.Second // the first step of a small network is mostly memory that is seen for the first time
	for range 3 {
		start := time.Now()
		loss = r.gradient(r.Step + 1).mean
		optim.Norm(r.net.Params.Grads())
		step = time.Since(start)
		if step > enough {
			break
		}
	}
	debug.FreeOSMemory()
	return loss, step
}

func colour(channels int) string {
	if channels == 1 {
		return "grey"
	}
	return "colour"
}

func attends(types []string, side int) string {
	text := "in the middle"
	for i, kind := range types {
		if kind == "AttnDownBlock2D" {
			text += fmt.Sprintf(" and at %d×%d", side>>i, side>>i)
		}
	}
	return text
}

func (r *run) resumeCommand() string {
	return screen.Command("train") + " -resume -out " + r.dir
}
