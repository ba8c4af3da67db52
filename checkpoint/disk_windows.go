package checkpoint

import "syscall"

// diskErrorsOfSystem are the disk errors of Windows, which syscall does not name (Microsoft, "System Error Codes").
var diskErrorsOfSystem = []error{
	syscall.Errno(19),   // ERROR_WRITE_PROTECT
	syscall.Errno(23),   // ERROR_CRC: the medium cannot be read
	syscall.Errno(39),   // ERROR_HANDLE_DISK_FULL
	syscall.Errno(112),  // ERROR_DISK_FULL
	syscall.Errno(1117), // ERROR_IO_DEVICE
	syscall.Errno(1295), // ERROR_DISK_QUOTA_EXCEEDED
}
