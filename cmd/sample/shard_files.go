package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"ddpm/checkpoint"
	"ddpm/cmd/internal/exit"
	"ddpm/cmd/internal/npy"
	"ddpm/cmd/internal/screen"
	"ddpm/data"
	"ddpm/internal/simd"
	"ddpm/tensor"
)

// A shard is a directory of three files, which appears whole or not at all:
//
//	images.npy     its images, uint8 [n H W C], as numpy.load reads them
//	shard.json     what they depend on, which they are, and the SHA-256 of each one's pixels
//	manifest.json  size and SHA-256 of these two
const (
	pixelsName = "images.npy"
	recordName = "shard.json"
)

// shardFormat is the version of these files.
const shardFormat = 1

// settings are all that the images depend on; shards of one drawing have the same.
type settings struct {
	Format   int     `json:"format"`
	Model    string  `json:"model_sha256"` // of configuration and weights
	N        int     `json:"n"`            // images of all shards
	Seed     uint64  `json:"seed"`
	Sampler  string  `json:"sampler"`
	Steps    int     `json:"steps"`
	Digest   string  `json:"sampler_sha256"` // of every setting of the sampler
	Classes  int     `json:"classes"`        // that are drawn in turn or from; 0 if the model knows none
	Class    int     `json:"class"`          // that is drawn; -1 for all in turn
	Guidance float64 `json:"guidance"`
	Height   int     `json:"height"`
	Width    int     `json:"width"`
	Channels int     `json:"channels"`
}

// record is what shard.json says.
type record struct {
	settings
	Shard  int      `json:"shard"` // counted from 1
	Shards int      `json:"shards"`
	First  int      `json:"first"`  // id of the first image
	Images []string `json:"images"` // SHA-256 of each image's pixels
	CPU    string   `json:"cpu"`    // the instructions that computed them, on which the last bits of a pixel may depend
}

// drawShard draws the images of a shard, unless that is done already.
func (d *drawing) drawShard() error {
	if d.n < d.part.of {
		return exit.Usage("-shard %s: there are only %d images in all; give more with -n, or fewer shards", d.part, d.n)
	}
	dir := filepath.Join(d.dir, d.part.directory())
	r := record{settings: d.settings(), Shard: d.part.number, Shards: d.part.of, CPU: simd.Implementation()}
	first, end := d.part.bounds(d.n)
	r.First = first
	done, err := readShard(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case checkpoint.IsDisk(err):
		return err
	case err != nil:
		fmt.Fprintf(os.Stderr, "sample: warning: drawing a shard again: %v\n", err)
	default:
		if what := difference(done.settings, r.settings); what != "" {
			return exit.Usage("%s is of another drawing: its %s; name another -dir, or remove it", dir, what)
		}
		fmt.Printf("Shard %s, images %d…%d, is in %s already, whole.\n", d.part, first, end-1, dir)
		return nil
	}
	err = checkpoint.Write(dir, func(w *checkpoint.Writer) error {
		w.File(pixelsName, func(f io.Writer) error {
			if _, err := f.Write(r.header(end - first)); err != nil {
				return err
			}
			return d.images(first, end, nil, func(_ int, x tensor.Tensor) error {
				return r.append(f, x)
			})
		})
		w.JSON(recordName, r)
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Printf("Wrote shard %s, images %s…%s, to %s.\n", d.part, screen.Count(first), screen.Count(end-1), dir)
	return nil
}

// append writes the images x and notes their hashes.
func (r *record) append(f io.Writer, x tensor.Tensor) error {
	pixels := make([]byte, len(x.Data))
	data.ToPixels(pixels, x)
	for image := range slices.Chunk(pixels, r.bytes()) {
		r.Images = append(r.Images, hash(image))
	}
	_, err := f.Write(pixels)
	return err
}

// bytes returns the size of an image.
func (s settings) bytes() int { return s.Height * s.Width * s.Channels }

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// settings returns what the drawing's images depend on.
func (d *drawing) settings() settings {
	c := d.source.net.Config
	s := d.sampler
	return settings{
		Format: shardFormat,
		Model:  d.source.digest(),
		N:      d.n, Seed: d.seed,
		Sampler: d.name, Steps: s.Schedule.T(),
		// %v writes a number so that reading it gives the same number.
		Digest:  hash(fmt.Appendf(nil, "%T %+v %+v %v %+v", s.Rule, s.Rule, s.Clip, s.Prediction, s.Schedule)),
		Classes: d.source.classes(), Class: d.class, Guidance: d.guidance,
		Height: c.SampleSize, Width: c.SampleSize, Channels: c.InChannels,
	}
}

// digest returns the SHA-256 of the network: its configuration, and its weights by name as float32, in whatever files
// they came.
func (s *source) digest() string {
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(s.net.Config); err != nil {
		panic("sample: digest: " + err.Error()) // of integers, strings and finite numbers
	}
	for _, e := range s.net.Params.Entries() {
		fmt.Fprintln(h, e.Name, e.Shape)
		binary.Write(h, binary.LittleEndian, e.From(s.net.Params.Values()).Data)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// header returns the beginning of images.npy with n images.
func (s settings) header(n int) []byte {
	return npy.Header(npy.Uint8, n, s.Height, s.Width, s.Channels)
}

// readShard reads what the shard in dir says of itself, once every file is known to be what its manifest says.
func readShard(dir string) (r record, err error) {
	if _, err := os.Lstat(dir); err != nil {
		return r, err
	}
	if err := checkpoint.Verify(dir); err != nil {
		return r, err
	}
	path := filepath.Join(dir, recordName)
	text, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, exit.Bad(path, err)
	}
	s := shard{r.Shard, r.Shards}
	if r.Format != shardFormat || !s.valid() || s.directory() != filepath.Base(dir) || r.N < r.Shards || min(r.Height, r.Width, r.Channels) < 1 {
		return r, exit.Bad(path, errors.New("is not the record of this shard by this version of the program; draw it again"))
	}
	if first, end := s.bounds(r.N); r.First != first || len(r.Images) != end-first {
		return r, exit.Bad(path, fmt.Errorf("lists %d images from %d, want %d from %d; draw the shard again", len(r.Images), r.First, end-first, first))
	}
	return r, nil
}

// images calls see for each image of the shard in dir, with its id and pixels, once these are known to be what its
// record says.
func (r *record) images(dir string, see func(id int, pixels []byte) error) error {
	path := filepath.Join(dir, pixelsName)
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	want := r.header(len(r.Images))
	header := make([]byte, len(want))
	if _, err := io.ReadFull(f, header); err != nil || !bytes.Equal(header, want) {
		return exit.Bad(path, fmt.Errorf("does not begin as a file of %d images of %d×%d×%d does; draw the shard again", len(r.Images), r.Height, r.Width, r.Channels))
	}
	pixels := make([]byte, r.bytes())
	for i, sum := range r.Images {
		if _, err := io.ReadFull(f, pixels); err != nil || hash(pixels) != sum {
			return exit.Bad(path, fmt.Errorf("image %d is not the one that %s lists; draw the shard again", r.First+i, recordName))
		}
		if err := see(r.First+i, pixels); err != nil {
			return err
		}
	}
	return nil
}

// difference names the first setting that is not the same in both, "" if all are.
func difference(is, want settings) string {
	if is == want {
		return ""
	}
	a, b := is.fields(), want.fields()
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if a[name] != b[name] {
			return fmt.Sprintf("%s is %v, not %v", name, a[name], b[name])
		}
	}
	return ""
}

// fields returns the settings by their names in files.
func (s settings) fields() (m map[string]any) {
	text, err := json.Marshal(s)
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		err = d.Decode(&m)
	}
	if err != nil {
		panic("sample: settings: " + err.Error()) // of numbers and strings
	}
	return m
}
