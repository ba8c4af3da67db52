package data

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
)

// The binary version of CIFAR-10 (www.cs.toronto.edu/~kriz/cifar.html): records of a label byte, then 32×32 bytes of
// red, as many of green, as many of blue.
const (
	cifarSide   = 32
	cifarPlane  = cifarSide * cifarSide
	cifarRecord = 1 + 3*cifarPlane
	cifarFolder = "cifar-10-batches-bin"
)

var cifarClasses = []string{
	"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
}

var cifarFiles = map[string][]string{
	"train": {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
	"test":  {"test_batch.bin"},
}

// hasCIFAR reports whether a directory holds CIFAR-10 or the folder its archive unpacks to. The Python version counts:
// openCIFAR can then say what to get instead.
func hasCIFAR(entries []entry) bool {
	return slices.ContainsFunc(entries, func(e entry) bool {
		if e.dir {
			return e.name == cifarFolder || e.name == "cifar-10-batches-py"
		}
		name := strings.TrimSuffix(e.name, ".bin")
		return strings.HasPrefix(name, "data_batch_") || name == "test_batch"
	})
}

func openCIFAR(d directory, split string) (*Set, error) {
	if _, err := fs.Stat(d, cifarFolder); err == nil {
		if d, err = d.sub(cifarFolder); err != nil {
			return nil, err
		}
	}
	names := cifarFiles[split]
	total := 0
	for _, name := range names {
		info, err := fs.Stat(d, name)
		if err != nil {
			remedy := "take all files of the binary version, cifar-10-binary.tar.gz (not the Python one)"
			return nil, &Error{d.path, "holds no " + name, remedy, nil}
		}
		if err := checkCIFARSize(d.join(name), info.Size()); err != nil {
			return nil, err
		}
		total += int(info.Size()) / cifarRecord
	}
	pixels, err := allocate(d.path, total, cifarSide, cifarSide, 3)
	if err != nil {
		return nil, err
	}
	labels := make([]int, total)
	s := &Set{
		H: cifarSide, W: cifarSide, C: 3, Pixels: pixels,
		Labels: labels, Classes: len(cifarClasses), ClassNames: slices.Clone(cifarClasses),
	}
	for _, name := range names {
		n, err := readCIFARFile(d, name, pixels, labels)
		if err != nil {
			return nil, err
		}
		pixels, labels = pixels[n*3*cifarPlane:], labels[n:]
	}
	return s, nil
}

func checkCIFARSize(path string, size int64) error {
	if size > 0 && size%cifarRecord == 0 {
		return nil
	}
	detail := fmt.Sprintf("has %d bytes, want a multiple of the record size %d: it is truncated or something else",
		size, cifarRecord)
	return &Error{path, detail, "download it again", nil}
}

// readCIFARFile reads a file of n records to the front of pixels [N 32 32 3] and labels [N].
func readCIFARFile(d directory, name string, pixels []byte, labels []int) (n int, err error) {
	f, size, err := d.open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n = int(size) / cifarRecord
	if n > len(labels) {
		return 0, &Error{d.join(name), "has grown while it was read", "try again", nil}
	}
	return n, decodeCIFAR(d.join(name), bufio.NewReaderSize(f, 1<<16), pixels[:n*3*cifarPlane], labels[:n])
}

// decodeCIFAR reads len(labels) records from r, interleaving their colour planes.
func decodeCIFAR(path string, r io.Reader, pixels []byte, labels []int) error {
	record := make([]byte, cifarRecord)
	for i := range labels {
		if _, err := io.ReadFull(r, record); err != nil {
			return &Error{path, fmt.Sprintf("cannot be read at record %d", i), "download it again", err}
		}
		if record[0] > 9 {
			detail := fmt.Sprintf("record %d has label %d, want 0…9: it is damaged or something else", i, record[0])
			return &Error{path, detail, "download it again", nil}
		}
		labels[i] = int(record[0])
		red, green, blue := record[1:][:cifarPlane], record[1+cifarPlane:][:cifarPlane], record[1+2*cifarPlane:]
		for p := range cifarPlane {
			rgb := pixels[(i*cifarPlane+p)*3:][:3]
			rgb[0], rgb[1], rgb[2] = red[p], green[p], blue[p]
		}
	}
	return nil
}
