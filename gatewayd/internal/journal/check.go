package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"presence/gatewayd/internal/presence"
)

// survey looks through a journal's file without bbolt.
type survey struct {
	codec codec
	// newest limits the look at records to this many leaf pages of the tree,
	// the newest; 0: all of them.
	newest int

	problem  func(error)                    // is told what is wrong
	state    func(state)                    // may be nil
	note     func(name string, data []byte) // may be nil
	revision func(presence.Revision)        // may be nil
	lost     losses                         // what no gap names yet
	record   func(key, value []byte) bool   // for each record in order; false ends it
	streams  map[presence.ID]streamInfo     // what the file says of its streams
	last     presence.ID                    // stream of the newest record
	oldest   uint64                         // where the oldest record is or was; 0: not known
	partial  bool                           // not all records were looked at

	begun  bool // the oldest record has been looked at
	broken bool // where the newest record should be, there is none
}

// all looks at everything and goes on after a problem, as far as that makes
// sense. It tells whether it came to the end.
func (s *survey) all(r io.ReaderAt, size int64) {
	im, err := openImage(r, size)
	if err != nil {
		s.problem(err)
	}
	if im == nil {
		return
	}
	if im.meta.freelist == noFreelist {
		// bbolt goes through the whole file then, in a goroutine of its own, and
		// what panics there cannot be caught.
		s.newest = 0
	}
	buckets, err := im.buckets()
	if err != nil {
		s.problem(fmt.Errorf("list of buckets: %w", err))
		return
	}
	for _, name := range []string{bucketMeta, bucketStreams, bucketHoles, bucketEvents, bucketTail} {
		b, ok := buckets[name]
		if !ok {
			s.problem(damagedf("there is no bucket %q", name))
			continue
		}
		if err := s.bucket(im, name, b); err != nil {
			s.problem(fmt.Errorf("bucket %q: %w", name, err))
		}
	}
	for _, name := range []string{bucketNotes, bucketRevisions} {
		if b, ok := buckets[name]; ok {
			if err := s.bucket(im, name, b); err != nil {
				s.problem(fmt.Errorf("bucket %q: %w", name, err))
			}
		}
	}
	if err := s.pages(im); err != nil {
		s.problem(err)
	}
	if _, ok := s.streams[s.last]; !ok && s.last != (presence.ID{}) {
		s.problem(damagedf("nothing is known of stream %s", s.last))
	}
}

// pages checks the list of free pages against those in use.
func (s *survey) pages(im *image) error {
	if err := im.use(im.meta.root); err != nil {
		return err
	}
	free, err := im.freePages()
	if err != nil {
		return fmt.Errorf("list of free pages: %w", err)
	}
	if im.meta.freelist != noFreelist {
		if err := im.use(im.meta.freelist); err != nil {
			return err
		}
	}
	for _, id := range free {
		if err := im.use(id); err != nil {
			return fmt.Errorf("list of free pages: %w", err)
		}
	}
	return nil
}

func (s *survey) bucket(im *image, name string, b bucket) error {
	switch name {
	case bucketMeta:
		found := false
		err := im.each(b, func(e element) error {
			if string(e.key) == keyLost {
				var err error
				s.lost, err = s.codec.readLost(e.value)
				return err
			}
			if string(e.key) != keyState {
				return nil
			}
			var st state
			if err := s.codec.readChecked(e.key, e.value, &st); err != nil {
				return err
			}
			found = true
			if s.state != nil {
				s.state(st)
			}
			return nil
		})
		if err == nil && !found {
			err = damagedf("there is no %q", keyState)
		}
		return err
	case bucketStreams:
		s.streams = make(map[presence.ID]streamInfo)
		return im.each(b, func(e element) error {
			var info streamInfo
			if len(e.key) != len(presence.ID{}) {
				return damagedf("a key of %d bytes", len(e.key))
			}
			if err := s.codec.readChecked(e.key, e.value, &info); err != nil {
				return err
			}
			s.streams[presence.ID(e.key)] = info
			return nil
		})
	case bucketHoles:
		return im.each(b, func(e element) error {
			if len(e.key) != 8 || len(e.value) != 8 || binary.BigEndian.Uint64(e.key) > binary.BigEndian.Uint64(e.value) {
				return damagedf("a hole that is none")
			}
			return nil
		})
	case bucketNotes:
		return im.each(b, func(e element) error {
			data, err := s.codec.readNote(e.key, e.value)
			if err == nil && s.note != nil {
				s.note(string(e.key), data)
			}
			return err
		})
	case bucketRevisions:
		return im.each(b, func(e element) error {
			r, err := s.codec.readRevision(e.key, e.value)
			if err == nil && s.revision != nil {
				s.revision(r)
			}
			return err
		})
	case bucketTail:
		err := im.each(b, s.take)
		if errors.Is(err, errEnough) {
			err = nil
		}
		return err
	}
	if b.inline != nil {
		err := im.each(b, s.take)
		if errors.Is(err, errEnough) {
			err = nil
		}
		return err
	}
	leaves, err := im.leaves(b.root)
	if err != nil {
		s.begun = true // and what was oldest stays unknown
		return err
	}
	if lower := leaves[0].lower; len(lower) == 8 {
		s.oldest, s.begun = binary.BigEndian.Uint64(lower), true
	}
	if s.newest > 0 && len(leaves) > s.newest {
		leaves = leaves[len(leaves)-s.newest:]
		s.partial = true
	}
	for _, l := range leaves {
		err := im.leafElements(l, s.take)
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			s.begun, s.broken = true, true
			s.problem(err) // and on with the next page
		}
	}
	return nil
}

// take looks at one record.
func (s *survey) take(e element) error {
	r, err := unseal(e.key, e.value)
	if !s.begun {
		s.oldest, s.begun = r.pos, true
	}
	if err != nil {
		s.broken = true
		s.problem(fmt.Errorf("position %x: %w", e.key, err))
		return nil
	}
	s.broken = false
	s.last = r.stream
	if s.record != nil && !s.record(e.key, e.value) {
		return errEnough
	}
	return nil
}

// quickLook is how many leaf pages are looked at before the journal is used:
// all of a usual journal, a part of a very large one, so that the daemon is
// ready soon. The rest is looked at afterwards.
const quickLook = 2048

// file looks through an open file and returns the first problem.
func (s *survey) file(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return damagedf("it is no regular file (%s)", info.Mode())
	}
	s.problem = func(problem error) {
		if err == nil {
			err = problem
		}
	}
	s.all(f, info.Size())
	return err
}
