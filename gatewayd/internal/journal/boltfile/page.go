package boltfile

import (
	"bytes"
	"encoding/binary"
)

// The parts of a page (go.etcd.io/bbolt, internal/common). bbolt writes them in the
// byte order of the machine: little endian on everything that the gateway runs on.
const (
	// PageSize is the only size of pages that is read, in bytes.
	PageSize = 4096
	// PageHeaderSize is what a page holds before its first entry, in bytes: id u64,
	// flags u16, count u16, overflow u32.
	PageHeaderSize = 16
	// LeafElementSize is what an entry of a leaf takes beside its key and value, in
	// bytes: flags u32, position u32, key size u32, value size u32.
	LeafElementSize = 16

	branchElementSize = 16 // position u32, key size u32, page u64
	bucketHeaderSize  = 16 // root page u64, sequence u64
	metaSize          = 64

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagMeta     = 0x04
	flagFreelist = 0x10

	flagBucket = 0x01 // of an entry: the value is a bucket
)

// Entry is one entry of a leaf. Its bytes hold only until the function returns that it
// was passed to.
type Entry struct {
	Key, Value []byte
	flags      uint32
}

// leafEntry returns entry i of a leaf page, or of an inline one; false where it does
// not lie inside the page.
func leafEntry(b []byte, i int) (Entry, bool) {
	at := PageHeaderSize + i*LeafElementSize
	if at+LeafElementSize > len(b) {
		return Entry{}, false
	}
	e := b[at : at+LeafElementSize]
	from := uint64(at) + uint64(binary.LittleEndian.Uint32(e[4:]))
	mid := from + uint64(binary.LittleEndian.Uint32(e[8:]))
	to := mid + uint64(binary.LittleEndian.Uint32(e[12:]))
	if from == mid || to > uint64(len(b)) {
		return Entry{}, false
	}
	return Entry{Key: b[from:mid], Value: b[mid:to], flags: binary.LittleEndian.Uint32(e)}, true
}

// branchEntry returns entry i of a branch page: the first key under it, and the page.
func branchEntry(b []byte, i int) (key []byte, child uint64, ok bool) {
	at := PageHeaderSize + i*branchElementSize
	if at+branchElementSize > len(b) {
		return nil, 0, false
	}
	e := b[at : at+branchElementSize]
	from := uint64(at) + uint64(binary.LittleEndian.Uint32(e))
	to := from + uint64(binary.LittleEndian.Uint32(e[4:]))
	if from == to || to > uint64(len(b)) {
		return nil, 0, false
	}
	return b[from:to], binary.LittleEndian.Uint64(e[8:]), true
}

// entries calls fn for each entry of a leaf page, keys strictly rising, at or above the
// lower bound and below the upper one (nil: none).
func entries(b []byte, count int, lower, upper []byte, fn func(Entry) error) error {
	var last []byte
	for i := range count {
		e, ok := leafEntry(b, i)
		if !ok {
			return Damagedf("an entry points outside its page")
		}
		if (last != nil && bytes.Compare(last, e.Key) >= 0) ||
			bytes.Compare(e.Key, lower) < 0 ||
			(upper != nil && bytes.Compare(e.Key, upper) >= 0) {
			return Damagedf("keys out of order")
		}
		last = e.Key
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

// Scraps calls fn for the entries of a page of which nothing is known, not even that it
// ever was one: where it looks like a leaf, for those that lie inside it, and for those
// of the inline buckets among them.
func Scraps(page []byte, fn func(Entry)) {
	if binary.LittleEndian.Uint16(page[8:]) != flagLeaf {
		return
	}
	scraps(page, func(e Entry) {
		fn(e)
		if e.flags&flagBucket != 0 && len(e.Value) > bucketHeaderSize+PageHeaderSize {
			scraps(e.Value[bucketHeaderSize:], fn)
		}
	})
}

func scraps(page []byte, fn func(Entry)) {
	for i := range int(binary.LittleEndian.Uint16(page[10:])) {
		e, ok := leafEntry(page, i)
		if !ok {
			return
		}
		fn(e)
	}
}
