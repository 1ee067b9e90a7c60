package health

import (
	"strconv"
	"time"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/presence"
)

// wellKnown is the error in milliseconds up to which the time is known well
// enough, from the broker, although nobody disciplines the system's clock.
const wellKnown = 1000

// Judge says which alerts a document shows that was taken at an instant. The
// gates are those of the documents before.
func Judge(h presence.Health, now time.Time, gates *alerts.Gates) []alerts.Alert {
	var as []alerts.Alert
	add := func(k alerts.Kind, v alerts.Values, about ...string) { as = append(as, k.Raise(v, about...)) }
	for _, r := range h.Readers {
		why := alerts.Values{"error": r.Error}
		switch r.State {
		case "bus-dead":
			add(alerts.ReaderDead, why, r.Name)
		case "deaf":
			add(alerts.ReaderDeaf, why, r.Name)
		}
		if bad, all, weak := gates.Share(alerts.ReaderWeak, r.Name, now, r.Misses, r.Misses+r.Seen); weak && r.State == "ok" {
			add(alerts.ReaderWeak, alerts.Values{"bad": number(bad), "all": number(all)}, r.Name)
		}
	}
	for _, r := range h.Receivers {
		if r.State == "gone" {
			add(alerts.ReceiverGone, alerts.Values{"error": r.Error}, r.Name)
		}
		var bad int64
		for _, n := range r.Bad {
			bad += n
		}
		// What was heard before it was gone says nothing of its connection.
		if bad, all, noisy := gates.Share(alerts.ReceiverNoisy, r.Name, now, bad, bad+r.Frames); noisy && r.State != "gone" {
			add(alerts.ReceiverNoisy, alerts.Values{"bad": number(bad), "all": number(all)}, r.Name)
		}
	}
	away := int64(0)
	if !h.MQTT.Connected {
		away = h.MQTT.DisconnectedS
	}
	offline := gates.Over(alerts.BrokerAway, "", float64(away))
	waits := int64(0)
	if h.Journal.Pending > 0 {
		waits = h.Journal.OldestPendingS
	}
	switch late := gates.Over(alerts.DeliveryUnconfirmed, "", float64(waits)); {
	case late:
		kind := alerts.DeliveryOffline
		if h.MQTT.Connected {
			kind = alerts.DeliveryUnconfirmed
		}
		add(kind, alerts.Values{
			"pending": number(h.Journal.Pending), "minutes": number(h.Journal.OldestPendingS / 60), "error": h.MQTT.LastError,
		})
	case offline:
		add(alerts.BrokerAway, alerts.Values{"error": h.MQTT.LastError})
	}
	if kind, ok := disk(h.Pi, gates); ok {
		add(kind, nil)
	}
	if n := h.Pi.SDErrors; n != nil && *n > 0 {
		kind := alerts.CardFailing
		if ro := h.Pi.RootReadonly; ro != nil && *ro {
			kind = alerts.CardDead
		}
		add(kind, nil)
	}
	if c := h.Clock; gates.Over(alerts.ClockUnsynced, "", float64(c.UnsyncedS)) {
		add(unsynced(c), alerts.Values{"hours": number(c.UnsyncedS / 3600)})
	}
	return as
}

// disk tells which of the alerts about the disk stands, false for none.
func disk(p presence.PiHealth, gates *alerts.Gates) (alerts.Kind, bool) {
	below := func(k alerts.Kind, known bool, value func() float64) bool {
		if !known {
			gates.Clear(k, "")
			return false
		}
		return gates.Over(k, "", value())
	}
	full := below(alerts.DiskFull, p.DiskFreeBytes != nil, func() float64 { return float64(*p.DiskFreeBytes) })
	filling := below(alerts.DiskFilling, p.DiskDaysLeft != nil, func() float64 { return *p.DiskDaysLeft })
	if full {
		return alerts.DiskFull, true
	}
	return alerts.DiskFilling, filling
}

// unsynced is what to say of a clock that nobody sets.
func unsynced(c presence.ClockHealth) alerts.Kind {
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
