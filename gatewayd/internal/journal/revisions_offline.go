package journal

import (
	"bytes"
	"fmt"
	"io"
	"sort"

	"presence/gatewayd/internal/journal/boltfile"
	"presence/gatewayd/internal/presence"
)

// Revisions is Journal.Revisions of a journal that no daemon holds, as far as it
// can be read. It reads the pages that hold the revisions asked for, and no others.
func (r *Reader) Revisions(from, to uint64) (map[uint64]presence.Revision, error) {
	if r.revisions == nil {
		index, err := newRevisionIndex(r.file, r.size)
		if err != nil {
			return nil, fmt.Errorf("read what was said: %w", err)
		}
		r.revisions = index
	}
	return r.revisions.read(r.codec, from, to), nil
}

// revisionIndex is where the revisions lie in a file that may be damaged and that
// does not change.
type revisionIndex struct {
	file   *boltfile.File
	leaves []boltfile.Leaf
}

// newRevisionIndex finds the pages. Events whose revisions cannot be found count as
// having none.
func newRevisionIndex(file io.ReaderAt, size int64) (*revisionIndex, error) {
	f, err := boltfile.Open(file, size)
	if f == nil {
		return nil, err
	}
	index := &revisionIndex{file: f}
	if buckets, err := f.Buckets(); err == nil {
		if b, ok := buckets[bucketRevisions]; ok {
			index.leaves, _ = f.Leaves(b) // none where they cannot be found
		}
	}
	return index, nil
}

// read returns the revisions of the events from..to, by position, those that can be
// read.
func (x *revisionIndex) read(c codec, from, to uint64) revisions {
	found := make(revisions)
	first, last := posKey(from), posKey(to)
	i := sort.Search(len(x.leaves), func(i int) bool {
		return x.leaves[i].Upper == nil || bytes.Compare(x.leaves[i].Upper, first[:]) > 0
	})
	for ; i < len(x.leaves) && bytes.Compare(x.leaves[i].Lower, last[:]) <= 0; i++ {
		_ = x.file.Entries(x.leaves[i], func(e boltfile.Entry) error {
			if r, err := c.readRevision(e.Key, e.Value); err == nil && from <= r.Pos && r.Pos <= to {
				found[r.Pos] = r
			}
			return nil
		})
	}
	return found
}

// readRevisions returns the revisions in a file that may be damaged, as far as they
// can be read.
func readRevisions(f *boltfile.File, c codec) (revisions, error) {
	found := make(revisions)
	buckets, err := f.Buckets()
	if err != nil {
		return found, err
	}
	b, ok := buckets[bucketRevisions]
	if !ok {
		return found, nil
	}
	s := survey{codec: c, revision: func(r presence.Revision) { found[r.Pos] = r }}
	return found, s.bucket(f, bucketRevisions, b)
}
