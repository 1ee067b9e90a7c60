package demo

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"presence/drivers/beacon/beacontest"
	"presence/drivers/card"
	"presence/gatewayd/internal/backoff"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/sim"
)

// shortestMorning is how long the whole story takes at least. In less time fewer
// people come, at intervals of perPerson, and the line stays up.
const (
	shortestMorning = 8 * time.Second
	perPerson       = 500 * time.Millisecond
)

// The office: the town hall of Malang.
const (
	officeLat = -7.9778
	officeLon = 112.6340
)

func (d *demonstration) intro(length time.Duration) {
	d.title(language.Say("An office morning at gateway demo-01", "Suatu pagi di kantor, di gateway demo-01"))
	d.text(language.Say(
		"A mocked badge reader (the real %s driver over a chip in software), two mocked tag receivers (the\n"+
			"real serial, Kenwood and Meshtastic drivers over pseudo terminals), the real journal, and a real MQTT session\n"+
			"to a broker on %s. The columns: seconds, who, what. \"city\" is what arrived there.",
		"Pembaca kartu simulasi (penggerak %s yang sebenarnya di atas cip perangkat lunak), dua penerima tag simulasi\n"+
			"(penggerak serial, Kenwood, dan Meshtastic yang sebenarnya di atas terminal semu), jurnal yang sebenarnya, dan\n"+
			"sesi MQTT yang sebenarnya ke broker di %s. Kolomnya: detik, siapa, apa. \"kota\" ialah yang tiba di sana.",
		strings.ToUpper(d.chip), d.city.address).In(d.screen.Language))
	if length == 0 {
		d.text(language.Say("It goes on until it is interrupted (Ctrl-C).", "Demo berjalan terus sampai dihentikan (Ctrl-C).").In(d.screen.Language))
	}
	d.text("")
}

// sariUID is the number of Sari's badge, each morning the same: the roster says that it has
// to prove itself.
const sariUID = "04A1B2C3D4E5F6"

// step is one thing that happens: at is when, as a fraction of the morning.
type step struct {
	at float64
	do func(ctx context.Context) error
}

// morning plays the story in the given time.
func (d *demonstration) morning(ctx context.Context, n int, length time.Duration) error {
	tap := func(en, id string, uids ...string) func(context.Context) error {
		return func(ctx context.Context) error {
			return d.tap(ctx, n, language.Say(en, id), 250*time.Millisecond, uids...)
		}
	}
	sari := func(kind, en, id string) func(context.Context) error {
		return func(ctx context.Context) error {
			d.say(door(), language.Say(en, id))
			return d.hold(ctx, sim.Tap{Reader: "door", Card: kind, UIDs: []string{sariUID}, Hold: 250 * time.Millisecond})
		}
	}
	steps := []step{
		{0.03, sari("piv", "Sari shows her badge, one that proves itself by a key", "Sari menempelkan kartunya, yang membuktikan diri dengan kunci")},
		{0.07, tap("Budi shows his badge, an old one with a short UID", "Budi menempelkan kartunya, kartu lama dengan UID pendek", "5A11C0DE")},
		{0.11, tap("Dewi shows her badge", "Dewi menempelkan kartunya", "0487654321ABCD")},
		{0.15, tap("Agus shows his badge", "Agus menempelkan kartunya", "04C0FFEE123480")},
		{0.19, tap("Rina shows her badge", "Rina menempelkan kartunya", "E1D2C3B4")},
		{0.23, func(ctx context.Context) error {
			return d.tap(ctx, n, language.Say(
				"Joko leaves his badge on the reader for a while: that is one tap",
				"Joko membiarkan kartunya sejenak di pembaca: itu satu tap"), 1500*time.Millisecond, "04112233445566")
		}},
		{0.33, tap("Putri shows her badge", "Putri menempelkan kartunya", "04DEADBEEF0180")},
		{0.38, tap("Putri is not sure and shows it again: a repeat", "Putri ragu dan menempelkannya lagi: ulangan", "04DEADBEEF0180")},
		{0.43, tap("Made and Wayan hold their badges to the reader together", "Made dan Wayan menempelkan kartu bersamaan", "047A7B7C7D7E7F", "047A7B7C7D7E70")},
		{0.50, d.lineDown},
		{0.53, tap("Lestari shows her badge; the line is down, the lamp does not care", "Lestari menempelkan kartunya; jalur putus, lampu tetap menyala hijau", "04FACE0FF12380")},
		{0.58, tap("Hadi shows his badge", "Hadi menempelkan kartunya", "9C3B1A77")},
		{0.63, tap("Nur shows her badge, one with a long UID", "Nur menempelkan kartunya, dengan UID panjang", "04010203040506070809")},
		{0.66, sari("clone-of:"+sariUID, "somebody shows a copy of Sari's badge: her number, but not her key", "seseorang menempelkan salinan kartu Sari: nomornya sama, tetapi tanpa kunci")},
		{0.70, tap("Yusuf shows his badge", "Yusuf menempelkan kartunya", "0455AA55AA55AA")},
		{0, nil}, // the line comes back: below
		{0.84, tap("Indah shows her badge", "Indah menempelkan kartunya", "04246813579BDF")},
		{0.88, tap("Bayu shows his badge", "Bayu menempelkan kartunya", "7F00FF10")},
	}
	if length < shortestMorning {
		// A badge that proves itself would not be answered before the shortest is over.
		steps = steps[1:][:min(max(int(length/perPerson), 1), 5)]
		length = max(length, perPerson)
		for i := range steps {
			// The gateway takes a moment to open its reader.
			steps[i].at = (float64(i) + 0.4) * float64(perPerson) / float64(length)
		}
	}
	// The broker is away for five seconds, or for a quarter of a short morning.
	away := min(5*time.Second, length/4)
	back := 0.50 + float64(away)/float64(length)
	for i := range steps {
		if steps[i].do == nil {
			steps[i] = step{back, d.lineUp}
		}
	}

	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	started := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range steps {
		g.Go(func() error {
			if !backoff.Sleep(ctx, time.Duration(s.at*float64(length))-time.Since(started)) {
				return nil
			}
			return s.do(ctx)
		})
	}
	g.Go(func() error { return d.walk(ctx, length) })
	err := g.Wait()
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return nil // the morning ended while somebody still held a badge to the reader
	}
	return err
}

// tap has people hold their cards to the reader.
func (d *demonstration) tap(ctx context.Context, morning int, who language.Text, hold time.Duration, uids ...string) error {
	t := sim.Tap{Reader: "door", Card: string(card.MifareClassic1K), Hold: hold}
	for _, s := range uids {
		// Each morning other people come: the last byte is another one.
		t.UIDs = append(t.UIDs, s[:len(s)-2]+fmt.Sprintf("%02X", (hexByte(s[len(s)-2:])+morning)&0xFF))
	}
	d.say(door(), who)
	return d.hold(ctx, t)
}

// hold has the mocked reader see cards. The lamp's answer is printed by atLamp.
func (d *demonstration) hold(ctx context.Context, t sim.Tap) error {
	return d.daemon.Tap(ctx, t, func(r sim.Result) {
		if r.Outcome == "none" {
			d.say(door(), plain(d.screen.Red(language.Say("no answer to %s", "tidak ada jawaban untuk %s", r.UID).In(d.screen.Language))))
		}
	})
}

func hexByte(s string) int {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 1 {
		return 0
	}
	return int(b[0])
}

// walk lets five people with tags come to the office from the north: four with a radio
// by Kenwood, one with a Meshtastic card. One stops at the market, 900 m away.
func (d *demonstration) walk(ctx context.Context, length time.Duration) error {
	const walkers = 5
	every := 700 * time.Millisecond
	steps := max(int(length*7/10/every), 1)
	for i := 0; ; i++ {
		for w := range walkers {
			meters := 1200 - 1200*float64(min(i, steps))/float64(steps)
			if w == walkers-1 {
				meters = max(meters, 900)
			}
			// A degree of latitude is 111.2 km.
			lat := officeLat + meters/111_200
			lon := officeLon + float64(w-2)*0.0001
			radio, report := d.radio, beacontest.PKLDS(100, 1001+w, lat, lon, time.Now())
			if w == 1 {
				radio, report = d.mesh, beacontest.Meshtastic(0x1c2f13fc, rand.Uint32(), lat, lon, time.Now(), -92, 6)
			}
			if _, err := io.WriteString(radio, report); err != nil {
				return fmt.Errorf("send beacon: %w", err)
			}
		}
		if !backoff.Sleep(ctx, every) {
			return nil
		}
	}
}

func (d *demonstration) lineDown(context.Context) error {
	d.say(line(), plain(d.screen.Red(language.Say("the city's broker goes away", "broker kota menghilang").In(d.screen.Language))))
	return d.city.close()
}

func (d *demonstration) lineUp(context.Context) error {
	d.say(line(), plain(d.screen.Green(language.Say(
		"the city's broker is back; what waited arrives when the gateway tries again",
		"broker kota kembali; yang menunggu akan tiba ketika gateway mencoba lagi").In(d.screen.Language))))
	return d.city.open()
}
