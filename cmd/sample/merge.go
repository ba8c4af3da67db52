package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ddpm/checkpoint"
	"ddpm/cmd/internal/exit"
	"ddpm/cmd/internal/model"
	"ddpm/cmd/internal/screen"
	"ddpm/data"
	"ddpm/tensor"
)

const mergeHelp = `Check the shards that sample -shard has drawn, and join them. Usage: sample merge DIR [flags]

  sample merge images                     to images/all/00000.png … and images/grid.png

  -dir DIR         a PNG for each image (all, within DIR); '' for none
  -out FILE        grid of the first images (grid.png, within DIR); '' for none

All shards must be there, whole, and of one drawing: the same model, seed, sampler and number of images. The SHA-256 that
is printed is that of the images' own, in order; it does not depend on how many shards there were.
`

// joint is a drawing whose shards are being joined.
type joint struct {
	from     string // directory of the shards
	dir, out string
	shards   []record // in order
	grid     tensor.Tensor
}

// merge is the command sample merge.
func merge(args []string) error {
	j, err := parseMerge(args)
	if err != nil {
		return err
	}
	if err := j.open(); err != nil {
		return err
	}
	sum, err := j.write()
	if err != nil {
		return err
	}
	// Nobody draws here any more: what killed tasks left behind can go.
	if err := checkpoint.Clean(j.from); err != nil {
		return err
	}
	s := j.shards[0]
	fmt.Printf("Joined %s images of %d×%d from %d shards: model %.12s…, %s in %d steps, seed %d.\n", screen.Count(s.N), s.Width, s.Height, s.Shards, s.Model, s.Sampler, s.Steps, s.Seed)
	for _, path := range []string{j.dir, j.out} {
		if path != "" {
			fmt.Printf("Wrote %s.\n", path)
		}
	}
	fmt.Printf("SHA-256 of all images: %s\n", sum)
	return nil
}

func parseMerge(args []string) (*joint, error) {
	j := &joint{}
	f := flag.NewFlagSet("merge", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&j.dir, "dir", "\x00", "")
	f.StringVar(&j.out, "out", "\x00", "")
	// The directory may stand before the flags or behind them.
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		args = append(args[1:len(args):len(args)], args[0])
	}
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(os.Stdout, mergeHelp)
		return nil, err
	case err != nil:
		return nil, exit.Usage("%v; sample merge -h lists the flags", err)
	case f.NArg() != 1:
		return nil, exit.Usage("sample merge: want one directory, that of the shards: sample merge DIR")
	}
	j.from = f.Arg(0)
	if j.dir == "\x00" {
		j.dir = filepath.Join(j.from, "all")
	}
	if j.out == "\x00" {
		j.out = filepath.Join(j.from, "grid.png")
	}
	return j, nil
}

// open reads what the shards say of themselves and checks that together they are one drawing.
func (j *joint) open() error {
	entries, err := os.ReadDir(j.from)
	if err != nil {
		if checkpoint.IsDisk(err) {
			return err
		}
		return exit.Bad(j.from, fmt.Errorf("%w; name the -dir that the shards were drawn to", err))
	}
	found := map[shard]bool{}
	of := 0
	for _, e := range entries {
		s, ok := parseDirectory(e.Name())
		if !ok {
			continue
		}
		if of != 0 && s.of != of {
			return exit.Bad(j.from, fmt.Errorf("holds shards of %d and of %d; move one of the two drawings elsewhere", of, s.of))
		}
		found[s], of = true, s.of
	}
	if of == 0 {
		return exit.Bad(j.from, errors.New("holds no shards; draw them with sample -shard K/N -dir "+j.from))
	}
	return j.read(found, of)
}

// read reads the records of all shards of the given number. Of the shards that are to be drawn again it lists all, not
// the first only.
func (j *joint) read(found map[shard]bool, of int) error {
	var missing []string
	var faults []error
	for number := 1; number <= of; number++ {
		s := shard{number, of}
		if !found[s] {
			missing = append(missing, s.String())
			continue
		}
		r, err := readShard(filepath.Join(j.from, s.directory()))
		if checkpoint.IsDisk(err) {
			return err
		}
		faults = append(faults, err)
		j.shards = append(j.shards, r)
	}
	if missing != nil {
		faults = append(faults, fmt.Errorf("%d of %d shards are missing; draw them with sample -shard K/N: %s", len(missing), of, strings.Join(missing, ", ")))
	}
	if err := errors.Join(faults...); err != nil {
		return exit.Bad(j.from, err)
	}
	for _, r := range j.shards {
		if what := difference(r.settings, j.shards[0].settings); what != "" {
			return exit.Bad(j.from, fmt.Errorf("shard %d is of another drawing than shard 1: its %s; remove and redraw the one that is wrong", r.Shard, what))
		}
	}
	j.compareCPUs()
	return nil
}

// compareCPUs warns if another kind of processor may have drawn other pixels.
func (j *joint) compareCPUs() {
	var kinds []string
	for _, r := range j.shards {
		kinds = append(kinds, r.CPU)
	}
	slices.Sort(kinds)
	if kinds = slices.Compact(kinds); len(kinds) > 1 {
		fmt.Fprintf(os.Stderr, "sample: warning: the shards were computed by %s; each rounds in its own way, so the SHA-256 is not that of a drawing by one of them alone\n", strings.Join(kinds, ", "))
	}
}

// write writes the images and returns the hash of all: SHA-256 of the images' SHA-256, in the order of their ids.
func (j *joint) write() (sum string, err error) {
	for _, dir := range []string{j.dir, filepath.Dir(j.out)} {
		if dir != "" {
			if err := os.MkdirAll(dir, 0o777); err != nil {
				return "", err
			}
		}
	}
	all := sha256.New()
	for _, r := range j.shards {
		dir := filepath.Join(j.from, shard{r.Shard, r.Shards}.directory())
		err := r.images(dir, func(id int, pixels []byte) error {
			one := sha256.Sum256(pixels)
			all.Write(one[:])
			return j.add(id, pixels)
		})
		if err != nil {
			return "", err
		}
	}
	if j.out != "" {
		n, side := j.grid.Shape[0], j.shards[0].Width
		if err := data.WritePNG(j.out, data.Grid(j.grid, 0, model.Scale(side, n, 640), gap)); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

// add takes an image.
func (j *joint) add(id int, pixels []byte) error {
	s := j.shards[0]
	x := tensor.New(s.Height, s.Width, s.Channels)
	for i, v := range pixels {
		x.Data[i] = data.Value(v)
	}
	if j.out != "" && id < mostInGrid {
		j.grid.Data = append(j.grid.Data, x.Data...)
		j.grid.Shape = []int{id + 1, s.Height, s.Width, s.Channels}
	}
	if j.dir == "" {
		return nil
	}
	return data.WritePNG(filepath.Join(j.dir, pngName(id)), data.Image(x))
}
