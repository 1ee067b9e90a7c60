package lightgateway

import (
	"sort"
	"strconv"
	"time"

	"github.com/google/uuid"

	city "presence/scripts/city/internal/event"
)

// stream is one run of the gateway's process: its events are numbered from 1.
type stream struct {
	id    string // UUIDv7
	from  uint64 // position of its first event
	last  uint64 // newest number that was given
	clean bool   // it was ended on purpose
	link  link   // of its newest event
}

// journal keeps the events in the order of recording: the first has position 1. What is
// recorded counts as durable at once, and survives a kill of the gateway.
type journal struct {
	events  []event // from the position forgotten+1 on
	gone    uint64  // positions that it no longer has
	streams []*stream
	link    link    // of the newest event
	origin  *origin // what a link rests on beside the event
}

// newest is the position of the newest event.
func (j *journal) newest() uint64 { return j.gone + uint64(len(j.events)) }

// at is the event at a position that the journal has.
func (j *journal) at(pos uint64) *event { return &j.events[pos-j.gone-1] }

// begin begins a stream with its start event.
func (j *journal) begin(now time.Time) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	var before *stream
	if n := len(j.streams); n > 0 {
		before = j.streams[n-1]
	}
	j.streams = append(j.streams, &stream{id: id.String(), from: j.newest() + 1})
	j.add(event{kind: kindStart, at: now, more: &more{previous: before}})
	return nil
}

// stream is the present stream.
func (j *journal) stream() *stream { return j.streams[len(j.streams)-1] }

// add records an event in the present stream, behind the newest one, and returns its id.
func (j *journal) add(e event) (id string) {
	s := j.stream()
	s.last++
	e.stream, e.seq = s, s.last
	if core, err := city.Core(e.appendTo(nil, j.origin)); err == nil { // the text is ours
		j.follow(core)
	}
	e.link = j.link
	j.events = append(j.events, e)
	return s.id + "-" + strconv.FormatUint(s.last, 10)
}

// follow moves the chain on by an event with this core.
func (j *journal) follow(core []byte) {
	j.link = link(city.NextLink(j.link[:], core))
	j.stream().link = j.link
}

// lose gives so many numbers to events that are lost, and returns what a gap says of them.
func (j *journal) lose(n uint64, reason string) *more {
	s := j.stream()
	lost := &more{reason: reason, kinds: "tag", from: s.last + 1, to: s.last + n, before: j.link}
	s.last += n
	j.follow([]byte("lost"))
	lost.last = j.link
	return lost
}

// position is the position of a stream's last event whose number is at most seq. It is
// not found where the stream is unknown, or has given no such number.
func (j *journal) position(id string, seq uint64) (pos uint64, found bool) {
	for i, s := range j.streams {
		if s.id != id || seq > s.last || seq == 0 {
			continue
		}
		to := j.newest()
		if i+1 < len(j.streams) {
			to = j.streams[i+1].from - 1
		}
		from := max(s.from, j.gone+1)
		n := sort.Search(int(to+1-from), func(n int) bool { return j.at(from+uint64(n)).seq > seq })
		return from + uint64(n) - 1, true
	}
	return 0, false
}

// keep forgets the oldest events up to a position, so that at most so many are left
// before it.
func (j *journal) keep(upto uint64, most int) {
	if int64(upto)-int64(j.gone) < 2*int64(most) || most == 0 {
		return
	}
	n := upto - uint64(most) - j.gone
	j.events = append([]event(nil), j.events[n:]...)
	j.gone += n
}
