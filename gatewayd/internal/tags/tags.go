package tags

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/geo"

	"presence/drivers/beacon"
	"presence/gatewayd/internal/presence"
)

// Journal records sightings. Enqueue blocks while too many wait for the disk.
type Journal interface {
	Enqueue(ctx context.Context, d presence.Draft) error
}

// Coordinates is how much of a position is kept.
type Coordinates string

// What is kept of a position, before it reaches the disk.
const (
	Full   Coordinates = "full"
	Coarse Coordinates = "coarse" // to a hundredth of a degree, about 1 km
	None   Coordinates = "none"   // only on which side of the fence it is
)

// Options is what tags need.
type Options struct {
	MinInterval time.Duration // a moving tag is recorded at most so often
	MinMove     float64       // and only after so many metres
	Heartbeat   time.Duration // a still tag is recorded so often; 0: never again
	Coordinates Coordinates
	Fence       *Fence               // nil: there is none
	Always      func() bool          // whether the office is open at any time
	Open        func(time.Time) bool // the working hours
	Now         func() presence.Reading
	Timing      func(presence.Reading) presence.Timing // what is known of it by now
	Journal     Journal
	Simulated   bool
	Log         *slog.Logger
}

const (
	// liveWithin is how old a fix may be to count as taken just now, and how
	// far in the future its time may lie before it is not believed.
	liveWithin = 2 * time.Minute

	// believedFor is how old a claimed time may be that is compared with the working
	// hours. An older one is that of a radio with a wrong date.
	believedFor = 31 * 24 * time.Hour

	// guessedFor is how far a time of day may be from the gateway's clock for
	// the gateway to complete it with a date.
	guessedFor = time.Hour

	// maxDoubt is how far off the time of a fix may be for it to be compared with the
	// working hours: shorter than any break in them.
	maxDoubt = 10 * time.Minute

	// maxHeld bounds how many fixes wait until the time is known.
	maxHeld = 1000
)

// The keys in the health document under which fixes are counted that were received
// well but are not believed, or not kept.
const (
	badRange    = string(beacon.BadRange)
	badFuture   = "future"       // recorded, but its time is not
	badJump     = "jump"         // recorded, but it does not move the tag: nobody is that fast
	badHeld     = "held-back"    // too many waited for the time to be known
	badRecorded = "not-recorded" // the journal refused it
)

// Tags decides which fixes become sightings. Its methods may be called from any
// goroutine.
type Tags struct {
	opt Options

	deciding sync.Mutex // held over a decision and its Enqueue, which keeps their order
	held     []heldFix  // guarded by deciding

	mu     sync.Mutex // never held while something waits: at a tap Where is called
	memory memory     // changed only by who holds deciding as well

	conflicts map[string]struct{} // names of tags that are, or were, heard at two places; guarded by mu

	health receiverHealths
	said   said // guarded by mu
}

// heldFix is a fix that came while the time was not known.
type heldFix struct {
	receiver string
	fix      beacon.Fix
	at       presence.Reading
}

// New makes a Tags that knows no tag yet, for receivers with these names.
func New(opt Options, receivers ...string) *Tags {
	t := &Tags{opt: opt, memory: newMemory(), conflicts: make(map[string]struct{}), said: newSaid()}
	for _, name := range receivers {
		t.health.add(name)
	}
	return t
}

// Receive evaluates one fix from a receiver, or holds it back until the time is
// known. Its only error is the context's: what the journal refuses is counted.
func (t *Tags) Receive(ctx context.Context, receiver string, fix beacon.Fix) error {
	now := t.opt.Now()
	t.health.heard(receiver, now.Boottime)
	t.deciding.Lock()
	defer t.deciding.Unlock()
	if err := t.release(ctx); err != nil {
		return err
	}
	known := t.opt.Timing(now)
	if !t.opt.Always() && !isCertain(known) {
		if len(t.held) >= maxHeld {
			t.health.count(t.held[0].receiver, badHeld)
			t.held = t.held[1:]
		}
		t.held = append(t.held, heldFix{receiver, fix, now})
		return nil
	}
	return t.evaluate(ctx, receiver, fix, now, known)
}

// isCertain reports whether a time is known well enough to be compared with the working
// hours.
func isCertain(t presence.Timing) bool { return t.Within(maxDoubt) }

// Release evaluates the fixes that were held back, once the time is known, until
// the context ends.
func (t *Tags) Release(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.deciding.Lock()
			err := t.release(ctx)
			t.deciding.Unlock()
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (t *Tags) release(ctx context.Context) error {
	for len(t.held) > 0 {
		h := t.held[0]
		known := t.opt.Timing(h.at)
		if !isCertain(known) {
			return nil
		}
		if err := t.evaluate(ctx, h.receiver, h.fix, h.at, known); err != nil {
			return err
		}
		t.held = t.held[1:]
	}
	t.held = nil
	return nil
}

// evaluate decides what becomes of a fix that came at a reading. Known is the time
// of that reading as far as it is known by now; it is certain, unless the office is
// always open.
func (t *Tags) evaluate(ctx context.Context, receiver string, fix beacon.Fix, at presence.Reading, known presence.Timing) error {
	if !plausible(fix) {
		t.health.count(receiver, badRange)
		return nil
	}
	instant, clock := known.Time, isCertain(known)
	claim := claimedTime(fix, instant, clock)
	if clock && claim.Sub(instant) > liveWithin {
		t.health.count(receiver, badFuture)
		claim = time.Time{}
	}
	// The claim counts as well: a position of the weekend that comes on Monday
	// is none of the gateway's business.
	claims := !claim.IsZero() && instant.Sub(claim) < believedFor
	if !t.opt.Always() && (!t.inHours(known) || claims && !t.opt.Open(claim)) {
		t.health.change(receiver, func(h *receiverHealth) { h.OutsideHours++ })
		return nil
	}

	s := heard{tag: t.memory.key(fix.Tag), at: at.Boottime, place: placeOf(fix.Lat, fix.Lon), packet: fix.Packet}
	worth := presence.FreshnessUnknown
	if !claim.IsZero() {
		s.fixTime, s.ordered = claim.UnixMilli(), clock
		worth = freshness(claim, instant, clock)
	}
	if fix.Replay {
		worth = presence.FreshnessReplay
	}
	s.stale, s.live = worth == presence.FreshnessReplay, worth == presence.FreshnessLive
	if t.opt.Fence != nil {
		s.fenced, s.accuracy = true, accuracyOf(fix)
		s.beyond = t.opt.Fence.beyond(fix.Lat, fix.Lon)
		s.zone = classify(s.beyond, s.accuracy)
	}
	t.mu.Lock()
	before, traced := t.memory.traces[s.tag]
	j := t.memory.assess(s, instant.Add(liveWithin).UnixMilli(), t.opt)
	if j.conflict && s.live {
		t.noteConflict(fix.Tag)
	}
	t.mu.Unlock()
	if j.jumped {
		t.health.count(receiver, badJump)
	}
	if j.news {
		t.opt.Log.Warn("a tag is heard at two places, nobody can be at both", "tag", fix.Tag, "receiver", receiver)
		// The conflict is recorded, also where the fix itself tells nothing new: it
		// must be known after a restart.
		j.verdict = record
	}
	if j.verdict == thinned && t.callChanged(fix.Tag) {
		j.verdict = record
	}
	switch j.verdict {
	case duplicate:
		t.health.change(receiver, func(h *receiverHealth) { h.Duplicates++ })
		return nil
	case thinned:
		t.health.change(receiver, func(h *receiverHealth) { h.Thinned++ })
		return nil
	}
	body := t.body(receiver, fix, j.zone)
	body.FixTime, body.Fix, body.Conflict = s.fixTime, worth, j.conflict
	err := t.opt.Journal.Enqueue(ctx, presence.Draft{Kind: presence.KindTag, At: at, Simulated: t.opt.Simulated, Tag: body})
	if err == nil {
		t.callRecorded(fix.Tag)
		return nil
	}
	t.mu.Lock()
	t.memory.forget(s, before, traced, t.opt)
	t.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	t.health.count(receiver, badRecorded)
	return nil
}

// inHours reports whether an instant is surely within the working hours. Where its
// error reaches over their edge, it counts as outside: privacy comes first.
func (t *Tags) inHours(known presence.Timing) bool {
	return t.opt.Open(known.Time) &&
		t.opt.Open(known.Time.Add(-known.Error)) && t.opt.Open(known.Time.Add(known.Error))
}

// plausible reports whether a fix has values that an event can carry. Decoders
// should let no others through.
func plausible(fix beacon.Fix) bool {
	return math.Abs(fix.Lat) <= 90 && math.Abs(fix.Lon) <= 180 &&
		fix.Accuracy >= 0 && fix.Accuracy <= math.MaxInt32 &&
		(fix.SNR == nil || math.Abs(*fix.SNR) <= math.MaxInt32)
}

// claimedTime is the time that a fix claims, or zero. A time of day is completed to
// the instant nearest to when it came; if that is far, the day cannot be
// known, and the fix claims no time.
func claimedTime(fix beacon.Fix, instant time.Time, clock bool) time.Time {
	if !fix.TimeOfDay {
		return fix.Time
	}
	if !clock {
		return time.Time{}
	}
	day := 24 * time.Hour
	nearest := instant.UTC().Truncate(day).Add(fix.Time.Sub(fix.Time.Truncate(day)))
	switch ahead := nearest.Sub(instant); {
	case ahead > day/2:
		nearest = nearest.Add(-day)
	case ahead < -day/2:
		nearest = nearest.Add(day)
	}
	if nearest.Sub(instant).Abs() > guessedFor {
		return time.Time{}
	}
	return nearest
}

// freshness tells whether a fix that claims to have been taken at a time is live.
func freshness(claim, instant time.Time, clock bool) presence.Freshness {
	switch {
	case !clock:
		return presence.FreshnessUnknown
	case instant.Sub(claim) > liveWithin:
		return presence.FreshnessReplay
	}
	return presence.FreshnessLive
}

// body is what is recorded of a fix, with no more of the position than may be.
func (t *Tags) body(receiver string, fix beacon.Fix, zone presence.Zone) *presence.Tag {
	b := &presence.Tag{Receiver: receiver, Tag: fix.Tag, Zone: zone, RSSI: fix.RSSI, SNR: fix.SNR, Status: fix.Status, Signed: fix.Signed}
	lat, lon, accuracy := fix.Lat, fix.Lon, fix.Accuracy
	switch t.opt.Coordinates {
	case None:
		return b
	case Coarse:
		lat, lon = coarse(lat), coarse(lon)
		accuracy = max(accuracy, coarseAccuracy)
	}
	b.Lat, b.Lon = &lat, &lon
	if accuracy > 0 {
		b.Accuracy = &accuracy
	}
	return b
}

// coarseAccuracy is how far a coarse position may be off, in metres.
const coarseAccuracy = 1000

// coarse rounds degrees to hundredths, as printed: 112.63, not 112.63000000001.
func coarse(degrees float64) float64 { return math.Round(degrees*100) / 100 }

// distance is in metres.
func distance(lat1, lon1, lat2, lon2 float64) float64 {
	return geo.Distance(orb.Point{lon1, lat1}, orb.Point{lon2, lat2})
}
