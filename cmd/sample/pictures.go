package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"ddpm/cmd/internal/exit"
	"ddpm/data"
	"ddpm/tensor"
)

// readPictures reads the pictures to edit at the size of the model's images. Image i is made of picture i, and begins
// with the first again after the last.
func (d *drawing) readPictures(name string) error {
	set, err := openPictures(name, d.asModel())
	if err != nil {
		return err
	}
	if !d.given["n"] {
		if d.n = usualEdits; set.Len() > 1 {
			d.n = min(set.Len(), 64)
		}
	}
	d.pictures = images(set, min(d.n, set.Len()))
	return nil
}

// readEnds reads the two pictures of an interpolation.
func (d *drawing) readEnds() error {
	var ends [2]tensor.Tensor
	for i, name := range []string{d.between, d.and} {
		set, err := openPictures(name, d.asModel())
		if err != nil {
			return err
		}
		ends[i] = images(set, 1)
	}
	d.pictures = tensor.From(slices.Concat(ends[0].Data, ends[1].Data), append([]int{2}, ends[0].Shape[1:]...)...)
	if !d.given["n"] {
		d.n = usualEdits
	}
	return nil
}

// readMask reads the mask, which is to be as large as the pictures are before they are made to fit the model.
func (d *drawing) readMask() error {
	mask, err := openPictures(d.mask, data.Options{Channels: 1})
	if err != nil {
		return err
	}
	set, err := openPictures(d.inpaint, data.Options{})
	if err != nil {
		return err
	}
	if mask.H != set.H || mask.W != set.W {
		return exit.Usage("-mask %s is %d×%d, -inpaint %s is %d×%d; give a mask of that size", d.mask, mask.W, mask.H, d.inpaint, set.W, set.H)
	}
	opt := d.asModel()
	opt.Channels = 1
	if mask, err = openPictures(d.mask, opt); err != nil {
		return err
	}
	d.kept = images(mask, mask.Len())
	for i, v := range d.kept.Data {
		d.kept.Data[i] = 0
		if v > 0 { // lighter than middle grey
			d.kept.Data[i] = 1
		}
	}
	return nil
}

// asModel says how pictures must be to be the model's.
func (d *drawing) asModel() data.Options {
	c := d.source.net.Config
	return data.Options{Side: c.SampleSize, Channels: c.InChannels}
}

// images returns the first n images of a set.
func images(s *data.Set, n int) tensor.Tensor {
	index := make([]int, n)
	for i := range index {
		index[i] = i
	}
	x := tensor.New(n, s.H, s.W, s.C)
	s.Batch(x, index)
	return x
}

// openPictures opens a picture, or whatever can be trained on.
func openPictures(name string, opt data.Options) (*data.Set, error) {
	open := data.Open
	if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
		open = openPicture
	}
	set, err := open(name, opt)
	if err != nil && exit.Code(err) == exit.Failure { // the options', which are the model's
		err = exit.Usage("%v", err)
	}
	return set, err
}

// openPicture opens a single file as a set of one image. Sets are directories, so it gets one of its own for a moment.
func openPicture(path string, opt data.Options) (*data.Set, error) {
	dir, err := os.MkdirTemp("", "sample-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := copyFile(filepath.Join(dir, "picture"), path); err != nil {
		return nil, err
	}
	set, err := data.Open(dir, opt)
	if bad, ok := errors.AsType[*data.Error](err); ok {
		if bad.Path == dir {
			bad.Detail, bad.Remedy = "is neither PNG nor JPEG", "convert it, or name a directory of images"
		}
		bad.Path = path
	}
	return set, err
}

func copyFile(to, from string) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}
