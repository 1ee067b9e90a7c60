package readertest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// broken is scenes of buses and chips that fail.
func broken() (scenes []scene) {
	for _, fault := range []struct {
		name string
		want error
	}{{"deaf", card.ErrDeaf}, {"bus-low", card.ErrBusDead}, {"bus-high", card.ErrBusDead}} {
		scenes = append(
			scenes,
			scene{name: fault.name + " is told and heals", readings: true, run: func(b *bench) { b.toldAndHeals(fault.name, fault.want) }},
			scene{name: fault.name + " from the start", run: func(b *bench) { b.fromTheStart(fault.name, fault.want) }},
		)
	}
	return append(
		scenes,
		scene{name: "the supply dips before any transfer", run: func(b *bench) {
			b.everyTransfer(func(n int) { b.chip.BrownOutAt(n) })
		}},
		scene{name: "any transfer fails", run: func(b *bench) {
			b.everyTransfer(func(n int) { b.wire.failAt = n })
		}},
		scene{name: "a broken bus is told with the kernel's words", run: func(b *bench) {
			c := b.classic("DEADBEEF")
			b.chip.FailTransfers(1<<20, errIO)
			b.fails(card.ErrBusDead)
			b.fails(errIO)
			b.chip.FailTransfers(0, nil)
			b.settles(c...)
		}},
		scene{name: "any bit to the chip flips", run: func(b *bench) { b.everyBit(Chip.FlipMOSI) }},
		scene{name: "any bit from the chip flips", run: func(b *bench) { b.everyBit(Chip.FlipMISO) }},
		scene{name: "any bit flips in the set-up", run: setUpBits},
		scene{name: "a phone on a noisy bus is one visit", without: func(l Limits) bool { return !l.KeepsField }, run: noisyPhone},
		edge(0.01), edge(0.02), edge(0.05), edge(0.10),
		scene{name: "two visits at the edge of the field", run: func(b *bench) {
			b.dirty = true
			b.put(card.ISO14443_4, "04A1B2C3D4E5F6", "DEADBEEF")
			b.chip.SetNoise(cardtest.Noise{Seed: 3, Lost: 0.05})
			if taps := b.taps(short(12000)); taps != 2 {
				b.Errorf("%d taps of 2 cards, and %+v", taps, b.reader.Counts())
			}
		}},
	)
}

// short is a number of scans, fewer where a test has to be quick: the race detector
// makes them twenty times as slow.
func short(scans int) int {
	if testing.Short() || raceDetector {
		return scans / 20
	}
	return scans
}

// edge is a card that lies at the edge of the field for twenty minutes, where a share
// of the answers is lost.
func edge(lost float64) scene {
	return scene{name: fmt.Sprintf("one visit where %g of the answers are lost", lost), run: func(b *bench) {
		b.dirty = true
		b.put(card.ISO14443_4, "04A1B2C3D4E5F6")
		b.chip.SetNoise(cardtest.Noise{Seed: 1, Lost: lost})
		scans := short(int(20 * time.Minute / scanEvery))
		taps := b.taps(scans)
		n := b.reader.Counts()
		b.Logf("%d taps in %d scans, of which %d missed the card", taps, scans, n.Misses)
		if most := b.subject.Limits.EdgeTaps[lost]; taps > most {
			b.Errorf("%d taps, want at most %d", taps, most)
		}
		if n.Scans != int64(scans) || n.Seen+n.Misses > int64(scans) || n.BadFrames == 0 {
			b.Errorf("counted %+v", n)
		}
	}}
}

func (b *bench) broke(fault string) {
	b.Helper()
	if err := b.chip.Break(fault); err != nil {
		b.Fatal(err)
	}
}

// everyTransfer disturbs each transfer of a scan with one card, one after the other,
// and wants the card seen again.
func (b *bench) everyTransfer(disturb func(n int)) {
	b.Helper()
	b.dirty = true
	c := b.put(card.ISO14443_4, "04A1B2C3D4E5F6")[0]
	b.scan(c)
	before := b.wire.transfers
	b.scan(c)
	for n := 1; n <= b.wire.transfers-before+20; n++ {
		b.pause()
		disturb(n)
		b.settles(c)
		b.pause()
		b.scan(c)
		if b.subject.Limits.KeepsField && !b.field.RF() {
			b.Errorf("transfer %d: the field is off", n)
		}
		before = b.wire.transfers
		b.pause()
		b.scan(c)
	}
}

// everyOf is how far one flipped bit is from the next where so many could be flipped:
// all of them are where they are few.
func everyOf(bits int) int {
	most := 2500
	if raceDetector {
		most = 250
	}
	return 1 + bits/most
}

// everyBit flips each bit of a scan, with a card and without: no other card is seen,
// and the reader hears or says that it does not.
func (b *bench) everyBit(flip func(Chip, int)) {
	b.Helper()
	b.dirty = true
	for _, held := range []bool{false, true} {
		end := 1 // as long as nobody knows how many bits a scan has
		for n := 1; n <= end; n += everyOf(end) {
			b.again()
			c := b.card("04A1B2C3D4E5F6", card.ISO14443_4)
			if held {
				b.field.Put(c)
				b.started()
				b.scan(c)
			} else {
				b.scan()
			}
			before := b.wire.bytes
			flip(b.chip, n)
			seen, _ := b.poll()
			b.onlyOf(seen, c)
			if n == 1 {
				end = 8 * (b.wire.bytes - before)
			}
			b.field.Put(c)
			b.started()
			if b.hears(c); b.Failed() {
				b.Fatalf("bit %d, card held: %v", n, held)
			}
		}
	}
}

// closing is scenes of the end: of a scan, and of a reader.
func closing() (scenes []scene) {
	for n := range 20 {
		limit := time.Duration(2*n) * time.Millisecond
		scenes = append(scenes, scene{name: fmt.Sprintf("a context ends a scan after %v", limit), run: func(b *bench) { b.endsBy(limit) }})
	}
	return append(
		scenes,
		scene{name: "closed twice", run: closedTwice},
		scene{name: "closed on a dead bus", run: func(b *bench) {
			b.chip.FailTransfers(1<<20, errIO)
			if err := b.reader.Close(); !errors.Is(err, errIO) {
				b.Errorf("got %v", err)
			}
			if err := b.reader.Close(); err != nil {
				b.Errorf("the second time: %v", err)
			}
		}},
		scene{name: "opened again in the middle of a scan", readings: true, run: openedAgain},
	)
}

// setUpBits flips each bit of the set-up: the reader is not there at all, or it hears
// or says that it does not.
func setUpBits(b *bench) {
	b.dirty = true
	for _, flip := range []func(Chip, int){Chip.FlipMOSI, Chip.FlipMISO} {
		end := 1
		for n := 1; n <= end; n += everyOf(end) {
			b.build()
			flip(b.chip, n)
			r, err := b.connect()
			if n == 1 {
				end = 8 * b.wire.bytes
			}
			if err != nil {
				continue // the reader is not there at all
			}
			b.reader = r
			c := b.put(card.ISO14443_4, "04A1B2C3D4E5F6")[0]
			if b.hears(c); b.Failed() {
				b.Fatalf("bit %d", n)
			}
		}
	}
}

// noisyPhone is a card with a random UID before a bus that spoils bits.
func noisyPhone(b *bench) {
	// It makes up another UID whenever the field goes off. Bits that are spoilt on
	// their way from the chip are no reason to switch it off.
	b.dirty = true
	for _, rate := range []float64{1e-5, 1e-4, 1e-3} {
		b.again()
		c, err := cardtest.NewRandom(card.ISO14443_4, 1)
		if err != nil {
			b.Fatal(err)
		}
		b.field.Put(c)
		b.started()
		b.chip.SetNoise(cardtest.Noise{Seed: 7, MISO: rate})
		if taps := b.taps(short(6000)); taps != 1 {
			b.Errorf("rate %g: %d taps in five minutes, and %+v", rate, taps, b.reader.Counts())
		}
	}
}

// closedTwice closes a reader three times and wants the field off and the bus left
// alone.
func closedTwice(b *bench) {
	b.put(card.ISO14443_4, "04A1B2C3D4E5F6")
	if _, err := b.poll(); err != nil {
		b.Error(err)
	}
	for range 3 {
		if err := b.reader.Close(); err != nil {
			b.Error(err)
		}
	}
	if b.field.RF() || b.wire.closed != 1 {
		b.Errorf("the field is on: %v, the port was closed %d times", b.field.RF(), b.wire.closed)
	}
	if seen, err := b.reader.Poll(b.Context()); err == nil {
		b.Errorf("a closed reader saw %v", seen)
	}
}

// openedAgain has a process die in the middle of a scan, and the next one begin.
func openedAgain(b *bench) {
	// As after a crash: the chip knows nothing of the new process.
	b.dirty = true
	c := b.put(card.ISO14443_4, "04A1B2C3D4E5F6")
	b.scan(c...)
	for n := 1; n <= 40; n++ {
		b.wire.failAt = n
		b.wire.dies = true
		_, _ = b.reader.Poll(b.Context())
		b.wire = &wire{PortCloser: b.chip.Port(), t: b.T}
		b.open()
		b.settles(c...)
		b.pause()
	}
}

// toldAndHeals breaks the reader for a while. "No card" and "deaf" look alike to a
// driver that does not ask.
func (b *bench) toldAndHeals(fault string, want error) {
	b.Helper()
	b.dirty = true
	c := b.put(card.ISO14443_4, "04A1B2C3D4E5F6")
	b.scan(c...)
	b.broke(fault)
	for range 5 {
		b.fails(want)
		time.Sleep(time.Second)
	}
	b.broke("none")
	b.settles(c...)
}

// fromTheStart opens a reader that is broken: the port stays the caller's, and a version
// that the chip answered is told.
func (b *bench) fromTheStart(fault string, want error) {
	b.Helper()
	b.build()
	b.dirty = true
	b.broke(fault)
	r, err := b.connect()
	if !errors.Is(err, want) || r != nil {
		b.Fatalf("got %v, %v", r, err)
	}
	unfit := (*card.UnfitError)(nil)
	if errors.As(err, &unfit) && errors.Is(want, card.ErrBusDead) {
		b.Errorf("version %s over a dead bus", unfit.Version)
	}
	if err := b.wire.Close(); err != nil || b.wire.closed != 1 {
		b.Errorf("the port of a New that failed: closed %d times, %v", b.wire.closed, err)
	}
	b.broke("none")
	b.wire = &wire{PortCloser: b.chip.Port(), t: b.T}
	b.open()
	b.scan()
	if unfit != nil && unfit.Version != b.reader.Version() {
		b.Errorf("version %s while it was unfit, and %s later", unfit.Version, b.reader.Version())
	}
}

// endsBy has a context end a scan, whenever it comes, and wants all cards seen at the
// next one.
func (b *bench) endsBy(limit time.Duration) {
	b.Helper()
	cards := b.classic("04A1B2C3D4E5F6", "04A1B2C3D4E5F7", "04A1B2C3D4E5F8", "DEADBEEF")
	ctx, cancel := context.WithTimeout(b.Context(), limit)
	defer cancel()
	start := time.Now()
	seen, err := b.reader.Poll(ctx)
	if took := time.Since(start); took > limit+100*time.Millisecond {
		b.Errorf("ended %v after the context", took-limit)
	}
	if err == nil {
		b.onlyOf(seen, cards...) // it had ended by itself
	} else if !errors.Is(err, context.DeadlineExceeded) || seen != nil {
		b.Errorf("saw %v, %v", seen, err)
	}
	b.settles(cards...)
}
