package boltfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

// maxDepth bounds a walk down a tree; ten levels hold more than any disk.
const maxDepth = 10

// Bucket is where a bucket's content lies: a tree, or a page inside the
// parent's.
type Bucket struct {
	root   uint64
	inline []byte
}

// Inline tells whether the bucket is so small that it lies inside its own entry.
func (b Bucket) Inline() bool { return b.inline != nil }

// Buckets reads the top level of the file by name. It has to be one leaf page, which
// holds dozens of buckets.
func (f *File) Buckets() (map[string]Bucket, error) {
	p, err := f.read(f.meta.root, flagLeaf)
	if err != nil {
		return nil, err
	}
	found := make(map[string]Bucket)
	err = entries(p.b, p.count, nil, nil, func(e Entry) error {
		if e.flags&flagBucket == 0 || len(e.Value) < bucketHeaderSize {
			return Damagedf("%q is no bucket", e.Key)
		}
		b := Bucket{root: binary.LittleEndian.Uint64(e.Value)}
		if b.root == 0 {
			b.inline = slices.Clone(e.Value[bucketHeaderSize:])
			if len(b.inline) < PageHeaderSize {
				return Damagedf("bucket %q is cut", e.Key)
			}
		}
		found[string(e.Key)] = b
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Leaf is a leaf page of a bucket.
type Leaf struct {
	// Lower and Upper bound its keys: Lower <= key < Upper; nil: no bound.
	Lower, Upper []byte

	id     uint64
	inline []byte
}

// Leaves lists the leaf pages of a bucket in order. It reads only the branches and the
// leftmost way down: all leaves of a bbolt tree lie at the same depth.
func (f *File) Leaves(b Bucket) ([]Leaf, error) {
	if b.inline != nil {
		return []Leaf{{inline: b.inline}}, nil
	}
	level := []Leaf{{id: b.root}}
	if err := f.use(b.root); err != nil {
		return nil, err
	}
	for range maxDepth {
		p, err := f.read(level[0].id, flagLeaf, flagBranch)
		if err != nil {
			return nil, err
		}
		if p.flags == flagLeaf {
			return level, nil
		}
		var next []Leaf
		for _, parent := range level {
			if next, err = f.children(parent, next); err != nil {
				return nil, err
			}
		}
		level = next
	}
	return nil, Damagedf("a tree deeper than %d", maxDepth)
}

// children appends the pages under a branch page to those of the branches before it.
func (f *File) children(parent Leaf, all []Leaf) ([]Leaf, error) {
	p, err := f.read(parent.id, flagBranch)
	if err != nil {
		return nil, err
	}
	if p.count == 0 {
		return nil, Damagedf("branch page %d is empty", p.id)
	}
	last := parent.Lower
	for i := range p.count {
		key, child, ok := branchEntry(p.b, i)
		if !ok {
			return nil, Damagedf("page %d: an entry points outside", p.id)
		}
		if bytes.Compare(key, last) < 0 || (i > 0 && bytes.Equal(key, last)) ||
			(parent.Upper != nil && bytes.Compare(key, parent.Upper) >= 0) {
			return nil, Damagedf("page %d: keys out of order", p.id)
		}
		if err := f.use(child); err != nil {
			return nil, err
		}
		last = slices.Clone(key)
		if i > 0 {
			all[len(all)-1].Upper = last
		}
		all = append(all, Leaf{id: child, Lower: last, Upper: parent.Upper})
	}
	return all, nil
}

// Entries calls fn for the entries of a leaf in order, until fn returns an error.
func (f *File) Entries(l Leaf, fn func(Entry) error) error {
	if l.inline != nil {
		if flags := binary.LittleEndian.Uint16(l.inline[8:]); flags != flagLeaf {
			return Damagedf("an inline page has type %#x", flags)
		}
		return entries(l.inline, int(binary.LittleEndian.Uint16(l.inline[10:])), nil, nil, fn)
	}
	p, err := f.read(l.id, flagLeaf)
	if err != nil {
		return err
	}
	if err := entries(p.b, p.count, l.Lower, l.Upper, fn); err != nil {
		return fmt.Errorf("page %d: %w", l.id, err)
	}
	return nil
}

// Each calls fn for the entries of a bucket in order, until fn returns an error.
func (f *File) Each(b Bucket, fn func(Entry) error) error {
	leaves, err := f.Leaves(b)
	if err != nil {
		return err
	}
	for _, l := range leaves {
		if err := f.Entries(l, fn); err != nil {
			return err
		}
	}
	return nil
}
