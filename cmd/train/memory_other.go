//go:build !unix

package main

import "runtime"

// memory returns the memory that the Go runtime has asked the system for, in bytes.
func memory() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys)
}
