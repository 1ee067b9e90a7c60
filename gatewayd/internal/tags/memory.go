package tags

import (
	"hash/maphash"
	"math"
	"time"

	"presence/gatewayd/internal/presence"
)

const (
	// maxTags bounds how many tags are remembered, maxSeen how many fixes.
	maxTags = 1 << 15
	maxSeen = 1 << 14

	// echo is for how long the same position without a time is taken for the
	// same fix, heard through another receiver or twice.
	echo = 10 * time.Second

	// lookBack is how old a record may be to matter after a restart, and
	// maxLookBack how many records are looked at: a start must not take long.
	lookBack    = 12 * time.Hour
	maxLookBack = 20_000
)

// memory is what is remembered of tags. It is compact: noise on a radio can bring a
// hundred thousand different names in one night.
type memory struct {
	seed     maphash.Seed
	traces   map[uint64]trace // by key
	seen     recent
	tailRead int // records of the journal's tail
}

// trace is what is remembered of one tag.
type trace struct {
	recorded time.Duration // CLOCK_BOOTTIME of the last record; below zero in an earlier boot
	fixTime  int64         // newest believed time of a fix, ms since 1970; 0 if none had one
	place    place         // where it was last recorded
	zone     presence.Zone // of the last record
	track    track         // where it is
	rivals   rivals        // whether it is heard at two places
}

// zoneNotSeen is the zone of a tag of which only old positions are known, so
// that the first present one is news wherever it is.
const zoneNotSeen = presence.Zone(math.MaxUint8)

// heard is what the memory has to know of a fix, whether it becomes a sighting or not.
type heard struct {
	tag     uint64
	at      time.Duration // CLOCK_BOOTTIME
	place   place
	zone    presence.Zone // of this position alone, or as it was recorded
	fixTime int64         // ms since 1970, 0 unknown
	packet  uint32        // beacon.Fix.Packet
	ordered bool          // fixTime is believed, so that older and newer mean something
	stale   bool          // it was taken well before it came
	live    bool          // it was taken just now

	fenced   bool
	beyond   float64 // metres from the border, below zero inside
	accuracy float64 // metres
}

// verdict tells what becomes of a fix that was heard.
type verdict int

const (
	record    verdict = iota
	duplicate         // heard before
	thinned           // tells nothing new
)

// assessment is what becomes of a fix, and what is known of the tag by it.
type assessment struct {
	verdict verdict
	zone    presence.Zone
	jumped  bool // nobody can have moved there so fast

	conflict bool // the tag is heard at two places in turn
	news     bool // and it was not in conflict before
}

func newMemory() memory {
	return memory{
		seed:   maphash.MakeSeed(),
		traces: make(map[uint64]trace),
		seen:   recent{when: make(map[uint64]time.Duration)},
	}
}

// key stands for a tag's name.
func (m *memory) key(tag string) uint64 { return maphash.String(m.seed, tag) }

// What recent remembers of a fix.
const (
	atFixTime = iota // it was heard
	inSlot           // one of this interval was recorded
	atPlace          // it was heard, and had no time
	inPacket         // its packet was heard
)

func (m *memory) hash(tag uint64, what, detail int64) uint64 {
	return maphash.Comparable(m.seed, [3]int64{int64(tag), what, detail})
}

// assess decides what becomes of a fix and remembers it. No time of a fix can be
// newer than newest, in ms since 1970.
func (m *memory) assess(s heard, newest int64, opt Options) assessment {
	tr, known := m.traces[s.tag]
	before := tr.rivals.inConflict(s.at)
	if s.live {
		// Before anything else, and of each live fix: a copy may have sent the same
		// time first, or a later one.
		tr.rivals.observe(s)
		if known {
			m.traces[s.tag] = tr
		}
	}
	conflict := tr.rivals.inConflict(s.at)
	j := m.assessAlone(s, tr, known, newest, opt)
	j.conflict, j.news = conflict, conflict && !before
	if s.live && conflict {
		j.zone = tr.shownZone(s)
	}
	return j
}

// assessAlone is assess without the question whether the tag is heard at two places.
func (m *memory) assessAlone(s heard, tr trace, known bool, newest int64, opt Options) assessment {
	if s.ordered && tr.fixTime > newest {
		tr.fixTime, tr.track.fixTime = 0, 0 // the clock was wrong when these times were believed
	}
	if m.heardBefore(s) || s.ordered && known && s.fixTime == tr.fixTime {
		return assessment{verdict: duplicate}
	}
	j := assessment{verdict: record, zone: s.zone}
	switch {
	case s.stale || s.ordered && known && s.fixTime < tr.fixTime:
		// It tells nothing of where the tag is now. Such fixes are thinned among
		// themselves: one in each interval of their own time is recorded.
		if !known {
			m.makeRoom()
			tr.recorded, tr.zone = s.at, zoneNotSeen
		}
		if !s.stale && tr.track.begun {
			j.zone = tr.shownZone(s)
			if s.live {
				tr.track.veto(s)
			}
		}
		tr.fixTime = max(tr.fixTime, s.fixTime)
		m.traces[s.tag] = tr
		if !m.seen.add(m.slot(s, opt), s.at) && opt.MinInterval > 0 {
			j.verdict = thinned
		}
		return j
	case !known:
		m.makeRoom()
	}
	j.jumped = !tr.track.observe(s)
	if s.ordered {
		tr.fixTime = s.fixTime
	}
	s.zone = tr.shownZone(s)
	j.zone = s.zone
	if known && !tr.isNews(s, opt) {
		m.traces[s.tag] = tr
		j.verdict = thinned
		return j
	}
	if s.ordered {
		m.seen.add(m.slot(s, opt), s.at)
	}
	tr.recorded, tr.place, tr.zone = s.at, s.place, s.zone
	m.traces[s.tag] = tr
	return j
}

// shownZone is the zone that the tag is recorded in.
func (tr trace) shownZone(s heard) presence.Zone {
	if s.fenced && tr.rivals.inConflict(s.at) {
		return presence.ZoneUncertain
	}
	return tr.track.zone
}

// forget undoes that a fix was recorded: the journal refused it, and it must
// not hide the next one. Before is what was remembered of the tag.
func (m *memory) forget(s heard, before trace, known bool, opt Options) {
	m.traces[s.tag] = before
	if !known {
		delete(m.traces, s.tag)
	}
	delete(m.seen.when, m.mark(s))
	delete(m.seen.when, m.hash(s.tag, inPacket, int64(s.packet)))
	delete(m.seen.when, m.slot(s, opt))
}

// heardBefore reports whether the fix was heard before, and remembers it.
func (m *memory) heardBefore(s heard) bool {
	if s.packet != 0 && !m.seen.add(m.hash(s.tag, inPacket, int64(s.packet)), s.at) {
		return true
	}
	mark := m.mark(s)
	before, ok := m.seen.when[mark]
	if ok && (s.fixTime != 0 || (s.at-before).Abs() < echo) {
		return true
	}
	m.seen.add(mark, s.at)
	return false
}

// mark stands for a fix: for its time, or where it has none for its place.
func (m *memory) mark(s heard) uint64 {
	if s.fixTime != 0 {
		return m.hash(s.tag, atFixTime, s.fixTime)
	}
	return m.hash(s.tag, atPlace, int64(s.place.lat)<<32|int64(uint32(s.place.lon)))
}

func (m *memory) slot(s heard, opt Options) uint64 {
	return m.hash(s.tag, inSlot, s.fixTime/max(opt.MinInterval.Milliseconds(), 1))
}

// isNews reports whether a fix tells enough to be recorded.
func (tr trace) isNews(s heard, opt Options) bool {
	// Two receivers need not come here in the order in which they heard.
	since := max(s.at-tr.recorded, 0)
	if s.zone != tr.zone || opt.Heartbeat > 0 && since >= opt.Heartbeat {
		return true
	}
	return since >= opt.MinInterval && tr.place.isFar(s.place, opt.MinMove)
}

// Remember takes a record of the journal's tail, newest first, so that thinning
// and duplicates outlive a restart. It returns false when older records do not
// matter any more.
func (t *Tags) Remember(e presence.Entry) bool {
	now := t.opt.Now()
	age, known := now.Since(e.At)
	if !known {
		age = lookBack
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	m := &t.memory
	if m.tailRead++; m.tailRead > maxLookBack || age > max(lookBack, t.opt.Heartbeat, t.opt.MinInterval) {
		return false
	}
	if e.Tag == nil {
		return true
	}
	s := heard{
		tag:     m.key(e.Tag.Tag),
		at:      now.Boottime - max(age, 0),
		place:   nowhere,
		zone:    e.Tag.Zone,
		fixTime: e.Tag.FixTime,
		ordered: e.Tag.FixTime != 0 && e.Tag.Fix != presence.FreshnessUnknown,
		stale:   e.Tag.Fix == presence.FreshnessReplay,
		live:    e.Tag.Fix == presence.FreshnessLive,
	}
	if e.Tag.Lat != nil && e.Tag.Lon != nil && t.opt.Coordinates == Full {
		s.place = placeOf(*e.Tag.Lat, *e.Tag.Lon)
	}
	m.restore(s, t.opt)
	if e.Tag.Conflict {
		tr := m.traces[s.tag]
		tr.rivals.contradict(s.at, s.at)
		m.traces[s.tag] = tr
		t.noteConflict(e.Tag.Tag)
	}
	return true
}

// restore remembers a sighting that was recorded before all that are
// remembered already.
func (m *memory) restore(s heard, opt Options) {
	if len(m.seen.order) < maxSeen-2 {
		m.heardBefore(s)
		if s.ordered {
			m.seen.add(m.slot(s, opt), s.at)
		}
	}
	tr, newer := m.traces[s.tag]
	switch {
	case s.stale:
		if !newer {
			tr.recorded, tr.zone = s.at, zoneNotSeen
		}
	case !newer, tr.zone == zoneNotSeen, tr.fixTime != 0 && s.ordered && s.fixTime > tr.fixTime:
		// What was recorded last may have been a late fix, which says nothing
		// of where the tag is.
		tr.recorded, tr.place, tr.zone = s.at, s.place, s.zone
	}
	if s.ordered {
		tr.fixTime = max(tr.fixTime, s.fixTime)
	}
	if opt.Fence == nil {
		s.zone = presence.ZoneNone // that of a fence that was taken away
	}
	tr.track.restore(s, opt.Heartbeat)
	m.traces[s.tag] = tr
}

// makeRoom forgets a tag when there are too many: the one that was not recorded
// for longest among a few, which is near enough.
func (m *memory) makeRoom() {
	if len(m.traces) < maxTags {
		return
	}
	const among = 16
	var oldest uint64
	looked := 0
	for tag, tr := range m.traces {
		if looked == 0 || tr.recorded < m.traces[oldest].recorded {
			oldest = tag
		}
		if looked++; looked == among {
			break
		}
	}
	delete(m.traces, oldest)
}

// place is a position in 1e-7 degrees, which is about a centimetre.
type place struct{ lat, lon int32 }

// nowhere is a position that was not kept.
var nowhere = place{lat: math.MinInt32}

func placeOf(lat, lon float64) place {
	return place{int32(math.Round(lat * 1e7)), int32(math.Round(lon * 1e7))}
}

func (p place) degrees() (lat, lon float64) { return float64(p.lat) / 1e7, float64(p.lon) / 1e7 }

// isFar reports whether two positions are so many metres apart. One that was not
// kept may be anywhere.
func (p place) isFar(q place, metres float64) bool {
	if p == nowhere {
		return true
	}
	return distance(float64(p.lat)/1e7, float64(p.lon)/1e7, float64(q.lat)/1e7, float64(q.lon)/1e7) >= metres
}

// recent is the latest maxSeen marks.
type recent struct {
	when  map[uint64]time.Duration // CLOCK_BOOTTIME
	order []uint64                 // a ring, once it is full
	next  int                      // the oldest of a full ring
}

// add remembers a mark and reports whether it is new. Of one that is not, the
// later time counts.
func (r *recent) add(mark uint64, at time.Duration) bool {
	if before, ok := r.when[mark]; ok {
		r.when[mark] = max(before, at)
		return false
	}
	if len(r.order) < maxSeen {
		r.order = append(r.order, mark)
	} else {
		delete(r.when, r.order[r.next])
		r.order[r.next] = mark
		r.next = (r.next + 1) % maxSeen
	}
	r.when[mark] = at
	return true
}
