package tags

import (
	"slices"
	"time"

	"presence/drivers/beacon"
)

const (
	// leastPayloads is how many frames with another payload than the configured one
	// have to come within payloadWithin before somebody is asked to look at it: one
	// may have been damaged into something else.
	leastPayloads = 3
	payloadWithin = time.Hour

	// callFor is for how long a tag that has called for help and then fell silent
	// counts as still calling. It may lie broken beside its carrier.
	callFor = 12 * time.Hour

	// maxCalls bounds the tags that are named as calling for help.
	maxCalls = 32
)

// emergencies are the tags that call for help, by their names.
type emergencies map[string]call

// call is a tag that calls, or called, for help.
type call struct {
	last     time.Duration // CLOCK_BOOTTIME of the last frame that said so
	over     bool          // the tag has said since that all is well
	recorded bool          // the last change is in the journal
}

// reject counts a frame that was rejected, and notes what somebody has to mend.
func (t *Tags) reject(receiver string, why beacon.Reason) {
	now := t.opt.Now().Boottime
	t.health.change(receiver, func(h *receiverHealth) {
		h.Bad[string(why)]++
		if why == beacon.BadPayload {
			copy(h.payloads[:], h.payloads[1:])
			h.payloads[leastPayloads-1] = now
		}
	})
}

// WrongPayloads are the names of the receivers whose tags send their position in
// another form than the one that is configured.
func (t *Tags) WrongPayloads() []string {
	now := t.opt.Now().Boottime
	t.health.mu.Lock()
	defer t.health.mu.Unlock()
	var names []string
	for _, h := range t.health.receivers {
		if first := h.payloads[0]; first != 0 && now-first < payloadWithin {
			names = append(names, h.Name)
		}
	}
	return names
}

// note remembers what a tag said beside its position. A call for help is none of the
// working hours' business: it has no position.
func (t *Tags) note(n beacon.Note) {
	now := t.opt.Now().Boottime
	t.mu.Lock()
	defer t.mu.Unlock()
	c, known := t.calls[n.Tag]
	switch {
	case n.Emergency:
		if !known && len(t.calls) >= maxCalls {
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
	t.calls[n.Tag] = c
}

// callChanged reports whether a tag began or ceased to call for help, and no event
// says so yet.
func (t *Tags) callChanged(tag string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, known := t.calls[tag]
	return known && !c.recorded
}

// callRecorded notes that an event with the tag's present status is recorded.
func (t *Tags) callRecorded(tag string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c, known := t.calls[tag]; known {
		c.recorded = true
		t.calls[tag] = c
	}
}

// Emergencies are the names of the tags that call for help, sorted.
func (t *Tags) Emergencies() []string {
	now := t.opt.Now().Boottime
	t.mu.Lock()
	defer t.mu.Unlock()
	var names []string
	for tag, c := range t.calls {
		switch {
		case now-c.last > callFor, c.over && c.recorded:
			delete(t.calls, tag)
		case !c.over:
			names = append(names, tag)
		}
	}
	slices.Sort(names)
	return names
}
