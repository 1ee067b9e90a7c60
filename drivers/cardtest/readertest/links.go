package readertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/isodep"
)

// linkBudget is what one link may take, and overBudget how much longer a driver may need
// to select a card before, and to put it to sleep or take its power away after.
const (
	linkBudget = 1800 * time.Millisecond
	overBudget = 200 * time.Millisecond
)

// echo is a program whose response belongs to its command and to no other one.
type echo struct {
	size  int // of a response, with its status bytes
	delay time.Duration
}

// Reset implements cardtest.Applet.
func (echo) Reset() {}

// Command implements cardtest.Applet.
func (e echo) Command(apdu []byte) ([]byte, time.Duration) { return e.response(apdu), e.delay }

func (e echo) response(apdu []byte) []byte {
	sum := sha256.Sum256(apdu)
	return append(bytes.Repeat(sum[:], 1+e.size/len(sum))[:e.size-2], 0x90, 0x00)
}

// links is scenes of cards that speak ISO/IEC 14443-4, for drivers that can hold one.
func links() []scene {
	none := func(l Limits) bool { return !l.Links }
	table := []scene{
		{name: "link, faults on the air", run: (*bench).linkFaults},
		{name: "link, card taken away", run: (*bench).linkRemoval},
		{name: "link, several cards", readings: true, run: (*bench).linksInTurn},
		{name: "link, card without an end", run: (*bench).linkWithoutEnd},
		{name: "link, refused", run: (*bench).linkRefused},
		{name: "link, noise on the air", run: (*bench).linkNoise},
		{name: "link, board fails", run: (*bench).linkOnABadBoard},
		{name: "link, card lies there", run: (*bench).linkToACardThatStays},
	}
	for name, p := range linkProtocols() {
		table = append(table, scene{name: "link, " + name, readings: name == "DESFire", run: func(b *bench) { b.linkSound(p) }})
	}
	for i := range table {
		table[i].without = none
	}
	return table
}

// linkProtocols are ways in which sound cards go about it.
func linkProtocols() map[string]cardtest.Layer4 {
	with := func(change func(*cardtest.Layer4)) cardtest.Layer4 {
		p := cardtest.NTAG424()
		change(&p)
		return p
	}
	return map[string]cardtest.Layer4{
		"DESFire":              cardtest.DESFire(),
		"NTAG 424":             cardtest.NTAG424(),
		"Java card":            cardtest.JavaCard(),
		"nothing announced":    {NoT0: true},
		"FSC 16":               with(func(p *cardtest.Layer4) { p.FSCI = 0 }),
		"FSC 4096":             with(func(p *cardtest.Layer4) { p.FSCI = 12 }),
		"without TA":           with(func(p *cardtest.Layer4) { p.NoTA = true }),
		"without TB":           with(func(p *cardtest.Layer4) { p.NoTB = true }),
		"without TC":           with(func(p *cardtest.Layer4) { p.NoTC = true }),
		"neither CID nor NAD":  with(func(p *cardtest.Layer4) { p.TC = 0 }),
		"FWI 0":                with(func(p *cardtest.Layer4) { p.FWI, p.Latency = 0, 200*time.Microsecond }),
		"FWI 14":               with(func(p *cardtest.Layer4) { p.FWI = 14 }),
		"FWI 15":               with(func(p *cardtest.Layer4) { p.FWI = 15 }),
		"SFGI 8":               with(func(p *cardtest.Layer4) { p.SFGI = 8 }),
		"SFGI 15":              with(func(p *cardtest.Layer4) { p.SFGI = 15 }),
		"blocks of one byte":   with(func(p *cardtest.Layer4) { p.Chunk = 1 }),
		"blocks of seven":      with(func(p *cardtest.Layer4) { p.Chunk = 7 }),
		"the latest answers":   with(func(p *cardtest.Layer4) { p.FWI, p.Latency = 4, cardtest.FrameWaiting(4) }),
		"one WTX":              with(func(p *cardtest.Layer4) { p.WTX = []byte{1} }),
		"five WTX in a row":    with(func(p *cardtest.Layer4) { p.WTX, p.WTXAfter = []byte{1, 1, 1, 1, 1}, 30*time.Millisecond }),
		"WTX with power level": with(func(p *cardtest.Layer4) { p.WTX = []byte{0xC2, 0x41, 0xBB} }),
		"WTX within a chain":   with(func(p *cardtest.Layer4) { p.Chunk, p.WTXInChain = 20, []byte{2, 59} }),
		"WTX within a command": with(func(p *cardtest.Layer4) { p.FSCI, p.WTXInCommand = 1, []byte{3, 1} }),
		"ATS that fills FSD":   with(func(p *cardtest.Layer4) { p.Historical = make([]byte, 57) }),
	}
}

// badge puts a card with a program into the field and lets it start.
func (b *bench) badge(uid string, e echo, p cardtest.Layer4) *cardtest.Card {
	b.Helper()
	c := b.card(uid, card.ISO14443_4)
	c.SetApplet(e, p)
	b.field.Put(c)
	b.started()
	return c
}

// talk selects a card and has it carry out so many commands of so many bytes, each another
// one. It wants the right responses, as many as it returns, and all to be over in time.
func (b *bench) talk(c *cardtest.Card, e echo, commands, size int) (answered int, err error) {
	b.Helper()
	start := time.Now()
	err = b.reader.(card.Selector).Select(context.Background(), c.Info(), func(f card.Frames) error {
		return isodep.Run(context.Background(), f, isodep.Options{Budget: linkBudget}, func(l *isodep.Link) error {
			for n := range commands {
				apdu := bytes.Repeat([]byte{byte(n), byte(size)}, (size+1)/2)[:size]
				response, err := l.Exchange(context.Background(), apdu)
				if err != nil {
					return err
				}
				if !bytes.Equal(response, e.response(apdu)) && !b.dirty {
					b.Errorf("the response to %X is %X, want %X", apdu, response, e.response(apdu))
				}
				answered++
			}
			return l.Present(context.Background())
		})
	})
	if took := time.Since(start); took > linkBudget+overBudget {
		b.Errorf("a link took %v", took)
	}
	return answered, err
}

// kept wants a card to have been spoken to as the standard says, and no command to have
// been carried out twice.
func (b *bench) kept(c *cardtest.Card, commands int) {
	b.Helper()
	for _, v := range c.Violations() {
		b.Errorf("violation: %s", v)
	}
	if n := c.Executed(); n > commands {
		b.Errorf("%d commands were carried out, %d sent", n, commands)
	}
}

// linkSound is a card that does everything right, with short and long commands and
// responses. It is seen as before all the while.
func (b *bench) linkSound(p cardtest.Layer4) {
	for _, e := range []echo{{size: 2}, {size: 78, delay: 100 * time.Millisecond}, {size: 258}} {
		b.again()
		c := b.badge("04A1B2C3D4E5F6", e, p)
		b.scan(c)
		sent := 0
		for _, size := range []int{5, 70} {
			start := time.Now()
			if n, err := b.talk(c, e, 2, size); err != nil || n != 2 {
				b.Errorf("%d bytes with responses of %d: %d were answered, %v", size, e.size, n, err)
			}
			b.Logf("2 commands of %d bytes, responses of %d after %v: %v", size, e.size, e.delay, time.Since(start))
			sent += 2
			b.scan(c)
		}
		if b.kept(c, sent); c.Executed() != sent {
			b.Errorf("%d commands were carried out, %d sent", c.Executed(), sent)
		}
	}
}

// ofCard wants the error of a link to be one of the card.
func (b *bench) ofCard(err error) {
	b.Helper()
	if err != nil && !errors.Is(err, card.ErrGone) && !errors.Is(err, card.ErrProtocol) && !errors.Is(err, card.ErrTooSlow) {
		b.Errorf("a link ended with %v", err)
	}
}

// linkFaults is each fault at each frame. One that the standard provides for is not even
// noticed.
func (b *bench) linkFaults() {
	e := echo{size: 100}
	recovered := []cardtest.AirFault{cardtest.RequestLost, cardtest.RequestSpoilt, cardtest.AnswerLost, cardtest.AnswerSpoilt, cardtest.AnswerParity}
	for _, fault := range cardtest.AirFaults() {
		if fault == cardtest.CardLeaves || fault == cardtest.CardLeavesMid {
			continue
		}
		for frame := 1; frame <= 12; frame++ {
			b.again()
			c := b.badge("04A1B2C3D4E5F6", e, cardtest.DESFire())
			c.StrikeAt(frame, fault)
			n, err := b.talk(c, e, 2, 70)
			b.ofCard(err)
			if frame > 1 && slices.Contains(recovered, fault) && (err != nil || n != 2) {
				b.Errorf("%s at frame %d: %d were answered, %v", fault, frame, n, err)
			}
			c.CalmAir()
			b.kept(c, 2)
			b.settles(c)
		}
	}
}

// linkRemoval is a card that is taken away at each frame, beside one that stays.
func (b *bench) linkRemoval() {
	e := echo{size: 100}
	for _, fault := range []cardtest.AirFault{cardtest.CardLeaves, cardtest.CardLeavesMid} {
		for frame := 1; frame <= 9; frame++ {
			b.again()
			c := b.badge("04A1B2C3D4E5F6", e, cardtest.DESFire())
			stays := b.classic("DEADBEEF")
			b.settles(c, stays[0])
			c.StrikeAt(frame, fault)
			n, err := b.talk(c, e, 2, 70)
			if n < 2 && !errors.Is(err, card.ErrGone) {
				b.Errorf("%s at frame %d: %d were answered, %v", fault, frame, n, err)
			}
			b.kept(c, 2)
			if slices.Contains(b.field.Cards(), c) { // a link of fewer frames
				c.CalmAir()
				b.field.Remove(c)
			}
			b.settles(stays...)
			b.field.Put(c)
			b.started()
			b.settles(c, stays[0])
			if n, err := b.talk(c, e, 2, 70); n != 2 || err != nil {
				b.Errorf("back again: %d were answered, %v", n, err)
			}
		}
	}
	b.again()
	c := b.badge("04A1B2C3D4E5F6", e, cardtest.DESFire())
	b.field.Remove(c)
	if n, err := b.talk(c, e, 1, 5); n != 0 || !errors.Is(err, card.ErrGone) {
		b.Errorf("gone before: %d were answered, %v", n, err)
	}
	b.settles()
}

// linksInTurn is two badges with programs, one of them with a random UID, and one without.
func (b *bench) linksInTurn() {
	first, second := echo{size: 40}, echo{size: 60}
	a := b.badge("04A1B2C3D4E5F6", first, cardtest.JavaCard())
	random, err := cardtest.NewRandom(card.ISO14443_4, 7)
	if err != nil {
		b.Fatal(err)
	}
	random.SetApplet(second, cardtest.DESFire())
	b.field.Put(random)
	b.started()
	plain := b.classic("DEADBEEF")[0]
	b.settles(a, random, plain)
	uid := random.UID()
	for range 5 {
		if n, err := b.talk(a, first, 2, 20); n != 2 || err != nil {
			b.Errorf("%d were answered, %v", n, err)
		}
		if n, err := b.talk(random, second, 2, 20); n != 2 || err != nil {
			b.Errorf("%d were answered, %v", n, err)
		}
		b.scan(a, random, plain)
		b.pause()
	}
	if random.UID() != uid && b.subject.Limits.KeepsField {
		b.Errorf("the random UID is another one")
	}
	b.kept(a, 10)
	b.kept(random, 10)
}

// linkWithoutEnd is cards that would hold the door for ever.
func (b *bench) linkWithoutEnd() {
	for name, c := range map[string]struct {
		change func(*cardtest.Layer4)
		delay  time.Duration
		want   []error
	}{
		"chain":           {func(p *cardtest.Layer4) { p.EndlessChain = true }, 0, []error{card.ErrTooSlow, card.ErrProtocol}},
		"slow":            {func(*cardtest.Layer4) {}, 3 * time.Second, []error{card.ErrTooSlow}},
		"slow by inches":  {func(p *cardtest.Layer4) { p.Multiplier = 1 }, 3 * time.Second, []error{card.ErrTooSlow}},
		"WTX without end": {func(p *cardtest.Layer4) { p.WTX = bytes.Repeat([]byte{1}, 1000) }, 0, []error{card.ErrTooSlow}},
		"WTXM 0":          {func(p *cardtest.Layer4) { p.WTX = []byte{0} }, 0, []error{card.ErrProtocol}},
		"WTXM 60":         {func(p *cardtest.Layer4) { p.WTX = []byte{60} }, 0, []error{card.ErrProtocol}},
		"WTXM 63":         {func(p *cardtest.Layer4) { p.WTXInCommand = []byte{63} }, 0, []error{card.ErrProtocol}},
		"SFGI 14":         {func(p *cardtest.Layer4) { p.SFGI = 14 }, 0, []error{card.ErrTooSlow}},
	} {
		b.again()
		p := cardtest.NTAG424()
		p.FSCI = 5
		c.change(&p)
		e := echo{size: 100, delay: c.delay}
		badge := b.badge("04A1B2C3D4E5F6", e, p)
		b.scan(badge)
		if n, err := b.talk(badge, e, 1, 70); n != 0 || !slices.ContainsFunc(c.want, func(want error) bool { return errors.Is(err, want) }) {
			b.Errorf("%s: %d were answered, %v", name, n, err)
		}
		b.settles(badge)
		for _, v := range badge.Violations() {
			b.Logf("%s: %s", name, v)
		}
	}
}

// linkRefused is cards that say they speak ISO/IEC 14443-4 and do not, or do so badly.
func (b *bench) linkRefused() {
	e := echo{size: 10}
	for _, fault := range []cardtest.Fault{cardtest.RefusesRATS, cardtest.NAKsRATS} {
		b.again()
		c := b.badge("04A1B2C3D4E5F6", e, cardtest.DESFire())
		c.SetFault(fault)
		if n, err := b.talk(c, e, 1, 5); n != 0 || !errors.Is(err, card.ErrGone) {
			b.Errorf("fault %v: %d were answered, %v", fault, n, err)
		}
		b.kept(c, 0)
		b.settles(c)
		b.scan(c)
	}
	for _, ats := range [][]byte{{}, {0}, {2}, {7, 0x77, 0x77, 0x71, 2, 0x80}, {5, 0x77, 0x77, 0x71, 2, 0x80}, {2, 0x70}, {0xFF, 0x05}} {
		b.again()
		p := cardtest.DESFire()
		p.RawATS = ats
		c := b.badge("04A1B2C3D4E5F6", e, p)
		if n, err := b.talk(c, e, 1, 5); n != 0 || !errors.Is(err, card.ErrProtocol) && !errors.Is(err, card.ErrGone) {
			b.Errorf("ATS % X: %d were answered, %v", ats, n, err)
		}
		b.settles(c)
		b.scan(c)
	}
}

// linkNoise is a card at the edge of the field. Commands are carried out once, and what is
// answered is right.
func (b *bench) linkNoise() {
	answered, sent := 0, 0
	for seed := range uint64(60) {
		b.again()
		e := echo{size: 150}
		c := b.badge("04A1B2C3D4E5F6", e, cardtest.DESFire())
		b.scan(c)
		b.chip.SetNoise(cardtest.Noise{Seed: seed, Air: 1e-4 * float64(seed%4), Lost: 0.02 * float64(seed%5), Ghost: 0.001 * float64(seed%3)})
		n, err := b.talk(c, e, 4, 70)
		if err != nil {
			b.ofCard(err)
		}
		b.chip.SetNoise(cardtest.Noise{})
		answered, sent = answered+n, sent+4
		if c.Executed() > 4 || c.Executed() < n {
			b.Errorf("%d commands were carried out, %d answered", c.Executed(), n)
		}
		b.settles(c)
	}
	b.Logf("%d of %d commands were answered", answered, sent)
	if answered < sent*3/4 {
		b.Errorf("only %d of %d commands were answered", answered, sent)
	}
}

// linkOnABadBoard is a transfer that fails, and a dip of the supply, at each moment of a
// link; and a bus on which bits flip, where only the time counts.
func (b *bench) linkOnABadBoard() {
	e := echo{size: 20}
	for n := 1; n <= 60; n++ {
		for _, fail := range []func(){
			func() { b.wire.failAt = n },
			func() { b.chip.BrownOutAt(n) },
			func() { b.chip.SetNoise(cardtest.Noise{Seed: uint64(n), MOSI: 1e-4, MISO: 1e-4}) },
		} {
			b.again()
			b.dirty = true
			c := b.badge("04A1B2C3D4E5F6", e, cardtest.DESFire())
			b.scan(c)
			fail()
			if _, err := b.talk(c, e, 2, 20); err != nil {
				b.Logf("at %d: %v", n, err)
			}
			b.wire.failAt = 0
			b.chip.SetNoise(cardtest.Noise{})
			b.settles(c)
		}
	}
	b.dirty = false
	b.again()
}

// linkToACardThatStays is a badge that lies in the field for a while, and is spoken to now
// and then. It is one visit.
func (b *bench) linkToACardThatStays() {
	e := echo{size: 30}
	c := b.badge("04A1B2C3D4E5F6", e, cardtest.JavaCard())
	tracker, taps := card.NewTracker(3), 0
	for i := range 60 {
		seen, err := b.poll()
		if err != nil {
			b.Fatal(err)
		}
		arrived, left := tracker.Observe(seen)
		if taps += len(arrived); len(left) > 0 {
			b.Errorf("scan %d: it has left", i)
		}
		if i%3 == 0 {
			if n, err := b.talk(c, e, 1, 10); n != 1 || err != nil {
				b.Fatal(fmt.Errorf("scan %d: %d were answered, %w", i, n, err))
			}
		}
		b.pause()
	}
	if taps != 1 {
		b.Errorf("%d taps", taps)
	}
	b.kept(c, 20)
}
