package journal_test

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// opKind is what can happen to a disk.
type opKind string

const (
	opWrite   opKind = "write"
	opSize    opKind = "size" // truncate, or extend with zeros
	opSync    opKind = "sync"
	opLose    opKind = "failed sync"
	opCreate  opKind = "create"
	opRename  opKind = "rename"
	opLink    opKind = "link"
	opUnlink  opKind = "unlink"
	opSyncDir opKind = "sync directory"
	opNote    opKind = "note" // a word of the process under test, in its place among the others
)

// op is one operation, in the order in which the kernel brought them.
type op struct {
	kind opKind
	file int
	off  int64 // opSize: the size
	data []byte
	name string
	to   string // opRename
}

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

// notes is the file into which the process under test speaks.
const notes = "notes"

// mountDisk mounts an empty disk and returns its mount point.
func mountDisk(t testing.TB, fault func(op) syscall.Errno) (*disk, string) {
	t.Helper()
	d, at, unmount := mountDiskFor(t, fault)
	t.Cleanup(unmount)
	return d, at
}

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
		if os.Getenv("CI") == "true" {
			t.Fatalf("FUSE cannot be mounted here: %v", err)
		}
		t.Skipf("FUSE cannot be mounted here (it takes root and /dev/fuse): %v", err)
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
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

func (f *diskFile) Flush(context.Context, fs.FileHandle) syscall.Errno { return 0 }

func (f *diskFile) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
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

// written is a file's content after a write.
func written(b []byte, off int64, data []byte) []byte {
	if end := off + int64(len(data)); end > int64(len(b)) {
		b = sized(b, end)
	}
	copy(b[off:], data)
	return b
}

// sized is a file's content with another size.
func sized(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size:size]
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}

// platter is what a disk holds, as far as it is certain, and what it was told
// since: that may get there or not.
type platter struct {
	names   map[string]int
	content map[int][]byte
	asked   map[int][]op // writes and sizes since the file's last sync
	moves   []op         // of names, since the directory's last sync
	loses   bool         // what a failed sync did not write is lost
}

func newPlatter() *platter {
	return &platter{names: make(map[string]int), content: make(map[int][]byte), asked: make(map[int][]op)}
}

// add brings the next operation.
func (p *platter) add(o op) {
	switch o.kind {
	case opWrite, opSize:
		p.asked[o.file] = append(p.asked[o.file], o)
	case opSync:
		p.content[o.file] = play(p.content[o.file], p.asked[o.file])
		delete(p.asked, o.file)
	case opLose:
		// The kernel has tried, and counts as clean what it could not write: the
		// next sync says nothing of it.
		if p.loses {
			delete(p.asked, o.file)
		}
	case opSyncDir:
		move(p.names, p.moves)
		p.moves = nil
	case opNote:
	default:
		p.moves = append(p.moves, o)
	}
}

// play is a file's content after some operations.
func play(b []byte, ops []op) []byte {
	for _, o := range ops {
		if o.kind == opSize {
			b = sized(b, o.off)
		} else {
			b = written(b, o.off, o.data)
		}
	}
	return b
}

func move(names map[string]int, ops []op) {
	for _, o := range ops {
		switch o.kind {
		case opCreate, opLink:
			names[o.name] = o.file
		case opUnlink:
			delete(names, o.name)
		case opRename:
			if file, ok := names[o.name]; ok {
				names[o.to] = file
				delete(names, o.name)
			}
		}
	}
}

// cutKind is what a power cut does to what was not synced.
type cutKind string

const (
	cutDropped   cutKind = "dropped"       // nothing of it got there
	cutKept      cutKind = "kept"          // all of it did
	cutPart      cutKind = "kept in part"  // some writes did
	cutReordered cutKind = "reordered"     // some did, in any order
	cutTorn512   cutKind = "torn at 512"   // some sectors did
	cutTorn4K    cutKind = "torn at 4 KiB" // some pages did
)

// cut is what is found after a power cut.
func (p *platter) cut(kind cutKind, rng *rand.Rand) map[string][]byte {
	names := make(map[string]int)
	for name, file := range p.names {
		names[name] = file
	}
	// A directory is journalled by every file system in use: its changes get
	// there in order.
	moves := p.moves
	switch kind {
	case cutDropped:
		moves = nil
	case cutKept:
	default:
		moves = moves[:rng.IntN(len(moves)+1)]
	}
	move(names, moves)
	found := make(map[string][]byte)
	for name, file := range names {
		found[name] = p.content[file]
		if left := survivors(p.asked[file], kind, rng); len(left) > 0 {
			found[name] = play(slices.Clone(p.content[file]), left)
		}
	}
	return found
}

// survivors are the operations of which a cut leaves something.
func survivors(ops []op, kind cutKind, rng *rand.Rand) []op {
	switch kind {
	case cutDropped:
		return nil
	case cutKept:
		return ops
	case cutTorn512:
		ops = split(ops, 512)
	case cutTorn4K:
		ops = split(ops, 4096)
	}
	var left []op
	for _, o := range ops {
		if rng.IntN(2) == 0 {
			left = append(left, o)
		}
	}
	if kind == cutReordered {
		rng.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
	}
	return left
}

func split(ops []op, size int) []op {
	var parts []op
	for _, o := range ops {
		if o.kind != opWrite {
			parts = append(parts, o)
			continue
		}
		for part := range slices.Chunk(o.data, size) {
			parts = append(parts, op{kind: opWrite, file: o.file, off: o.off, data: part})
			o.off += int64(len(part))
		}
	}
	return parts
}
