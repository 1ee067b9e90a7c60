package readertest

import (
	"fmt"
	"slices"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// misbehaving is scenes of cards that speak badly: they are not reported, hide no
// sound card, and are no fault of the reader.
func misbehaving() (scenes []scene) {
	faults := []struct {
		name  string
		fault cardtest.Fault
	}{
		{"bad BCC", cardtest.BadBCC},
		{"bad CRC", cardtest.BadCRC},
		{"bad parity", cardtest.BadParity},
		{"short SAK", cardtest.ShortSAK},
		{"short ATQA", cardtest.ShortATQA},
	}
	ownAnticollision := func(l Limits) bool { return !l.OwnAnticollision }
	for _, f := range faults {
		scenes = append(scenes, scene{name: "faulty card, " + f.name, run: func(b *bench) { b.faultyAlone(f.fault) }})
		if f.fault == cardtest.BadParity {
			continue // its ATQA spoils that of all others
		}
		// Either one may be the first that a chip selects.
		for _, uids := range [][2]string{{"01020304", "02030405"}, {"02030405", "01020304"}, {"0FA1B2C3", "00A1B2C3"}} {
			scenes = append(scenes, scene{name: fmt.Sprintf("faulty card, %s beside a sound one, %s", f.name, uids[0]), without: ownAnticollision, run: func(b *bench) { b.faultyBeside(f.fault, uids) }})
		}
	}
	scenes = append(scenes, mute()...)
	return append(
		scenes,
		scene{name: "a faulty crowd", run: faultyCrowd},
		scene{name: "refuses HLTA", run: func(b *bench) {
			c := b.classic("DEADBEEF")
			c[0].SetFault(cardtest.RefusesHalt)
			for range 20 {
				b.scan(c...)
				b.pause()
			}
		}},
		scene{name: "unreadable", run: func(b *bench) {
			b.field.Put(cardtest.NewUnreadable())
			b.started()
			b.scan()
		}},
	)
}

// mute is cards whose answers to one step go unheard, though they act on it.
func mute() (scenes []scene) {
	for name, step := range map[string]cardtest.Step{
		"request": cardtest.StepRequest, "anticollision": cardtest.StepAnticollision, "select": cardtest.StepSelect,
	} {
		scenes = append(scenes, scene{name: "mute at " + name, run: func(b *bench) {
			c := b.classic("04A1B2C3D4E5F6")
			c[0].MuteAt(step)
			for range 3 {
				if seen, err := b.poll(); err != nil || len(seen) > 1 {
					b.Fatalf("saw %v, %v", seen, err)
				} else if b.onlyOf(seen, c...); step == cardtest.StepRequest && len(seen) != 0 {
					b.Fatalf("saw %v", seen)
				}
			}
			c[0].MuteAt(cardtest.NoStep)
			// It may be READY now, unknown to the reader, and take the next request for an
			// error.
			seen, err := b.poll()
			if err != nil {
				b.Fatal(err)
			}
			b.onlyOf(seen, c...)
			b.settles(c...)
		}})
	}
	return scenes
}

// moving is scenes of cards that come and go.
func moving() (scenes []scene) {
	// A card is taken away before every single frame of an exchange. That is no reader
	// fault, half a UID is never reported, and whoever stays is seen.
	for n := 1; n <= 24; n++ {
		scenes = append(
			scenes,
			scene{name: fmt.Sprintf("taken away before frame %d", n), run: func(b *bench) {
				c := b.put(card.MifareUltralight, "0102030405060708090A")[0]
				c.LeaveAt(n)
				seen, err := b.poll()
				if err != nil || len(seen) > 1 || len(seen) == 1 && seen[0] != c.Info() {
					b.Fatalf("saw %v, %v", seen, err)
				}
				c.LeaveAt(0)
				b.field.Remove(c)
				b.scan()
				b.field.Put(c)
				b.started()
				b.scan(c)
			}},
			scene{name: fmt.Sprintf("one of two taken away before frame %d", n), run: func(b *bench) {
				cards := b.put(card.ISO14443_4, "04A1B2C3D4E5F6", "04A1B2C3D4E5F7")
				b.scan(cards...)
				cards[n%2].LeaveAt(n)
				stays := cards[1-n%2]
				seen, err := b.poll()
				if err != nil || !slices.ContainsFunc(seen, func(c card.Card) bool { return c.UID == stays.UID() }) {
					b.Fatalf("saw %v, %v", seen, err)
				}
				b.onlyOf(seen, cards...)
				cards[n%2].LeaveAt(0)
				b.field.Remove(cards[n%2])
				b.settles(stays)
			}},
		)
	}
	return append(
		scenes,
		scene{name: "comes and goes", readings: true, run: comesAndGoes},
		scene{name: "a second card comes and the first goes", run: overlap},
		scene{name: "lifted for a moment", run: lifted},
		scene{name: "random UID", run: randomUID},
	)
}

// waiting is scenes of cards that need time, and of readers that take it.
func waiting() []scene {
	return []scene{
		{name: "a processor card has time to start", readings: true, run: func(b *bench) {
			// A driver that switches the field just before each request never reads it.
			b.build()
			c := b.card("0582C7204CA100", card.ISO14443_4)
			b.field.Put(c)
			b.open()
			b.scan(c)
			// One that takes longer than the standard lets it is seen a scan later.
			slow := b.card("0582C7204CA101", card.ISO14443_4)
			slow.SetStartup(20 * time.Millisecond)
			b.field.Put(slow)
			if seen, err := b.poll(); err != nil || len(seen) == 0 {
				b.Errorf("saw %v, %v", seen, err)
			}
			b.pause()
			b.settles(c, slow)
		}},
		{name: "quick", run: func(b *bench) {
			within := func(cards ...*cardtest.Card) {
				limit := b.subject.Limits.Scan + time.Duration(len(cards))*b.subject.Limits.PerCard
				start := time.Now()
				b.scan(cards...)
				if took := time.Since(start); took > limit {
					b.Errorf("a scan of %d cards took %v, want at most %v", len(cards), took, limit)
				}
			}
			within()
			var cards []*cardtest.Card
			for _, uid := range []string{"04A1B2C3D4E5F6", "DEADBEEF", "88112233", "0102030405060708090A"} {
				cards = append(cards, b.classic(uid)...)
				within(cards...)
				within(cards...)
			}
		}},
		{name: "a scan that hears nothing", readings: true, run: func(b *bench) {
			b.dirty = true
			cards := b.classic("AA030200", "AA010000", "AA000000")
			b.scan(cards...)
			b.chip.SetNoise(cardtest.Noise{Lost: 1})
			if seen, err := b.poll(); err != nil || len(seen) != 0 {
				b.Errorf("saw %v, %v", seen, err)
			}
			b.chip.SetNoise(cardtest.Noise{})
			// All are READY now and may take the next request for an error.
			b.settles(cards...)
			for range 20 {
				b.scan(cards...)
				b.pause()
			}
		}},
	}
}

// faultyAlone is a card that is not reported until it speaks well.
func (b *bench) faultyAlone(fault cardtest.Fault) {
	b.Helper()
	bad := b.put(card.MifareUltralight, "04A1B2C3D4E5F6")[0]
	bad.SetFault(fault)
	for range 5 {
		b.scan()
		b.pause()
	}
	if n := b.reader.Counts(); n.Resets != 0 || n.Mends != 0 {
		b.Errorf("a bad card had the chip reset: %+v", n)
	}
	bad.SetFault(cardtest.NoFault)
	b.settles(bad)
}

// faultyBeside is a card that must not hide the other one, whichever branch of their
// collision it lies in and whatever state the scan before left them in.
func (b *bench) faultyBeside(fault cardtest.Fault, uids [2]string) {
	b.Helper()
	cards := b.classic(uids[:]...)
	cards[0].SetFault(fault)
	for range 5 {
		seen, err := b.poll()
		if err != nil || !slices.ContainsFunc(seen, func(c card.Card) bool { return c.UID == cards[1].UID() }) {
			b.Fatalf("saw %v, %v", seen, err)
		}
		if fault == cardtest.ShortATQA {
			b.onlyOf(seen, cards...) // beside another's, its ATQA is whole
		} else {
			b.onlyOf(seen, cards[1])
		}
	}
}

// faultyCrowd is cards that never get through: they are tried again and again, but
// not for ever.
func faultyCrowd(b *bench) {
	for i := range uint32(40) {
		c := b.card(fmt.Sprintf("%08X", i*0x9E3779B9), card.MifareClassic1K)
		c.SetFault(cardtest.BadCRC)
		b.field.Put(c)
	}
	b.started()
	b.scan()
}

// comesAndGoes is two people who take turns.
func comesAndGoes(b *bench) {
	cards := []*cardtest.Card{b.card("DEADBEEF", card.MifareClassic1K), b.card("04A1B2C3D4E5F6", card.ISO14443_4)}
	for i := range 20 {
		c := cards[i%2]
		b.field.Put(c)
		b.started()
		b.scan(c)
		b.pause()
		b.scan(c)
		b.field.Remove(c)
		b.scan()
	}
}

// overlap is people who come before the last one has gone.
func overlap(b *bench) {
	cards := b.put(card.ISO14443_4, "04A1B2C3D4E5F6", "04A1B2C3D4E5F7", "04A1B2C3D4E5F9")
	b.field.Remove(cards[1:]...)
	for i := range 12 {
		b.scan(cards[i%3])
		b.field.Put(cards[(i+1)%3])
		b.started()
		b.scan(cards[i%3], cards[(i+1)%3])
		b.field.Remove(cards[i%3])
	}
}

// lifted is a card that loses its power for a moment, between two scans.
func lifted(b *bench) {
	c := b.put(card.ISO14443_4, "04A1B2C3D4E5F6")
	for range 10 {
		b.scan(c...)
		b.field.Remove(c...)
		time.Sleep(time.Millisecond)
		b.field.Put(c...)
		b.started()
	}
	b.scan(c...)
}

// randomUID is a phone.
func randomUID(b *bench) {
	c, err := cardtest.NewRandom(card.ISO14443_4, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.field.Put(c)
	b.started()
	first := c.UID()
	for range 20 {
		b.scan(c)
		b.pause()
	}
	if !first.Random() || b.subject.Limits.KeepsField && c.UID() != first {
		b.Errorf("%v became %v", first, c.UID())
	}
}
