// Package event reads what gateways publish below presence/v1/+/+/event/+ and makes rows
// for the city's database of it.
//
// It exists because what comes over a broker may be broken or hostile, and a message that
// cannot be stored must stop nothing: each message becomes events, refusals or both. It
// refuses what cannot be attributed to a gateway and a place in one of its streams, and
// what PostgreSQL could not store. It does not refuse an event for what else it says, for
// a gateway whose event is refused never gets a receipt for it: kinds and fields that
// this version does not know are stored as they are.
package event

import (
	"database/sql"
	"time"

	"github.com/google/uuid"
)

// Event is an event as the database stores it.
type Event struct {
	// Topic and Raw are what it was read from: the topic, and its JSON as it came. Raw
	// shares the memory of the message.
	Topic string
	Raw   []byte

	Stream         uuid.UUID
	Seq            int64 // from 1
	Rev            int32 // from 0
	Kind           string
	Dinas, Gateway string

	At           sql.Null[time.Time] // null where the gateway does not know the time
	Quality      string              // synced, corrected, bounded, unsynced, trusted
	ErrorMS      sql.Null[float32]   // At is right within so many milliseconds
	AtMin, AtMax sql.Null[time.Time] // with quality bounded

	Badge, Tag, Zone sql.Null[string]
	Lat, Lon         sql.Null[float64] // degrees, WGS 84
	Link             []byte            // 16 bytes, of a seal its own; nil: the event has none

	// More is a JSON object with the fields that have no column; nil: there are none.
	More []byte
}

// Refusal is a message, or a line of a batch, that cannot be stored as an event.
type Refusal struct {
	Topic   string
	Cause   Cause
	Reason  string // one line of UTF-8 for people
	Payload []byte // of it the first MaxKept bytes
}

// Cause is of which kind a reason is, for who counts.
type Cause string

// The causes.
const (
	CauseTopic    Cause = "topic"    // it is not that of an event
	CauseRetained Cause = "retained" // no gateway has events retained
	CauseSize     Cause = "size"     // empty or too large
	CauseBatch    Cause = "batch"    // not a frame as gateways make them
	CauseJSON     Cause = "json"     // not an object of JSON as RFC 7493 wants it
	CauseValue    Cause = "value"    // what PostgreSQL cannot store
	CauseSender   Cause = "sender"   // it names another gateway or kind than its topic
	CauseField    Cause = "field"    // a field without which it belongs nowhere
	CauseDatabase Cause = "database" // PostgreSQL refused it
)

// Causes are all of them.
func Causes() []Cause {
	return []Cause{CauseTopic, CauseRetained, CauseSize, CauseBatch, CauseJSON, CauseValue, CauseSender, CauseField, CauseDatabase}
}

// The bounds of what is read and kept.
const (
	// MaxEvent is the most bytes of an event. Most have about 500.
	MaxEvent = 32 << 10
	// MaxKept is how much of a refused message is kept, in bytes.
	MaxKept = 4 << 10
	// maxReason bounds a reason in bytes, for it may quote what was sent.
	maxReason = 300
	// maxTopic bounds the topic of a refusal in bytes. A gateway's has at most 100.
	maxTopic = 256
	// maxDepth is how deeply an event's fields may be nested. A gateway's are 3 deep.
	maxDepth = 16
	// maxKind bounds the name of a kind in bytes.
	maxKind = 64
	// maxNumber is the largest integer that every reader of JSON understands (RFC 8259,
	// section 6).
	maxNumber = 1<<53 - 1
)
