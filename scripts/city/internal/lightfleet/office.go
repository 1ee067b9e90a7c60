package lightfleet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"presence/scripts/city/internal/lightgateway"
)

// Morning is how people come to work in an office, and what its tags do.
type Morning struct {
	People int           // who come
	Within time.Duration // in which they come
	Tags   int           // that are heard
	Every  time.Duration // how often each is
}

// Peak is the morning that a city's machines have to bear: 60 people an office within ten
// minutes, and 40 tags that are heard every 30 s.
func Peak() Morning {
	return Morning{People: 60, Within: 10 * time.Minute, Tags: 40, Every: 30 * time.Second}
}

// Faster is the same morning in a share of the time.
func (m Morning) Faster(speed float64) Morning {
	m.Within = time.Duration(float64(m.Within) / speed)
	m.Every = time.Duration(float64(m.Every) / speed)
	return m
}

// office is one office with its gateway.
type office struct {
	gateway  *lightgateway.Gateway
	random   *rand.Rand // of whoever records: one goroutine at a time
	badges   []string
	tags     []string
	lat, lon float64 // of its middle
}

// most is how many people and tags an office has at most.
const most = 60

func newOffice(g *lightgateway.Gateway, n int, seed uint64) *office {
	o := &office{
		gateway: g, random: rand.New(rand.NewPCG(seed, uint64(n))),
		lat: -7.9 - float64(n%50)/500, lon: 112.6 + float64(n/50)/500,
	}
	for i := range most {
		o.badges = append(o.badges, fmt.Sprintf("h:%016x%016x", o.random.Uint64(), o.random.Uint64()))
		o.tags = append(o.tags, fmt.Sprintf("kenwood:%d-%d", 100+n%250, 1000+i))
	}
	return o
}

// backlog records events that wait, the newest of now: 40 of 41 are of tags.
func (o *office) backlog(events int, now time.Time) {
	for i := range events {
		at := now.Add(-time.Duration(events-i) * time.Second)
		if i%41 == 40 {
			o.gateway.Tap(at, o.badges[o.random.IntN(most)], true)
			continue
		}
		o.tag(at, o.random.IntN(most), true)
	}
}

// tag has a tag be heard near the middle of the office.
func (o *office) tag(at time.Time, n int, backlog bool) {
	const half = 0.0005 // degrees
	place := func(middle float64) float64 {
		return float64(int64((middle+(o.random.Float64()-0.5)*2*half)*1e6)) / 1e6
	}
	o.gateway.Tag(at, o.tags[n], place(o.lat), place(o.lon), "inside", backlog)
}

// live has people come and tags be heard until the context ends.
func (o *office) live(ctx context.Context, m Morning) {
	began := time.Now()
	arrivals := o.times(m.People, m.Within)
	phases := o.times(m.Tags, m.Every)
	timer := time.NewTimer(0)
	defer timer.Stop()
	person, tag, round := 0, 0, time.Duration(0)
	for {
		const never = 1000 * time.Hour
		nextTap, nextTag := never, never
		if person < len(arrivals) {
			nextTap = arrivals[person]
		}
		if len(phases) > 0 {
			nextTag = round + phases[tag]
		}
		timer.Reset(time.Until(began.Add(min(nextTap, nextTag))))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		now := time.Now()
		if nextTap <= nextTag {
			o.arrive(now, person%most)
			person++
			continue
		}
		o.tag(now, tag%most, false)
		if tag++; tag == len(phases) {
			tag, round = 0, round+m.Every
		}
	}
}

// arrive has a person show the badge while the tag is inside.
func (o *office) arrive(now time.Time, n int) {
	id := o.gateway.Tap(now, o.badges[n], false)
	o.gateway.Presence(now, o.badges[n], o.tags[n], "on_site", -1, []string{id})
}

// times is so many instants within a span, in order.
func (o *office) times(n int, within time.Duration) []time.Duration {
	all := make([]time.Duration, n)
	for i := range all {
		all[i] = time.Duration(o.random.Int64N(int64(max(within, 1))))
	}
	slices.Sort(all)
	return all
}
