//go:build ignore

// Generate writes the embedded sets, as gzipped IDX files, from the files their authors publish:
//
//	go run generate.go -digits digits.csv.gz -mnist DIR
//
// digits.csv.gz has one image a line, 64 values 0…16 and the label; DIR holds MNIST's train-images-idx3-ubyte.gz and
// train-labels-idx1-ubyte.gz. The same input gives the same bytes under the same Go release.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/csv"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strconv"
)

// mnistCount is how many of MNIST's 60,000 training images are embedded: enough to learn from, 1.6 MB in the binary.
const mnistCount = 10_000

func main() {
	log.SetFlags(0)
	digits := flag.String("digits", "", "the digits, as gzipped CSV")
	mnist := flag.String("mnist", "", "the directory with MNIST's training files")
	flag.Parse()
	if *digits == "" || *mnist == "" {
		flag.Usage()
		os.Exit(2)
	}
	writeDigits(unzip(*digits))
	// An IDX header is a magic number and one count per dimension, all big-endian uint32.
	writeMNIST("train-images-idx3-ubyte.gz", *mnist, 16, 28*28)
	writeMNIST("train-labels-idx1-ubyte.gz", *mnist, 8, 1)
}

// writeDigits scales values 0…16 to 0…255, rounding to the nearest.
func writeDigits(text []byte) {
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	check(err)
	images := header(0x803, len(rows), 8, 8)
	labels := header(0x801, len(rows))
	for line, row := range rows {
		if len(row) != 65 {
			log.Fatalf("digits: line %d has %d values, want 65", line+1, len(row))
		}
		for i, field := range row {
			v, err := strconv.Atoi(field)
			check(err)
			if i == 64 {
				labels = append(labels, byte(v))
				continue
			}
			if v < 0 || v > 16 {
				log.Fatalf("digits: line %d: value %d, want 0…16", line+1, v)
			}
			images = append(images, byte((v*255+8)/16))
		}
	}
	zip("digits-images-idx3-ubyte.gz", images)
	zip("digits-labels-idx1-ubyte.gz", labels)
}

// writeMNIST keeps the first mnistCount items of one of MNIST's files and corrects the count in its header.
func writeMNIST(name, dir string, headerSize, itemSize int) {
	all := unzip(filepath.Join(dir, name))
	part := all[:headerSize+mnistCount*itemSize]
	binary.BigEndian.PutUint32(part[4:], mnistCount)
	zip("mnist-"+name[len("train-"):], part)
}

func header(magic uint32, dims ...int) []byte {
	b := binary.BigEndian.AppendUint32(nil, magic)
	for _, d := range dims {
		b = binary.BigEndian.AppendUint32(b, uint32(d))
	}
	return b
}

func unzip(path string) []byte {
	f, err := os.Open(path)
	check(err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	check(err)
	b, err := io.ReadAll(z)
	check(err)
	return b
}

func zip(path string, b []byte) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	check(err)
	_, err = z.Write(b)
	check(err)
	check(z.Close())
	check(os.WriteFile(path, out.Bytes(), 0o644))
	fmt.Printf("%s: %d bytes\n", path, out.Len())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
