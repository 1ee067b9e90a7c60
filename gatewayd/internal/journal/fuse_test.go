//go:build amd64 || arm64

package journal_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"presence/gatewayd/internal/journal"
	"presence/scripts/skiptest"
)

// disk is a file system with one directory that remembers every operation, and
// can refuse some. It lives in this process; whoever uses it lives in another,
// since a process that serves its own page faults can stop for good.
type disk struct {
	fs.Inode
	mu    sync.Mutex
	ops   []op
	files []*diskFile
	fault func(op) syscall.Errno // may be nil; called under the mutex
}

// diskFile is a file as the running system sees it.
type diskFile struct {
	fs.Inode
	d    *disk
	id   int
	data []byte
	// unread, if set, may have a read fail; nothing is cached then. It is called
	// under the mutex.
	unread func(off int64) syscall.Errno
}

var (
	_ fs.NodeCreater  = (*disk)(nil)
	_ fs.NodeUnlinker = (*disk)(nil)
	_ fs.NodeRenamer  = (*disk)(nil)
	_ fs.NodeLinker   = (*disk)(nil)
	_ fs.NodeFsyncer  = (*disk)(nil)
	_ fs.NodeStatfser = (*disk)(nil)

	_ fs.NodeOpener    = (*diskFile)(nil)
	_ fs.NodeReader    = (*diskFile)(nil)
	_ fs.NodeWriter    = (*diskFile)(nil)
	_ fs.NodeGetattrer = (*diskFile)(nil)
	_ fs.NodeSetattrer = (*diskFile)(nil)
	_ fs.NodeAllocater = (*diskFile)(nil)
	_ fs.NodeFsyncer   = (*diskFile)(nil)
	_ fs.NodeFlusher   = (*diskFile)(nil)
)

// mountDiskFor is mountDisk for less than a whole test.
func mountDiskFor(t testing.TB, fault func(op) syscall.Errno) (d *disk, at string, unmount func()) {
	t.Helper()
	d = &disk{fault: fault}
	at = fastDir(t)
	forever := time.Hour
	server, err := fs.Mount(at, d, &fs.Options{
		EntryTimeout: &forever, AttrTimeout: &forever,
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "journal-test"},
	})
	if err != nil {
		skiptest.NoRoot(t, fmt.Sprintf("FUSE cannot be mounted here (it takes /dev/fuse too): %v", err))
	}
	return d, at, func() {
		if err := server.Unmount(); err != nil {
			t.Error(err)
		}
	}
}

// history is every operation so far.
func (d *disk) history() []op {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ops[:len(d.ops):len(d.ops)]
}

// do notes an operation, unless a fault comes in its way.
func (d *disk) do(o op) syscall.Errno {
	if d.fault != nil {
		if errno := d.fault(o); errno != 0 {
			if o.kind == opSync {
				d.ops = append(d.ops, op{kind: opLose, file: o.file})
			}
			return errno
		}
	}
	d.ops = append(d.ops, o)
	return 0
}

func (d *disk) Create(ctx context.Context, name string, _ uint32, mode uint32, _ *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := &diskFile{d: d, id: len(d.files)}
	if name != notes {
		if errno := d.do(op{kind: opCreate, file: f.id, name: name}); errno != 0 {
			return nil, nil, 0, errno
		}
	} else {
		f.id = -1
	}
	d.files = append(d.files, f)
	return d.NewInode(ctx, f, fs.StableAttr{Mode: syscall.S_IFREG | mode}), nil, fuse.FOPEN_KEEP_CACHE, 0
}

func (d *disk) Unlink(_ context.Context, name string) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.do(op{kind: opUnlink, name: name})
}

func (d *disk) Rename(_ context.Context, name string, _ fs.InodeEmbedder, to string, _ uint32) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.do(op{kind: opRename, name: name, to: to})
}

func (d *disk) Link(_ context.Context, target fs.InodeEmbedder, name string, _ *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := target.(*diskFile)
	if errno := d.do(op{kind: opLink, file: f.id, name: name}); errno != 0 {
		return nil, errno
	}
	return f.EmbeddedInode(), 0
}

func (d *disk) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.do(op{kind: opSyncDir})
}

// Statfs says that there is room.
func (d *disk) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	out.Bsize, out.Blocks, out.Bfree, out.Bavail = 4096, 1<<20, 1<<19, 1<<19
	return 0
}

func (f *diskFile) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if f.unread != nil {
		return nil, fuse.FOPEN_DIRECT_IO, 0
	}
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

func (f *diskFile) Flush(context.Context, fs.FileHandle) syscall.Errno { return 0 }

func (f *diskFile) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.unread != nil {
		if errno := f.unread(off); errno != 0 {
			return nil, errno
		}
	}
	if off >= int64(len(f.data)) {
		return fuse.ReadResultData(nil), 0
	}
	return fuse.ReadResultData(dest[:copy(dest, f.data[off:])]), 0
}

func (f *diskFile) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	o := op{kind: opWrite, file: f.id, off: off, data: slices.Clone(data)}
	if f.id < 0 {
		o.kind = opNote
	}
	if errno := f.d.do(o); errno != 0 {
		return 0, errno
	}
	f.data = written(f.data, off, data)
	return uint32(len(data)), 0
}

func (f *diskFile) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	out.Mode, out.Size = syscall.S_IFREG|0o640, uint64(len(f.data))
	return 0
}

func (f *diskFile) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if size, ok := in.GetSize(); ok {
		if errno := f.d.do(op{kind: opSize, file: f.id, off: int64(size)}); errno != 0 {
			return errno
		}
		f.data = sized(f.data, int64(size))
	}
	out.Mode, out.Size = syscall.S_IFREG|0o640, uint64(len(f.data))
	return 0
}

func (f *diskFile) Allocate(_ context.Context, _ fs.FileHandle, off, size uint64, _ uint32) syscall.Errno {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	to := max(int64(off+size), int64(len(f.data)))
	if errno := f.d.do(op{kind: opSize, file: f.id, off: to}); errno != 0 {
		return errno
	}
	f.data = sized(f.data, to)
	return 0
}

func (f *diskFile) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.d.do(op{kind: opSync, file: f.id})
}

// TestADiskThatDoesNotAnswerIsNoDamage: of a journal of which nothing can be
// read nobody knows that it is damaged.
func TestADiskThatDoesNotAnswerIsNoDamage(t *testing.T) {
	s := newSample(t, 100)
	for name, c := range map[string]struct {
		errno  syscall.Errno
		unread func(n int, page int64) bool // whether the n-th read of the file, of this page, fails
		fails  bool
		closed bool // it is left alone
	}{
		"nothing can be read":       {syscall.EIO, func(int, int64) bool { return true }, true, true},
		"no permission any more":    {syscall.EACCES, func(n int, _ int64) bool { return n > 3 }, true, true},
		"the first look is in vain": {syscall.EIO, func(n int, _ int64) bool { return n == 0 }, false, false},
		"a bad place":               {syscall.EIO, func(_ int, page int64) bool { return page == 7 }, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			d, dir := mountDisk(t, nil)
			file := &diskFile{d: d, id: 1, data: bytes.Clone(s.file)}
			n := 0
			file.unread = func(off int64) syscall.Errno {
				n++
				if c.unread(n-1, off/pageSize) {
					return c.errno
				}
				return 0
			}
			d.AddChild("journal.db", d.NewInode(t.Context(), file, fs.StableAttr{Mode: syscall.S_IFREG | 0o600}), true)
			f, err := os.Open(filepath.Join(dir, "journal.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			closed, err := journal.CheckFile(f)
			d.mu.Lock()
			defer d.mu.Unlock()
			if n == 0 {
				t.Fatal("nothing was read")
			}
			if closed != c.closed || (err != nil) != c.fails {
				t.Errorf("it is left alone: %t; %v", closed, err)
			}
		})
	}
}

// TestDamageWhileRunning: what is damaged under a running daemon is not passed
// over; the daemon is told to leave, and the next start accounts for it.
