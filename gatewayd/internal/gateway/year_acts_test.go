package gateway

import (
	"slices"
	"strconv"
	"testing/synctest"
	"time"

	"presence/drivers/beacon/beacontest"
	"presence/drivers/card"
	"presence/gatewayd/internal/presence"
)

func badgeUID(n int) card.UID {
	uid, err := card.NewUID([]byte{0x04, 0xA1, byte(n >> 16), byte(n >> 8), byte(n), 0x5A, 0x80})
	if err != nil {
		panic(err)
	}
	return uid
}

// tap lets somebody show a badge, twice where they are not sure, or hold it for
// long.
func (w *world) tap(badge int) {
	hold := 200 * time.Millisecond
	if w.one(25) {
		hold = w.between(20*time.Second, 50*time.Second)
	}
	w.show(badge, hold)
	if w.one(15) {
		time.Sleep(w.between(2*time.Second, 20*time.Second))
		w.show(badge, 200*time.Millisecond)
	}
}

// show lays a badge on the reader for a while and holds the lamp's answer
// against what it must be.
func (w *world) show(badge int, hold time.Duration) {
	of, tr := w.life, w.truth
	uid := badgeUID(badge)
	fault := w.door.fault
	of.mu.Lock()
	before := len(of.answers)
	of.mu.Unlock()
	w.door.change(func() { w.door.cards = append(w.door.cards, card.Card{UID: uid, SAK: 0x08}) })
	time.Sleep(hold)
	synctest.Wait()
	var at time.Time
	w.door.change(func() {
		at = w.door.seen[uid]
		delete(w.door.seen, uid)
		w.door.cards = nil
	})
	left := w.now()
	time.Sleep(300 * time.Millisecond) // by when it was missed often enough to have left
	synctest.Wait()
	of.mu.Lock()
	answers := slices.Clone(of.answers[before:])
	of.answers = of.answers[:0]
	of.mu.Unlock()
	if fault != nil {
		if len(answers) != 0 {
			tr.note("lamp", "a reader with a fault answered")
		}
		return
	}
	if len(answers) != 1 || at.IsZero() {
		tr.note("lamp", "%d answers to one badge", len(answers))
		return
	}
	a := answers[0]
	want := tr.visit(a.Badge, at)
	switch {
	case a.Outcome == want:
	case a.Outcome == presence.Refused && want == presence.Accepted && a.Reason == "journal-full" && w.flooded:
	default:
		tr.note("lamp", "badge %s: %s (%s), want %s", a.Badge, a.Outcome, a.Reason, want)
	}
	if a.Outcome == presence.Refused {
		y, m, d := at.In(w.office).Date()
		w.refusedOn[time.Date(y, m, d, 0, 0, 0, 0, w.office)]++
	}
	if a.Outcome != presence.Repeat {
		of.refuses = a.Outcome == presence.Refused
	}
	if a.Badge != uid.String() {
		tr.note("lamp", "badge %s answered as %s", uid, a.Badge)
	}
	tr.tapped(a, at, left)
}

// hearTag lets a tag report where it is: every other one moves.
func (w *world) hearTag(tag, turn int) {
	f := &frame{tag: "kenwood:100-" + strconv.Itoa(1001+tag), lat: -7.9778, lon: 112.634 + float64(tag)*0.001, at: w.now().Truncate(time.Second)}
	if tag%2 == 0 {
		f.lat += 0.0006 * float64(turn%2) // 67 m, there and back
	}
	// Times of a fix are told in seconds, and this is when it is heard.
	time.Sleep(f.at.Add(time.Second).Sub(w.now()))
	f.at = w.now()
	if w.truth.edge(f) {
		return
	}
	sentence := beacontest.PKLDS(100, 1001+tag, f.lat, f.lon, f.at)
	if w.one(400) {
		w.hear(f, sentence)
		time.Sleep(time.Second)
	}
	w.hear(f, sentence)
}

func (w *world) hear(f *frame, sentence string) {
	if !w.yard.send(sentence) {
		return
	}
	w.life.frame = w.now()
	w.truth.heard(f)
}

// noise lets the receiver hear what is no report.
func (w *world) noise() {
	for range 1 + w.rng.IntN(20) {
		sentence, why := "$PKLDS,073000,A,0758.6680,S,11238.0400,E,000.0,000.0,050126,,W00,100,1001,80,00,*00\r\n", "checksum"
		if w.one(2) {
			sentence, why = beacontest.Sentence("PKLDS,073000,A,0758.6680,S,11238.0400,E,000.0,000.0,990126,,W00,100,1001,80,00,"), "range"
		}
		if w.yard.send(sentence) {
			w.life.counts.bad[why]++
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (w *world) readerFault(why error) {
	tr := w.truth
	tr.mu.Lock()
	had := w.door.fault != nil
	switch {
	case had && why == nil:
		tr.ends("reader-door", false)
	case !had && why != nil:
		tr.begins("reader-door")
	}
	tr.mu.Unlock()
	w.door.change(func() { w.door.fault = why })
	if had && why == nil {
		time.Sleep(openAgain) // it is opened again by then
	}
}

func (w *world) unplug(gone bool) {
	tr := w.truth
	tr.mu.Lock()
	switch {
	case w.yard.gone && !gone:
		tr.ends("receiver-yard", false)
	case !w.yard.gone && gone:
		tr.begins("receiver-yard")
	}
	tr.mu.Unlock()
	back := w.yard.gone && !gone
	w.yard.unplug(gone)
	if back {
		time.Sleep(openAgain)
	}
}

// tapAcrossCrash shows a badge, kills the gateway, and shows the badge again.
func (w *world) tapAcrossCrash() {
	if w.now().Sub(w.life.since) < 3*w.cfg.Tags.Heartbeat/2 || w.flooded || w.door.fault != nil {
		return
	}
	time.Sleep(3 * time.Second)
	w.show(5, 200*time.Millisecond)
	w.kill()
	time.Sleep(5 * time.Second)
	w.start()
	time.Sleep(2 * time.Second)
	w.show(5, 200*time.Millisecond)
}

// fillUp brings so many reports and taps that the journal has room for nothing
// more, kills the gateway while it is so, and goes on for a while.
func (w *world) fillUp(p plan, check func()) {
	w.truth.mu.Lock()
	w.truth.crowded = w.now()
	w.truth.mu.Unlock()
	for i := range p.flood {
		tag := 2000 + i%500
		f := &frame{
			tag: "kenwood:101-" + strconv.Itoa(tag), at: w.now().Truncate(time.Second),
			lat: -7.9 + float64(i/500%2)*0.001, lon: 112.6,
		}
		if i%50 == 0 {
			time.Sleep(f.at.Add(5 * time.Second).Sub(w.now()))
			f.at = w.now()
		}
		if !w.truth.edge(f) {
			w.hear(f, beacontest.PKLDS(101, tag, f.lat, f.lon, f.at))
		}
	}
	synctest.Wait()
	w.checkHealth()
	refused := 0
	for i := 0; i < p.storm && refused < 300; i++ {
		w.show(100_000+i, 100*time.Millisecond)
		if w.life.refuses {
			refused++
		}
		if refused == 100 {
			refused++
			w.checkHealth()
			w.again(w.one(2))
		}
	}
	time.Sleep(6 * time.Minute)
	check()
	if refused == 0 {
		w.truth.note("simulator", "the journal was not filled")
	}
	w.checkHealth()
}
