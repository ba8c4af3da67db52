package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ddpm/checkpoint"
	"ddpm/cmd/internal/exit"
	"ddpm/cmd/internal/model"
	"ddpm/data"
	"ddpm/layers"
)

// state is what a checkpoint's train_state.json says: all that a run needs, beside its numbers, to go on as if it had
// never stopped. What is random is a function of (seed, step), so there is no generator to keep.
type state struct {
	Format int `json:"format"`
	progress
	Updates  int           `json:"updates"`          // steps that Adam and the averages have taken
	Losses   [][]float64   `json:"losses,omitempty"` // of diffusion.SecondMoment, for -draw second-moment
	Spent    time.Duration `json:"spent"`
	Digest   string        `json:"data_sha256"`
	Settings settings      `json:"settings"`
}

// format is the version of state.
const format = 1

// save keeps the run as it stands: the first average is the model, all else the state.
func (r *run) save() error {
	if name := firstBad(r.net.Params.All(), false); name != "" {
		return exit.Diverge("the weights of %s are no numbers any more after step %d, which is not saved; the checkpoints in %s are from before; start another run with a lower -lr", name, r.Step, r.dir)
	}
	err := checkpoint.Save(checkpoint.StepDir(r.dir, r.Step), checkpoint.Content{
		Config: r.net.Config, Scheduler: r.scheduler, Card: r.card(),
		Weights:      model.Named(r.net.Params, "", r.averages[0].weights),
		State:        r.state(),
		StateTensors: r.stateTensors(),
	})
	if err != nil {
		return fmt.Errorf("cannot save step %d, earlier checkpoints in %s are as they were: %w", r.Step, r.dir, err)
	}
	r.saved = r.Step
	if err := r.report.flush(); err != nil {
		return err
	}
	return checkpoint.Prune(r.dir, r.Keep)
}

// state returns what train_state.json is to say.
func (r *run) state() state {
	s := state{Format: format, progress: r.progress, Updates: r.moments.T, Spent: r.spent(), Digest: r.digest, Settings: r.settings}
	if r.losses != nil {
		s.Losses = r.losses.Losses
	}
	return s
}

// spent returns the time that the run has taken so far, in all its parts.
func (r *run) spent() time.Duration { return r.before + time.Since(r.began) }

// resume takes up a run where its newest whole checkpoint left it.
func resume(s settings, given map[string]bool) (*run, error) {
	r := &run{dir: s.Out}
	if r.dir == "" {
		var err error
		if r.dir, err = newestRun(); err != nil {
			return nil, err
		}
	}
	if err := checkpoint.Clean(r.dir); err != nil {
		return nil, cannotWrite(r.dir, err)
	}
	m, skipped, err := checkpoint.Latest(r.dir)
	if err != nil {
		return nil, fmt.Errorf("%w; train without -resume starts anew", err)
	}
	defer m.Close()
	warn(skipped)
	var st state
	if err := json.Unmarshal(m.State, &st); err != nil || m.State == nil || st.Format != format {
		return nil, exit.Bad(filepath.Join(m.Dir, "train_state.json"), fmt.Errorf("is not the state of a run of this program (%v); start a new run from the model with -init %s", err, m.Dir))
	}
	if r.settings, err = merge(st.Settings, s, given); err != nil {
		return nil, err
	}
	r.progress, r.before, r.saved = st.progress, st.Spent, st.Step
	if err := r.openData(); err != nil {
		return nil, err
	}
	if r.digest != st.Digest {
		return nil, exit.Usage("the images of %s are not those that %s was trained on; give -data as they were", r.Data, r.dir)
	}
	if err := r.load(m, st); err != nil {
		return nil, err
	}
	return r, r.openReport()
}

// load reads a checkpoint's numbers.
func (r *run) load(m *checkpoint.Model, st state) error {
	cfg, err := layers.ParseConfig(m.Config)
	if err != nil {
		return exit.Bad(m.Dir, err)
	}
	if r.net, err = layers.New(cfg, r.Seed); err != nil {
		return exit.Bad(m.Dir, err)
	}
	if r.scheduler, err = model.Scheduler(m); err != nil {
		return err
	}
	if err := r.prepare(); err != nil {
		return err
	}
	if r.losses != nil {
		if len(st.Losses) != len(r.losses.Losses) {
			return exit.Bad(filepath.Join(m.Dir, "train_state.json"), fmt.Errorf("has losses for %d times, which -draw second-moment needs for %d; start a new run from the model with -init %s", len(st.Losses), len(r.losses.Losses), m.Dir))
		}
		r.losses.Losses = st.Losses
	}
	r.moments.T = st.Updates
	if err := checkpoint.Load(m.Weights, model.Named(r.net.Params, "", r.averages[0].weights)); err != nil {
		return err
	}
	return checkpoint.Load(m.StateTensors, r.stateTensors())
}

// stateTensors lists what a run must remember beside the model: the weights themselves, Adam's moments, and the averages
// that are not published.
func (r *run) stateTensors() []checkpoint.Named {
	p := r.net.Params
	list := slices.Concat(
		model.Named(p, "weights/", p.Values()),
		model.Named(p, "adam.m/", r.moments.M),
		model.Named(p, "adam.v/", r.moments.V),
	)
	for i, a := range r.averages[1:] {
		list = append(list, model.Named(p, fmt.Sprintf("ema.%d/", i+1), a.weights)...)
	}
	return list
}

// newestRun returns the run that wrote to its log last.
func newestRun() (string, error) {
	logs, _ := filepath.Glob(filepath.Join(model.Runs, "*", metricsName))
	newest, at := "", time.Time{}
	for _, log := range logs {
		if info, err := os.Stat(log); err == nil && !info.ModTime().Before(at) {
			newest, at = filepath.Dir(log), info.ModTime()
		}
	}
	if newest == "" {
		return "", exit.Usage("-resume: there is no run under %s; name one with -out DIR, or train without -resume", model.Runs)
	}
	return newest, nil
}

// changeable are the flags that a resumed run may be given anew. The data may have moved, but must be the same.
var changeable = []string{"data", "steps", "for", "save-every", "sample-every", "keep", "log", "out", "resume"}

// merge returns the saved settings with those flags that were given. It refuses the others unless they say the same.
func merge(saved, s settings, given map[string]bool) (settings, error) {
	merged := saved
	was, is := flags(&merged), flags(&s)
	for name := range given {
		before, now := was.Lookup(name).Value.String(), is.Lookup(name).Value.String()
		switch {
		case saved.Init != "" && slices.Contains(published, name):
			return s, exit.Usage("-resume: the network, and what it has learned, are those of -init %s, which the run was started from; leave -%s out", saved.Init, name)
		case before == now:
		case saved.Rate == "cosine" && name == "steps":
			return s, exit.Usage("-resume: the learning rate of this run falls until step %s, which -steps %s contradicts; leave the flag out, or start another run from its model with -init", before, now)
		case !slices.Contains(changeable, name):
			return s, exit.Usage("-resume: the run was started with -%s %s, which -%s %s contradicts; leave the flag out, or start another run", name, before, name, now)
		default:
			if err := was.Set(name, now); err != nil {
				return s, err
			}
		}
	}
	// As at the start, a limit that is given alone is the only one.
	if given["for"] && !given["steps"] && saved.Rate != "cosine" {
		merged.Steps = 0
	}
	if given["steps"] && !given["for"] {
		merged.For = 0
	}
	return merged, nil
}

// digest returns a SHA-256 of a set's images and labels.
func digest(s *data.Set) string {
	h := sha256.New()
	fmt.Fprintln(h, s.Len(), s.H, s.W, s.C, s.Classes)
	h.Write(s.Pixels)
	for _, l := range s.Labels {
		h.Write(binary.LittleEndian.AppendUint32(nil, uint32(l)))
	}
	return hex.EncodeToString(h.Sum(nil))
}
