package readertest

import (
	"fmt"
	"slices"

	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// single is scenes of one card. UIDs cut to four bytes make one person of two: the
// whole UID, SAK and ATQA are reported, whatever its length and first byte.
func single() (scenes []scene) {
	for _, uid := range []string{
		"DEADBEEF", "04A1B2C3D4E5F6", "0102030405060708090A", "0582C7204CA100",
		"88112233", // clones have those; the SAK says that the UID is whole
		"88888888", "88A1B2C3D4E5F6", "88888888888888888888", "00000000", "FFFFFFFFFFFFFF",
	} {
		for _, technology := range []card.Technology{card.MifareClassic1K, card.ISO14443_4, card.ISO18092} {
			scenes = append(scenes, scene{name: fmt.Sprintf("one card, %s %s", uid, technology), run: func(b *bench) {
				c := b.put(technology, uid)[0]
				seen, err := b.poll()
				if err != nil || len(seen) != 1 || seen[0] != c.Info() {
					b.Fatalf("saw %v, %v, want %v", seen, err, c.Info())
				}
			}})
		}
	}
	return append(scenes, scene{name: "nobody", readings: true, run: func(b *bench) {
		for range 20 {
			b.scan()
			b.pause()
		}
		if n := b.reader.Counts(); n.Scans != 20 || n.Seen+n.BadFrames+n.Misses+n.Misreads+n.Mends+n.Resets != 0 {
			b.Errorf("counted %+v", n)
		}
	}})
}

// several is scenes of cards that lie still, alone and together. An ACTIVE card
// answers neither REQA nor WUPA, and one that was woken from HALT and not selected
// falls back there, out of REQA's reach: held cards would come and go.
func several() (scenes []scene) {
	for _, g := range groups() {
		scenes = append(scenes, scene{
			name: fmt.Sprintf("%d held, %s", len(g.uids), g.name), readings: true,
			without: func(l Limits) bool { return len(g.uids) > l.Cards },
			run:     func(b *bench) { b.held(10, b.put(g.technology, g.uids...)...) },
		})
	}
	for _, technology := range []card.Technology{card.MifareClassic1K, card.ISO14443_4} {
		scenes = append(scenes, scene{name: "held for long, " + string(technology), run: func(b *bench) {
			b.held(1000, b.put(technology, "04A1B2C3D4E5F6")...)
			if n := b.reader.Counts(); n.Mends != 0 || n.Resets != 0 || n.BadFrames != 0 || n.Misses != 0 {
				b.Errorf("counted %+v", n)
			}
		}})
	}
	return append(scenes, relatives()...)
}

// held wants the same cards at each of so many scans, and nobody when they are gone.
// The field stays on, or each scan would be a new arrival to a card with a random
// UID.
func (b *bench) held(scans int, cards ...*cardtest.Card) {
	b.Helper()
	ups := b.field.PowerUps()
	for range scans {
		b.scan(cards...)
		b.pause()
	}
	if n := b.field.PowerUps() - ups; n != 0 && b.subject.Limits.KeepsField {
		b.Errorf("the field went off and on %d times", n)
	}
	b.field.Remove(cards...)
	b.scan()
}

// group is cards of one technology that lie there together.
type group struct {
	name       string
	technology card.Technology
	uids       []string
}

// groups are cards whose UIDs collide in every way.
func groups() []group {
	const classic, processor = card.MifareClassic1K, card.ISO14443_4
	return []group{
		{"four bytes", classic, []string{"DEADBEEF"}},
		{"seven bytes", processor, []string{"04A1B2C3D4E5F6"}},
		{"ten bytes", classic, []string{"0102030405060708090A"}},
		{"begins with 88", classic, []string{"88112233"}},
		{"first bit", classic, []string{"00000000", "01000000"}},
		{"last bit", classic, []string{"00000000", "00000080"}},
		{"middle", classic, []string{"12345678", "12745678"}},
		{"they differ wholly", classic, []string{"55555555", "AAAAAAAA"}},
		{"one batch", processor, []string{"04A1B2C3D4E5F6", "04A1B2C3D4E5F7"}},
		{"last one only", classic, []string{"0102030405060708090A", "0102030405060708090B"}},
		{"one leads with 88", classic, []string{"88112233", "89112233"}},
		{"apart in the second level", processor, []string{"0582C7204CA100", "0582C7214CA100", "0582C7244CA100"}},
		{"all lengths", classic, []string{"DEADBEEF", "04A1B2C3D4E5F6", "0102030405060708090A"}},
		{"all lengths, processors", processor, []string{"DEADBEEF", "04A1B2C3D4E5F6", "0102030405060708090A"}},
		{"behind eight bits", classic, []string{"01020304", "01020305", "01060304"}},
		{"in the second byte", classic, []string{"AA000000", "AA010000", "AA030000"}},
		{"both readings of CollPos fit", classic, []string{"00010000", "00000000", "00000800"}},
		{"relatives", classic, []string{"AA030200", "AA010000", "AA000000"}},
		{"in later bytes", classic, []string{"AA001122", "AA041122", "AA241122"}},
		{"lengths mixed", classic, []string{"88010207", "04A1B2C3D4E5F6", "0102030405060708090A", "0102030405060708090B"}},
		{"in one byte", classic, []string{"A0B0C000", "A0B0C001", "A0B0C002", "A0B0C003"}},
		{"of a batch", processor, []string{"04A1B2C3D4E5F6", "04A1B2C3D4E5F7", "04A1B2C3D4E4F6", "04A1B2C3C4E5F6"}},
		{"close", classic, []string{"DEADBEEF", "DEADBEEE", "DEADBE6F", "DE2DBEEF", "5EADBEEF"}},
		{"in one byte", classic, []string{"A0B0C000", "A0B0C001", "A0B0C002", "A0B0C003", "A0B0C083"}},
		{"of a batch", classic, []string{"04A1B2C3D4E5F6", "04A1B2C3D4E5F7", "04A1B2C3D4E4F6", "04A1B2C3D4E5B6", "04A1B2C3C4E5F6"}},
		{"apart in one bit", classic, []string{"00000000", "01000000", "00010000", "00000100", "00000001", "80000000", "00800000", "00008000"}},
	}
}

// relatives are cards of two technologies that share their first level and answer
// its SELECT with two SAKs. Both are found, as are those of one technology.
func relatives() (scenes []scene) {
	for _, g := range []struct {
		name  string
		cards []one
	}{
		{"seven bytes", []one{{"04010203040506", card.MifareUltralight}, {"04010213040506", card.ISO14443_4}}},
		{"seven and ten bytes", []one{{"04010203040506", card.MifareUltralight}, {"04010213040506070809", card.ISO14443_4}}},
		{"ten bytes, two levels", []one{{"01020304050607080900", card.ISO14443_4}, {"01020304050607080901", card.MifareClassic4K}}},
		{"three", []one{{"04010203040506", card.MifareUltralight}, {"04010213040506", card.ISO14443_4}, {"04010283040506", card.MifareClassic1K}}},
		{"a badge and a phone", []one{{"DEADBEEF", card.MifareClassic1K}, {"08123456", card.ISO14443_4}}},
	} {
		scenes = append(scenes, scene{name: "technologies mixed, " + g.name, run: func(b *bench) { b.toldApart(g.cards) }})
	}
	return append(scenes, scene{name: "a crowd", run: crowd})
}

// one is a card of a technology.
type one struct {
	uid        string
	technology card.Technology
}

// toldApart wants each card with its own SAK.
func (b *bench) toldApart(cards []one) {
	b.Helper()
	var put []*cardtest.Card
	for _, c := range cards {
		put = append(put, b.put(c.technology, c.uid)...)
	}
	for range 20 {
		seen, err := b.poll()
		if err != nil || len(seen) != len(put) {
			b.Fatalf("saw %v, %v", seen, err)
		}
		for _, s := range seen {
			if !slices.ContainsFunc(put, func(c *cardtest.Card) bool { return c.UID() == s.UID && c.Info().SAK == s.SAK }) {
				b.Errorf("%v with SAK %02X is not there", s.UID, s.SAK)
			}
		}
		b.pause()
	}
}

// crowd is more cards than a scan reports: they must not hold it up.
func crowd(b *bench) {
	// More cards than a scan reports must not hold it up.
	for i := range 40 {
		b.field.Put(b.card(fmt.Sprintf("%08X", uint32(i)*0x9E3779B9), card.MifareClassic1K))
	}
	b.started()
	seen, err := b.poll()
	if err != nil || len(seen) == 0 || len(seen) > 8 {
		b.Errorf("saw %v, %v", seen, err)
	}
	b.onlyOf(seen, b.field.Cards()...)
}
