package staff

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"presence/gatewayd/internal/hours"
	"presence/gatewayd/internal/presence"
)

var (
	wib    = time.FixedZone("WIB", 7*60*60)
	monday = time.Date(2026, 11, 23, 0, 0, 0, 0, wib)
	stream = presence.ID{0x01, 0x9a, 6: 0x70, 8: 0x80}
)

// week is the working week of Perpres 21/2023, with a break at noon.
func week() hours.Calendar {
	c := hours.Calendar{Location: wib}
	for day := time.Monday; day <= time.Friday; day++ {
		end := 16 * time.Hour
		if day == time.Friday {
			end += 30 * time.Minute
		}
		c.Week[day] = []hours.Span{{Start: 7*time.Hour + 30*time.Minute, End: 12 * time.Hour}, {Start: 13 * time.Hour, End: end}}
	}
	return c
}

// book is a journal in memory, in which all is durable at once.
type book struct {
	entries []presence.Entry
	fail    error
}

func (b *book) Append(_ context.Context, d presence.Draft) (presence.Entry, error) {
	if b.fail != nil {
		return presence.Entry{}, b.fail
	}
	n := uint64(len(b.entries)) + 1
	e := presence.Entry{Pos: n, Record: presence.Record{Stream: stream, Seq: n, Draft: d}}
	b.entries = append(b.entries, e)
	return e, nil
}

func (b *book) Enqueue(ctx context.Context, d presence.Draft) error {
	_, err := b.Append(ctx, d)
	return err
}

// Next does not wait: where there is nothing, the wait is over at once.
func (b *book) Next(_ context.Context, after uint64, limit int) ([]presence.Entry, error) {
	if after >= uint64(len(b.entries)) {
		return nil, fmt.Errorf("read journal: %w", context.DeadlineExceeded)
	}
	return b.entries[after:min(int(after)+limit, len(b.entries))], nil
}

func (b *book) Tail(fn func(presence.Entry) bool) error {
	for _, e := range slices.Backward(b.entries) {
		if !fn(e) {
			break
		}
	}
	return nil
}

// scene is a Staff whose clock, badges and tags a test moves by hand.
type scene struct {
	*Staff
	t interface {
		Helper()
		Fatal(...any)
		Errorf(string, ...any)
	}
	book   book
	time   time.Time
	up     time.Time // when the machine was switched on
	boot   presence.ID
	timing func(presence.Reading) presence.Timing
	open   func(time.Time) bool

	roster   map[string]string
	replaced chan struct{}
	tags     map[string]*fakeTag
}

// fakeTag is where a tag is, as the room of the tags would say.
type fakeTag struct {
	zone     presence.Zone
	turned   time.Time // the first fix of the zone
	heard    time.Time
	interval time.Duration
	distance float64
}

const (
	ana, anasTag   = "h:a", "mesh:0000000a"
	budi, budisTag = "h:b", "mesh:0000000b"
)

func newScene(t interface {
	Helper()
	Fatal(...any)
	Errorf(string, ...any)
}, clock string,
) *scene {
	d := &scene{
		t: t, boot: presence.ID{15: 1}, open: week().Open,
		roster: map[string]string{ana: anasTag, budi: budisTag}, replaced: make(chan struct{}),
		tags: make(map[string]*fakeTag),
	}
	d.up = monday.Add(-time.Hour)
	d.timing = func(r presence.Reading) presence.Timing {
		return presence.Timing{Quality: presence.QualitySynced, Time: r.WallTime().In(wib), Error: 10 * time.Millisecond}
	}
	d.time = d.at(clock)
	d.restart()
	return d
}

// at is an instant such as "mon 07:30" or, of the same day, "07:30:20".
func (d *scene) at(clock string) time.Time {
	d.t.Helper()
	day := monday
	if !d.time.IsZero() {
		day = time.Date(d.time.Year(), d.time.Month(), d.time.Day(), 0, 0, 0, 0, wib)
	}
	if name, rest, ok := strings.Cut(clock, " "); ok {
		days := []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}
		day, clock = monday.AddDate(0, 0, slices.Index(days, name)), rest
	}
	if strings.Count(clock, ":") == 1 {
		clock += ":00"
	}
	c, err := time.Parse(time.TimeOnly, clock)
	if err != nil {
		d.t.Fatal(err)
	}
	return day.Add(c.Sub(c.Truncate(24 * time.Hour)))
}

// restart is a new process.
func (d *scene) restart() {
	d.Staff = New(Options{
		Roster: func() (map[string]string, <-chan struct{}) { return d.roster, d.replaced },
		Where:  d.where, Open: func(t time.Time) bool { return d.open(t) }, Location: wib,
		Now: d.now, Timing: func(r presence.Reading) presence.Timing { return d.timing(r) },
		Journal: &d.book,
	})
}

func (d *scene) now() presence.Reading {
	return presence.Reading{Boot: d.boot, Boottime: d.time.Sub(d.up), Wall: d.time.UnixNano(), State: presence.ClockSynced}
}

func (d *scene) where(tag string) (presence.Whereabouts, bool) {
	f := d.tags[tag]
	if f == nil {
		return presence.Whereabouts{}, false
	}
	age := d.time.Sub(f.heard)
	w := presence.Whereabouts{Zone: f.zone, For: d.time.Sub(f.turned), Age: age, Silent: age > 2*f.interval, Distance: &f.distance}
	return w, true
}

// hear is a live fix of a tag in a zone; a change of the zone is recorded.
func (d *scene) hear(tag string, zone presence.Zone) {
	d.t.Helper()
	f := d.tags[tag]
	if f == nil {
		f = &fakeTag{interval: time.Minute}
		d.tags[tag] = f
	}
	news := f.zone != zone || f.heard.IsZero()
	if news || d.time.Sub(f.heard) > 2*f.interval {
		f.turned = d.time
	}
	f.zone, f.heard, f.distance = zone, d.time, 10
	if zone == presence.ZoneOutside {
		f.distance = 1500
	}
	if news {
		d.record(presence.Draft{Kind: presence.KindTag, Tag: &presence.Tag{Receiver: "yard", Tag: tag, Zone: zone, Fix: presence.FreshnessLive}})
	}
}

func (d *scene) tap(badge string) presence.EventID {
	d.t.Helper()
	return d.record(presence.Draft{Kind: presence.KindBadge, Badge: &presence.Badge{Reader: "door", Badge: badge}})
}

func (d *scene) record(draft presence.Draft) presence.EventID {
	d.t.Helper()
	draft.At = d.now()
	e, err := d.book.Append(context.Background(), draft)
	if err != nil {
		d.t.Fatal(err)
	}
	return presence.EventID{Stream: e.Stream, Seq: e.Seq}
}

// step is what Run does again and again.
func (d *scene) step() {
	d.t.Helper()
	ctx := context.Background()
	for {
		if err := d.Staff.evaluateAll(ctx); err != nil {
			d.t.Fatal(err)
		}
		end := uint64(len(d.book.entries))
		if d.today == 0 || d.pos == end {
			return
		}
		if err := d.follow(ctx); err != nil {
			d.t.Fatal(err)
		}
	}
}

// until lets the time pass, in steps of some seconds.
func (d *scene) until(clock string) {
	d.t.Helper()
	for to := d.at(clock); d.time.Before(to); {
		d.time = d.time.Add(min(10*time.Second, to.Sub(d.time)))
		d.step()
	}
}

// stay is until, and tags are heard in their zones each minute meanwhile.
func (d *scene) stay(clock string, zones map[string]presence.Zone) {
	d.t.Helper()
	for to := d.at(clock); d.time.Before(to); {
		d.time = d.time.Add(min(time.Minute, to.Sub(d.time)))
		for tag, zone := range zones {
			d.hear(tag, zone)
		}
		d.step()
	}
}

// states are the states that were recorded of a badge, as "mon 07:31 on_site", joined by commas.
func (d *scene) states(badge string) string {
	var all []string
	for _, e := range d.presenceEvents(badge) {
		at := e.At.WallTime().In(wib)
		all = append(all, strings.ToLower(at.Format("Mon 15:04 "))+e.Person.State.String())
	}
	return strings.Join(all, ", ")
}

func (d *scene) presenceEvents(badge string) (list []presence.Entry) {
	for _, e := range d.book.entries {
		if e.Person != nil && e.Person.Badge == badge {
			list = append(list, e)
		}
	}
	return list
}

func (d *scene) expect(badge string, want ...string) {
	d.t.Helper()
	if got := d.states(badge); got != strings.Join(want, ", ") {
		d.t.Errorf("of %s was recorded: %s\nwant: %s", badge, got, strings.Join(want, ", "))
	}
}
