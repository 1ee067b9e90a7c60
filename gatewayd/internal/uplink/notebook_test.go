package uplink

import (
	"context"
	"maps"
	"slices"
	"time"

	"presence/gatewayd/internal/presence"
)

// errCrash is the end of a process at the worst moment.
type errCrash struct{}

// kept is what a journal has on its disk.
type kept struct {
	cursor, finalUpto uint64
	revisions         map[uint64]presence.Revision
}

func (k kept) clone() kept { return kept{k.cursor, k.finalUpto, maps.Clone(k.revisions)} }

// notebook is a journal whose writes become durable when the test wants.
type notebook struct {
	entries []presence.Entry
	stream  presence.ID
	now     kept
	disk    kept
	crash   func() bool // at the next note that must be durable
}

func (n *notebook) commit() { n.disk = n.now.clone() }

func (n *notebook) Cursor() uint64 { return n.now.cursor }

func (n *notebook) End() uint64 { return uint64(len(n.entries)) }

func (n *notebook) Ack(pos uint64) { n.now.cursor = max(n.now.cursor, pos) }

func (n *notebook) Stream() presence.ID { return n.stream }

func (n *notebook) FinalUpto() uint64 { return n.now.finalUpto }

func (n *notebook) SetFinalUpto(pos uint64) { n.now.finalUpto = max(n.now.finalUpto, pos) }

func (n *notebook) PositionOf(presence.ID, uint64) (uint64, bool) { return 0, false }

func (n *notebook) Save(string, []byte) error { return nil }

func (n *notebook) Load(string) ([]byte, error) { return nil, nil }

func (n *notebook) Oldest() uint64 { return 1 }

func (n *notebook) Sent() uint64 { return 0 }

func (n *notebook) SetSent(uint64) {}

func (n *notebook) Unanswered() uint64 { return 0 }

func (n *notebook) SetUnanswered(uint64) {}

func (n *notebook) Next(_ context.Context, after uint64, most int) ([]presence.Entry, error) {
	rest := n.entries[after:]
	return rest[:min(most, len(rest))], nil
}

func (n *notebook) Revisions(from, to uint64) (map[uint64]presence.Revision, error) {
	found := maps.Clone(n.now.revisions)
	maps.DeleteFunc(found, func(pos uint64, _ presence.Revision) bool { return pos < from || pos > to })
	return found, nil
}

func (n *notebook) QueueRevisions(all []presence.Revision) {
	for _, s := range all {
		n.now.revisions[s.Pos] = s
	}
}

func (n *notebook) SaveRevisions(_ context.Context, all []presence.Revision) error {
	n.QueueRevisions(all)
	if n.crash() {
		panic(errCrash{})
	}
	n.commit()
	if n.crash() {
		panic(errCrash{})
	}
	return nil
}

// OpenCorrections looks at so few that there are several parts.
func (n *notebook) OpenCorrections(after, upto uint64) (open []presence.Revision, looked uint64, err error) {
	for _, pos := range slices.Sorted(maps.Keys(n.now.revisions)) {
		if pos <= after || pos > upto {
			continue
		}
		if looked > 0 && pos > looked+3 {
			return open, looked, nil
		}
		looked = pos
		if s := n.now.revisions[pos]; s.Open {
			open = append(open, s)
		}
	}
	return open, upto, nil
}

// knowledge is what a clock knows of boots: within how much, by boot. It is durable
// at once, and only gets better but where a clock that lied is contradicted.
type knowledge struct {
	within  map[presence.ID]time.Duration
	wrong   map[presence.ID]bool // the system's clock is contradicted
	lied    map[presence.ID]lied
	forgot  map[presence.ID]bool // boots of which nothing is known any more
	doubts  uint64
	changed chan struct{}
}

// lied is what is known of a boot whose clock was a day ahead for a while.
type lied int

const (
	believed lied = iota + 1
	disputed      // both may be right
	decided       // and the lie is known as one
)

const aDay = 24 * time.Hour

var origin = time.Date(2026, 11, 23, 7, 30, 0, 0, time.UTC)

// truth is when the event with a reading really happened.
func truth(r presence.Reading) time.Time { return origin.Add(r.Boottime) }

func (k *knowledge) Timing(r presence.Reading) presence.Timing {
	raw := presence.Raw(r)
	if k.forgot[r.Boot] {
		return raw
	}
	within, known := k.within[r.Boot]
	switch k.lied[r.Boot] {
	case disputed:
		lo, hi := truth(r).Add(-time.Second), truth(r).Add(aDay)
		return presence.Timing{
			Quality: presence.QualityBounded, Time: lo.Add(hi.Sub(lo) / 2), Error: hi.Sub(lo) / 2, Min: lo, Max: hi, Disputed: true,
		}
	case decided:
		raw.Disputed = true
		if r.State != presence.ClockSynced || r.Wall != truth(r).UnixNano() {
			return presence.Timing{Quality: presence.QualityCorrected, Time: truth(r), Error: 50 * time.Millisecond, Disputed: true}
		}
		return raw
	}
	switch {
	case r.State == presence.ClockSynced && k.wrong[r.Boot]:
		raw.Error += 3 * time.Second // both may be right
		return raw
	case r.State == presence.ClockSynced || !known:
		return raw
	}
	return presence.Timing{Quality: presence.QualityCorrected, Time: truth(r).Add(within / 4), Error: within}
}

func (k *knowledge) Revise(published presence.Timing, r presence.Reading) presence.Timing {
	if k.forgot[r.Boot] && !published.Time.IsZero() {
		return published
	}
	return presence.Revise(published, k.Timing(r))
}

// doubt moves what is known of all boots that were lied to.
func (k *knowledge) doubt(to lied) {
	for boot, now := range k.lied {
		if now < to {
			k.lied[boot] = to
			k.doubts++
		}
	}
	k.learn()
}

func (k *knowledge) Final(presence.Reading) bool { return false }

func (k *knowledge) Doubts() uint64 { return k.doubts }

func (k *knowledge) Changed() <-chan struct{} { return k.changed }

func (k *knowledge) learn() { close(k.changed); k.changed = make(chan struct{}) }
