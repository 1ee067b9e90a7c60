package pn532test_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// program is an applet that answers from a table, and echoes what is not in it with 9000.
type program struct {
	answers map[string]string
	delay   time.Duration
}

func (*program) Reset() {}

func (p *program) Command(apdu []byte) ([]byte, time.Duration) {
	if a, known := p.answers[strings.ToUpper(hex.EncodeToString(apdu))]; known {
		return unhex(a), p.delay
	}
	return append(bytes.Clone(apdu), 0x90, 0x00), p.delay
}

const desfire = "044F8532A93780"

func (r *rig) putProgram(l cardtest.Layer4) (*cardtest.Card, *program) {
	r.t.Helper()
	c, p := r.put(desfire, card.ISO14443_4), &program{answers: map[string]string{
		"9071000002000000": "B9FC6CCAE153125C7C17E6906433C0F491AF",
		"90AF000020C8B3AFDEC10EE8298471A7B41736B4381BA1BE0F57F66387C5577721B70F847F00": "8138FD2450891FCDB4935D9F19C30B55FAD52DC54086933E0FBEC3DE9266BD809100",
	}}
	c.SetApplet(p, l)
	return c, p
}

func (r *rig) obeys(c *cardtest.Card) {
	r.t.Helper()
	r.finish()
	for _, v := range c.Violations() {
		r.t.Errorf("violation: %s", v)
	}
}

// thru is a rig that has listed a card with a program, without RATS.
func thru(t *testing.T, l cardtest.Layer4) (*rig, *cardtest.Card, *program) {
	t.Helper()
	r := ready(t)
	c, p := r.putProgram(l)
	r.ask("12 04", "")
	r.ask("4A 01 00", "01 01 0344 20 07"+desfire)
	return r, c, p
}

// The host's polls of the status take time of the chip's clock alone, so that what is
// measured here may be shorter by a fifth.

// TestBlocksThru is ISO/IEC 14443-4 by the host itself, over InCommunicateThru.
func TestBlocksThru(t *testing.T) { //nolint:funlen // a list of conversations, each by itself
	in(t, "a session", func(t *testing.T) {
		l := cardtest.NTAG424()
		l.WTX = []byte{2}
		r, c, _ := thru(t, l)
		r.ask("42 E050", "00 067777710280")
		r.ask("42 B2", "00 A3")
		r.ask("42 02 9071000002000000", "00 F202")
		r.ask("42 F202", "00 02 B9FC6CCAE153125C7C17E6906433C0F491AF")
		r.ask("42 B3", "00 A2")
		r.ask("42 C2", "00 C2")
		if c.State() != cardtest.Halt || c.Executed() != 1 {
			t.Errorf("%s, %d executed", c.State(), c.Executed())
		}
		r.obeys(c)
	})
	in(t, "checksums by the host", func(t *testing.T) {
		r, c, _ := thru(t, cardtest.NTAG424())
		r.ask("08 6302 00 6303 00", "")
		r.ask("42 E050 BCA5", "00 067777710280 BE6A")
		r.ask("42 B2 67C7", "00 A3 6FC6")
		r.obeys(c)
	})
	in(t, "checksums on one side alone", func(t *testing.T) {
		r, c, _ := thru(t, cardtest.NTAG424())
		r.ask("08 6302 80 6303 00", "")
		r.ask("42 E050", "00 067777710280 BE6A")
		r.obeys(c)
	})
	in(t, "an answer is spoilt, lost, cut", func(t *testing.T) {
		r, c, _ := thru(t, cardtest.NTAG424())
		r.ask("42 E050", "00 067777710280")
		c.StrikeAt(1, cardtest.AnswerSpoilt)
		r.ask("42 02 00", "02")
		c.StrikeAt(1, cardtest.AnswerParity)
		r.ask("42 B2", "03")
		c.StrikeAt(1, cardtest.AnswerLost)
		r.ask("42 B2", "01")
		r.ask("42 B2", "00 02 00 9000")
		if c.Executed() != 1 {
			t.Errorf("%d executed", c.Executed())
		}
		r.obeys(c)
	})
	in(t, "the time-out bounds the beginning of the answer", func(t *testing.T) {
		r, c, p := thru(t, cardtest.DESFire()) // FWT 77 ms
		r.ask("42 E050", "00 067577810280")
		p.delay = 70 * time.Millisecond
		r.ask("32 02 00 0B 0B", "") // 102.4 ms
		start := time.Now()
		r.ask("42 02 00", "00 02 00 9000")
		if took := time.Since(start); took < 56*time.Millisecond || took > 80*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		r.obeys(c)
		r.ask("32 02 00 0B 0A", "") // 51.2 ms
		r.ask("42 03 00", "01")
		time.Sleep(50 * time.Millisecond)
		r.ask("42 B3", "00 03 00 9000")
	})
	in(t, "256 bytes each way", func(t *testing.T) {
		r, c, _ := thru(t, cardtest.JavaCard())
		r.ask("42 E080", "00 0A78777102 4A434F5034")
		data := strings.Repeat("5A", 253)
		r.ask("42 02"+data, "00 12"+data)
		r.ask("42 A3", "00 03 9000")
		r.ask("42 02"+data+"5A", "01") // FSC is 256
		if v := c.Violations(); len(v) != 1 || !strings.Contains(v[0], "257") {
			t.Errorf("violations %q", v)
		}
		r.finish()
	})
	in(t, "the card goes while it computes", func(t *testing.T) {
		r, c, p := thru(t, cardtest.DESFire())
		r.ask("42 E050", "00 067577810280")
		p.delay = 30 * time.Millisecond
		start := time.Now()
		r.send("42 02 00")
		time.Sleep(10 * time.Millisecond)
		r.field.Remove(c)
		if got := r.response(time.Second); got != "01" || time.Since(start) < 40*time.Millisecond {
			t.Errorf("%s after %v", got, time.Since(start))
		}
	})
	in(t, "7 bits left in BitFraming", func(t *testing.T) {
		r, c, _ := thru(t, cardtest.DESFire())
		r.ask("08 633D 07", "")
		r.ask("42 E050", "01")
		if c.State() == cardtest.Protocol {
			t.Error("RATS was understood")
		}
	})
}

// TestDataExchange is ISO/IEC 14443-4 by the chip.
func TestDataExchange(t *testing.T) { //nolint:funlen // a list of conversations, each by itself
	listed := func(t *testing.T, l cardtest.Layer4) (*rig, *cardtest.Card, *program) {
		t.Helper()
		r := ready(t)
		c, p := r.putProgram(l)
		r.send("4A 01 00")
		if got := r.response(time.Second); !strings.HasSuffix(got, strings.ToUpper(hex.EncodeToString(l.ATS()))) {
			t.Fatalf("listed: %s", got)
		}
		return r, c, p
	}
	in(t, "both parts of an authentication", func(t *testing.T) {
		r, c, _ := listed(t, cardtest.DESFire())
		for _, line := range [][2]string{
			{"0000FF0BF5D440019071000002000000E800", "0000FF15EBD54100B9FC6CCAE153125C7C17E6906433C0F491AFC900"},
			{
				"0000FF29D7D4400190AF000020C8B3AFDEC10EE8298471A7B41736B4381BA1BE0F57F66387C5577721B70F847F00DE00",
				"0000FF25DBD541008138FD2450891FCDB4935D9F19C30B55FAD52DC54086933E0FBEC3DE9266BD8091004000",
			},
		} {
			r.write(line[0])
			if !r.wait(15*time.Millisecond) || r.read(6) != ack || !r.wait(time.Second) {
				t.Fatalf("%s is not answered", line[0])
			}
			if got := r.read(len(line[1]) / 2); got != line[1] {
				t.Errorf("%s is answered with\n%s, want\n%s", line[0], got, line[1])
			}
		}
		r.ask("00 06", "00")
		r.ask("44 01", "00")
		if c.State() != cardtest.Halt || c.Executed() != 2 {
			t.Errorf("%s, %d executed", c.State(), c.Executed())
		}
		r.obeys(c)
	})
	in(t, "chains both ways, with extensions", func(t *testing.T) {
		l := cardtest.DESFire()
		l.FSCI, l.WTX, l.WTXInChain, l.WTXInCommand = 0, []byte{1, 2}, []byte{3}, []byte{0x41}
		r, c, _ := listed(t, l)
		data := strings.Repeat("A55A", 50)
		r.ask("40 01"+data, "00"+data+"9000")
		r.ask("40 01"+data, "00"+data+"9000")
		if c.Executed() != 2 {
			t.Errorf("%d executed", c.Executed())
		}
		r.obeys(c)
	})
	in(t, "a command in two parts, an answer in two", func(t *testing.T) {
		r, c, _ := listed(t, cardtest.DESFire())
		a, b := strings.Repeat("11", 200), strings.Repeat("22", 100)
		r.ask("40 41"+a, "00")
		r.ask("40 01"+b, "40"+a+b[:2*62])
		r.ask("40 01", "00"+b[2*62:]+"9000")
		r.obeys(c)
	})
	in(t, "what is lost is asked for again, and runs once", func(t *testing.T) {
		for _, f := range []cardtest.AirFault{cardtest.RequestLost, cardtest.AnswerLost, cardtest.AnswerSpoilt, cardtest.AnswerParity, cardtest.AnswerCut} {
			r, c, _ := listed(t, cardtest.DESFire())
			for n := range 3 {
				c.StrikeAt(1+3*n, f)
			}
			data := strings.Repeat("A55A", 80)
			r.ask("40 01"+data, "00"+data+"9000")
			if c.Executed() != 1 {
				t.Errorf("%s: %d executed", f, c.Executed())
			}
			r.obeys(c)
		}
	})
	in(t, "nonsense", func(t *testing.T) {
		for _, f := range []cardtest.AirFault{cardtest.WrongNumber, cardtest.AnswerRepeated} {
			r, c, _ := listed(t, cardtest.DESFire())
			r.ask("40 01 00", "00 00 9000")
			c.StrikeAt(1, f)
			r.ask("40 01 01", "0B")
		}
		l := cardtest.DESFire()
		l.WTX = []byte{60}
		r, _, _ := listed(t, l)
		r.ask("40 01 00", "0B")
	})
	in(t, "a card that computes for long, and one that goes", func(t *testing.T) {
		r, c, p := listed(t, cardtest.JavaCard())
		p.delay = 300 * time.Millisecond
		start := time.Now()
		r.ask("40 01 00", "00 00 9000")
		if took := time.Since(start); took < 240*time.Millisecond || took > 340*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		r.obeys(c)
		r.send("40 01 00")
		time.Sleep(100 * time.Millisecond)
		r.field.Remove(c)
		if got := r.response(time.Second); got != "01" {
			t.Errorf("gone: %s", got)
		}
	})
}
