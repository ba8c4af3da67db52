package data

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Options say how Open shall deliver a set. The zero value takes the training set as it is.
type Options struct {
	// Side makes the images squares of Side×Side pixels, 1…4096; 0 leaves them as they are, which a folder of pictures
	// allows only if all have the same size. A larger image is cropped to its centred square, then made smaller by the
	// mean over areas or larger by linear interpolation. Only 28×28 IDX images (MNIST) at Side 32 are instead given
	// two black pixels on each side.
	Side int
	// Channels is 1 for grey images, 3 for RGB, 0 for what the set has; a folder of pictures is grey if no picture
	// has colour. RGB becomes grey as the luma of Rec. 601, 0.299 R + 0.587 G + 0.114 B.
	Channels int
	// Split is "train" or "test"; "" is "train".
	Split string
}

const (
	maxSide  = 4096
	maxBytes = min(8<<30, math.MaxInt) // of a set's pixels in memory
)

func (opt *Options) check() error {
	if opt.Side < 0 || opt.Side > maxSide {
		return fmt.Errorf("data: side %d, want 1…%d, or 0 for the images' own", opt.Side, maxSide)
	}
	if opt.Channels != 0 && opt.Channels != 1 && opt.Channels != 3 {
		return fmt.Errorf("data: %d channels, want 1 (grey), 3 (RGB) or 0 for the images' own", opt.Channels)
	}
	if opt.Split == "" {
		opt.Split = "train"
	}
	if opt.Split != "train" && opt.Split != "test" {
		return fmt.Errorf(`data: split %q, want "train" or "test"`, opt.Split)
	}
	return nil
}

// accepted is the remedy for whatever Open does not recognise.
const accepted = `give "digits", "mnist" or a directory with IDX files (train-images-idx3-ubyte[.gz], as MNIST and ` +
	`Fashion-MNIST), CIFAR-10 binary files (data_batch_1.bin …) or PNG and JPEG images`

// Open reads the set that spec names:
//
//   - "digits": 1,797 handwritten digits of 8×8 grey pixels, embedded;
//   - "mnist": the first 10,000 training images of MNIST, 28×28 grey, embedded;
//   - a directory ("./mnist" if it has such a name) with IDX files under MNIST's names, gzipped or not, whose labels may
//     be missing; with CIFAR-10's binary files, or the directory cifar-10-batches-bin; or with PNG and JPEG images,
//     either directly in it or, as classes, in one sub-folder each, all of this perhaps below train and test.
//
// Bad data gives an *Error, bad options another type of error.
func Open(spec string, opt Options) (*Set, error) {
	if err := opt.check(); err != nil {
		return nil, err
	}
	s, err := open(spec, opt)
	if err != nil {
		return nil, err
	}
	if s, err = s.toSide(opt.Side); err != nil {
		return nil, err
	}
	return s.toChannels(opt.Channels)
}

func open(spec string, opt Options) (*Set, error) {
	if spec == "digits" || spec == "mnist" {
		return openEmbedded(spec, opt.Split)
	}
	info, err := os.Stat(spec)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{spec, "no such directory", accepted, nil}
	}
	if err != nil {
		return nil, &Error{spec, "cannot be read", "make it readable", err}
	}
	if !info.IsDir() {
		return nil, &Error{spec, "is a file, not a directory", "unpack it if it is an archive, and " + accepted, nil}
	}
	d := directory{os.DirFS(spec), spec}
	entries, err := d.entries(".")
	if err != nil {
		return nil, err
	}
	var s *Set
	switch {
	case hasIDX(entries):
		s, err = openIDX(d, opt.Split)
	case hasCIFAR(entries):
		s, err = openCIFAR(d, opt.Split)
	default:
		s, err = openImages(d, entries, opt)
	}
	if err != nil {
		return nil, err
	}
	if abs, err := filepath.Abs(spec); err == nil {
		spec = abs
	}
	s.Name = filepath.Base(spec)
	return s, nil
}

// A directory is a file tree and the path that names it in messages.
type directory struct {
	fs.FS
	path string
}

func (d directory) join(name string) string { return filepath.Join(d.path, filepath.FromSlash(name)) }

// sub returns a folder of the directory as one of its own.
func (d directory) sub(folder string) (directory, error) {
	f, err := fs.Sub(d.FS, folder)
	if err != nil {
		return d, &Error{d.join(folder), "cannot be read", "make it readable", err}
	}
	return directory{f, d.join(folder)}, nil
}

// An entry is a file or folder of a directory, symbolic links followed.
type entry struct {
	name string // slash-separated, from the directory's top
	dir  bool
}

// entries lists a folder in the order of names, leaving out hidden files and what desktops leave lying around.
func (d directory) entries(folder string) ([]entry, error) {
	list, err := fs.ReadDir(d, folder)
	if err != nil {
		return nil, &Error{d.join(folder), "cannot be read", "make it readable", err}
	}
	var found []entry
	for _, e := range list {
		name := e.Name()
		if name[0] == '.' || name == "__MACOSX" || slices.Contains(junk, strings.ToLower(name)) {
			continue
		}
		if folder != "." {
			name = folder + "/" + name
		}
		info, err := fs.Stat(d, name)
		if err != nil {
			return nil, &Error{d.join(name), "cannot be read", "repair or remove it", err}
		}
		found = append(found, entry{name, info.IsDir()})
	}
	return found, nil
}

// junk lists the files, beside hidden ones, that file managers make on their own.
var junk = []string{"thumbs.db", "ehthumbs.db", "desktop.ini"}

// open opens a regular file and returns its size. Anything else, such as a pipe that would block, is refused.
func (d directory) open(name string) (fs.File, int64, error) {
	info, err := fs.Stat(d, name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, 0, &Error{d.join(name), "is not a regular file", "move it elsewhere", nil}
	}
	var f fs.File
	if err == nil {
		f, err = d.Open(name)
	}
	if err != nil {
		return nil, 0, &Error{d.join(name), "cannot be read", "make it readable", err}
	}
	return f, info.Size(), nil
}

// allocate returns memory for n images, unless they are more than a set may be.
func allocate(path string, n, h, w, c int) ([]byte, error) {
	// Each factor is below 2³², and every partial product is checked before the next.
	bytes := uint64(1)
	for _, d := range []int{n, h, w, c} {
		bytes *= uint64(d)
		if bytes > maxBytes {
			detail := fmt.Sprintf("%d images of %d×%d×%d are more than the limit of %d bytes", n, h, w, c, uint64(maxBytes))
			return nil, &Error{path, detail, "choose a smaller side or fewer images", nil}
		}
	}
	return make([]byte, bytes), nil
}

// toChannels returns a set's images as grey or RGB. A set that has them so is returned as it is.
func (s *Set) toChannels(c int) (*Set, error) {
	if c == 0 || c == s.C {
		return s, nil
	}
	pixels, err := allocate(s.Name, s.Len(), s.H, s.W, c)
	if err != nil {
		return nil, err
	}
	if c == 3 {
		for i, v := range s.Pixels {
			pixels[3*i], pixels[3*i+1], pixels[3*i+2] = v, v, v
		}
	} else {
		for i := range pixels {
			p := s.Pixels[3*i:][:3]
			pixels[i] = luma(p[0], p[1], p[2])
		}
	}
	t := *s
	t.C, t.Pixels = c, pixels
	return &t, nil
}

// luma is 0.299 r + 0.587 g + 0.114 b in 16-bit fixed point, as image/color has it; the weights add up to 2¹⁶, so grey
// stays what it is.
func luma(r, g, b byte) byte {
	return byte((19595*uint32(r) + 38470*uint32(g) + 7471*uint32(b) + 1<<15) >> 16)
}
