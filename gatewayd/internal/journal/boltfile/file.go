package boltfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
)

const (
	metaMagic   = 0xED0CDAED
	metaVersion = 2

	noFreelist = ^uint64(0)
)

// ErrDamaged is wrapped by everything that is wrong with a file itself. Its words are
// those that are read in logs: the only file of this kind is the journal.
var ErrDamaged = errors.New("journal file is damaged")

// Damagedf is an error that wraps ErrDamaged and says what is damaged.
func Damagedf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// File is a database file. It serves one goroutine at a time.
type File struct {
	r    io.ReaderAt
	size int64
	meta meta
	page [PageSize]byte // for pages that nobody keeps
	used []uint64       // pages that were found to be part of something, a bit each
}

// meta is a meta page.
type meta struct {
	root     uint64
	freelist uint64
	pages    uint64 // all pages are below this
	txid     uint64
}

// Open picks the newest meta page of a file of a size in bytes, as bbolt does. Where one
// of the two is bad the file is returned, and the error says so; where both are, the
// file is nil.
func Open(r io.ReaderAt, size int64) (*File, error) {
	f := &File{r: r, size: size}
	if size == 0 {
		return nil, Damagedf("it is empty")
	}
	if size < 2*PageSize {
		return nil, Damagedf("it has only %d bytes", size)
	}
	first, err0 := f.readMeta(0)
	second, err1 := f.readMeta(1)
	switch {
	case err0 != nil && err1 != nil:
		return nil, fmt.Errorf("%w; %w", err0, err1)
	case err0 != nil:
		f.meta = second
		return f, err0
	case err1 != nil:
		f.meta = first
		return f, err1
	}
	f.meta = first
	if second.txid > first.txid {
		f.meta = second
	}
	return f, nil
}

// readMeta reads and checks meta page 0 or 1.
func (f *File) readMeta(id uint64) (meta, error) {
	b := f.page[:]
	if err := f.readAt(b, int64(id)*PageSize); err != nil {
		return meta{}, err
	}
	if flags := binary.LittleEndian.Uint16(b[8:]); flags != flagMeta {
		return meta{}, Damagedf("meta page %d has type %#x", id, flags)
	}
	if own := binary.LittleEndian.Uint64(b); own != id {
		return meta{}, Damagedf("meta page %d says that it is %d", id, own)
	}
	b = b[PageHeaderSize : PageHeaderSize+metaSize]
	if magic := binary.LittleEndian.Uint32(b); magic != metaMagic {
		return meta{}, Damagedf("meta page %d: not a journal (magic %#x)", id, magic)
	}
	if v := binary.LittleEndian.Uint32(b[4:]); v != metaVersion {
		return meta{}, Damagedf("meta page %d has version %d", id, v)
	}
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	if binary.LittleEndian.Uint64(b[metaSize-8:]) != sum.Sum64() {
		return meta{}, Damagedf("meta page %d: wrong checksum", id)
	}
	if size := binary.LittleEndian.Uint32(b[8:]); size != PageSize {
		return meta{}, Damagedf("meta page %d: pages of %d bytes instead of %d", id, size, PageSize)
	}
	m := meta{
		root:     binary.LittleEndian.Uint64(b[16:]),
		freelist: binary.LittleEndian.Uint64(b[32:]),
		pages:    binary.LittleEndian.Uint64(b[40:]),
		txid:     binary.LittleEndian.Uint64(b[48:]),
	}
	if m.pages < 4 || m.pages > uint64(f.size)/PageSize {
		return meta{}, Damagedf("meta page %d: %d pages in a file of %d bytes", id, m.pages, f.size)
	}
	return m, nil
}

// readAt fills b; a short file is damage.
func (f *File) readAt(b []byte, off int64) error {
	n, err := f.r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return Damagedf("it ends at %d, inside a page", off+int64(n))
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// use notes that a page is part of something. None is part of two things.
func (f *File) use(id uint64) error {
	if id >= f.meta.pages {
		return Damagedf("page %d is outside the file's %d pages", id, f.meta.pages)
	}
	if f.used == nil {
		f.used = make([]uint64, f.meta.pages/64+1)
	}
	if f.used[id/64]&(1<<(id%64)) != 0 {
		return Damagedf("page %d is used twice", id)
	}
	f.used[id/64] |= 1 << (id % 64)
	return nil
}

// UseRoot notes that the root page is part of the file.
func (f *File) UseRoot() error { return f.use(f.meta.root) }

// InUse tells whether the page at an offset in the file was found to be part of
// something by what was read so far.
func (f *File) InUse(offset int64) bool {
	id := uint64(offset) / PageSize
	return id/64 < uint64(len(f.used)) && f.used[id/64]&(1<<(id%64)) != 0
}

// pageData is a page with its overflow, its header checked.
type pageData struct {
	id    uint64
	flags uint16
	count int
	b     []byte
}

// read reads a page of one of the wanted types. Its bytes hold until the next
// call.
func (f *File) read(id uint64, want ...uint16) (pageData, error) {
	if id < 2 || id >= f.meta.pages {
		return pageData{}, Damagedf("page %d is outside the file's %d pages", id, f.meta.pages)
	}
	b := f.page[:]
	if err := f.readAt(b, int64(id)*PageSize); err != nil {
		return pageData{}, err
	}
	p := pageData{
		id:    id,
		flags: binary.LittleEndian.Uint16(b[8:]),
		count: int(binary.LittleEndian.Uint16(b[10:])),
		b:     b,
	}
	if own := binary.LittleEndian.Uint64(b); own != id {
		return pageData{}, Damagedf("page %d says that it is %d", id, own)
	}
	if !slices.Contains(want, p.flags) {
		return pageData{}, Damagedf("page %d has type %#x", id, p.flags)
	}
	overflow := uint64(binary.LittleEndian.Uint32(b[12:]))
	if overflow == 0 {
		return p, nil
	}
	if overflow >= f.meta.pages-id {
		return pageData{}, Damagedf("page %d: %d more pages do not fit", id, overflow)
	}
	p.b = make([]byte, (overflow+1)*PageSize)
	if err := f.readAt(p.b, int64(id)*PageSize); err != nil {
		return pageData{}, err
	}
	return p, nil
}
