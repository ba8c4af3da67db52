//go:build unix

package main

import (
	"runtime"
	"syscall"
)

// memory returns the largest amount of memory the process has held so far, in bytes.
func memory() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return int64(u.Maxrss) // in bytes there, in KiB elsewhere
	}
	return int64(u.Maxrss) << 10
}
