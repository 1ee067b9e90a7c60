package boltfile

import (
	"encoding/binary"
	"fmt"
)

// HasFreelist tells whether the file lists its free pages. Where it does not, bbolt goes
// through the whole file when it opens it.
func (f *File) HasFreelist() bool { return f.meta.freelist != noFreelist }

// CheckPages checks that no page is part of two things: of those that were read, the
// root, and the list of free pages.
func (f *File) CheckPages() error {
	if err := f.UseRoot(); err != nil {
		return err
	}
	free, err := f.FreePages()
	if err != nil {
		return fmt.Errorf("list of free pages: %w", err)
	}
	if f.HasFreelist() {
		if err := f.use(f.meta.freelist); err != nil {
			return err
		}
	}
	for _, id := range free {
		if err := f.use(id); err != nil {
			return fmt.Errorf("list of free pages: %w", err)
		}
	}
	return nil
}

// FreePages reads the list of free pages, in order; nothing where there is no list.
func (f *File) FreePages() ([]uint64, error) {
	if !f.HasFreelist() {
		return nil, nil
	}
	p, err := f.read(f.meta.freelist, flagFreelist)
	if err != nil {
		return nil, err
	}
	b, count := p.b[PageHeaderSize:], uint64(p.count)
	if count == 0xFFFF { // then the first entry is the true count
		count = binary.LittleEndian.Uint64(b)
		b = b[8:]
	}
	if count > uint64(len(b))/8 {
		return nil, Damagedf("page %d: %d free pages do not fit", p.id, count)
	}
	ids := make([]uint64, count)
	for i := range ids {
		ids[i] = binary.LittleEndian.Uint64(b[i*8:])
		if ids[i] < 2 || ids[i] >= f.meta.pages || (i > 0 && ids[i] <= ids[i-1]) {
			return nil, Damagedf("page %d: wrong entry %d", p.id, ids[i])
		}
	}
	return ids, nil
}
