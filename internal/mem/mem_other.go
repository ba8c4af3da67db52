//go:build !linux

package mem

// advise does nothing: only Linux is known to wait for being asked.
func advise([]float32) {}
