package tags

import (
	"context"
	"hash/maphash"
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
	Always      bool                 // the hours do not matter
	Open        func(time.Time) bool // the working hours
	Now         func() presence.Reading
	Journal     Journal
	Simulated   bool
	Log         *slog.Logger
}

const (
	// liveWithin is how old a fix may be to count as taken just now, and how
	// far in the future its time may lie before it is not believed.
	liveWithin = 2 * time.Minute

	// echoWithin is for how long the same position without a time is taken for
	// the same fix, heard through another receiver or twice.
	echoWithin = 10 * time.Second

	// maxTags bounds how many tags are remembered, maxReplays how many older
	// fixes, maxHeld how many fixes wait until the time is known.
	maxTags    = 1 << 17
	maxReplays = 4096
	maxHeld    = 1000
)

// Tags decides what becomes a sighting. Its methods may be called from any
// goroutine.
type Tags struct {
	opt  Options
	seed maphash.Seed

	mu      sync.Mutex // held over a decision and its Enqueue: order is kept
	traces  map[string]trace
	replays replays
	held    []heldFix

	health healths
}

// trace is what is remembered of a tag. Times are CLOCK_BOOTTIME of this boot;
// what happened in an earlier boot lies before its zero.
type trace struct {
	recorded time.Duration // when it was last recorded
	heard    time.Duration // when it was last heard
	lat, lon float64       // where it was last recorded; NaN if that is not kept
	fixTime  int64         // newest time of a fix, ms since 1970; 0 if none had one
	last     uint64        // of the newest fix: time and place in one number
	zone     presence.Zone
}

// heldFix is a fix that came while nobody knew the time.
type heldFix struct {
	receiver string
	fix      beacon.Fix
	at       presence.Reading
}

// New makes a memory without tags, for receivers with these names.
func New(opt Options, receivers ...string) *Tags {
	t := &Tags{
		opt: opt, seed: maphash.MakeSeed(),
		traces:  make(map[string]trace),
		replays: replays{seen: make(map[replay]struct{})},
	}
	for _, name := range receivers {
		t.health.add(name)
	}
	return t
}

// Remember takes a record of the journal's tail, newest first, so that thinning
// and duplicates outlive a restart. It returns false when older records do not
// matter any more.
func (t *Tags) Remember(e presence.Entry) bool {
	now := t.opt.Now()
	age, known := now.Since(e.At)
	if !known || age > max(t.opt.Heartbeat, t.opt.MinInterval, liveWithin) {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.Tag == nil || len(t.traces) >= maxTags {
		return len(t.traces) < maxTags
	}
	tr, newer := t.traces[e.Tag.Tag]
	if newer {
		return true
	}
	at := now.Boottime - age
	tr = trace{recorded: at, heard: at, lat: math.NaN(), lon: math.NaN(), fixTime: e.Tag.FixTime, zone: e.Tag.Zone}
	if e.Tag.Lat != nil && e.Tag.Lon != nil && t.opt.Coordinates == Full {
		tr.lat, tr.lon = *e.Tag.Lat, *e.Tag.Lon
		tr.last = t.fingerprint(tr.fixTime, tr.lat, tr.lon)
	}
	t.traces[e.Tag.Tag] = tr
	return true
}

// Receive takes one fix from a receiver. Its only errors are the journal's.
func (t *Tags) Receive(ctx context.Context, receiver string, fix beacon.Fix) error {
	now := t.opt.Now()
	t.health.heard(receiver, now.Boottime)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.release(ctx, now); err != nil {
		return err
	}
	if !t.opt.Always && !now.Known() {
		if len(t.held) >= maxHeld {
			t.health.count(t.held[0].receiver, "held-back")
			t.held = append(t.held[:0], t.held[1:]...)
		}
		t.held = append(t.held, heldFix{receiver, fix, now})
		return nil
	}
	return t.judge(ctx, receiver, fix, now, now.WallTime())
}

// Release judges the fixes that were held back, once the time is known, until
// the context ends.
func (t *Tags) Release(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.mu.Lock()
			err := t.release(ctx, t.opt.Now())
			t.mu.Unlock()
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (t *Tags) release(ctx context.Context, now presence.Reading) error {
	if !now.Known() {
		return nil
	}
	for len(t.held) > 0 {
		h := t.held[0]
		passed, ok := now.Since(h.at)
		if ok {
			if err := t.judge(ctx, h.receiver, h.fix, h.at, now.WallTime().Add(-passed)); err != nil {
				return err
			}
		}
		t.held = append(t.held[:0], t.held[1:]...)
	}
	return nil
}

// judge decides on a fix that came at a reading. The instant is what is known
// of that reading's time by now; it is meaningful only where the clock is known
// or the hours do not matter.
func (t *Tags) judge(ctx context.Context, receiver string, fix beacon.Fix, at presence.Reading, instant time.Time) error {
	clock := at.Known() || !t.opt.Always // a held fix is judged when the time is known
	fixTime := t.claimed(fix, instant, clock)
	if clock && fixTime.Sub(instant) > liveWithin {
		t.health.count(receiver, "future")
		fixTime = time.Time{}
	}
	if !t.opt.Always && (!t.opt.Open(instant) || !fixTime.IsZero() && !t.opt.Open(fixTime)) {
		t.health.change(receiver, func(h *receiverHealth) { h.OutsideHours++ })
		return nil
	}

	var ms int64
	if !fixTime.IsZero() {
		ms = fixTime.UnixMilli()
	}
	print := t.fingerprint(ms, fix.Lat, fix.Lon)
	tr, known := t.traces[fix.Tag]
	old := known && ms != 0 && ms < tr.fixTime
	switch {
	case old && !t.replays.first(fix.Tag, ms, t.opt.MinInterval),
		known && tr.last == print && (ms != 0 || at.Boottime-tr.heard < echoWithin):
		t.health.change(receiver, func(h *receiverHealth) { h.Duplicates++ })
		return nil
	}

	zone := presence.ZoneNone
	if t.opt.Fence != nil {
		zone = t.opt.Fence.Classify(fix.Lat, fix.Lon, accuracyOf(fix))
	}
	if !old {
		news := !known || t.worth(tr, fix, zone, at.Boottime)
		if !known {
			t.makeRoom()
			tr = trace{}
		}
		tr.heard, tr.last, tr.fixTime = at.Boottime, print, max(tr.fixTime, ms)
		if !news {
			t.traces[fix.Tag] = tr
			t.health.change(receiver, func(h *receiverHealth) { h.Thinned++ })
			return nil
		}
		tr.recorded, tr.lat, tr.lon, tr.zone = at.Boottime, fix.Lat, fix.Lon, zone
	}
	draft := presence.Draft{Kind: presence.KindTag, At: at, Simulated: t.opt.Simulated, Tag: t.body(receiver, fix, ms, zone, instant, clock)}
	if err := t.opt.Journal.Enqueue(ctx, draft); err != nil {
		return err
	}
	if !old {
		t.traces[fix.Tag] = tr
	}
	return nil
}

// worth reports whether a fix tells enough to be recorded.
func (t *Tags) worth(tr trace, fix beacon.Fix, zone presence.Zone, now time.Duration) bool {
	since := now - tr.recorded
	if zone != tr.zone || t.opt.Heartbeat > 0 && since >= t.opt.Heartbeat {
		return true
	}
	if since < t.opt.MinInterval {
		return false
	}
	// A position that was not kept may be anywhere.
	return math.IsNaN(tr.lat) || distance(tr.lat, tr.lon, fix.Lat, fix.Lon) >= t.opt.MinMove
}

// claimed is the time that a fix claims, or zero. A time of day is completed to
// the instant nearest to when it came.
func (t *Tags) claimed(fix beacon.Fix, instant time.Time, clock bool) time.Time {
	if !fix.TimeOfDay {
		return fix.Time
	}
	if !clock {
		return time.Time{}
	}
	day := instant.UTC().Truncate(24 * time.Hour)
	ofDay := fix.Time.Sub(fix.Time.Truncate(24 * time.Hour))
	nearest := day.Add(ofDay)
	for _, other := range []time.Time{nearest.AddDate(0, 0, -1), nearest.AddDate(0, 0, 1)} {
		if other.Sub(instant).Abs() < nearest.Sub(instant).Abs() {
			nearest = other
		}
	}
	return nearest
}

// body is what is recorded, with no more of the position than may be.
func (t *Tags) body(receiver string, fix beacon.Fix, ms int64, zone presence.Zone, instant time.Time, clock bool) *presence.Tag {
	b := &presence.Tag{Receiver: receiver, Tag: fix.Tag, FixTime: ms, Zone: zone, RSSI: fix.RSSI, SNR: fix.SNR}
	if ms != 0 && clock {
		b.Fix = presence.FixLive
		if instant.Sub(time.UnixMilli(ms)) > liveWithin {
			b.Fix = presence.FixReplay
		}
	}
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

// fingerprint stands for a fix's time and place.
func (t *Tags) fingerprint(ms int64, lat, lon float64) uint64 {
	return maphash.Comparable(t.seed, [3]uint64{uint64(ms), math.Float64bits(lat), math.Float64bits(lon)})
}

// makeRoom forgets some tags when there are too many: those that were not heard
// for longest are looked for among a few, which is enough.
func (t *Tags) makeRoom() {
	if len(t.traces) < maxTags {
		return
	}
	const among = 16
	oldest, looked := "", 0
	for tag, tr := range t.traces {
		if looked == 0 || tr.heard < t.traces[oldest].heard {
			oldest = tag
		}
		if looked++; looked == among {
			break
		}
	}
	delete(t.traces, oldest)
}

// replay names an older fix, as finely as it would be recorded.
type replay struct {
	tag  string
	slot int64
}

// replays remembers the latest older fixes.
type replays struct {
	seen  map[replay]struct{}
	order []replay
	next  int
}

// first reports whether this older fix was not there yet. Older fixes are
// thinned by their own time: one in each interval.
func (r *replays) first(tag string, ms int64, interval time.Duration) bool {
	k := replay{tag, ms / max(interval.Milliseconds(), 1)}
	if _, seen := r.seen[k]; seen {
		return false
	}
	if len(r.order) < maxReplays {
		r.order = append(r.order, k)
	} else {
		delete(r.seen, r.order[r.next])
		r.order[r.next] = k
		r.next = (r.next + 1) % maxReplays
	}
	r.seen[k] = struct{}{}
	return true
}
