package tags

import (
	"maps"
	"slices"
	"strings"
	"time"

	"presence/drivers/beacon"
)

const (
	// leastRejects is how many frames have to be rejected within rejectsWithin for one
	// reason before somebody is asked to look at it: one may have been damaged into
	// something else.
	leastRejects  = 3
	rejectsWithin = time.Hour

	// callFor is for how long a tag that has called for help and then fell silent
	// counts as still calling. It may lie broken beside its carrier.
	callFor = 12 * time.Hour

	// A battery is low from lowBattery percent down, until it is well above.
	lowBattery  = 15
	goodBattery = 20

	// saidFor is for how long what a tag said of its battery, or of its former name, is
	// remembered: long enough for a weekend and a holiday.
	saidFor = 7 * 24 * time.Hour

	// Bounds of what is remembered. Noise on a radio can bring any number of names.
	maxCalls, maxBatteries, maxRenamed = 32, 64, 32
)

// lately is when frames were rejected last, by CLOCK_BOOTTIME; 0: never.
type lately [leastRejects]time.Duration

// often reports whether there were leastRejects of them within rejectsWithin.
func (l lately) often(now time.Duration) bool { return l[0] != 0 && now-l[0] < rejectsWithin }

// reject counts a frame that was rejected, and notes what somebody can mend.
func (t *Tags) reject(receiver string, why beacon.Reason) {
	now := t.opt.Now().Boottime
	t.health.change(receiver, func(h *receiverHealth) {
		h.Bad[string(why)]++
		switch why {
		case beacon.BadPayload, beacon.BadKey, beacon.BadLocked, beacon.BadRegion:
			l := h.rejected[why]
			copy(l[:], l[1:])
			l[leastRejects-1] = now
			h.rejected[why] = l
		}
	})
}

// Rejecting are the names of the receivers that hear frames which are rejected for a
// reason that somebody can mend: BadPayload, BadLocked, BadRegion, or BadKey. Foreign
// packets that no key fits are in the air of every town: they only count where nothing
// else comes.
func (t *Tags) Rejecting(why beacon.Reason) []string {
	now := t.opt.Now().Boottime
	t.health.mu.Lock()
	defer t.health.mu.Unlock()
	var names []string
	for _, h := range t.health.receivers {
		often := h.rejected[why].often(now)
		if why == beacon.BadLocked || why == beacon.BadRegion {
			// The radio itself says so, once, and is mended when it hands something over.
			last := h.rejected[why][leastRejects-1]
			often = last != 0 && now-last < rejectsWithin && h.last <= last
		}
		hears := h.last != 0 && now-h.last < rejectsWithin
		if often && !(why == beacon.BadKey && hears) {
			names = append(names, h.Name)
		}
	}
	return names
}

// said is what tags said beside their positions, by their names.
type said struct {
	calls     map[string]call
	batteries map[string]battery
	formerly  map[string]renamed // by the new name
}

// call is a tag that calls, or called, for help.
type call struct {
	last     time.Duration // CLOCK_BOOTTIME of the last frame that said so
	over     bool          // the tag has said since that all is well
	recorded bool          // the last change is in the journal
}

// battery is the charge of a tag's battery.
type battery struct {
	percent int
	at      time.Duration // CLOCK_BOOTTIME
	low     bool
}

// renamed is the former name of a tag.
type renamed struct {
	name string
	at   time.Duration // CLOCK_BOOTTIME of the last frame that says so
}

func newSaid() said {
	return said{calls: make(map[string]call), batteries: make(map[string]battery), formerly: make(map[string]renamed)}
}

// Note remembers what a tag said beside its position. None of it says where somebody
// is, so that the working hours do not matter.
func (t *Tags) Note(n beacon.Note) {
	now := t.opt.Now().Boottime
	t.mu.Lock()
	defer t.mu.Unlock()
	t.noteCall(n, now)
	if n.Battery != nil {
		b, known := t.said.batteries[n.Tag]
		if known || len(t.said.batteries) < maxBatteries {
			low := *n.Battery < lowBattery || b.low && *n.Battery < goodBattery
			t.said.batteries[n.Tag] = battery{percent: *n.Battery, at: now, low: low}
		}
	}
	if n.Formerly != "" {
		before, known := t.said.formerly[n.Tag]
		if known || len(t.said.formerly) < maxRenamed {
			if before.name != n.Formerly {
				t.opt.Log.Warn("a tag has another name now", "tag", n.Tag, "formerly", n.Formerly)
			}
			t.said.formerly[n.Tag] = renamed{name: n.Formerly, at: now}
		}
	}
}

// noteCall remembers whether a tag calls for help.
func (t *Tags) noteCall(n beacon.Note, now time.Duration) {
	c, known := t.said.calls[n.Tag]
	switch {
	case n.Emergency:
		if !known && len(t.said.calls) >= maxCalls {
			return
		}
		if !known || c.over {
			t.opt.Log.Warn("a tag calls for help", "tag", n.Tag)
			c.recorded = false
		}
		c.last, c.over = now, false
	case known && !c.over:
		t.opt.Log.Info("a tag no longer calls for help", "tag", n.Tag)
		c.over, c.recorded = true, false
	case !known:
		return
	}
	t.said.calls[n.Tag] = c
}

// callChanged reports whether a tag began or ceased to call for help, and no event
// says so yet.
func (t *Tags) callChanged(tag string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, known := t.said.calls[tag]
	return known && !c.recorded
}

// callRecorded notes that an event with the tag's present status is recorded.
func (t *Tags) callRecorded(tag string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c, known := t.said.calls[tag]; known {
		c.recorded = true
		t.said.calls[tag] = c
	}
}

// Emergencies are the names of the tags that call for help, sorted.
func (t *Tags) Emergencies() []string {
	now := t.opt.Now().Boottime
	t.mu.Lock()
	defer t.mu.Unlock()
	var names []string
	for tag, c := range t.said.calls {
		switch {
		case now-c.last > callFor, c.over && c.recorded:
			delete(t.said.calls, tag)
		case !c.over:
			names = append(names, tag)
		}
	}
	slices.Sort(names)
	return names
}

// Batteries are the charges in percent that tags have told of lately, above 100 while
// one is being charged.
func (t *Tags) Batteries() map[string]int {
	now := t.opt.Now().Boottime
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.said.batteries, func(_ string, b battery) bool { return now-b.at > saidFor })
	charges := make(map[string]int, len(t.said.batteries))
	for tag, b := range t.said.batteries {
		charges[tag] = b.percent
	}
	return charges
}

// LowBatteries are the names of the tags whose battery is nearly empty, sorted.
func (t *Tags) LowBatteries() []string {
	now := t.opt.Now().Boottime
	t.mu.Lock()
	defer t.mu.Unlock()
	var names []string
	for tag, b := range t.said.batteries {
		if b.low && now-b.at <= saidFor {
			names = append(names, tag)
		}
	}
	slices.Sort(names)
	return names
}

// Renamed is a tag that calls itself by another name than before.
type Renamed struct{ Formerly, Now string }

// Renamed are the tags that have another name now, sorted.
func (t *Tags) Renamed() []Renamed {
	now := t.opt.Now().Boottime
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.said.formerly, func(_ string, r renamed) bool { return now-r.at > saidFor })
	var all []Renamed
	for tag, r := range t.said.formerly {
		all = append(all, Renamed{Formerly: r.name, Now: tag})
	}
	slices.SortFunc(all, func(a, b Renamed) int { return strings.Compare(a.Now, b.Now) })
	return all
}
