//go:build !windows

package checkpoint

// diskErrorsOfSystem are the disk errors that syscall does not name: none here.
var diskErrorsOfSystem []error
