package checkpoint

// A model directory is a diffusers pipeline, with the state of its training beside it:
//
//	model_index.json                              which classes the parts are
//	unet/config.json                              the network
//	unet/diffusion_pytorch_model.safetensors      its weights, the averaged ones
//	scheduler/scheduler_config.json               the noise schedule and the sampler
//	README.md                                     the model card
//	train_state.json, train_state.safetensors     what resuming needs: counters, raw weights, moments, averages
//	manifest.json                                 checksums of all of these
//
// The configurations are JSON that this package carries and does not understand.

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
)

// DiffusersVersion is the release of diffusers whose files these are.
const DiffusersVersion = "0.42.1"

const (
	unetDir       = "unet"
	schedulerDir  = "scheduler"
	configName    = "config.json"
	weightsName   = "diffusion_pytorch_model.safetensors"
	pickleName    = "diffusion_pytorch_model.bin"
	schedulerName = "scheduler_config.json"
	stateName     = "train_state.json"
	tensorsName   = "train_state.safetensors"
)

// Content is what [Save] puts into a model directory.
type Content struct {
	Config    any     // the U-Net's configuration, anything encoding/json can encode
	Scheduler any     // the scheduler's configuration; "_class_name" says which scheduler
	Weights   []Named // in the layout of files
	Card      string  // README.md

	State        any     // what resuming needs to know; nil for a model that is finished
	StateTensors []Named // what resuming needs to load
}

// Save writes a model directory, whole or not at all. See [Write].
func Save(dir string, c Content) error {
	return Write(dir, func(w *Writer) error {
		index, err := indexOf(c.Config, c.Scheduler)
		if err != nil {
			return err
		}
		w.JSON("model_index.json", index)
		w.JSON(unetDir+"/"+configName, c.Config)
		w.JSON(schedulerDir+"/"+schedulerName, c.Scheduler)
		w.Text("README.md", c.Card)
		w.Tensors(unetDir+"/"+weightsName, c.Weights)
		if c.State != nil {
			w.JSON(stateName, c.State)
			w.Tensors(tensorsName, c.StateTensors)
		}
		return nil
	})
}

// indexOf returns model_index.json: for each part of the pipeline, the library and the class that read it.
func indexOf(config, scheduler any) (map[string]any, error) {
	index := map[string]any{"_class_name": "DDPMPipeline", "_diffusers_version": DiffusersVersion}
	for part, v := range map[string]any{"unet": config, "scheduler": scheduler} {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("configuration of the %s: %w", part, err)
		}
		var c struct {
			Class string `json:"_class_name"`
		}
		if err := json.Unmarshal(text, &c); err != nil || c.Class == "" {
			panic(fmt.Sprintf("checkpoint: Save: got a configuration of the %s without _class_name, want one that diffusers can read", part))
		}
		index[part] = []string{"diffusers", c.Class}
	}
	return index, nil
}

// Model is a model directory opened for reading.
type Model struct {
	Dir       string
	Config    []byte  // unet/config.json
	Scheduler []byte  // scheduler_config.json; nil if the directory has none
	Weights   *Reader // of one file or of several shards

	State        []byte  // train_state.json; nil if the model cannot be resumed
	StateTensors *Reader // nil if State is
}

// OpenModel opens a pipeline directory, or one that holds a bare U-Net: its configuration and its weights. If there is
// a manifest, every file is checked against it first. The caller closes the model when it has loaded what it needs.
func OpenModel(dir string) (_ *Model, err error) {
	if !exists(dir) {
		return nil, &Error{Path: dir, Problem: "no such directory"}
	}
	if exists(dir, manifestName) {
		if err := Verify(dir); err != nil {
			return nil, err
		}
	}
	m := &Model{Dir: dir}
	defer func() {
		if err != nil {
			m.Close()
		}
	}()
	unet, scheduler := filepath.Join(dir, unetDir), filepath.Join(dir, schedulerDir)
	if !exists(unet, configName) {
		unet, scheduler = dir, dir
	}
	if !exists(unet, configName) {
		return nil, &Error{
			Path:    dir,
			Problem: "holds neither unet/config.json nor config.json",
			Remedy:  "name a diffusers pipeline directory or the directory of a U-Net",
		}
	}
	if m.Config, err = readText(filepath.Join(unet, configName), maxText); err != nil {
		return nil, err
	}
	if exists(scheduler, schedulerName) {
		if m.Scheduler, err = readText(filepath.Join(scheduler, schedulerName), maxText); err != nil {
			return nil, err
		}
	}
	if m.Weights, err = openWeights(unet); err != nil {
		return nil, err
	}
	if exists(dir, stateName) {
		if m.State, err = readText(filepath.Join(dir, stateName), maxText); err != nil {
			return nil, err
		}
		if m.StateTensors, err = Open(filepath.Join(dir, tensorsName)); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Close closes the model's files.
func (m *Model) Close() error {
	var errs []error
	for _, r := range []*Reader{m.Weights, m.StateTensors} {
		if r != nil {
			errs = append(errs, r.Close())
		}
	}
	return errors.Join(errs...)
}

// openWeights opens the weights in the directory of a U-Net, by the names that diffusers gives them.
func openWeights(unet string) (*Reader, error) {
	for _, name := range []string{weightsName, weightsName + ".index.json", pickleName} {
		if exists(unet, name) {
			return Open(filepath.Join(unet, name))
		}
	}
	return nil, &Error{Path: unet, Problem: "holds no " + weightsName}
}
