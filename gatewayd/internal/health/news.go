package health

import (
	"math"
	"reflect"
	"slices"

	"presence/gatewayd/internal/presence"
)

// How far a figure may move without being news. What is worse has an alert (see
// thresholds.go), and an alert is always news.
const (
	sameTempC   = 5.0  // degrees
	sameBattery = 5    // percent of a full battery
	sameFree    = 0.05 // of the free bytes: a twentieth
)

// saysNothingNew reports whether a document differs from the one before it only in what
// moves by itself while nothing happens that a person would act on:
//
//   - the number of the document, the time, ages, and how long something has lasted;
//   - how fast the disk is, how much was written and sent, and the file's size;
//   - that a card lies on a reader, and the noise around it: looks, cards seen and missed,
//     broken and wrong reads. Taps, refusals, errors and resets are news;
//   - that a receiver hears something, and why it drops that. What it keeps becomes an
//     event, and an event is news;
//   - temperature, batteries and free space, as long as they move little.
//
// Whatever else there is in the document is news, also what a later version adds.
func saysNothingNew(doc, last presence.Health) bool {
	doc.Seq, doc.Time, doc.UptimeS = last.Seq, last.Time, last.UptimeS
	doc.Clock.ErrorMS, doc.Clock.UnsyncedS = last.Clock.ErrorMS, last.Clock.UnsyncedS

	j, before := &doc.Journal, &last.Journal
	j.OldestPendingS, j.Bytes, j.WrittenBytesDay = before.OldestPendingS, before.Bytes, before.WrittenBytesDay
	j.CommitMSP50, j.CommitMSP99 = before.CommitMSP50, before.CommitMSP99
	if near(float64(j.FreeBytes), float64(before.FreeBytes), sameFree*float64(before.FreeBytes)) {
		j.FreeBytes = before.FreeBytes
	}

	m, lastMQTT := &doc.MQTT, &last.MQTT
	m.OldestInflightS, m.DisconnectedS = lastMQTT.OldestInflightS, lastMQTT.DisconnectedS
	m.BytesSent, m.BytesReceived, m.BytesDay = lastMQTT.BytesSent, lastMQTT.BytesReceived, lastMQTT.BytesDay

	doc.Readers = slices.Clone(doc.Readers)
	for i := range min(len(doc.Readers), len(last.Readers)) {
		r, before := &doc.Readers[i], &last.Readers[i]
		r.LooksPerS, r.Seen, r.Misses = before.LooksPerS, before.Seen, before.Misses
		r.BadFrames, r.Misreads = before.BadFrames, before.Misreads
	}
	doc.Receivers = slices.Clone(doc.Receivers)
	for i := range min(len(doc.Receivers), len(last.Receivers)) {
		r, before := &doc.Receivers[i], &last.Receivers[i]
		r.Frames, r.Bad, r.Duplicates, r.Thinned = before.Frames, before.Bad, before.Duplicates, before.Thinned
		r.OutsideHours, r.LastS = before.OutsideHours, before.LastS
	}
	doc.Batteries = sameBatteries(doc.Batteries, last.Batteries)
	doc.Badges = sameAges(doc.Badges, last.Badges)

	p, lastPi := &doc.Pi, &last.Pi
	if a, b := p.TempC, lastPi.TempC; a != nil && b != nil && near(*a, *b, sameTempC) {
		p.TempC = b
	}
	if a, b := p.DiskFreeBytes, lastPi.DiskFreeBytes; a != nil && b != nil && near(float64(*a), float64(*b), sameFree*float64(*b)) {
		p.DiskFreeBytes = b
	}
	p.DiskDaysLeft = lastPi.DiskDaysLeft
	return reflect.DeepEqual(doc, last)
}

// near reports whether two figures differ by less than so much.
func near(a, b, by float64) bool { return a == b || math.Abs(a-b) < by }

// sameBatteries returns the charges of before where those of now differ little from them,
// of the same tags.
func sameBatteries(now, before map[string]int) map[string]int {
	if len(now) != len(before) {
		return now
	}
	for tag, charge := range now {
		if was, known := before[tag]; !known || !near(float64(charge), float64(was), sameBattery) {
			return now
		}
	}
	return before
}

// sameAges is what a document says of badges, with the documents' ages of before.
func sameAges(now, before *presence.BadgesHealth) *presence.BadgesHealth {
	if now == nil || before == nil {
		return now
	}
	same := *now
	age := func(d, was *presence.BadgeDocumentHealth) *presence.BadgeDocumentHealth {
		if d == nil || was == nil {
			return d
		}
		copied := *d
		copied.AgeS = was.AgeS
		return &copied
	}
	same.Revoked, same.Keys = age(now.Revoked, before.Revoked), age(now.Keys, before.Keys)
	return &same
}
