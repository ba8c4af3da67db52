package checkpoint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every kind of damage to every file, each in turn, is found.
func TestVerifyFindsDamage(t *testing.T) {
	damages := map[string]func(data []byte) []byte{
		"a flipped bit":  func(data []byte) []byte { data[len(data)/2] ^= 1; return data },
		"a cut end":      func(data []byte) []byte { return data[:len(data)-2] },
		"a longer end":   func(data []byte) []byte { return append(data, 0) },
		"an empty file":  func(data []byte) []byte { return nil },
		"a missing file": nil,
	}
	dir := filepath.Join(t.TempDir(), "model")
	mustPut(t, dir, "some text")
	for name, content := range tree(t, dir) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		for damage, change := range damages {
			if change == nil {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			} else {
				writeFile(t, path, change([]byte(content)))
			}
			t.Run(damage+" in "+name, func(t *testing.T) { wantError(t, Verify(dir), dir) })
		}
		writeFile(t, path, []byte(content))
		if err := Verify(dir); err != nil {
			t.Fatalf("after %s was put back: %v", name, err)
		}
	}
}

// A bit may flip anywhere in the manifest itself.
func TestVerifyFindsAnyFlipInTheManifest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	mustPut(t, dir, "some text")
	path := filepath.Join(dir, manifestName)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range content {
		content[i] ^= 1
		writeFile(t, path, content)
		if err := Verify(dir); err == nil {
			t.Errorf("a flip in byte %d went unnoticed: %s", i, content)
		}
		content[i] ^= 1
	}
}

func TestVerifyToleratesOtherFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	mustPut(t, dir, "some text")
	writeFile(t, filepath.Join(dir, "grid.png"), nil)
	if err := Verify(dir); err != nil {
		t.Error(err)
	}
}

func TestBadManifests(t *testing.T) {
	sum := `{"size":0,"sha256":"` + strings.Repeat("0", 64) + `"}`
	for text, want := range map[string]string{
		``:                                 "not valid JSON",
		`{}`:                               "lists no files",
		`{"files":{}}`:                     "lists no files",
		`{"files":{"a":` + sum + `}}x`:     "not valid JSON",
		`{"files":{"a":1}}`:                "not a manifest",
		`{"files":{"a":{"md5":""}}}`:       "not a manifest",
		`{"files":{"../a":` + sum + `}}`:   "leads out of",
		`{"files":{"/etc/a":` + sum + `}}`: "leads out of",
		`{"files":{"..\\a":` + sum + `}}`:  "leads out of",
		`{"files":{"":` + sum + `}}`:       "leads out of",
		`{"files":{".":` + sum + `}}`:      "leads out of",
		`{"files":{"unet":` + sum + `}}`:   "not a regular file",
	} {
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, manifestName), []byte(text))
		writeFile(t, filepath.Join(dir, "unet", "a"), nil)
		t.Run(text, func(t *testing.T) { wantError(t, Verify(dir), want) })
	}
}

func TestTextOfAbsurdSize(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, manifestName)
	writeFile(t, path, nil)
	if err := os.Truncate(path, 1<<40); err != nil {
		t.Skip("no sparse files here: ", err)
	}
	wantError(t, Verify(dir), "has 1099511627776 bytes")
}
