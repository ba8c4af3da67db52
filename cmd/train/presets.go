package main

// defaultPreset is what train does when it is asked for nothing.
const defaultPreset = "mnist"

// dataPreset is the preset for data that none was made for.
const dataPreset = "mnist"

// presets are bundles of defaults, which flags override. All of them follow the paper where they can: linear schedule,
// T = 1000, a network that predicts ε, L_simple, Adam, gradients clipped to norm 1, samples from averaged weights. What
// departs from it are the sizes, and the learning rates of the small networks.
var presets = map[string]settings{
	"tiny": {
		Data: "digits", Side: 8, Colours: 1,
		Channels: ints{32, 64}, Layers: 1, Attention: bools{false, true}, Groups: 8,
		Steps: 1000, Batch: 128, LR: 1e-3, Warmup: 100, EMA: floats{0.99}, SaveEvery: 500, SampleEvery: 250,
	},
	"digits": {
		Data: "digits", Side: 8, Colours: 1,
		Channels: ints{32, 64}, Layers: 2, Attention: bools{false, true}, Groups: 8,
		Steps: 2500, Batch: 128, LR: 2e-3, Warmup: 100, EMA: floats{0.998}, SaveEvery: 500, SampleEvery: 500,
	},
	// Made for three minutes on two processors. A third level of 128 channels had the same loss step for step and took 1.5
	// times as long; batches of 64 had a higher one, image for image; a learning rate of 2e-3 the same in the end.
	"mnist": {
		Data: "mnist", Side: 28, Colours: 1,
		Channels: ints{32, 64, 64}, Layers: 1, Attention: bools{false, false, true}, Groups: 8,
		Steps: 3000, Batch: 32, LR: 1e-3, Warmup: 200, EMA: floats{0.995}, SaveEvery: 500, SampleEvery: 500,
	},
	// The paper's network and recipe for CIFAR-10 (§4, appendix B), whose batch of 128 is computed in parts of 16.
	"cifar10": {
		Data: "", Side: 32, Colours: 3,
		Channels: ints{128, 256, 256, 256}, Layers: 2, Attention: bools{false, true, false, false}, Groups: 32, Dropout: 0.1,
		Steps: 800_000, Batch: 128, Accumulate: 8, LR: 2e-4, Warmup: 5000, EMA: floats{0.9999}, Flip: true, SaveEvery: 500, SampleEvery: 500,
	},
}

// preset returns the settings of a preset.
func preset(name string) (settings, bool) {
	s, ok := presets[name]
	s.Preset = name
	s.Clip, s.LabelDrop = 1, 0.1
	s.Rate, s.Convolution, s.Log, s.Keep = "constant", "auto", "text", 3
	return s, ok
}
