package journal_test

import (
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
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

// notes is the file into which the process under test speaks.
const notes = "notes"

// mountDisk mounts an empty disk and returns its mount point.
func mountDisk(t testing.TB, fault func(op) syscall.Errno) (*disk, string) {
	t.Helper()
	d, at, unmount := mountDiskFor(t, fault)
	t.Cleanup(unmount)
	return d, at
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
