package pn532test_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"presence/drivers/card"
	"presence/drivers/pn532/pn532test"
)

const version = "32010607"

// TestNACKRepeatsTheResponse (manual, section 6.2.1.4).
func TestNACKRepeatsTheResponse(t *testing.T) {
	in(t, "NACK", func(t *testing.T) {
		r := ready(t)
		r.put("DEADBEEF", card.MifareClassic1K)
		r.ask("4A 01 00", "01 01 0004 08 04 DEADBEEF")
		frames := r.chip.Stats().Frames
		for range 3 {
			r.write("0000FFFF0000")
			if got := r.response(time.Second); got != "0101000408"+"04DEADBEEF" {
				t.Errorf("got %s", got)
			}
		}
		if s := r.chip.Stats(); s.Frames != frames || s.Repeats != 3 {
			t.Errorf("the command ran again: %+v", s)
		}
		r.finish()
	})
	in(t, "where there is none", func(t *testing.T) {
		r := ready(t)
		r.send("4A 01 00")
		r.write("0000FFFF0000")
		if got := r.response(time.Second); got != "00" || len(r.chip.Violations()) != 1 {
			t.Errorf("got %s, violations %q", got, r.chip.Violations())
		}
	})
	in(t, "damaged once", func(t *testing.T) {
		for _, fault := range []pn532test.LinkFault{pn532test.BadLCS, pn532test.BadDCS, pn532test.CutResponse} {
			r := ready(t)
			r.chip.Trip(fault, 1)
			r.send("02")
			if !r.wait(time.Second) {
				t.Fatal("no response")
			}
			if got := r.read(13); got == "0000FF06FAD50332010607E800" {
				t.Errorf("%s: nothing is damaged", fault)
			}
			r.write("0000FFFF0000")
			if got := r.response(time.Second); got != version {
				t.Errorf("%s: %s after a NACK", fault, got)
			}
			r.finish()
		}
	})
}

// TestAbort: an ACK from the host ends a listing without a response (manual, section
// 6.2.1.3), and so does a new command, which is reported.
func TestAbort(t *testing.T) {
	in(t, "ACK", func(t *testing.T) {
		r := ready(t)
		r.send("4A 01 00")
		r.write(ack)
		if r.wait(time.Second) {
			t.Error("there is a response")
		}
		r.ask("02", version)
		r.finish()
	})
	in(t, "the next command is lost", func(t *testing.T) {
		r := ready(t, pn532test.AbortDeafens())
		r.send("4A 01 00")
		r.write(ack)
		r.write(command("02"))
		if r.wait(15 * time.Millisecond) {
			t.Error("it was heard")
		}
		r.ask("02", version)
		r.finish()
	})
	in(t, "the field goes off", func(t *testing.T) {
		r := ready(t, pn532test.AbortSilences())
		r.send("4A 01 00")
		time.Sleep(time.Millisecond)
		if !r.chip.RF() {
			t.Error("no field")
		}
		r.write(ack)
		if r.chip.RF() {
			t.Error("the field stays on")
		}
	})
	in(t, "a new command", func(t *testing.T) {
		r := ready(t)
		r.send("4A 01 00")
		r.ask("02", version)
		if v := r.chip.Violations(); len(v) != 1 || !strings.Contains(v[0], "abort that one first") {
			t.Errorf("violations %q", v)
		}
	})
	in(t, "a response that was left", func(t *testing.T) {
		r := ready(t)
		r.send("02")
		r.wait(time.Second)
		r.write(ack)
		if r.status() != 0 {
			t.Error("it is still there")
		}
		r.ask("14 01", "")
		r.finish()
	})
}

// TestDamagedFramesAreNotAcknowledged (manual, section 6.2.2).
func TestDamagedFramesAreNotAcknowledged(t *testing.T) {
	for name, frame := range map[string]string{
		"LCS": "0000FF02FFD4022A00", "DCS": "0000FF02FED4022B00", "TFI": "0000FF02FED5022900", "length": "0000FF03FDD4022A",
		"no start": "000000D4022A00", "nothing": "", "extended LCS": "0000FFFFFF0002FFD4022A00", "empty": "0000FF00000000",
	} {
		in(t, name, func(t *testing.T) {
			r := ready(t)
			r.write(frame)
			if r.wait(50 * time.Millisecond) {
				t.Error("acknowledged")
			}
			if len(r.chip.Violations()) != 1 || r.chip.Stats().BadFrames != 1 {
				t.Errorf("violations %q", r.chip.Violations())
			}
			r.ask("02", version)
		})
	}
	in(t, "long preamble", func(t *testing.T) {
		r := ready(t)
		r.write("0000000000FF02FED4022A000000")
		if !r.wait(15*time.Millisecond) || r.read(6) != ack {
			t.Error("not acknowledged")
		}
	})
}

// TestReading: where a read stops, the next one goes on, and its first byte comes
// along with the operation. This is a log of libnfc.
func TestReading(t *testing.T) {
	in(t, "in pieces", func(t *testing.T) {
		r := ready(t, pn532test.Preamble(0x00))
		r.send("14 01")
		r.wait(time.Second)
		for i, line := range [][2]string{
			{"03 00 00 00 00", "01 00 FF 02 FE"}, {"00", "D5"}, {"03 00", "D5 15"}, {"00", "16"}, {"03 00", "16 00"},
		} {
			if got := fmt.Sprintf("% X", r.transfer(unhex(line[0])...)); got != line[1] {
				t.Errorf("line %d: %s, want %s", i, got, line[1])
			}
		}
		r.finish()
	})
	in(t, "too early", func(t *testing.T) {
		r := ready(t)
		r.write(command("02"))
		if got := r.read(6); got != "FFFFFFFFFFFF" {
			t.Errorf("got %s", got)
		}
		if v := r.chip.Violations(); len(v) == 0 || !strings.Contains(v[0], "before the chip was ready") {
			t.Errorf("violations %q", v)
		}
	})
	in(t, "behind the end", func(t *testing.T) {
		r := ready(t, pn532test.Behind(0xAA))
		r.send("02")
		r.wait(time.Second)
		if got := r.read(16); got != "0000FF06FAD50332010607E800AAAAAA" {
			t.Errorf("got %s", got)
		}
	})
	in(t, "without the postamble", func(t *testing.T) {
		r := ready(t)
		r.send("02")
		r.wait(time.Second)
		r.read(12)
		if r.status() != 0 {
			t.Error("still ready")
		}
		r.ask("02", version)
		r.finish()
	})
}

// TestLinkFaults is what a host sees of each of them.
func TestLinkFaults(t *testing.T) {
	see := func(r *rig) (seen []string) {
		r.write(command("02"))
		for range 3 {
			if !r.wait(15 * time.Millisecond) {
				return append(seen, "silence")
			}
			got := r.read(20)
			if strings.HasPrefix(got, ack) {
				seen = append(seen, "ACK")
				continue
			}
			return append(seen, strings.TrimRight(got, "0"))
		}
		return seen
	}
	const right = "0000FF06FAD50332010607E8"
	for _, tt := range []struct {
		fault pn532test.LinkFault
		want  string
	}{
		{"", "ACK " + right},
		{pn532test.LostCommand, "silence"},
		{pn532test.LostACK, right},
		{pn532test.LateACK, "silence"},
		{pn532test.DoubleACK, "ACK ACK " + right},
		{pn532test.LostResponse, "ACK silence"},
		{pn532test.ErrorFrame, "ACK 0000FF01FF7F81"},
		{pn532test.BadLCS, "ACK 0000FF06EAD50332010607E8"},
		{pn532test.BadDCS, "ACK 0000FF06FAD50332010607F8"},
		{pn532test.CutResponse, "ACK 0000FF06FAD50332FFFFFFFFFF"},
		{pn532test.LeadingGarbage, "ACK 5AC300A5" + right},
		{pn532test.WrongResponse, "ACK 0000FF06FAD50532010607E6"},
	} {
		in(t, string(tt.fault), func(t *testing.T) {
			r := ready(t)
			if tt.fault != "" {
				r.chip.Trip(tt.fault, 2)
			}
			r.ask("02", version)
			if got := strings.Join(see(r), " "); got != tt.want {
				t.Errorf("saw %s, want %s", got, tt.want)
			}
			r.write(ack)
			r.ask("02", version)
			r.finish()
		})
	}
	if n := len(pn532test.LinkFaults()); n != 11 {
		t.Errorf("%d faults", n)
	}
}

// TestGlitches: a bit or a byte that is disturbed spoils one exchange and no other.
func TestGlitches(t *testing.T) {
	for _, g := range pn532test.Glitches() {
		in(t, string(g), func(t *testing.T) {
			spoilt := 0
			for n := 1; n <= 120; n++ {
				r := ready(t)
				at := n
				if g == pn532test.FlipMOSI || g == pn532test.FlipMISO {
					at = 8*n - n%8 // some bit of the nth byte
				}
				r.chip.GlitchAt(g, at)
				r.write(command("02"))
				ok := r.wait(15*time.Millisecond) && strings.HasPrefix(r.read(6), ack) && r.response(time.Second) == version
				if !ok {
					spoilt++
				}
				r.chip.Calm()
				r.write(ack)
				r.ask("02", version)
			}
			if spoilt < 10 {
				t.Errorf("only %d of 120 disturbances were noticed", spoilt)
			}
		})
	}
}

// TestRefusals: what the chip does not know, or not so, is answered with an error
// frame (manual, section 6.2.1.5), and reported.
func TestRefusals(t *testing.T) {
	for _, cmd := range []string{
		"02 00", "04 00", "06 63", "06", "08 6302", "0C 00", "0E 00", "12", "14", "14 02 00 00", "16", "32", "32 05 FF 01", "32 03 00", "32 02 00 11 0A",
		"4A", "4A 00 00", "4A 03 00", "4A 01 05", "4A 01 03", "54", "44 01 02", "40", "42", "00", "00 07", "00 09", "56 00", "8C", "60 01 01 00",
	} {
		in(t, cmd, func(t *testing.T) {
			r := ready(t)
			r.ask(cmd, "error")
			if len(r.chip.Violations()) != 1 {
				t.Errorf("violations %q", r.chip.Violations())
			}
			r.ask("02", version)
		})
	}
}
