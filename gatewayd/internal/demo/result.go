package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
)

// atLamp prints an answer of the lamp, and notes which taps were accepted.
func (d *demonstration) atLamp(a presence.Answer) {
	d.say(lamp(), plain(strings.TrimPrefix(d.screen.Tap(a, float64(a.Took.Microseconds())/1000), a.Reader+"  ")))
	if a.Outcome == presence.Accepted {
		d.greenMu.Lock()
		d.green[fmt.Sprintf("%s-%d", a.Stream, a.Seq)] = true
		d.greenMu.Unlock()
	}
}

// atCity prints a message that the city got for the first time.
func (d *demonstration) atCity(topic string, payload []byte) {
	_, rest, _ := strings.Cut(strings.TrimPrefix(topic, "presence/v1/"), "/")
	_, rest, _ = strings.Cut(rest, "/")
	switch {
	case strings.HasPrefix(rest, "event/"):
		if text := d.screen.Arrived(payload); text != "" {
			d.say(town(), plain(text))
		}
	case rest == "status":
		d.say(town(), plain("status "+string(payload)))
	}
}

// awaitDelivery waits until everything is delivered, but not for long.
func (d *demonstration) awaitDelivery(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	d.daemon.Drained(ctx)
}

// summary compares the taps that the lamp accepted with what the city has and with
// what the journal holds. What the journal holds is not lost, though an interrupted
// demonstration does not deliver it any more.
func (d *demonstration) summary(interrupted bool) error {
	kinds, ids, again := d.city.received()
	d.greenMu.Lock()
	defer d.greenMu.Unlock()
	kept, err := d.kept()
	if err != nil {
		return err
	}
	lost, missing := 0, 0
	for id := range d.green {
		if ids[id] {
			continue
		}
		missing++
		if !kept[id] {
			lost++
		}
	}
	// A badge event without an accepted tap is one that nobody made.
	duplicates := max(kinds["badge"]-(len(d.green)-missing), 0)
	waiting := int(d.daemon.Pending())
	if !interrupted {
		lost += waiting // there was time to deliver all of it
	}
	d.city.mu.Lock()
	err = d.city.kept
	d.city.mu.Unlock()
	if err != nil {
		return err
	}
	d.text("")
	d.text(language.Say(
		"%d events came twice because the line broke before their acknowledgement, and were recognised by their id.",
		"%d data datang dua kali karena jalur putus sebelum dikonfirmasi, dan dikenali dari id-nya.", again).In(d.screen.Language))
	if interrupted && waiting > 0 {
		d.text(language.Say(
			"%d events wait in the journal for the line, as they would on any gateway; the demo's journal goes with the demo.",
			"%d data menunggu di jurnal sampai jalur pulih, seperti di gateway mana pun; jurnal demo dihapus bersama demo.", waiting).In(d.screen.Language))
	}
	d.hint()
	delivered := kinds["badge"] + kinds["tag"]
	fmt.Fprintf(d.out, "demo: taps=%d tags=%d delivered=%d lost=%d duplicates=%d\n",
		len(d.green), kinds["tag"], delivered, lost, duplicates)
	if lost > 0 || duplicates > 0 {
		return ErrFailed
	}
	return nil
}

// kept are the ids of the events in the journal of a gateway that has stopped.
func (d *demonstration) kept() (map[string]bool, error) {
	file, err := journal.OpenReadOnly(configured.JournalPath(d.cfg))
	if err != nil {
		return nil, err
	}
	ids := make(map[string]bool)
	err = file.Scan(context.Background(), func(e presence.Entry) error {
		ids[fmt.Sprintf("%s-%d", e.Stream, e.Seq)] = true
		return nil
	})
	return ids, errors.Join(err, file.Close())
}
