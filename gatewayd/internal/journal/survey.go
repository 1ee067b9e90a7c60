package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"presence/gatewayd/internal/journal/boltfile"
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
	origin   presence.Origin                // whose events the file holds; zero: not known
	record   func(key, value []byte) bool   // for each record in order; false ends it
	streams  map[presence.ID]streamInfo     // what the file says of its streams
	last     presence.ID                    // stream of the newest record
	oldest   uint64                         // where the oldest record is or was; 0: not known
	partial  bool                           // not all records were looked at

	begun  bool // the oldest record has been looked at, or cannot be
	broken bool // where the newest record should be, there is none
}

// all looks at everything and goes on after a problem, as far as that makes
// sense.
func (s *survey) all(r io.ReaderAt, size int64) {
	f, err := boltfile.Open(r, size)
	if err != nil {
		s.problem(err)
	}
	if f == nil {
		return
	}
	if !f.HasFreelist() {
		// bbolt goes through the whole file then, in a goroutine of its own, and
		// what panics there cannot be caught.
		s.newest = 0
	}
	buckets, err := f.Buckets()
	if err != nil {
		s.problem(fmt.Errorf("list of buckets: %w", err))
		return
	}
	for _, part := range s.parts() {
		b, ok := buckets[part.name]
		if !ok && !part.optional {
			s.problem(boltfile.Damagedf("there is no bucket %q", part.name))
		}
		if !ok {
			continue
		}
		if err := part.look(f, b); err != nil {
			s.problem(fmt.Errorf("bucket %q: %w", part.name, err))
		}
	}
	if err := f.CheckPages(); err != nil {
		s.problem(err)
	}
	if _, ok := s.streams[s.last]; !ok && s.last != (presence.ID{}) {
		s.problem(boltfile.Damagedf("nothing is known of stream %s", s.last))
	}
}

// part is one bucket of a journal's file and how it is looked at.
type part struct {
	name     string
	optional bool // the first gateways' files have none
	look     func(*boltfile.File, boltfile.Bucket) error
}

// parts are all buckets, in the order in which they are looked at.
func (s *survey) parts() []part {
	each := func(entry func(boltfile.Entry) error) func(*boltfile.File, boltfile.Bucket) error {
		return func(f *boltfile.File, b boltfile.Bucket) error { return f.Each(b, entry) }
	}
	return []part{
		{name: bucketMeta, look: s.meta},
		{name: bucketStreams, look: each(s.streamInfo)},
		{name: bucketHoles, look: each(s.hole)},
		{name: bucketEvents, look: s.events},
		{name: bucketTail, look: s.tail},
		{name: bucketNotes, optional: true, look: each(s.noteEntry)},
		{name: bucketRevisions, optional: true, look: each(s.revisionEntry)},
	}
}

// bucket looks at one bucket alone.
func (s *survey) bucket(f *boltfile.File, name string, b boltfile.Bucket) error {
	parts := s.parts()
	i := slices.IndexFunc(parts, func(p part) bool { return p.name == name })
	return parts[i].look(f, b)
}

// meta looks at the small values beside the events, of which the state must be there.
func (s *survey) meta(f *boltfile.File, b boltfile.Bucket) error {
	found := false
	err := f.Each(b, func(e boltfile.Entry) (err error) {
		switch string(e.Key) {
		case keyLost:
			s.lost, err = s.codec.readLost(e.Value)
		case keyOrigin:
			s.origin, err = s.codec.readOrigin(e.Value)
		case keyState:
			var st state
			if err = s.codec.readChecked(e.Key, e.Value, &st); err != nil {
				return err
			}
			found = true
			if s.state != nil {
				s.state(st)
			}
		}
		return err
	})
	if err == nil && !found {
		err = boltfile.Damagedf("there is no %q", keyState)
	}
	return err
}

func (s *survey) streamInfo(e boltfile.Entry) error {
	var info streamInfo
	if len(e.Key) != len(presence.ID{}) {
		return boltfile.Damagedf("a key of %d bytes", len(e.Key))
	}
	if err := s.codec.readChecked(e.Key, e.Value, &info); err != nil {
		return err
	}
	if s.streams == nil {
		s.streams = make(map[presence.ID]streamInfo)
	}
	s.streams[presence.ID(e.Key)] = info
	return nil
}

func (s *survey) hole(e boltfile.Entry) error {
	if len(e.Key) != 8 || len(e.Value) != 8 || binary.BigEndian.Uint64(e.Key) > binary.BigEndian.Uint64(e.Value) {
		return boltfile.Damagedf("a hole that is none")
	}
	return nil
}

func (s *survey) noteEntry(e boltfile.Entry) error {
	data, err := s.codec.readNote(e.Key, e.Value)
	if err == nil && s.note != nil {
		s.note(string(e.Key), data)
	}
	return err
}

func (s *survey) revisionEntry(e boltfile.Entry) error {
	r, err := s.codec.readRevision(e.Key, e.Value)
	if err == nil && s.revision != nil {
		s.revision(r)
	}
	return err
}

// errEnough ends a walk early.
var errEnough = errors.New("enough")

// tail looks at the newest few records.
func (s *survey) tail(f *boltfile.File, b boltfile.Bucket) error {
	if err := f.Each(b, s.recordEntry); !errors.Is(err, errEnough) {
		return err
	}
	return nil
}

// events looks at the records of the tree, page by page: what is wrong with one page
// says nothing of the next.
func (s *survey) events(f *boltfile.File, b boltfile.Bucket) error {
	if b.Inline() {
		return s.tail(f, b)
	}
	leaves, err := f.Leaves(b)
	if err != nil {
		s.begun = true // and what was oldest stays unknown
		return err
	}
	if lower := leaves[0].Lower; len(lower) == 8 {
		s.oldest, s.begun = binary.BigEndian.Uint64(lower), true
	}
	if s.newest > 0 && len(leaves) > s.newest {
		leaves = leaves[len(leaves)-s.newest:]
		s.partial = true
	}
	for _, l := range leaves {
		err := f.Entries(l, s.recordEntry)
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			s.begun, s.broken = true, true
			s.problem(err)
		}
	}
	return nil
}

// recordEntry looks at one record.
func (s *survey) recordEntry(e boltfile.Entry) error {
	r, err := unpack(e.Key, e.Value)
	if !s.begun {
		s.oldest, s.begun = r.pos, true
	}
	if err != nil {
		s.broken = true
		s.problem(fmt.Errorf("position %x: %w", e.Key, err))
		return nil
	}
	s.broken = false
	s.last = r.stream
	if s.record != nil && !s.record(e.Key, e.Value) {
		return errEnough
	}
	return nil
}

// quickLook is how many leaf pages are looked at before the journal is used:
// all of a usual journal, a part of a very large one, so that the daemon is
// ready soon. The rest is looked at afterwards.
const quickLook = 2048

// firstProblem looks through an open file and returns the first problem.
func (s *survey) firstProblem(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return boltfile.Damagedf("it is no regular file (%s)", info.Mode())
	}
	s.problem = func(problem error) {
		if err == nil {
			err = problem
		}
	}
	s.all(f, info.Size())
	return err
}
