package data

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// cifarFile returns n records of noise with labels 0, 1, 2, ….
func cifarFile(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 2))
	b := make([]byte, n*cifarRecord)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	for i := range n {
		b[i*cifarRecord] = byte(i % 10)
	}
	return b
}

func TestCIFAR(t *testing.T) {
	for _, folder := range []string{"", cifarFolder + "/"} {
		dir := t.TempDir()
		var all []byte
		for i := range 5 {
			content := cifarFile(i+1, uint64(i))
			all = append(all, content...)
			write(t, dir, folder+fmt.Sprintf("data_batch_%d.bin", i+1), content)
		}
		write(t, dir, folder+"test_batch.bin", cifarFile(2, 9))
		write(t, dir, folder+"readme.html", []byte("<html>"))
		s := mustOpen(t, dir, Options{})
		if s.Len() != 15 || s.H != 32 || s.W != 32 || s.C != 3 || s.Classes != 10 || s.ClassNames[9] != "truck" || len(s.Labels) != 15 {
			t.Fatalf("got %d images %d×%d×%d, %d classes", s.Len(), s.H, s.W, s.C, s.Classes)
		}
		for i := range 15 {
			record := all[i*cifarRecord:][:cifarRecord]
			if s.Labels[i] != int(record[0]) {
				t.Errorf("image %d: label %d, want %d", i, s.Labels[i], record[0])
			}
			for y := range 32 {
				for x := range 32 {
					for c := range 3 {
						got, want := s.Pixels[((i*32+y)*32+x)*3+c], record[1+c*1024+y*32+x]
						if got != want {
							t.Fatalf("image %d, pixel %d,%d,%d: got %d, want %d", i, y, x, c, got, want)
						}
					}
				}
			}
		}
		if test := mustOpen(t, dir, Options{Split: "test", Channels: 1}); test.Len() != 2 || test.C != 1 {
			t.Errorf("test split: got %d images of %d channels", test.Len(), test.C)
		}
	}
}

func TestCIFARRefuses(t *testing.T) {
	good := cifarFile(2, 1)
	badLabel := slices.Clone(good)
	badLabel[cifarRecord] = 10
	for _, c := range []struct {
		name    string
		content []byte
		detail  string
	}{
		{"empty", nil, "has 0 bytes"},
		{"truncated", good[:len(good)-1], "multiple of the record size 3073"},
		{"trailing byte", append(slices.Clone(good), 0), "multiple of the record size 3073"},
		{"label", badLabel, "record 1 has label 10"},
	} {
		dir := t.TempDir()
		path := write(t, dir, "test_batch.bin", c.content)
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(dir, Options{Split: "test"})
			wantError(t, err, path, c.detail)
		})
	}

	dir := t.TempDir()
	write(t, dir, "data_batch_1.bin", good)
	_, err := Open(dir, Options{})
	wantError(t, err, dir, "holds no data_batch_2.bin")
	python := t.TempDir()
	write(t, python, "cifar-10-batches-py/data_batch_1", good)
	_, err = Open(python, Options{})
	wantError(t, err, python, "holds no data_batch_1.bin")
	folder := t.TempDir()
	write(t, folder, "test_batch.bin/x", nil)
	write(t, folder, "data_batch_1.bin", nil)
	_, err = Open(folder, Options{Split: "test"})
	if _, ok := errors.AsType[*Error](err); !ok {
		t.Errorf("a folder for a file: got %v, want an *Error", err)
	}
}

func FuzzCIFAR(f *testing.F) {
	f.Add(cifarFile(1, 1))
	f.Add(cifarFile(2, 1)[:cifarRecord+5])
	f.Add(bytes.Repeat([]byte{10}, cifarRecord))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		n := len(content) / cifarRecord
		if err := checkCIFARSize("f", int64(len(content))); err != nil {
			if n > 0 && len(content)%cifarRecord == 0 {
				t.Fatalf("%d bytes refused: %v", len(content), err)
			}
			n++ // reading must then find the end
		}
		pixels, labels := make([]byte, n*3*cifarPlane), make([]int, n)
		err := decodeCIFAR("f", bytes.NewReader(content), pixels, labels)
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("error %v, want an *Error", err)
			}
			return
		}
		for i, l := range labels {
			if l < 0 || l > 9 || l != int(content[i*cifarRecord]) {
				t.Fatalf("label %d is %d", i, l)
			}
		}
	})
}
