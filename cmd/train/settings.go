package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// settings are what the command line can ask for. They are kept in every checkpoint, so that a run is resumed with what
// it was started with; the fields without a JSON name are about one call of the command.
type settings struct {
	Preset string        `json:"preset"`
	Data   string        `json:"data"`
	Init   string        `json:"init,omitempty"`
	Steps  int           `json:"steps"` // 0: no limit
	For    time.Duration `json:"for"`   // 0: no limit
	Seed   uint64        `json:"seed"`

	recipe

	Batch      int     `json:"batch"`
	Accumulate int     `json:"accumulate"` // parts of a step; 0: as many as suit the caches
	LR         float64 `json:"lr"`
	Rate       string  `json:"rate"`
	Warmup     int     `json:"warmup"`
	Floor      float64 `json:"floor"`
	Decay      float64 `json:"weight_decay"`
	Clip       float64 `json:"clip"` // 0: none
	EMA        floats  `json:"ema"`
	Flip       bool    `json:"flip"`

	Side        int     `json:"side"`        // 0: the data's
	Colours     int     `json:"in_channels"` // 0: the data's
	Channels    ints    `json:"channels"`
	Layers      int     `json:"layers"`
	Attention   bools   `json:"attention"`
	Groups      int     `json:"groups"`
	Heads       int     `json:"heads"` // channels per head; 0: one head
	Classes     bool    `json:"classes"`
	LabelDrop   float64 `json:"label_dropout"`
	Dropout     float64 `json:"dropout"`
	Convolution string  `json:"convolution"`

	SaveEvery   int    `json:"save_every"`
	SampleEvery int    `json:"sample_every"`
	Keep        int    `json:"keep"`
	Log         string `json:"log"`

	Out    string `json:"-"`
	Resume bool   `json:"-"`
	Bench  int    `json:"-"`
}

// The values of list flags, comma-separated.
type (
	ints   []int
	bools  []bool
	floats []float64
)

func (l *ints) String() string   { return join(*l, strconv.Itoa) }
func (l *bools) String() string  { return join(*l, digit) }
func (l *floats) String() string { return join(*l, func(x float64) string { return fmt.Sprint(x) }) }

func (l *ints) Set(s string) (err error)  { *l, err = split(s, strconv.Atoi); return err }
func (l *bools) Set(s string) (err error) { *l, err = split(s, strconv.ParseBool); return err }
func (l *floats) Set(s string) (err error) {
	*l, err = split(s, func(s string) (float64, error) { return strconv.ParseFloat(s, 64) })
	return err
}

func digit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

func join[T any](list []T, format func(T) string) string {
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = format(v)
	}
	return strings.Join(words, ",")
}

func split[T any](s string, parse func(string) (T, error)) ([]T, error) {
	var list []T
	for word := range strings.SplitSeq(s, ",") {
		v, err := parse(strings.TrimSpace(word))
		if err != nil {
			return nil, fmt.Errorf("%q is no element of such a list", word)
		}
		list = append(list, v)
	}
	return list, nil
}
