package checkpoint

// The manifest of a directory: the size and SHA-256 of every file in it. It is written last, so a directory without one
// was never finished.

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
)

const (
	manifestName = "manifest.json"
	maxText      = 16 << 20 // bytes; no manifest, configuration or model card comes near
)

type manifest struct {
	Files map[string]fileSum `json:"files"` // by slash-separated name
}

type fileSum struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hexadecimal
}

// Verify checks every file of a directory against the directory's manifest. Files that the manifest does not list are
// none of its business. The error is an [*Error] unless the disk failed.
func Verify(dir string) error {
	m, err := readManifest(dir)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		if err := verifyFile(dir, name, m.Files[name], true); err != nil {
			return err
		}
	}
	return nil
}

// verifySizes checks that every file of a directory is there and has its size: what a cut-short copy or a full disk
// breaks, at the cost of reading nothing.
func verifySizes(dir string) error {
	m, err := readManifest(dir)
	if err != nil {
		return err
	}
	for name, want := range m.Files {
		if err := verifyFile(dir, name, want, false); err != nil {
			return err
		}
	}
	return nil
}

func verifyFile(dir, name string, want fileSum, content bool) error {
	path := filepath.Join(dir, filepath.FromSlash(name))
	f, size, err := openFile(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if size != want.Size {
		return &Error{Path: path, Problem: fmt.Sprintf("has %d bytes, but %s says %d", size, manifestName, want.Size)}
	}
	if !content {
		return nil
	}
	s := summer{hash: sha256.New()}
	if _, err := io.Copy(&s, f); err != nil {
		return err
	}
	if s.sum() != want {
		return &Error{
			Path:    path,
			Problem: "was changed or damaged: its SHA-256 is not the one in " + manifestName,
			Remedy:  "restore it, or if a model was changed on purpose, remove its " + manifestName,
		}
	}
	return nil
}

func readManifest(dir string) (manifest, error) {
	path := filepath.Join(dir, manifestName)
	text, err := readText(path, maxText)
	if err != nil {
		return manifest{}, err
	}
	m, err := parseManifest(text)
	if err != nil {
		return manifest{}, &Error{Path: path, Problem: err.Error()}
	}
	return m, nil
}

// parseManifest reads a manifest. The names in it lead nowhere but into its own directory.
func parseManifest(text []byte) (manifest, error) {
	var m manifest
	d, err := newWalker(text)
	if err != nil {
		return manifest{}, err
	}
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return manifest{}, fmt.Errorf("is not a manifest: %w", err)
	}
	if len(m.Files) == 0 {
		return manifest{}, errors.New("lists no files")
	}
	for name := range m.Files {
		if !isLocal(name) {
			return manifest{}, fmt.Errorf("lists %q, which leads out of the directory", name)
		}
	}
	return m, nil
}
