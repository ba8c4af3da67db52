package checkpoint

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ddpm/tensor"
)

var (
	config    = map[string]any{"_class_name": "UNet2DModel", "in_channels": 1}
	scheduler = map[string]any{"_class_name": "DDPMScheduler", "beta_start": 0.0001}
)

// at returns a checkpoint with training state whose every part knows the step.
func at(step int) Content {
	return Content{
		Config:       config,
		Scheduler:    scheduler,
		Weights:      []Named{Plain("w", tensor.From([]float32{float32(step)}, 1))},
		Card:         "# A model\n",
		State:        map[string]int{"step": step},
		StateTensors: []Named{Plain("raw.w", tensor.From([]float32{float32(step)}, 1))},
	}
}

func mustSave(t *testing.T, dir string, c Content) {
	t.Helper()
	if err := Save(dir, c); err != nil {
		t.Fatal(err)
	}
}

// stepIn returns the step that an opened checkpoint of at knows, the same in all its parts.
func stepIn(t *testing.T, m *Model) int {
	t.Helper()
	defer m.Close()
	var state struct{ Step int }
	if err := json.Unmarshal(m.State, &state); err != nil {
		t.Fatal(err)
	}
	w, raw := tensor.New(1), tensor.New(1)
	if err := Load(m.Weights, []Named{Plain("w", w)}); err != nil {
		t.Fatal(err)
	}
	if err := Load(m.StateTensors, []Named{Plain("raw.w", raw)}); err != nil {
		t.Fatal(err)
	}
	if int(w.Data[0]) != state.Step || int(raw.Data[0]) != state.Step {
		t.Fatalf("%s mixes checkpoints: state %d, weights %v, raw weights %v", m.Dir, state.Step, w.Data, raw.Data)
	}
	return state.Step
}

func TestSaveAndOpenModel(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	mustSave(t, dir, at(3))
	m, err := OpenModel(dir)
	if err != nil {
		t.Fatal(err)
	}
	if string(m.Config) != "{\n  \"_class_name\": \"UNet2DModel\",\n  \"in_channels\": 1\n}\n" {
		t.Errorf("got configuration %s", m.Config)
	}
	if string(m.Scheduler) != "{\n  \"_class_name\": \"DDPMScheduler\",\n  \"beta_start\": 0.0001\n}\n" {
		t.Errorf("got scheduler %s", m.Scheduler)
	}
	if got := stepIn(t, m); got != 3 {
		t.Errorf("got step %d, want 3", got)
	}

	finished := at(3)
	finished.State, finished.StateTensors = nil, nil
	mustSave(t, dir, finished)
	m, err = OpenModel(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.State != nil || m.StateTensors != nil {
		t.Error("a finished model came back with training state")
	}
}

// What diffusers itself wrote comes back from an import and an export byte for byte.
func TestDiffusersPipelineRoundTrips(t *testing.T) {
	const original = "../tests/golden/pipeline"
	m, err := OpenModel(original)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	dir := filepath.Join(t.TempDir(), "model")
	mustSave(t, dir, Content{
		Config:    json.RawMessage(m.Config),
		Scheduler: json.RawMessage(m.Scheduler),
		Weights:   fields(t, m.Weights),
	})
	for _, name := range []string{"model_index.json", "unet/config.json", "unet/" + weightsName, "scheduler/scheduler_config.json"} {
		want, err := os.ReadFile(filepath.Join(original, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs from what diffusers wrote (%v)", name, err)
		}
	}
}

func TestOpenModelFindsTheParts(t *testing.T) {
	empty := container("{}", 0)
	shard := container(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4)
	for _, test := range []struct {
		name      string
		files     map[string][]byte
		want      string // in the error
		scheduler bool
	}{
		{"pipeline", map[string][]byte{"unet/config.json": nil, "unet/" + weightsName: empty, "scheduler/scheduler_config.json": {}}, "", true},
		{"pipeline without a scheduler", map[string][]byte{"unet/config.json": nil, "unet/" + weightsName: empty}, "", false},
		{"bare U-Net", map[string][]byte{"config.json": nil, weightsName: empty}, "", false},
		{"everything in one directory", map[string][]byte{"config.json": nil, weightsName: empty, "scheduler_config.json": {}}, "", true},
		{"shards", map[string][]byte{"config.json": nil, "1.safetensors": shard, weightsName + ".index.json": []byte(`{"weight_map":{"a":"1.safetensors"}}`)}, "", false},
		{"safetensors beside a pickle", map[string][]byte{"config.json": nil, weightsName: empty, pickleName: []byte("PK\x03\x04.....")}, "", false},
		{"pickle only", map[string][]byte{"unet/config.json": nil, "unet/" + pickleName: []byte("PK\x03\x04.....")}, "is a PyTorch pickle", false},
		{"no weights", map[string][]byte{"unet/config.json": nil}, "holds no " + weightsName, false},
		{"no configuration", map[string][]byte{"unet/" + weightsName: empty}, "holds neither", false},
		{"weights cut short", map[string][]byte{"config.json": nil, weightsName: empty[:9]}, "bytes after its length", false},
		{"state without tensors", map[string][]byte{"config.json": nil, weightsName: empty, stateName: []byte("{}")}, tensorsName + ": no such file", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, data := range test.files {
				writeFile(t, filepath.Join(dir, name), data)
			}
			m, err := OpenModel(dir)
			if test.want != "" {
				wantError(t, err, test.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if m.Config == nil || m.Weights == nil || (m.Scheduler != nil) != test.scheduler {
				t.Errorf("got %+v", m)
			}
		})
	}
	wantError(t, second(OpenModel(filepath.Join(t.TempDir(), "none"))), "no such directory")
}

func TestOpenModelBelievesTheManifestOverTheFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	mustSave(t, dir, at(1))
	path := filepath.Join(dir, "unet", weightsName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1 // still a valid safetensors file, with another weight
	writeFile(t, path, data)
	wantError(t, second(OpenModel(dir)), path+": was changed or damaged")
}

func TestSaveNeedsClassNames(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	c := at(1)
	c.Scheduler = map[string]any{}
	Save(filepath.Join(t.TempDir(), "model"), c)
}

func TestModelIndexNamesTheScheduler(t *testing.T) {
	index, err := indexOf(config, map[string]any{"_class_name": "DDIMScheduler"})
	if err != nil || !slices.Equal(index["scheduler"].([]string), []string{"diffusers", "DDIMScheduler"}) {
		t.Errorf("got %v, %v", index, err)
	}
}
