package readertest

import (
	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// typeB is scenes of cards of type B: a reader that cannot hear them sees nobody, and
// is no worse for it. One that hears them reports a PUPI only where it is lasting.
func typeB() []scene {
	canHear := func(l Limits) bool { return !l.TypeB }
	return []scene{
		{name: "type B", readings: true, run: func(b *bench) {
			c := cardtest.NewTypeB([4]byte{0x08, 0x01, 0x02, 0x03})
			b.bothTypes(c)
		}},
		{name: "type B that begins as a cascade", run: func(b *bench) {
			b.bothTypes(cardtest.NewTypeB([4]byte{0x88, 0x01, 0x02, 0x03}))
		}},
		{name: "type B with another number each time", readings: true, run: func(b *bench) {
			random := cardtest.NewRandomTypeB(5)
			b.field.Put(random)
			b.started()
			for range 20 {
				b.scan()
				b.pause()
			}
			want := int64(0)
			if b.subject.Limits.TypeB {
				want = 1 // one visit
			}
			if n := b.reader.Counts(); n.Unreadable != want || n.Seen != 0 || n.Resets != 0 {
				b.Errorf("counted %+v", n)
			}
			a := b.classic("DEADBEEF")
			b.settles(a...)
			for range 5 {
				b.scan(a...)
				b.pause()
			}
		}},
		{name: "type B speaks badly", run: func(b *bench) {
			for _, fault := range []cardtest.Fault{cardtest.BadCRC, cardtest.BadParity} {
				b.again()
				c := cardtest.NewTypeB([4]byte{0x01, 0x02, 0x03, 0x04})
				c.SetFault(fault)
				b.field.Put(c)
				b.started()
				for range 5 {
					b.scan()
					b.pause()
				}
			}
		}},
		{name: "type B comes and goes", without: canHear, run: func(b *bench) {
			c := cardtest.NewTypeB([4]byte{0x01, 0x02, 0x03, 0x04})
			for range 5 {
				b.field.Put(c)
				b.started()
				b.settles(c)
				b.scan(c)
				b.pause()
				b.field.Remove(c)
				b.settles()
				b.scan()
			}
		}},
	}
}

// bothTypes is a card of type B alone, and with one of type A.
func (b *bench) bothTypes(c *cardtest.Card) {
	b.Helper()
	var seen []*cardtest.Card
	if b.subject.Limits.TypeB {
		seen = []*cardtest.Card{c}
	}
	b.field.Put(c)
	b.started()
	b.settles(seen...)
	for range 10 {
		got, err := b.poll()
		if err != nil || len(got) != len(seen) || len(got) == 1 && got[0] != c.Info() {
			b.Fatalf("saw %v, %v, want %v", got, err, c.Info())
		}
		b.pause()
	}
	a := b.put(card.ISO14443_4, "04A1B2C3D4E5F6")[0]
	b.settles(append(seen, a)...)
	for range 10 {
		b.scan(append(seen, a)...)
		b.pause()
	}
	b.field.Remove(c)
	b.settles(a)
	b.scan(a)
}
