//go:build !amd64 && !arm64

package journal_test

import (
	"syscall"
	"testing"
)

// disk stands for the file system of fuse_test.go, whose library does not build
// for 32-bit processors.
type disk struct{}

func (*disk) history() []op { return nil }

// mountDiskFor skips the test.
func mountDiskFor(t testing.TB, _ func(op) syscall.Errno) (d *disk, at string, unmount func()) {
	t.Helper()
	t.Skip("there is no FUSE library for this processor")
	return nil, "", nil
}
