package npy

import (
	"strings"
	"testing"
)

func TestHeader(t *testing.T) {
	for _, c := range []struct {
		got  []byte
		want string // before the padding; \x76 is 128-10 bytes
	}{
		{Header(Uint8, 3125, 32, 32, 3), "\x93NUMPY\x01\x00\x76\x00{'descr': '|u1', 'fortran_order': False, 'shape': (3125, 32, 32, 3, ), }"},
		{Header(Int32, 7), "\x93NUMPY\x01\x00\x76\x00{'descr': '<i4', 'fortran_order': False, 'shape': (7, ), }"},
	} {
		if len(c.got) != 128 || c.got[127] != '\n' || strings.TrimRight(string(c.got), " \n") != c.want {
			t.Errorf("got %q", c.got)
		}
	}
}
