package data

import (
	"embed"
	"fmt"
)

// embedded/README.md names the authors and licences of the sets, embedded/generate.go makes the files.
//
//go:embed embedded/*.gz
var embedded embed.FS

func openEmbedded(name, split string) (*Set, error) {
	if split != "train" {
		return nil, &Error{name, fmt.Sprintf("the embedded set has no %s split", split), "give a directory that has one", nil}
	}
	d := directory{embedded, "data"}
	s, err := readIDX(d, "embedded/"+name+"-images-idx3-ubyte.gz", "embedded/"+name+"-labels-idx1-ubyte.gz")
	if err != nil {
		return nil, err
	}
	s.Name = name
	return s, nil
}
