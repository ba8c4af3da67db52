// Package npy writes the header of NumPy's array files, which numpy.load reads: version 1.0 of the format that NumPy's
// documentation describes as numpy.lib.format. The values follow it in C order.
package npy

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Element types.
const (
	Uint8 = "|u1"
	Int32 = "<i4" // little-endian
)

// Header returns the header of a file that holds an array of the given shape. Its length is a multiple of 64.
func Header(element string, shape ...int) []byte {
	var dims strings.Builder
	for _, d := range shape {
		fmt.Fprintf(&dims, "%d, ", d) // with the comma that a tuple of one needs
	}
	b := fmt.Appendf([]byte("\x93NUMPY\x01\x00\x00\x00"), "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", element, dims.String())
	for len(b)%64 != 63 {
		b = append(b, ' ')
	}
	b = append(b, '\n')
	binary.LittleEndian.PutUint16(b[8:], uint16(len(b)-10))
	return b
}
