package pn532test_test

import (
	"strings"
	"testing"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/pn532/pn532test"
)

// found lists and returns the UIDs that came, of cards with four bytes and without
// ATS.
func (r *rig) found(cmd string) (uids []string) {
	r.t.Helper()
	r.send(cmd)
	got := r.response(3 * time.Second)
	if len(got) < 2 {
		r.t.Fatalf("%s: %s", cmd, got)
	}
	for got = got[2:]; len(got) >= 18; got = got[18:] {
		uids = append(uids, got[10:18])
	}
	return uids
}

func (r *rig) wantFound(cmd string, want ...string) {
	r.t.Helper()
	if got := r.found(cmd); strings.Join(got, " ") != strings.Join(want, " ") {
		r.t.Errorf("%s found %v, want %v", cmd, got, want)
	}
}

// TestHeldCards is what naive polling sees, as people report it of real boards.
func TestHeldCards(t *testing.T) {
	in(t, "one try each: every second listing misses", func(t *testing.T) {
		r := ready(t)
		r.put("DEADBEEF", card.MifareClassic1K)
		r.ask("32 05 FF 01 00", "")
		for range 3 {
			r.wantFound("4A 01 00", "DEADBEEF")
			r.wantFound("4A 01 00") // it is ACTIVE, and takes REQA for an error
		}
		r.finish()
	})
	in(t, "two tries: none misses", func(t *testing.T) {
		r := ready(t)
		r.put("DEADBEEF", card.MifareClassic1K)
		for range 5 {
			r.wantFound("4A 01 00", "DEADBEEF")
		}
	})
	in(t, "MaxTg 2: one card, then none until the field was off", func(t *testing.T) {
		r := ready(t)
		c := r.put("DEADBEEF", card.MifareClassic1K)
		r.wantFound("4A 02 00", "DEADBEEF")
		if c.State() != cardtest.Halt {
			t.Errorf("the card is in %s", c.State())
		}
		r.wantFound("4A 02 00")
		r.ask("32 01 00", "")
		r.wantFound("4A 02 00", "DEADBEEF")
	})
	in(t, "MaxTg 2: two cards, one, none", func(t *testing.T) {
		r := ready(t)
		r.put("DEADBEEF", card.MifareClassic1K)
		r.put("DEADBEEE", card.MifareClassic1K)
		r.wantFound("4A 02 00", "DEADBEEF", "DEADBEEE")
		r.wantFound("4A 02 00", "DEADBEEE")
		r.wantFound("4A 02 00")
	})
	in(t, "a processor card stays in ISO 14443-4", func(t *testing.T) {
		r := ready(t)
		c := r.put("0582C7204CA100", card.ISO14443_4)
		r.ask("4A 01 00", "01 01 0344 20 07 0582C7204CA100 067577810280")
		r.ask("4A 01 00", "00")
		r.ask("32 01 00", "")
		r.ask("4A 01 00", "01 01 0344 20 07 0582C7204CA100 067577810280")
		r.ask("52 00", "00")
		if c.State() != cardtest.Halt {
			t.Errorf("the card is in %s", c.State())
		}
	})
	in(t, "a listing that deselects first", func(t *testing.T) {
		r := ready(t, pn532test.ReleasesFirst())
		r.put("DEADBEEF", card.MifareClassic1K)
		r.wantFound("4A 01 00", "DEADBEEF")
		r.wantFound("4A 01 00")
	})
	in(t, "a listing that wakes the halted", func(t *testing.T) {
		r := ready(t, pn532test.WakesHalted())
		r.put("DEADBEEF", card.MifareClassic1K)
		r.wantFound("4A 02 00", "DEADBEEF")
		r.wantFound("4A 02 00", "DEADBEEF")
	})
}

// TestMoreCardsThanTargets come in turns, where those that were found are told to go.
func TestMoreCardsThanTargets(t *testing.T) {
	for name, opt := range map[string][]pn532test.Option{"the 1 first": nil, "the 0 first": {pn532test.ZeroFirst()}} {
		in(t, name, func(t *testing.T) {
			r := ready(t, opt...)
			uids := []string{"AA030200", "AA010000", "AA000000", "01020304", "88112233"}
			for _, uid := range uids {
				r.put(uid, card.MifareClassic1K)
			}
			found := map[string]bool{}
			for range 3 {
				for _, uid := range r.found("4A 02 00") {
					found[uid] = true
				}
				r.ask("52 00", "00")
			}
			if len(found) != len(uids) {
				t.Errorf("found %v", found)
			}
			r.wantFound("4A 02 00")
			r.finish()
		})
	}
}

// TestTechnologiesMixed: cards of several technologies that share their first level
// answer its SELECT with SAKs that collide behind the bit that matters.
func TestTechnologiesMixed(t *testing.T) {
	in(t, "three", func(t *testing.T) {
		r := ready(t)
		r.ask("12 04", "") // no RATS
		r.put("04010203040506", card.MifareUltralight)
		r.put("04010213040506", card.ISO14443_4)
		r.put("04010283040506", card.MifareClassic1K)
		for _, want := range []string{"01 01 0344 20 07 04010213040506", "01 01 0044 08 07 04010283040506", "01 01 0044 00 07 04010203040506", "00"} {
			r.ask("4A 01 00", want)
			r.ask("44 00", "00")
		}
		r.finish()
	})
}

// TestSelecting: InSelect, InDeselect and InRelease move targets, and only those
// that are there.
func TestSelecting(t *testing.T) {
	in(t, "type A", func(t *testing.T) {
		r := ready(t)
		a, b := r.put("DEADBEEF", card.MifareClassic1K), r.put("DEADBEEE", card.MifareClassic1K)
		r.wantFound("4A 02 00", "DEADBEEF", "DEADBEEE")
		states := func(wantA, wantB cardtest.State) {
			t.Helper()
			if a.State() != wantA || b.State() != wantB {
				t.Errorf("states %s, %s, want %s, %s", a.State(), b.State(), wantA, wantB)
			}
		}
		states(cardtest.Halt, cardtest.Active)
		r.ask("54 01", "00")
		states(cardtest.ActiveStar, cardtest.Halt)
		r.ask("54 02", "00")
		states(cardtest.Halt, cardtest.ActiveStar)
		r.ask("44 02", "00")
		states(cardtest.Halt, cardtest.Halt)
		r.ask("44 00", "00")
		r.ask("54 03", "27")
		r.ask("54 00", "27")
		r.field.Remove(a)
		r.ask("54 01", "01")
		r.ask("52 01", "00")
		r.ask("54 01", "27")
		r.ask("04", "27 00 01 02 00 00 10 00")
		r.ask("52 00", "00")
		r.ask("04", "00 00 00 00")
		r.finish()
	})
	in(t, "seven bytes and ISO 14443-4", func(t *testing.T) {
		r := ready(t)
		c := r.put("0582C7204CA100", card.ISO14443_4)
		r.ask("4A 01 00", "01 01 0344 20 07 0582C7204CA100 067577810280")
		r.ask("44 01", "00")
		r.ask("54 01", "00")
		if c.State() != cardtest.Protocol {
			t.Errorf("the card is in %s", c.State())
		}
		r.field.Remove(c)
		start := time.Now()
		r.ask("52 01", "00")
		if took := time.Since(start); took < 500*time.Millisecond {
			t.Errorf("told a card that is gone to go in %v", took)
		}
	})
	in(t, "ten bytes", func(t *testing.T) {
		r := ready(t)
		r.put("0102030405060708090A", card.MifareClassic4K)
		r.ask("4A 01 00", "01 01 0082 18 0A 0102030405060708090A")
		r.ask("44 01", "00")
		r.ask("54 01", "00")
	})
	in(t, "type B", func(t *testing.T) {
		r := ready(t)
		c := cardtest.NewTypeB([4]byte{1, 2, 3, 4})
		r.field.Put(c)
		r.ask("4A 01 03 00", "01 01 50 01020304 00000000 008181 01 00")
		r.ask("4A 01 03 00", "00")
		r.ask("32 01 00", "")
		r.ask("4A 01 03 00", "01 01 50 01020304 00000000 008181 01 00")
		r.ask("44 01", "00")
		if c.State() != cardtest.Halt {
			t.Errorf("the card is in %s", c.State())
		}
		r.ask("54 01", "00")
		r.ask("42 C2", "00 C2")
	})
}

// TestExchange is what the chip makes of commands that no card here knows.
func TestExchange(t *testing.T) {
	in(t, "authentication", func(t *testing.T) {
		r := ready(t)
		r.put("DEADBEEF", card.MifareClassic1K)
		r.wantFound("4A 01 00", "DEADBEEF")
		r.ask("40 01 60 04 FFFFFFFFFFFF DEADBEEF", "14")
	})
	in(t, "a hot chip", func(t *testing.T) {
		r := ready(t)
		r.put("DEADBEEF", card.MifareClassic1K)
		r.wantFound("4A 01 00", "DEADBEEF")
		r.chip.SetFault(pn532test.FaultHot)
		r.ask("40 01 30 04", "0D")
	})
	in(t, "the time-out is that of RFConfiguration", func(t *testing.T) {
		r := ready(t)
		r.put("DEADBEEF", card.MifareClassic1K)
		r.wantFound("4A 01 00", "DEADBEEF")
		for code, want := range map[string]time.Duration{"08": 12800 * time.Microsecond, "0A": 51200 * time.Microsecond, "0D": 409600 * time.Microsecond} {
			r.ask("32 02 00 0B "+code, "")
			start := time.Now()
			r.ask("42 30 04", "01")
			if took := time.Since(start); took < want*4/5 || took > want+20*time.Millisecond {
				t.Errorf("code %s: %v", code, took)
			}
		}
		r.ask("32 02 00 0B 00", "")
		r.send("42 30 04")
		if r.wait(10 * time.Second) {
			t.Error("0 is no limit")
		}
	})
}

// TestRawFrames go to the cards as they are, framed as registers say.
func TestRawFrames(t *testing.T) {
	in(t, "a request bit by bit", func(t *testing.T) {
		r := ready(t)
		r.put("DEADBEEF", card.MifareClassic1K)
		r.ask("32 01 01", "")
		time.Sleep(10 * time.Millisecond)
		r.ask("08 6302 00 6303 00 633D 07", "")
		r.ask("42 26", "00 0400")
		r.ask("08 633D 00", "")
		r.ask("42 93 20", "00 DEADBEEF22")
		r.ask("08 6302 80 6303 80", "")
		r.ask("42 93 70 DEADBEEF22", "00 08")
		r.ask("42 50 00", "01")
		r.finish()
	})
	in(t, "what comes back spoilt", func(t *testing.T) {
		r := ready(t)
		a, b := r.put("DEADBEEF", card.MifareClassic1K), r.put("DEADBEEE", card.MifareClassic1K)
		r.ask("32 01 01", "")
		time.Sleep(10 * time.Millisecond)
		r.ask("08 6302 00 6303 00 633D 07", "")
		r.ask("42 26", "00 0400")
		r.ask("08 633D 00", "")
		r.ask("42 93 20", "06") // two UIDs
		r.field.Remove(b)
		a.SetFault(cardtest.BadParity)
		r.ask("08 633D 07", "")
		r.ask("42 52", "01") // it is READY, and takes that for an error
		r.ask("42 52", "03")
		r.ask("08 633D 00", "")
		r.ask("42 93 20", "03")
		a.SetFault(cardtest.BadCRC)
		r.ask("08 6302 80 6303 80", "")
		r.ask("42 93 70 DEADBEEF22", "02")
	})
	in(t, "the antenna drivers by their register", func(t *testing.T) {
		r := ready(t)
		r.ask("08 6304 83", "")
		if !r.chip.RF() || r.chip.Register(0x6304) != 0x83 {
			t.Errorf("the field is off, TxControl %02X", r.chip.Register(0x6304))
		}
		r.ask("08 6304 81 0000 FF", "") // one of them is none
		if r.chip.RF() {
			t.Error("the field is on")
		}
		r.ask("06 6304 0000", "80 00")
		r.finish()
	})
	in(t, "presence", func(t *testing.T) {
		r := ready(t)
		r.ask("00 06", "27")
		r.put("0582C7204CA100", card.ISO14443_4)
		r.ask("4A 01 00", "01 01 0344 20 07 0582C7204CA100 067577810280")
		r.ask("00 06", "00")
	})
	in(t, "self tests", func(t *testing.T) {
		r := ready(t)
		r.ask("00 01", "00")
		r.ask("00 02", "00")
		r.ask("00 04 01", "80")
		r.ask("0C", "3F0602")
		r.ask("0E 80 80", "")
		r.finish()
	})
}

// TestInterpretations: every one of them finds a card, by a host that sends a
// command again where it is not acknowledged.
func TestInterpretations(t *testing.T) {
	for name, opts := range pn532test.Interpretations() {
		in(t, name, func(t *testing.T) {
			r := sleeping(t, opts...)
			r.put("DEADBEEF", card.MifareClassic1K)
			r.wake()
			r.write(command("14 01"))
			if !r.wait(15 * time.Millisecond) {
				r.write(command("14 01"))
				r.wait(15 * time.Millisecond)
			}
			r.read(6)
			if got := r.response(time.Second); got != "" {
				t.Fatalf("SAMConfiguration: %s", got)
			}
			r.ask("32 05 FF 01 01", "")
			r.wantFound("4A 01 00", "DEADBEEF")
			r.finish()
		})
	}
}
