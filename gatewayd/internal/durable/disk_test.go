//go:build amd64 || arm64

package durable_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"presence/gatewayd/internal/durable"
	"presence/scripts/skiptest"
)

// disk is a file system with one directory, which notes what it is asked to do, and
// refuses the operation that fails, from when it is set.
type disk struct {
	fs.Inode
	mu    sync.Mutex
	done  []string
	fails string
}

type diskFile struct {
	fs.MemRegularFile
	disk *disk
}

var (
	_ fs.NodeCreater  = (*disk)(nil)
	_ fs.NodeRenamer  = (*disk)(nil)
	_ fs.NodeUnlinker = (*disk)(nil)
	_ fs.NodeFsyncer  = (*disk)(nil)
	_ fs.NodeWriter   = (*diskFile)(nil)
	_ fs.NodeFsyncer  = (*diskFile)(nil)
)

func (d *disk) do(operation string) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.done = append(d.done, operation)
	if operation == d.fails {
		return syscall.EIO
	}
	return 0
}

func (d *disk) Create(ctx context.Context, _ string, _, mode uint32, _ *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	errno := d.do("create")
	return d.NewInode(ctx, &diskFile{disk: d}, fs.StableAttr{Mode: syscall.S_IFREG | mode}), nil, 0, errno
}

func (d *disk) Rename(_ context.Context, _ string, _ fs.InodeEmbedder, _ string, _ uint32) syscall.Errno {
	return d.do("rename")
}

func (d *disk) Unlink(context.Context, string) syscall.Errno { return d.do("unlink") }

func (d *disk) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return d.do("sync directory")
}

func (f *diskFile) Write(ctx context.Context, h fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	if errno := f.disk.do("write"); errno != 0 {
		return 0, errno
	}
	return f.MemRegularFile.Write(ctx, h, data, off)
}

func (f *diskFile) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	return f.disk.do("sync")
}

// mount mounts an empty disk.
func mount(t *testing.T) (d *disk, at string) {
	t.Helper()
	d, at = new(disk), t.TempDir()
	server, err := fs.Mount(at, d, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "durable-test"}})
	if err != nil {
		skiptest.NoRoot(t, fmt.Sprintf("FUSE cannot be mounted here (it takes /dev/fuse too): %v", err))
	}
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return d, at
}

var steps = []string{"create", "write", "sync", "rename", "sync directory"}

// TestTheStepsComeInOrder: each is durable before the next begins.
func TestTheStepsComeInOrder(t *testing.T) {
	d, dir := mount(t)
	if err := durable.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.done, steps) {
		t.Errorf("the disk was asked to %s", strings.Join(d.done, ", "))
	}
}

// TestAStepThatFailsIsAnError, and the old file is there as long as the new one is
// not, alone.
func TestAStepThatFailsIsAnError(t *testing.T) {
	for _, step := range steps {
		t.Run(step, func(t *testing.T) {
			d, dir := mount(t)
			path := filepath.Join(dir, "file")
			if err := durable.WriteFile(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			d.mu.Lock()
			d.fails = step
			d.mu.Unlock()
			if err := durable.WriteFile(path, []byte("new"), 0o600); err == nil {
				t.Error("no error")
			}
			want := "old"
			if step == "sync directory" {
				want = "new"
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != want {
				t.Errorf("the file holds %q (%v), want %q", got, err, want)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
				t.Errorf("the directory holds %v (%v)", left, err)
			}
		})
	}
}
