package presence

import (
	"strconv"
	"time"
)

// ClockState is whether the system's clock could be believed at a reading.
type ClockState uint8

// The states of a clock. The numbers are on disk and never change their
// meaning.
const (
	ClockUnsynced ClockState = 0 // nobody disciplines it: it may show any time
	ClockSynced   ClockState = 1 // disciplined; Reading.MaxError bounds its error
	ClockTrusted  ClockState = 2 // the configuration says that it is right
)

// Reading is the state of all clocks at one instant. It is recorded as it was read, so
// that the time of an event can be computed better when more is known.
//
// The cbor numbers of this and the following types are their form on disk
// (RFC 8949, maps with integer keys): add, never reuse.
type Reading struct {
	// Boot is the kernel's boot id: monotonic readings compare only within it.
	Boot ID `cbor:"1,keyasint"`
	// Boottime is the time since the boot, suspend included, by the crystal
	// alone: CLOCK_BOOTTIME without the corrections of an NTP client.
	Boottime time.Duration `cbor:"2,keyasint"`
	// Wall is CLOCK_REALTIME in nanoseconds since 1970, right or wrong.
	Wall int64 `cbor:"3,keyasint"`
	// State is whether Wall can be believed.
	State ClockState `cbor:"4,keyasint,omitempty"`
	// MaxError bounds the error of Wall while State is ClockSynced (adjtimex
	// maxerror).
	MaxError time.Duration `cbor:"5,keyasint,omitempty"`
}

// Known reports whether the wall clock of this reading can be believed.
func (r Reading) Known() bool { return r.State != ClockUnsynced }

// BootMS is the event's field "boot_ms": the milliseconds since the boot, the part of one
// left out.
func (r Reading) BootMS() int64 { return r.Boottime.Milliseconds() }

// WallTime is the wall clock as a time, right or wrong.
func (r Reading) WallTime() time.Time { return time.Unix(0, r.Wall) }

// Since is how much time lies between an earlier reading and this one. Within one boot
// it is exact. Between two boots it depends on both wall clocks, and is unknown (false)
// unless both can be believed.
func (r Reading) Since(earlier Reading) (time.Duration, bool) {
	if r.Boot == earlier.Boot {
		return r.Boottime - earlier.Boottime, true
	}
	if r.Known() && earlier.Known() {
		return time.Duration(r.Wall - earlier.Wall), true
	}
	return 0, false
}

// Kind is what an event is about. The numbers are on disk and never change
// their meaning.
type Kind uint8

// The kinds of events.
const (
	KindStart    Kind = 1 // the first of each stream
	KindBadge    Kind = 2 // a badge was shown at a reader
	KindTag      Kind = 3 // a tag was heard
	KindGap      Kind = 4 // the ledger of what was lost
	KindPresence Kind = 5 // what badge and tag together say of a person
	KindSeal     Kind = 6 // a signature over the chain up to an event
)

// String is the kind's name in topics and in the events' field "kind".
func (k Kind) String() string {
	switch k {
	case KindStart:
		return "start"
	case KindBadge:
		return "badge"
	case KindTag:
		return "tag"
	case KindGap:
		return "gap"
	case KindPresence:
		return "presence"
	case KindSeal:
		return "seal"
	}
	return "unknown"
}

// Draft is an event to be recorded: everything but its place in a stream. Of the bodies,
// exactly the one of its Kind is set.
type Draft struct {
	Kind      Kind    `cbor:"3,keyasint"`
	At        Reading `cbor:"4,keyasint"`
	Simulated bool    `cbor:"5,keyasint,omitempty"`

	Badge  *Badge  `cbor:"10,keyasint,omitempty"`
	Tag    *Tag    `cbor:"11,keyasint,omitempty"`
	Start  *Start  `cbor:"12,keyasint,omitempty"`
	Gap    *Gap    `cbor:"13,keyasint,omitempty"`
	Person *Person `cbor:"14,keyasint,omitempty"`
	Seal   *Seal   `cbor:"15,keyasint,omitempty"`
}

// Record is a draft with its place in a stream: durable and immutable.
type Record struct {
	Stream ID
	Seq    uint64 // from 1, without holes
	Draft
	Chain Chain // zero in records of the first versions
}

// Entry is a record with its position in the journal. Positions are counted over all
// streams, from 1.
type Entry struct {
	Pos uint64
	Record
}

// Badge is the body of a KindBadge event.
type Badge struct {
	Reader    string `cbor:"1,keyasint"`
	Badge     string `cbor:"2,keyasint"` // a Badges identity
	Card      string `cbor:"3,keyasint"`
	Assurance string `cbor:"4,keyasint"`
	// Check says where the person's tag was; nil for a badge that is not in
	// the roster.
	Check *TagCheck `cbor:"5,keyasint,omitempty"`
	Proof *Proof    `cbor:"6,keyasint,omitempty"` // nil unless the card has signed
}

// TagCheck says where a person's tag was when the badge was shown.
type TagCheck struct {
	Tag   string   `cbor:"1,keyasint"`
	State TagState `cbor:"2,keyasint"`
	// Distance from the office in metres, nil where it is not known or must not
	// be kept.
	Distance *float64 `cbor:"3,keyasint,omitempty"`
	// Age of what this rests on, nil for a tag that was not heard.
	Age *time.Duration `cbor:"4,keyasint,omitempty"`
}

// TagState is where a tag is, as far as a tap is concerned. The numbers are on
// disk and never change their meaning.
type TagState uint8

// The states of a tag at a tap.
const (
	TagSilent TagState = 0 // nobody heard it lately
	TagNear   TagState = 1 // heard lately, and not surely outside
	TagFar    TagState = 2 // heard lately, live and surely outside
	// TagConflict: heard at two places in turn, at both of which nobody can be.
	TagConflict TagState = 3
)

// String names the state as in the events.
func (s TagState) String() string {
	switch s {
	case TagNear:
		return "near"
	case TagFar:
		return "far"
	case TagConflict:
		return "conflict"
	}
	return "silent"
}

// Person is the body of a KindPresence event: what badge and tag together say
// of a person in the roster.
type Person struct {
	Badge    string        `cbor:"1,keyasint"` // a Badges identity
	Tag      string        `cbor:"2,keyasint"`
	State    PresenceState `cbor:"3,keyasint"`
	Distance *float64      `cbor:"4,keyasint,omitempty"` // as in a TagCheck
	Events   []EventID     `cbor:"5,keyasint,omitempty"` // what it rests on
}

// EventID names an event.
type EventID struct {
	Stream ID     `cbor:"1,keyasint"`
	Seq    uint64 `cbor:"2,keyasint"`
}

// String is the event's field "id": "<stream>-<seq>".
func (e EventID) String() string { return e.Stream.String() + "-" + strconv.FormatUint(e.Seq, 10) }

// PresenceState is what is known of a person's presence. The numbers are on
// disk and never change their meaning.
type PresenceState uint8

// The states of a person.
const (
	OffSite       PresenceState = 0 // neither badge nor tag says that the person is there
	OnSite        PresenceState = 1 // the badge was shown today, and the tag is inside
	BadgeOnly     PresenceState = 2 // the badge was shown today; the tag is silent or uncertain
	Contradiction PresenceState = 3 // the badge was shown today; the tag is outside, live and for long enough
)

// String names the state as in the events.
func (s PresenceState) String() string {
	switch s {
	case OnSite:
		return "on_site"
	case BadgeOnly:
		return "badge_only"
	case Contradiction:
		return "contradiction"
	}
	return "off_site"
}

// Tag is the body of a KindTag event. Pointers are nil for what is not known.
type Tag struct {
	Receiver string    `cbor:"1,keyasint"`
	Tag      string    `cbor:"2,keyasint"`
	Lat      *float64  `cbor:"3,keyasint,omitempty"` // degrees, WGS 84
	Lon      *float64  `cbor:"4,keyasint,omitempty"`
	Accuracy *float64  `cbor:"5,keyasint,omitempty"`
	FixTime  int64     `cbor:"6,keyasint,omitempty"` // ms since 1970, 0 unknown
	Fix      Freshness `cbor:"7,keyasint,omitempty"`
	Zone     Zone      `cbor:"8,keyasint,omitempty"`
	RSSI     *int      `cbor:"9,keyasint,omitempty"`  // dBm
	SNR      *float64  `cbor:"10,keyasint,omitempty"` // dB
	// Conflict is true while the tag is heard at two places in turn, at both of
	// which nobody can be.
	Conflict bool `cbor:"11,keyasint,omitempty"`
	Signed   bool `cbor:"13,keyasint,omitempty"` // beacon.Fix.Signed
	Status   *int `cbor:"12,keyasint,omitempty"` // the number that its carrier chose, as beacon.Fix.Status
}

// Start is the body of a KindStart event.
type Start struct {
	Previous *Previous `cbor:"1,keyasint,omitempty"`
	Version  string    `cbor:"2,keyasint"`
	// Alive is the last reading at which the process of the stream before is
	// known to have run: the moment of its stop, or at most some ten minutes
	// before whatever ended it. Nil where that is not known, as in records of
	// the first versions.
	Alive *Reading `cbor:"3,keyasint,omitempty"`
	// Left is the last event of the stream before in this journal, where Previous names
	// what the city has instead: the journal had been put back to an earlier state. It is
	// not part of the event.
	Left *Previous `cbor:"4,keyasint,omitempty"`
}

// Before is the last event of the stream before in this journal, whatever the event says;
// nil where there was none.
func (s *Start) Before() *Previous {
	if s.Left != nil {
		return s.Left
	}
	return s.Previous
}

// Previous names the last event of the stream before, and whether that stream
// was ended on purpose.
type Previous struct {
	Stream ID     `cbor:"1,keyasint"`
	Seq    uint64 `cbor:"2,keyasint"`
	Clean  bool   `cbor:"3,keyasint"`
	// Link is that event's; zero where it has none.
	Link Link `cbor:"4,keyasint,omitzero"`
}

// Gap is the body of a KindGap event: what was lost, how much and from when to
// when, as far as it is known.
type Gap struct {
	Reason  GapReason      `cbor:"1,keyasint"`
	Kinds   map[string]int `cbor:"2,keyasint"`
	First   *Reading       `cbor:"3,keyasint,omitempty"`
	Last    *Reading       `cbor:"4,keyasint,omitempty"`
	Ranges  []Range        `cbor:"5,keyasint,omitempty"`
	Comment string         `cbor:"6,keyasint,omitempty"`
	// Branch is the last event of the journal's own that is left behind, where the stream
	// of this gap follows what the city has (GapRolledBack).
	Branch *Head `cbor:"7,keyasint,omitempty"`
}

// Range names events of one stream, both ends included.
type Range struct {
	Stream ID     `cbor:"1,keyasint"`
	From   uint64 `cbor:"2,keyasint"`
	To     uint64 `cbor:"3,keyasint"` // 0: to the end of the stream, wherever that was
	// Before is the link of the event before From, and Link that of the event To, with
	// which the chain goes on behind the range. Either is zero where it is not known.
	Before Link `cbor:"4,keyasint,omitzero"`
	Link   Link `cbor:"5,keyasint,omitzero"`
}

// Open reports whether the range goes to the end of its stream.
func (r Range) Open() bool { return r.To == 0 }

// GapReason says why events are missing.
type GapReason string

// The reasons of the contract.
const (
	GapJournalFull    GapReason = "journal-full"
	GapJournalDamaged GapReason = "journal-damaged"
	GapWriteFailed    GapReason = "write-failed"
	GapForgotten      GapReason = "forgotten" // removed on request, not lost
	// GapRolledBack: the city has confirmed events that are not in the journal, as if an old
	// one had been put back.
	GapRolledBack GapReason = "journal-rolled-back"
	// GapForked: the city has another event where the journal has one of its own.
	GapForked GapReason = "journal-forked"
)

// Freshness says how fresh a tag's position is.
type Freshness uint8

// What a position can be.
const (
	FreshnessUnknown Freshness = 0
	FreshnessLive    Freshness = 1 // taken just now
	FreshnessReplay  Freshness = 2 // an older position, sent again or late
)

// String names the fix as in the events.
func (f Freshness) String() string {
	switch f {
	case FreshnessLive:
		return "live"
	case FreshnessReplay:
		return "replay"
	}
	return "unknown"
}

// Zone says on which side of the fence a tag is.
type Zone uint8

// The zones. ZoneNone is null on the wire: there is no fence.
const (
	ZoneNone      Zone = 0
	ZoneInside    Zone = 1
	ZoneOutside   Zone = 2
	ZoneUncertain Zone = 3
)

// String names the zone as in the events, "" without a fence.
func (z Zone) String() string {
	switch z {
	case ZoneInside:
		return "inside"
	case ZoneOutside:
		return "outside"
	case ZoneUncertain:
		return "uncertain"
	}
	return ""
}
