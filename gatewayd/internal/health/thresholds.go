package health

import (
	"strconv"
	"time"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/presence"
)

// Evaluate returns the alerts that the numbers and states of a document raise which
// was made at an instant. The gates are those of the documents before it: whether an
// alert stands already decides where it ends.
func Evaluate(h presence.Health, now time.Time, gates *alerts.Gates) []alerts.Alert {
	var raised []alerts.Alert
	for _, r := range h.Readers {
		raised = append(raised, evaluatePart(partOfReader(r), now, gates)...)
	}
	for _, r := range h.Receivers {
		raised = append(raised, evaluatePart(partOfReceiver(r), now, gates)...)
	}
	return append(raised, evaluateNumbers(h, gates)...)
}

// part is a reader or a receiver.
type part struct {
	name, state, err string
	// states are the alerts that a state raises by itself.
	states map[string]alerts.Kind
	// share is the alert about how many of all, lately, were bad; it is not raised in
	// a state in which that says nothing.
	share      alerts.Kind
	bad, all   int64 // since the process began
	meaningful bool
}

func partOfReader(r presence.ReaderHealth) part {
	return part{
		name: r.Name, state: r.State, err: r.Error,
		states: map[string]alerts.Kind{"bus-dead": alerts.ReaderDead, "deaf": alerts.ReaderDeaf},
		share:  alerts.ReaderWeak, bad: r.Misses, all: r.Misses + r.Seen,
		meaningful: r.State == "ok",
	}
}

func partOfReceiver(r presence.ReceiverHealth) part {
	var bad int64
	for why, n := range r.Bad {
		if !ofOthers(why) {
			bad += n
		}
	}
	return part{
		name: r.Name, state: r.State, err: r.Error,
		states: map[string]alerts.Kind{"gone": alerts.ReceiverGone},
		share:  alerts.ReceiverNoisy, bad: bad, all: bad + r.Frames,
		// What was heard before it was gone says nothing of its connection.
		meaningful: r.State != "gone",
	}
}

// ofOthers reports whether frames that are rejected for a reason arrived well: they are
// of other people's tags, and say nothing of the receiver's line.
func ofOthers(why string) bool { return why == "encrypted" || why == "mqtt" }

// evaluatePart returns the alerts about a reader or a receiver.
func evaluatePart(p part, now time.Time, gates *alerts.Gates) (raised []alerts.Alert) {
	if kind, broken := p.states[p.state]; broken {
		raised = append(raised, kind.Raise(alerts.Values{"error": p.err}, p.name))
	}
	if bad, all, over := gates.Share(p.share, p.name, now, p.bad, p.all); over && p.meaningful {
		raised = append(raised, p.share.Raise(alerts.Values{"bad": number(bad), "all": number(all)}, p.name))
	}
	return raised
}

// threshold is an alert that a number of the document raises beyond the limit which
// the catalogue has for its kind.
type threshold struct {
	limit alerts.Kind
	// number is what is held against the limit; false where it is not known, which
	// raises nothing.
	number func(*presence.Health) (float64, bool)
	// kind is the one that is raised: another in whose words it is told, where not
	// that of the limit.
	kind func(*presence.Health) alerts.Kind
	// values are those of the alert's texts; nil: it needs none.
	values func(*presence.Health) alerts.Values
	// unless is an alert that says more: where that is raised, this is not.
	unless *alerts.Kind
}

// evaluateNumbers holds the numbers of the document against the thresholds. All are
// looked at, also those that another alert covers: the gates need to know.
func evaluateNumbers(h presence.Health, gates *alerts.Gates) (raised []alerts.Alert) {
	over := make(map[alerts.Kind]bool)
	for _, t := range thresholds() {
		n, known := t.number(&h)
		if !known {
			gates.Clear(t.limit, "")
			continue
		}
		over[t.limit] = gates.Over(t.limit, "", n)
		if !over[t.limit] || t.unless != nil && over[*t.unless] {
			continue
		}
		kind := t.limit
		if t.kind != nil {
			kind = t.kind(&h)
		}
		var values alerts.Values
		if t.values != nil {
			values = t.values(&h)
		}
		raised = append(raised, kind.Raise(values))
	}
	return raised
}

// thresholds are the alerts that come from one number each. One that covers another
// comes before it.
func thresholds() []threshold {
	late, full := alerts.DeliveryUnconfirmed, alerts.DiskFull
	return []threshold{
		{limit: late, number: oldestPending, kind: lateDelivery, values: func(h *presence.Health) alerts.Values {
			return alerts.Values{
				"pending": number(h.Journal.Pending), "minutes": number(h.Journal.OldestPendingS / 60), "error": h.MQTT.LastError,
			}
		}},
		{limit: alerts.BrokerAway, unless: &late, number: disconnected, values: func(h *presence.Health) alerts.Values {
			return alerts.Values{"error": h.MQTT.LastError}
		}},
		{limit: full, number: func(h *presence.Health) (float64, bool) {
			if h.Pi.DiskFreeBytes == nil {
				return 0, false
			}
			return float64(*h.Pi.DiskFreeBytes), true
		}},
		{limit: alerts.DiskFilling, unless: &full, number: func(h *presence.Health) (float64, bool) {
			if h.Pi.DiskDaysLeft == nil {
				return 0, false
			}
			return *h.Pi.DiskDaysLeft, true
		}},
		{limit: alerts.CardFailing, number: cardErrors, kind: failingCard},
		{limit: alerts.ClockUnsynced, number: func(h *presence.Health) (float64, bool) {
			return float64(h.Clock.UnsyncedS), true
		}, kind: unsyncedClock, values: func(h *presence.Health) alerts.Values {
			return alerts.Values{"hours": number(h.Clock.UnsyncedS / 3600)}
		}},
	}
}

// oldestPending is for how many seconds the oldest event waits for its delivery.
func oldestPending(h *presence.Health) (float64, bool) {
	if h.Journal.Pending == 0 {
		return 0, true
	}
	return float64(h.Journal.OldestPendingS), true
}

// lateDelivery tells why events wait.
func lateDelivery(h *presence.Health) alerts.Kind {
	switch {
	case !h.MQTT.Connected:
		return alerts.DeliveryOffline
	case h.MQTT.Receipts:
		return alerts.DeliveryUnreceipted
	}
	return alerts.DeliveryUnconfirmed
}

// disconnected is for how many seconds there has been no connection to the broker.
func disconnected(h *presence.Health) (float64, bool) {
	if h.MQTT.Connected {
		return 0, true
	}
	return float64(h.MQTT.DisconnectedS), true
}

// cardErrors is how many errors the file system has recorded.
func cardErrors(h *presence.Health) (float64, bool) {
	if h.Pi.SDErrors == nil {
		return 0, false
	}
	return float64(*h.Pi.SDErrors), true
}

// failingCard tells whether the card still takes anything.
func failingCard(h *presence.Health) alerts.Kind {
	if ro := h.Pi.RootReadonly; ro != nil && *ro {
		return alerts.CardDead
	}
	return alerts.CardFailing
}

// wellKnown is the error in milliseconds up to which the time is known well
// enough, from the broker, although nobody disciplines the system's clock.
const wellKnown = 1000

// unsyncedClock tells how well the time is known although nobody sets the clock.
func unsyncedClock(h *presence.Health) alerts.Kind {
	c := h.Clock
	switch known := c.ErrorMS != nil && *c.ErrorMS <= wellKnown; {
	case known && c.RTC:
		return alerts.ClockByBroker
	case known:
		return alerts.ClockByBrokerNoChip
	case c.RTC:
		return alerts.ClockUnsynced
	}
	return alerts.ClockUnsyncedNoChip
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
