package classifier

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"ddpm/checkpoint"
	"ddpm/cmd/internal/model"
)

// README.md beside it says how it was made.
//
//go:embed mnist.safetensors
var mnist []byte

// MNIST returns the classifier of 28×28 grey handwritten digits that is built in.
func MNIST() *Net {
	const name = "the built-in classifier of MNIST"
	r, err := checkpoint.NewReader(bytes.NewReader(mnist), int64(len(mnist)), name)
	if err != nil {
		panic(fmt.Sprintf("classifier: %v", err)) // a test reads it
	}
	n, err := load(r, name, 28)
	if err != nil {
		panic(fmt.Sprintf("classifier: %v", err))
	}
	return n
}

// Load reads a classifier, for images of the given side, from a file that Save wrote.
func Load(path string, side int) (*Net, error) {
	r, err := checkpoint.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return load(r, path, side)
}

// maxWidth bounds the classes and colours that a file may claim before memory is allocated for them.
const maxWidth = 1 << 16

func load(r *checkpoint.Reader, path string, side int) (*Net, error) {
	_, stem, _ := r.Entry("stem.weight")
	_, head, _ := r.Entry("head.weight")
	_, readout, _ := r.Entry("readout.weight")
	if len(stem) != 4 || len(head) != 2 || len(readout) != 4 || stem[1] < 1 || stem[1] > maxWidth || head[0] < 1 || head[0] > maxWidth {
		return nil, &checkpoint.Error{Path: path, Problem: "holds no classifier", Remedy: "make one with eval train-classifier"}
	}
	if want := eighth(side); readout[2] != want || readout[3] != want {
		return nil, &checkpoint.Error{
			Path: path, Problem: fmt.Sprintf("holds a classifier of images with a side of %d to %d, not %d", 8*readout[2]-7, 8*readout[2], side),
			Remedy: "make another with eval train-classifier",
		}
	}
	n := New(side, stem[1], head[0], 0)
	if err := checkpoint.Load(r, n.named()); err != nil {
		return nil, err
	}
	for k, v := range n.deviation.Data {
		if !(v > 0) {
			return nil, &checkpoint.Error{Path: path, Problem: fmt.Sprintf("features.deviation[%d] is %v, want more than 0", k, v), Remedy: "make one with eval train-classifier"}
		}
	}
	return n, nil
}

// Save writes the classifier to a file, whole or not at all.
func (n *Net) Save(path string) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(filepath.Dir(path), fmt.Sprintf(".tmp-%d-%s", os.Getpid(), filepath.Base(path))))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := n.encode(f); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func (n *Net) encode(w io.Writer) error { return checkpoint.Encode(w, n.named()) }

func (n *Net) named() []checkpoint.Named { return model.Named(n.Params, "", n.Params.Values()) }

// Fingerprint tells classifiers apart: distances in the features of one cannot be compared with those of another.
func (n *Net) Fingerprint() string {
	h := sha256.New()
	binary.Write(h, binary.LittleEndian, n.Params.Values()) // a hash takes everything
	return fmt.Sprintf("%x", h.Sum(nil)[:4])
}
