package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
)

// pageSize is the page size of every journal, whatever the kernel's.
const pageSize = 4096

// The parts of a bbolt page (go.etcd.io/bbolt, internal/common). bbolt writes
// them in the byte order of the machine: little endian on everything that the
// gateway runs on.
const (
	pageHeader    = 16 // id u64, flags u16, count u16, overflow u32
	leafElement   = 16 // flags u32, position u32, key size u32, value size u32
	branchElement = 16 // position u32, key size u32, page u64
	bucketHeader  = 16 // root page u64, sequence u64
	metaSize      = 64

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagMeta     = 0x04
	flagFreelist = 0x10

	flagBucket = 0x01 // of a leaf element: the value is a bucket

	metaMagic   = 0xED0CDAED
	metaVersion = 2

	noFreelist = ^uint64(0)

	// maxDepth bounds a walk down a tree; ten levels hold more than any disk.
	maxDepth = 10
)

// errEnough ends a walk early.
var errEnough = errors.New("enough")

// errDamagedFile is wrapped by everything that is wrong with the file itself.
var errDamagedFile = errors.New("journal file is damaged")

func damagedf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errDamagedFile, fmt.Sprintf(format, args...))
}

// image reads a bbolt file without bbolt. bbolt trusts its file: what is wrong
// with a page shows as a panic, or as a signal where the map ends behind the
// file. This reads pages with ReadAt, believes nothing, and returns errors.
type image struct {
	r    io.ReaderAt
	size int64
	meta meta
	page [pageSize]byte // for pages that nobody keeps
	used []uint64       // pages that are part of something, a bit each
}

// meta is a meta page.
type meta struct {
	root     uint64
	freelist uint64
	pages    uint64 // all pages are below this
	txid     uint64
}

// openImage picks the newest meta page, as bbolt does. Where one of the two is
// bad, the image is returned and the error says so.
func openImage(r io.ReaderAt, size int64) (*image, error) {
	im := &image{r: r, size: size}
	if size == 0 {
		return nil, damagedf("it is empty")
	}
	if size < 2*pageSize {
		return nil, damagedf("it has only %d bytes", size)
	}
	first, err0 := im.readMeta(0)
	second, err1 := im.readMeta(1)
	switch {
	case err0 != nil && err1 != nil:
		return nil, fmt.Errorf("%w; %w", err0, err1)
	case err0 != nil:
		im.meta = second
		return im, err0
	case err1 != nil:
		im.meta = first
		return im, err1
	}
	im.meta = first
	if second.txid > first.txid {
		im.meta = second
	}
	return im, nil
}

// readMeta reads and checks meta page 0 or 1.
func (im *image) readMeta(id uint64) (meta, error) {
	b := im.page[:]
	if err := im.readAt(b, int64(id)*pageSize); err != nil {
		return meta{}, err
	}
	if flags := binary.LittleEndian.Uint16(b[8:]); flags != flagMeta {
		return meta{}, damagedf("meta page %d has type %#x", id, flags)
	}
	if own := binary.LittleEndian.Uint64(b); own != id {
		return meta{}, damagedf("meta page %d says that it is %d", id, own)
	}
	b = b[pageHeader : pageHeader+metaSize]
	if magic := binary.LittleEndian.Uint32(b); magic != metaMagic {
		return meta{}, damagedf("meta page %d: not a journal (magic %#x)", id, magic)
	}
	if v := binary.LittleEndian.Uint32(b[4:]); v != metaVersion {
		return meta{}, damagedf("meta page %d has version %d", id, v)
	}
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	if binary.LittleEndian.Uint64(b[metaSize-8:]) != sum.Sum64() {
		return meta{}, damagedf("meta page %d: wrong checksum", id)
	}
	if size := binary.LittleEndian.Uint32(b[8:]); size != pageSize {
		return meta{}, damagedf("meta page %d: pages of %d bytes instead of %d", id, size, pageSize)
	}
	m := meta{
		root:     binary.LittleEndian.Uint64(b[16:]),
		freelist: binary.LittleEndian.Uint64(b[32:]),
		pages:    binary.LittleEndian.Uint64(b[40:]),
		txid:     binary.LittleEndian.Uint64(b[48:]),
	}
	if m.pages < 4 || m.pages > uint64(im.size)/pageSize {
		return meta{}, damagedf("meta page %d: %d pages in a file of %d bytes", id, m.pages, im.size)
	}
	return m, nil
}

// readAt fills b; a short file is damage.
func (im *image) readAt(b []byte, off int64) error {
	n, err := im.r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return damagedf("it ends at %d, inside a page", off+int64(n))
	}
	return fmt.Errorf("%w: %w", errDamagedFile, err)
}

// use notes that a page is part of something. None is part of two things.
func (im *image) use(id uint64) error {
	if id >= im.meta.pages {
		return damagedf("page %d is outside the file's %d pages", id, im.meta.pages)
	}
	if im.used == nil {
		im.used = make([]uint64, im.meta.pages/64+1)
	}
	if im.used[id/64]&(1<<(id%64)) != 0 {
		return damagedf("page %d is used twice", id)
	}
	im.used[id/64] |= 1 << (id % 64)
	return nil
}

// isUsed tells whether a page was found to be part of something.
func (im *image) isUsed(id uint64) bool {
	return id/64 < uint64(len(im.used)) && im.used[id/64]&(1<<(id%64)) != 0
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
func (im *image) read(id uint64, want ...uint16) (pageData, error) {
	if id < 2 || id >= im.meta.pages {
		return pageData{}, damagedf("page %d is outside the file's %d pages", id, im.meta.pages)
	}
	b := im.page[:]
	if err := im.readAt(b, int64(id)*pageSize); err != nil {
		return pageData{}, err
	}
	p := pageData{
		id:    id,
		flags: binary.LittleEndian.Uint16(b[8:]),
		count: int(binary.LittleEndian.Uint16(b[10:])),
		b:     b,
	}
	if own := binary.LittleEndian.Uint64(b); own != id {
		return pageData{}, damagedf("page %d says that it is %d", id, own)
	}
	if !slices.Contains(want, p.flags) {
		return pageData{}, damagedf("page %d has type %#x", id, p.flags)
	}
	overflow := uint64(binary.LittleEndian.Uint32(b[12:]))
	if overflow == 0 {
		return p, nil
	}
	if overflow >= im.meta.pages-id {
		return pageData{}, damagedf("page %d: %d more pages do not fit", id, overflow)
	}
	p.b = make([]byte, (overflow+1)*pageSize)
	if err := im.readAt(p.b, int64(id)*pageSize); err != nil {
		return pageData{}, err
	}
	return p, nil
}

// element is one entry of a leaf.
type element struct {
	flags      uint32
	key, value []byte
}

// leaf returns entry i of a leaf page, or of an inline one.
func leaf(b []byte, i int) (element, bool) {
	at := pageHeader + i*leafElement
	if at+leafElement > len(b) {
		return element{}, false
	}
	e := b[at : at+leafElement]
	from := uint64(at) + uint64(binary.LittleEndian.Uint32(e[4:]))
	mid := from + uint64(binary.LittleEndian.Uint32(e[8:]))
	to := mid + uint64(binary.LittleEndian.Uint32(e[12:]))
	if from == mid || to > uint64(len(b)) {
		return element{}, false
	}
	return element{flags: binary.LittleEndian.Uint32(e), key: b[from:mid], value: b[mid:to]}, true
}

// branch returns entry i of a branch page: the first key under it and where.
func branch(b []byte, i int) (key []byte, child uint64, ok bool) {
	at := pageHeader + i*branchElement
	if at+branchElement > len(b) {
		return nil, 0, false
	}
	e := b[at : at+branchElement]
	from := uint64(at) + uint64(binary.LittleEndian.Uint32(e))
	to := from + uint64(binary.LittleEndian.Uint32(e[4:]))
	if from == to || to > uint64(len(b)) {
		return nil, 0, false
	}
	return b[from:to], binary.LittleEndian.Uint64(e[8:]), true
}

// elements calls fn for each entry of a leaf page, keys strictly rising, above
// or at the lower bound and below the upper one (nil: none).
func elements(b []byte, count int, lower, upper []byte, fn func(element) error) error {
	var last []byte
	for i := range count {
		e, ok := leaf(b, i)
		if !ok {
			return damagedf("an entry points outside its page")
		}
		if (last != nil && bytes.Compare(last, e.key) >= 0) ||
			bytes.Compare(e.key, lower) < 0 ||
			(upper != nil && bytes.Compare(e.key, upper) >= 0) {
			return damagedf("keys out of order")
		}
		last = e.key
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

// bucket is where a bucket's content lies: a tree, or a page inside the
// parent's.
type bucket struct {
	root   uint64
	inline []byte
}

// buckets reads the top level: one leaf in all journals.
func (im *image) buckets() (map[string]bucket, error) {
	p, err := im.read(im.meta.root, flagLeaf)
	if err != nil {
		return nil, err
	}
	found := make(map[string]bucket)
	err = elements(p.b, p.count, nil, nil, func(e element) error {
		if e.flags&flagBucket == 0 || len(e.value) < bucketHeader {
			return damagedf("%q is no bucket", e.key)
		}
		b := bucket{root: binary.LittleEndian.Uint64(e.value)}
		if b.root == 0 {
			b.inline = slices.Clone(e.value[bucketHeader:])
			if len(b.inline) < pageHeader {
				return damagedf("bucket %q is cut", e.key)
			}
		}
		found[string(e.key)] = b
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// leafRef is a leaf page and the range of its keys.
type leafRef struct {
	id           uint64
	lower, upper []byte // upper nil: no bound
}

// leaves lists the leaf pages of a tree in order, reading only the branches and
// the leftmost way down. All leaves of a bbolt tree lie at the same depth.
func (im *image) leaves(root uint64) ([]leafRef, error) {
	level := []leafRef{{id: root}}
	if err := im.use(root); err != nil {
		return nil, err
	}
	for range maxDepth {
		p, err := im.read(level[0].id, flagLeaf, flagBranch)
		if err != nil {
			return nil, err
		}
		if p.flags == flagLeaf {
			return level, nil
		}
		var next []leafRef
		for _, parent := range level {
			p, err := im.read(parent.id, flagBranch)
			if err != nil {
				return nil, err
			}
			if p.count == 0 {
				return nil, damagedf("branch page %d is empty", p.id)
			}
			last := parent.lower
			for i := range p.count {
				key, child, ok := branch(p.b, i)
				if !ok {
					return nil, damagedf("page %d: an entry points outside", p.id)
				}
				if bytes.Compare(key, last) < 0 || (i > 0 && bytes.Equal(key, last)) ||
					(parent.upper != nil && bytes.Compare(key, parent.upper) >= 0) {
					return nil, damagedf("page %d: keys out of order", p.id)
				}
				if err := im.use(child); err != nil {
					return nil, err
				}
				last = slices.Clone(key)
				if i > 0 {
					next[len(next)-1].upper = last
				}
				next = append(next, leafRef{id: child, lower: last, upper: parent.upper})
			}
		}
		level = next
	}
	return nil, damagedf("a tree deeper than %d", maxDepth)
}

// leafElements calls fn for the entries of a leaf page.
func (im *image) leafElements(l leafRef, fn func(element) error) error {
	p, err := im.read(l.id, flagLeaf)
	if err != nil {
		return err
	}
	if err := elements(p.b, p.count, l.lower, l.upper, fn); err != nil {
		return fmt.Errorf("page %d: %w", l.id, err)
	}
	return nil
}

// each calls fn for the entries of a bucket in order.
func (im *image) each(b bucket, fn func(element) error) error {
	if b.inline != nil {
		count := int(binary.LittleEndian.Uint16(b.inline[10:]))
		if flags := binary.LittleEndian.Uint16(b.inline[8:]); flags != flagLeaf {
			return damagedf("an inline page has type %#x", flags)
		}
		return elements(b.inline, count, nil, nil, fn)
	}
	leaves, err := im.leaves(b.root)
	if err != nil {
		return err
	}
	for _, l := range leaves {
		if err := im.leafElements(l, fn); err != nil {
			return err
		}
	}
	return nil
}

// freePages reads the list of free pages; there is none to read where it was
// too long to be written (see maxFreelist).
func (im *image) freePages() ([]uint64, error) {
	if im.meta.freelist == noFreelist {
		return nil, nil
	}
	p, err := im.read(im.meta.freelist, flagFreelist)
	if err != nil {
		return nil, err
	}
	b, count := p.b[pageHeader:], uint64(p.count)
	if count == 0xFFFF { // then the first entry is the true count
		count = binary.LittleEndian.Uint64(b)
		b = b[8:]
	}
	if count > uint64(len(b))/8 {
		return nil, damagedf("page %d: %d free pages do not fit", p.id, count)
	}
	ids := make([]uint64, count)
	for i := range ids {
		ids[i] = binary.LittleEndian.Uint64(b[i*8:])
		if ids[i] < 2 || ids[i] >= im.meta.pages || (i > 0 && ids[i] <= ids[i-1]) {
			return nil, damagedf("page %d: wrong entry %d", p.id, ids[i])
		}
	}
	return ids, nil
}
