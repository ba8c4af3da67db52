package layers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Config describes a UNet: the fields of diffusers' UNet2DModel, under the names of its config.json.
type Config struct {
	SampleSize           int      `json:"sample_size"` // side of the images, for information
	InChannels           int      `json:"in_channels"`
	OutChannels          int      `json:"out_channels"`
	CenterInputSample    bool     `json:"center_input_sample"` // the network sees 2x − 1
	TimeEmbeddingType    string   `json:"time_embedding_type"` // "positional"
	TimeEmbeddingDim     *int     `json:"time_embedding_dim"`  // nil: 4 × the first of BlockOutChannels
	FreqShift            float64  `json:"freq_shift"`          // see timeEmbedding
	FlipSinToCos         bool     `json:"flip_sin_to_cos"`
	DownBlockTypes       []string `json:"down_block_types"` // "DownBlock2D" or "AttnDownBlock2D", from the largest image down
	MidBlockType         *string  `json:"mid_block_type"`   // "UNetMidBlock2D", or nil for none
	UpBlockTypes         []string `json:"up_block_types"`   // "UpBlock2D" or "AttnUpBlock2D", from the smallest image up
	BlockOutChannels     []int    `json:"block_out_channels"`
	LayersPerBlock       int      `json:"layers_per_block"`
	MidBlockScaleFactor  float64  `json:"mid_block_scale_factor"`
	DownsamplePadding    int      `json:"downsample_padding"` // 1: on all sides; 0: below and to the right
	DownsampleType       string   `json:"downsample_type"`    // "conv"
	UpsampleType         string   `json:"upsample_type"`      // "conv"
	Dropout              float64  `json:"dropout"`
	ActFn                string   `json:"act_fn"`             // "silu"
	AttentionHeadDim     *int     `json:"attention_head_dim"` // channels per head; nil: one head of all
	NormNumGroups        int      `json:"norm_num_groups"`
	AttnNormNumGroups    *int     `json:"attn_norm_num_groups"` // of the middle attention; nil: NormNumGroups
	NormEps              float64  `json:"norm_eps"`
	ResnetTimeScaleShift string   `json:"resnet_time_scale_shift"` // "default" or "scale_shift"
	AddAttention         bool     `json:"add_attention"`           // in the middle
	ClassEmbedType       *string  `json:"class_embed_type"`        // nil
	NumClassEmbeds       *int     `json:"num_class_embeds"`        // nil: no classes
	NumTrainTimesteps    *int     `json:"num_train_timesteps"`     // for learned time embeddings, which are not supported
}

// defaults returns what UNet2DModel assumes for fields that its configuration lacks.
func defaults() Config {
	mid, dim := "UNetMidBlock2D", 8
	return Config{
		InChannels: 3, OutChannels: 3, TimeEmbeddingType: "positional", FlipSinToCos: true,
		DownBlockTypes:   []string{"DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"},
		MidBlockType:     &mid,
		UpBlockTypes:     []string{"AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"},
		BlockOutChannels: []int{224, 448, 672, 896}, LayersPerBlock: 2, MidBlockScaleFactor: 1,
		DownsamplePadding: 1, DownsampleType: "conv", UpsampleType: "conv", ActFn: "silu", AttentionHeadDim: &dim,
		NormNumGroups: 32, NormEps: 1e-5, ResnetTimeScaleShift: "default", AddAttention: true,
	}
}

// DDPM returns the configuration of a network in the manner of the paper's: residual blocks of the given widths, one
// per level, attention at the levels that say so, one head, and the epsilon and time embedding of the published
// checkpoints. channels is the number of colours, groups divides all widths.
func DDPM(side, channels int, widths []int, layersPerBlock int, attends []bool, groups int) Config {
	c := defaults()
	c.SampleSize, c.InChannels, c.OutChannels = side, channels, channels
	c.FlipSinToCos, c.FreqShift = false, 1
	c.BlockOutChannels, c.LayersPerBlock = widths, layersPerBlock
	c.AttentionHeadDim, c.NormNumGroups, c.NormEps = nil, groups, 1e-6
	c.DownBlockTypes, c.UpBlockTypes = nil, nil
	for i := range widths {
		down, up := "DownBlock2D", "UpBlock2D"
		if i < len(attends) && attends[i] {
			down, up = "AttnDownBlock2D", "AttnUpBlock2D"
		}
		c.DownBlockTypes = append(c.DownBlockTypes, down)
		c.UpBlockTypes = slices.Insert(c.UpBlockTypes, 0, up)
	}
	return c
}

// ParseConfig reads a config.json of UNet2DModel, old or new. What it lacks takes the library's defaults; a field
// that is not known, or asks for what this package does not do, is refused by name.
func ParseConfig(data []byte) (Config, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return Config{}, fmt.Errorf("layers: the configuration is not a JSON object: %w", err)
	}
	if class, ok := all["_class_name"]; ok && string(class) != `"UNet2DModel"` {
		return Config{}, fmt.Errorf("layers: the configuration is of a %s, want \"UNet2DModel\"", class)
	}
	for name := range all {
		if strings.HasPrefix(name, "_") { // diffusers' own notes: class, version, path
			delete(all, name)
		}
	}
	var size []int
	if json.Unmarshal(all["sample_size"], &size) == nil && len(size) > 0 { // [side, side] in some files
		all["sample_size"], _ = json.Marshal(size[0])
	}
	rest, err := json.Marshal(all)
	if err != nil {
		return Config{}, err
	}
	c := defaults()
	d := json.NewDecoder(bytes.NewReader(rest))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return Config{}, fmt.Errorf("layers: cannot use the configuration: %w", err)
	}
	return c, c.Validate()
}

// MarshalJSON returns the configuration as UNet2DModel writes it: all fields, and the class that reads them.
func (c Config) MarshalJSON() ([]byte, error) {
	type fields Config // without this method
	return json.Marshal(struct {
		Class string `json:"_class_name"`
		fields
	}{"UNet2DModel", fields(c)})
}

// Validate reports the first field that cannot be, and what it can be.
func (c Config) Validate() error {
	levels := len(c.BlockOutChannels)
	checks := []struct {
		ok      bool
		problem string
	}{
		{c.TimeEmbeddingType == "positional", fmt.Sprintf("time_embedding_type %q: only \"positional\" is supported", c.TimeEmbeddingType)},
		{c.ActFn == "silu" || c.ActFn == "swish", fmt.Sprintf("act_fn %q: only \"silu\" is supported", c.ActFn)},
		{c.DownsampleType == "conv", fmt.Sprintf("downsample_type %q: only \"conv\" is supported", c.DownsampleType)},
		{c.UpsampleType == "conv", fmt.Sprintf("upsample_type %q: only \"conv\" is supported", c.UpsampleType)},
		{c.ClassEmbedType == nil, "class_embed_type: only null is supported, with num_class_embeds for a table of classes"},
		{c.MidBlockType == nil || *c.MidBlockType == "UNetMidBlock2D", "mid_block_type: only \"UNetMidBlock2D\" and null are supported"},
		{c.ResnetTimeScaleShift == "default" || c.ResnetTimeScaleShift == "scale_shift", fmt.Sprintf("resnet_time_scale_shift %q: only \"default\" and \"scale_shift\" are supported", c.ResnetTimeScaleShift)},
		{c.DownsamplePadding == 0 || c.DownsamplePadding == 1, fmt.Sprintf("downsample_padding %d: only 0 and 1 are supported", c.DownsamplePadding)},
		{c.InChannels >= 1 && c.OutChannels >= 1, "in_channels and out_channels must be at least 1"},
		{levels >= 1 && levels <= 16, fmt.Sprintf("block_out_channels has %d levels, want 1…16", levels)},
		{len(c.DownBlockTypes) == levels && len(c.UpBlockTypes) == levels, "down_block_types, up_block_types and block_out_channels must be of one length"},
		{c.LayersPerBlock >= 1 && c.LayersPerBlock <= 64, fmt.Sprintf("layers_per_block %d: want 1…64", c.LayersPerBlock)},
		{c.NormNumGroups >= 1, fmt.Sprintf("norm_num_groups %d: want at least 1", c.NormNumGroups)},
		{c.NormEps > 0, fmt.Sprintf("norm_eps %v: want more than 0", c.NormEps)},
		{c.Dropout >= 0 && c.Dropout < 1, fmt.Sprintf("dropout %v: want 0 ≤ p < 1", c.Dropout)},
		{c.MidBlockScaleFactor > 0, fmt.Sprintf("mid_block_scale_factor %v: want more than 0", c.MidBlockScaleFactor)},
		{c.NumClassEmbeds == nil || *c.NumClassEmbeds >= 1, "num_class_embeds: want null or at least 1"},
		{c.TimeEmbeddingDim == nil || *c.TimeEmbeddingDim >= 1, "time_embedding_dim: want null or at least 1"},
		{c.AttentionHeadDim == nil || *c.AttentionHeadDim >= 1, "attention_head_dim: want null or at least 1"},
	}
	for _, k := range checks {
		if !k.ok {
			return fmt.Errorf("layers: configuration: %s", k.problem)
		}
	}
	if err := c.validateTypes(); err != nil {
		return err
	}
	return c.validateWidths()
}

func (c Config) validateTypes() error {
	for i, kind := range slices.Concat(c.DownBlockTypes, c.UpBlockTypes) {
		known := []string{"AttnDownBlock2D", "DownBlock2D"}
		if i >= len(c.DownBlockTypes) {
			known = []string{"AttnUpBlock2D", "UpBlock2D"}
		}
		if !slices.Contains(known, kind) {
			sort.Strings(known)
			return fmt.Errorf("layers: configuration: block type %q is not supported, only %s", kind, strings.Join(known, " and "))
		}
	}
	return nil
}

// maxWidth bounds a level's channels, so that no product of sizes overflows.
const maxWidth = 1 << 16

func (c Config) validateWidths() error {
	if c.BlockOutChannels[0]%2 != 0 {
		return fmt.Errorf("layers: configuration: block_out_channels begins with %d, want an even number: half sines, half cosines", c.BlockOutChannels[0])
	}
	if h := float64(c.BlockOutChannels[0] / 2); h <= c.FreqShift {
		return fmt.Errorf("layers: configuration: block_out_channels begins with %d, want more than twice freq_shift %v", c.BlockOutChannels[0], c.FreqShift)
	}
	for i, w := range c.BlockOutChannels {
		if w < 1 || w > maxWidth || w%c.NormNumGroups != 0 {
			return fmt.Errorf("layers: configuration: block_out_channels has %d, want a multiple of norm_num_groups %d, up to %d", w, c.NormNumGroups, maxWidth)
		}
		last := i == len(c.BlockOutChannels)-1
		attends := hasAttention(c.DownBlockTypes[i]) || hasAttention(c.UpBlockTypes[len(c.UpBlockTypes)-1-i]) || last && c.AddAttention
		if attends && c.AttentionHeadDim != nil && *c.AttentionHeadDim > w {
			return fmt.Errorf("layers: configuration: attention_head_dim %d, want at most the level's %d channels", *c.AttentionHeadDim, w)
		}
	}
	// The first resnet of a decoder level reads the sum of two widths, each a multiple of the groups.
	if g := c.midAttentionGroups(); g > 0 && c.BlockOutChannels[len(c.BlockOutChannels)-1]%g != 0 {
		return fmt.Errorf("layers: configuration: attn_norm_num_groups %d, want a divisor of the last level's %d channels", g, c.BlockOutChannels[len(c.BlockOutChannels)-1])
	}
	return nil
}

func hasAttention(kind string) bool { return strings.HasPrefix(kind, "Attn") }

// timeDim returns the width of the time embedding.
func (c Config) timeDim() int {
	if c.TimeEmbeddingDim != nil {
		return *c.TimeEmbeddingDim
	}
	return 4 * c.BlockOutChannels[0]
}

// midAttentionGroups returns the groups of the middle attention's norm, 0 for no norm, as UNetMidBlock2D chooses them.
func (c Config) midAttentionGroups() int {
	switch {
	case c.AttnNormNumGroups != nil:
		return *c.AttnNormNumGroups
	case c.ResnetTimeScaleShift == "default":
		return c.NormNumGroups
	}
	return 0
}
