package uplink_test

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"presence/gatewayd/internal/presence"
)

// memory is a journal without a disk.
type memory struct {
	mu        sync.Mutex
	entries   []presence.Entry
	cursor    uint64
	grown     chan struct{}
	revisions map[uint64]presence.Revision
	finalUpto uint64
	sent      uint64
	silent    uint64
	gone      map[uint64]bool // removed
	notes     map[string][]byte
	saves     int
	slow      func() // called before the journal tells its cursor
}

var stream = presence.ID{1, 2, 3}

func newMemory(n int) *memory {
	m := &memory{grown: make(chan struct{}), revisions: make(map[uint64]presence.Revision)}
	m.add(n)
	return m
}

// add adds taps.
func (m *memory) add(n int) {
	m.record(n, func() presence.Draft {
		return presence.Draft{
			Kind:  presence.KindBadge,
			Badge: &presence.Badge{Reader: "door", Badge: "h:00112233445566778899aabbccddeeff", Card: "mifare-classic-1k", Assurance: "uid"},
		}
	})
}

// addTags adds what was heard of a tag.
func (m *memory) addTags(n int) {
	m.record(n, func() presence.Draft {
		return presence.Draft{Kind: presence.KindTag, Tag: &presence.Tag{Receiver: "yard", Tag: "kenwood:100-1001"}}
	})
}

// record adds n events, a second apart. Each has a draft of its own, which tests change.
func (m *memory) record(n int, newDraft func() presence.Draft) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range n {
		pos := uint64(len(m.entries) + 1)
		draft := newDraft()
		draft.At = presence.Reading{State: presence.ClockTrusted, Wall: int64(pos) * int64(time.Second)}
		m.entries = append(m.entries, presence.Entry{Pos: pos, Record: presence.Record{Stream: stream, Seq: pos, Draft: draft}})
	}
	close(m.grown)
	m.grown = make(chan struct{})
}

func (m *memory) Cursor() uint64 {
	m.mu.Lock()
	slow := m.slow
	m.mu.Unlock()
	if slow != nil {
		slow()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cursor
}

func (m *memory) End() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return uint64(len(m.entries))
}

func (m *memory) Ack(pos uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cursor = max(m.cursor, pos)
}

func (m *memory) Next(ctx context.Context, after uint64, most int) ([]presence.Entry, error) {
	for {
		m.mu.Lock()
		rest, grown := m.entries[after:], m.grown
		if len(m.gone) > 0 {
			rest = slices.DeleteFunc(slices.Clone(rest), func(e presence.Entry) bool { return m.gone[e.Pos] })
		}
		m.mu.Unlock()
		if len(rest) > 0 {
			return rest[:min(most, len(rest))], nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (m *memory) Stream() presence.ID { return stream }

func (m *memory) PositionOf(of presence.ID, seq uint64) (uint64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if seq == 0 || seq > uint64(len(m.entries)) {
		return 0, false
	}
	return seq, m.entries[seq-1].Stream == of // which are numbered on
}

func (m *memory) Oldest() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	oldest := uint64(1)
	for m.gone[oldest] {
		oldest++
	}
	return oldest
}

func (m *memory) Save(name string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.notes == nil {
		m.notes = make(map[string][]byte)
	}
	m.notes[name] = slices.Clone(data)
	m.saves++
	return nil
}

func (m *memory) Load(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.notes[name], nil
}

// saved is how many notes were made durable.
func (m *memory) saved() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.saves
}

func (m *memory) Sent() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sent
}

func (m *memory) SetSent(pos uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sent = max(m.sent, pos)
}

func (m *memory) Unanswered() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.silent
}

func (m *memory) SetUnanswered(pos uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.silent = pos
}

func (m *memory) Revisions(from, to uint64) (map[uint64]presence.Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := maps.Clone(m.revisions)
	maps.DeleteFunc(found, func(pos uint64, _ presence.Revision) bool { return pos < from || pos > to })
	return found, nil
}

func (m *memory) SaveRevisions(_ context.Context, all []presence.Revision) error {
	m.QueueRevisions(all)
	return nil
}

func (m *memory) QueueRevisions(all []presence.Revision) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range all {
		m.revisions[s.Pos] = s
	}
}

func (m *memory) OpenCorrections(after, upto uint64) (open []presence.Revision, looked uint64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, pos := range slices.Sorted(maps.Keys(m.revisions)) {
		if s := m.revisions[pos]; s.Open && after < pos && pos <= upto {
			open = append(open, s)
		}
	}
	return open, upto, nil
}

func (m *memory) FinalUpto() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.finalUpto
}

func (m *memory) SetFinalUpto(pos uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.finalUpto = max(m.finalUpto, pos)
}
