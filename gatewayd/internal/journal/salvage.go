package journal

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"io"
	"maps"
	"slices"

	"presence/gatewayd/internal/journal/boltfile"
	"presence/gatewayd/internal/presence"
)

// salvaged is what could be read of a damaged file.
type salvaged struct {
	records   []piece // by position, each position once
	state     state   // with the highest cursor that was found
	streams   map[presence.ID]streamInfo
	notes     map[string][]byte
	revisions revisions
	unnamed   losses          // that no gap names yet
	origin    presence.Origin // whose they are; zero: not known
	links     links

	missing []presence.Range // numbers between others, of which nothing is left
	lost    int              // how many events are missing that were not delivered
	// nameless events are missing as well, of streams of which nothing is left.
	nameless int
	endSure  bool // the newest record is the newest that ever was
}

// piece is a record that was found, and where.
type piece struct {
	pos     uint64
	seq     uint64
	stream  presence.ID
	attempt uint32
	kind    presence.Kind
	linked  bool  // on a page that belongs to the tree
	off     int64 // of its key in the file
	size    int32 // of key and value
}

// salvage looks for records in a file of which nothing is certain. It looks at
// every byte, since every part of the structure around a record may be gone;
// that a record is one, its checksum says. How far it has read it tells now and
// then.
func salvage(r io.ReaderAt, size int64, c codec, read func(upto int64)) salvaged {
	var s salvaged
	var f *boltfile.File
	var oldest uint64
	s.streams, f, oldest, s.endSure = structure(r, size, c)
	if f != nil {
		s.unnamed, s.origin = readUnnamed(f, c), originIn(f, c)
	}
	if f != nil {
		s.notes, _ = readNotes(f, c) // those that can be read
		s.revisions, _ = readRevisions(f, c)
	}
	pieces := scanRecords(r, size, func(off int64) bool {
		return f != nil && f.InUse(off)
	}, read)
	var known bool
	s.state, known = scanStates(r, size, c)
	pieces = choose(pieces)
	oldest = max(oldest, s.state.Oldest)
	pieces = dropForgotten(pieces, oldest, s.state.Cursor)
	from := oldest
	if known && (from == 0 || from > s.state.Cursor+1) {
		from = s.state.Cursor + 1 // what is not delivered is never forgotten
	}
	s.account(r, c, pieces, from)
	return s
}

// structure reads what is left of the order of things: which pages belong to
// the tree, what is known of the streams, where the oldest record is (0 where
// that is not known), and whether the newest records are surely there.
func structure(r io.ReaderAt, size int64, c codec) (streams map[presence.ID]streamInfo, f *boltfile.File, oldest uint64, endSure bool) {
	sure := true
	s := survey{codec: c, problem: func(error) {}}
	f, err := boltfile.Open(r, size)
	if f == nil {
		return nil, nil, 0, false
	}
	if err != nil {
		sure = false // the other meta page may be the older one
	}
	buckets, err := f.Buckets()
	if err != nil {
		return nil, f, 0, false
	}
	if err := f.UseRoot(); err != nil {
		sure = false
	}
	for _, name := range []string{bucketStreams, bucketEvents, bucketTail} {
		b, ok := buckets[name]
		if !ok {
			sure = false
			s.begun = true // and what was oldest stays unknown
			continue
		}
		if err := s.bucket(f, name, b); err != nil && name != bucketStreams {
			sure = false
		}
	}
	return s.streams, f, s.oldest, sure && !s.broken && s.last != presence.ID{}
}

// readUnnamed reads the losses that no gap names yet, none where they cannot be
// read any more.
func readUnnamed(f *boltfile.File, c codec) losses {
	s := survey{codec: c}
	if buckets, err := f.Buckets(); err == nil {
		if b, ok := buckets[bucketMeta]; ok {
			_ = s.bucket(f, bucketMeta, b)
		}
	}
	return s.lost
}

// scanChunk is how much of the file is looked at in one piece.
const scanChunk = 1 << 20

// maxPiece is the largest key and value of a record.
const maxPiece = 8 + recordHeader + maxPayload

// scanRecords finds every record, wherever it starts.
func scanRecords(r io.ReaderAt, size int64, linked func(off int64) bool, read func(upto int64)) []piece {
	var found []piece
	buf := make([]byte, scanChunk+maxPiece)
	for base := int64(0); base < size; base += scanChunk {
		read(base)
		b := buf[:min(int64(len(buf)), size-base)]
		readAround(r, b, base)
		limit := min(len(b), scanChunk)
		for i := 0; i < limit; {
			at := bytes.IndexByte(b[min(i+8, len(b)):], recordVersion)
			if at < 0 || i+at >= limit {
				break
			}
			i += at
			n := recordAt(b[i:])
			if n == 0 {
				i++
				continue
			}
			rec, err := unpack(b[i:i+8], b[i+8:i+n])
			if err != nil {
				i++
				continue
			}
			off := base + int64(i)
			found = append(found, piece{
				pos: rec.pos, seq: rec.seq, stream: rec.stream, attempt: rec.attempt, kind: kindOf(rec.payload),
				linked: linked(off), off: off, size: int32(n),
			})
			i += n
		}
	}
	return found
}

// recordAt tells how long the key and value are that may start here; 0: none
// does.
func recordAt(b []byte) int {
	if len(b) < 8+recordHeader || b[8] != recordVersion {
		return 0
	}
	n := int(binary.BigEndian.Uint16(b[9:]))
	if n > maxPayload || len(b) < 8+recordHeader+n {
		return 0
	}
	pos, seq := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8+27:])
	if pos == 0 || pos > 1<<48 || seq == 0 || seq > pos {
		return 0
	}
	return 8 + recordHeader + n
}

// kindOf is the kind of a draft without decoding it: the smallest key of its
// map comes first. 0 is none.
func kindOf(payload []byte) presence.Kind {
	if len(payload) < 3 || payload[1] != 3 || payload[2] > 23 {
		return 0
	}
	return presence.Kind(payload[2])
}

// readAround fills b as far as the disk lets it; what cannot be read is zero.
func readAround(r io.ReaderAt, b []byte, off int64) {
	if n, err := r.ReadAt(b, off); n == len(b) || err == nil {
		return
	}
	for i := 0; i < len(b); i += boltfile.PageSize {
		part := b[i:min(i+boltfile.PageSize, len(b))]
		n, err := r.ReadAt(part, off+int64(i))
		if n < len(part) && err != nil {
			clear(part[n:])
		}
	}
}

// scanStates finds the newest state. Older ones lie about in pages that are
// free, and their cursor and oldest record are as good: an event that was
// delivered once is delivered, and one that was removed is removed, even where
// the newest page that says so is torn.
func scanStates(r io.ReaderAt, size int64, c codec) (best state, found bool) {
	page := make([]byte, boltfile.PageSize)
	look := func(e boltfile.Entry) {
		var s state
		if string(e.Key) != keyState || c.readChecked(e.Key, e.Value, &s) != nil {
			return
		}
		found = true
		cursor, oldest := max(best.Cursor, s.Cursor), max(best.Oldest, s.Oldest)
		alive := best.Alive
		if s.Starts >= best.Starts {
			if s.Starts > best.Starts || s.Alive.Boot != alive.Boot || s.Alive.Boottime > alive.Boottime {
				alive = s.Alive
			}
			best = s
		}
		best.Alive = alive
		best.Cursor, best.Oldest = cursor, oldest
	}
	for off := int64(0); off < size; off += boltfile.PageSize {
		clear(page)
		readAround(r, page[:min(boltfile.PageSize, size-off)], off)
		boltfile.Scraps(page, look)
	}
	return best, found
}

// choose sorts by position and leaves one record for each.
//
// The same record lies in a file many times, since pages are written anew when
// something is added. Different records for one position come from a commit
// that did not get through: its pages lie about, and the next one used its
// numbers. Then that counts which the tree knows; else the later attempt of one
// process; else the process that came later, whose numbers are lower.
func choose(pieces []piece) []piece {
	slices.SortFunc(pieces, func(a, b piece) int {
		linked := func(p piece) int {
			if p.linked {
				return 0
			}
			return 1
		}
		order := cmp.Or(cmp.Compare(a.pos, b.pos), cmp.Compare(linked(a), linked(b)))
		if a.stream == b.stream {
			return cmp.Or(order, cmp.Compare(b.attempt, a.attempt), cmp.Compare(a.off, b.off))
		}
		return cmp.Or(order, cmp.Compare(a.seq, b.seq), bytes.Compare(b.stream[:], a.stream[:]))
	})
	pieces = slices.CompactFunc(pieces, func(a, b piece) bool { return a.pos == b.pos })
	// A process that came later ends the one before for good: what lies behind
	// its start and says otherwise was never part of the journal.
	kept := pieces[:0]
	starts := make(map[presence.ID]uint64) // stream -> position of its number 1
	for _, p := range pieces {
		starts[p.stream] = p.pos - p.seq + 1
	}
	newest := uint64(0)
	for _, p := range pieces {
		first := p.pos - p.seq + 1
		if first != starts[p.stream] && !p.linked || first < newest && !p.linked {
			continue
		}
		newest = max(newest, first)
		kept = append(kept, p)
	}
	return kept
}

// dropForgotten leaves out delivered events of which only an old copy is left:
// they were removed on purpose. What is brought back all the same, because
// nothing tells any more where the journal began, is old, and the next commits
// remove it again.
func dropForgotten(pieces []piece, oldest, cursor uint64) []piece {
	return slices.DeleteFunc(pieces, func(p piece) bool { return p.pos < oldest && p.pos <= cursor })
}

// account leaves out what a gap has named as gone, and finds out what is
// missing. The journal began at a position, or nobody knows where (0).
func (s *salvaged) account(r io.ReaderAt, c codec, pieces []piece, from uint64) {
	s.links = links{file: r, codec: c, named: make(map[presence.EventID]presence.Link)}
	named, firsts := s.readLedger(pieces)
	s.records = slices.DeleteFunc(pieces, func(p piece) bool { return named[p.stream].Count(span{From: p.seq, To: p.seq}) > 0 })
	s.links.records = s.records
	if len(s.records) == 0 {
		s.endSure = false
		return
	}
	missing := s.holes()
	first := s.records[0]
	if from == 0 && first.seq <= pageful {
		// A stream that begins a few numbers late has lost its beginning with a
		// damaged page; one that begins much later was shortened on purpose.
		from = first.pos - first.seq + 1
	}
	if from > 0 && from < first.pos {
		missing = missing.Add(span{From: from, To: first.pos - 1})
	}
	s.name(missing, firsts, named)
}

// readLedger reads which numbers the gaps name as gone, and where each stream begins.
func (s *salvaged) readLedger(pieces []piece) (named map[presence.ID]spans, firsts map[presence.ID]uint64) {
	named = make(map[presence.ID]spans)
	firsts = make(map[presence.ID]uint64) // stream -> position of its number 1
	for id, info := range s.streams {
		firsts[id] = info.First
	}
	for _, p := range pieces {
		firsts[p.stream] = p.pos - p.seq + 1
	}
	buf := make([]byte, maxPiece)
	elsewhere := make(map[presence.ID]bool) // streams of which the city alone has events
	for _, p := range pieces {
		if p.kind != presence.KindGap && p.kind != presence.KindStart {
			continue
		}
		e, err := p.entry(s.links.file, s.links.codec, buf)
		switch {
		case err != nil:
		case e.Start != nil && e.Start.Before() != nil && e.Start.Before().Seq < p.pos:
			if previous := e.Start.Before(); firsts[previous.Stream] == 0 {
				firsts[previous.Stream] = p.pos - previous.Seq
			}
		case e.Gap != nil:
			for _, g := range e.Gap.Ranges {
				numbers, ok := numbersOf(g)
				switch {
				case !ok || e.Gap.Reason == presence.GapForked: // the event of this number is here
				case e.Gap.Reason == presence.GapRolledBack:
					elsewhere[g.Stream] = true
				default:
					named[g.Stream] = named[g.Stream].Add(numbers)
					s.links.note(g)
				}
			}
		}
	}
	for id := range elsewhere {
		if _, known := s.streams[id]; !known && !slices.ContainsFunc(pieces, func(p piece) bool { return p.stream == id }) {
			delete(firsts, id)
		}
	}
	return named, firsts
}

// pageful is more records than fit in one page.
const pageful = 64

// name finds out which numbers the missing positions had: a stream goes from its
// first position to the next stream's. Numbers that a gap has named already are
// not missing.
func (s *salvaged) name(missing spans, firsts map[presence.ID]uint64, named map[presence.ID]spans) {
	streams := slices.SortedFunc(maps.Keys(firsts), func(a, b presence.ID) int {
		return cmp.Or(cmp.Compare(firsts[a], firsts[b]), bytes.Compare(a[:], b[:]))
	})
	undelivered := func(from, to uint64) int {
		if from = max(from, s.state.Cursor+1); from > to {
			return 0
		}
		return int(to - from + 1)
	}
	for _, m := range missing {
		end := m.To
		for _, id := range slices.Backward(streams) {
			first := firsts[id]
			if first > end {
				continue
			}
			if end < m.From {
				break
			}
			from := max(first, m.From)
			for _, gone := range named[id].Outside(span{From: from - first + 1, To: end - first + 1}) {
				s.missing = append(s.missing, s.links.around(presence.Range{Stream: id, From: gone.From, To: gone.To}, first))
				s.lost += undelivered(first+gone.From-1, first+gone.To-1)
			}
			end = from - 1
		}
		if end >= m.From { // of streams of which nothing is left
			s.lost += undelivered(m.From, end)
			s.nameless += int(end - m.From + 1)
		}
	}
}

// holes are the positions between the records.
func (s *salvaged) holes() spans {
	var h spans
	for i, p := range s.records[1:] {
		if before := s.records[i].pos; before+1 < p.pos {
			h = append(h, span{From: before + 1, To: p.pos - 1})
		}
	}
	return h
}

// entry reads a record once more. The result shares no memory with buf.
func (p piece) entry(r io.ReaderAt, c codec, buf []byte) (e presence.Entry, err error) {
	key, value, err := p.read(r, buf)
	if err != nil {
		return e, err
	}
	err = c.decode(key, value, &e)
	return e, err
}

func (p piece) read(r io.ReaderAt, buf []byte) (key, value []byte, err error) {
	b := buf[:p.size]
	if n, err := r.ReadAt(b, p.off); n < len(b) {
		return nil, nil, err
	}
	return b[:8], b[8:], nil
}
