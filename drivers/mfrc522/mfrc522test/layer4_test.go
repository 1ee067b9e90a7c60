package mfrc522test_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/mfrc522/mfrc522test"
)

// echo answers each command with its bytes and 9000.
type echo struct{ delay time.Duration }

func (e *echo) Reset() {}

func (e *echo) Command(apdu []byte) ([]byte, time.Duration) {
	return append(bytes.Clone(apdu), 0x90, 0x00), e.delay
}

// session is a rig whose chip has selected a card with a program and agreed on ISO/IEC
// 14443-4 with it. Checksums are the chip's business from then on.
func session(t *testing.T, l cardtest.Layer4, rats byte, opts ...mfrc522test.Option) (*rig, *cardtest.Card, *echo) {
	t.Helper()
	r, e := ready(t, opts...), &echo{}
	c := r.put("C5CC358A", card.ISO14443_4)
	c.SetApplet(e, l)
	r.exchange([]byte{0x52}, 7, 0)
	r.write(txMode, 0x80)
	r.write(rxMode, 0x80)
	r.exchange([]byte{0x93, 0x70, 0xC5, 0xCC, 0x35, 0x8A, 0xB6}, 0, 0)
	if got := r.exchange([]byte{0xE0, rats}, 0, 0); !bytes.HasPrefix(got, l.ATS()) {
		t.Fatalf("ATS % X", got)
	}
	time.Sleep(5 * time.Millisecond) // SFGT
	return r, c, e
}

// TestBlocks is ISO/IEC 14443-4 over the chip, with either reading of what becomes of a
// received checksum.
func TestBlocks(t *testing.T) {
	in(t, "the checksum is checked and not kept", func(t *testing.T) {
		r, c, _ := session(t, cardtest.NTAG424(), 0x50)
		if got := r.exchange([]byte{0x02, 0x01, 0x02}, 0, 0); !bytes.Equal(got, []byte{0x02, 0x01, 0x02, 0x90, 0x00}) {
			t.Errorf("% X", got)
		}
		r.want("errors", errorReg, 0)
		c.StrikeAt(1, cardtest.AnswerSpoilt)
		r.exchange([]byte{0xB2}, 0, 0)
		r.want("CRCErr", errorReg, 0x04)
		if v := c.Violations(); len(v) != 0 {
			t.Error(v)
		}
	})
	in(t, "the checksum stands in the FIFO", func(t *testing.T) {
		r, _, _ := session(t, cardtest.NTAG424(), 0x50, mfrc522test.ChecksumInFIFO())
		want := cardtest.AppendCRC([]byte{0x02, 0x01, 0x02, 0x90, 0x00})
		if got := r.exchange([]byte{0x02, 0x01, 0x02}, 0, 0); !bytes.Equal(got, want) {
			t.Errorf("% X", got)
		}
		r.want("errors", errorReg, 0)
	})
	in(t, "7 bits left in BitFraming", func(t *testing.T) {
		r, c, _ := session(t, cardtest.NTAG424(), 0x50)
		if got := r.exchange([]byte{0x02, 0x01}, 7, 0); got != nil || c.Executed() != 0 {
			t.Errorf("the card takes a frame that ends within a byte: % X", got)
		}
	})
	in(t, "a NAK of four bits to RATS", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.ISO14443_4).SetFault(cardtest.NAKsRATS)
		r.exchange([]byte{0x52}, 7, 0)
		r.exchange(cardtest.AppendCRC([]byte{0x93, 0x70, 0xC5, 0xCC, 0x35, 0x8A, 0xB6}), 0, 0)
		r.write(rxMode, 0x80)
		if got := r.exchange(cardtest.AppendCRC([]byte{0xE0, 0x50}), 0, 0); len(got) != 1 {
			t.Errorf("% X", got)
		}
		r.want("valid bits", control, 0x14) // and TStartNow's neighbour, which is always set
		r.want("CRCErr", errorReg, 0x04)
	})
}

// TestLongFrames: what is longer than the FIFO has to be fed and fetched in time.
func TestLongFrames(t *testing.T) { //nolint:funlen // a list of conversations, each by itself
	long := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i)
		}
		b[0] = 0x02
		return b
	}
	in(t, "64 bytes", func(t *testing.T) {
		r, c, _ := session(t, cardtest.NTAG424(), 0x70)
		if got := r.exchange(long(62), 0, 0); !bytes.Equal(got, append(long(62), 0x90, 0x00)) {
			t.Errorf("% X", got)
		}
		r.want("errors", errorReg, 0)
		if c.Executed() != 1 {
			t.Error("not executed")
		}
	})
	in(t, "65 bytes do not fit", func(t *testing.T) {
		r, _, _ := session(t, cardtest.NTAG424(), 0x70)
		r.write(command, idle)
		r.write(level, 0x80)
		r.write(fifo, make([]byte, 65)...)
		r.want("BufferOvfl", errorReg, 0x10)
		r.want("FIFO", level, 64)
	})
	in(t, "an answer that nobody fetches", func(t *testing.T) {
		r, _, _ := session(t, cardtest.NTAG424(), 0x70)
		if got := r.exchange(long(63), 0, 0); !bytes.Equal(got, append(long(63), 0x90)) {
			t.Errorf("% X", got)
		}
		r.want("BufferOvfl", errorReg, 0x10)
	})
	in(t, "fed and fetched by the water level", func(t *testing.T) {
		r, c, _ := session(t, cardtest.NTAG424(), 0x70)
		frame := long(126) // 128 with the checksum
		r.write(water, 16)
		r.start(frame[:64], 0, 0)
		for sent := 64; sent < len(frame); {
			if r.read(status1)&0x01 != 0 { // LoAlert
				n := min(40, len(frame)-sent)
				r.write(fifo, frame[sent:sent+n]...)
				sent += n
			}
		}
		var got []byte
		for range 4000 {
			done := r.read(comIrq)&0x20 != 0
			if done || r.read(status1)&0x02 != 0 { // HiAlert
				got = append(got, r.drain()...)
			}
			if done {
				break
			}
		}
		// 128 bytes with their checksum: FSD is 128, so that the status bytes are in another block.
		if want := append([]byte{0x12}, frame[1:]...); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: % X", len(got), got)
		}
		r.want("errors", errorReg, 0)
		if c.Executed() != 1 || len(c.Violations()) != 0 {
			t.Errorf("executed %d, %q", c.Executed(), c.Violations())
		}
	})
	in(t, "fed too late", func(t *testing.T) {
		r, c, _ := session(t, cardtest.NTAG424(), 0x70)
		frame := long(100)
		r.start(frame[:64], 0, 0)
		time.Sleep(7 * time.Millisecond) // 64 bytes take 5.4 ms
		r.want("TxIRq, after HiAlertIRq", comIrq, 0x4C)
		r.write(fifo, frame[64:]...)
		r.want("WrErr", errorReg, 0x80)
		time.Sleep(50 * time.Millisecond)
		if c.Executed() != 1 { // the chip appends a checksum to what there was
			t.Error("not executed")
		}
	})
	in(t, "flushed while it is sent", func(t *testing.T) {
		r, c, _ := session(t, cardtest.NTAG424(), 0x70)
		r.start(long(64), 0, 0)
		time.Sleep(time.Millisecond)
		r.write(level, 0x80)
		time.Sleep(2 * time.Millisecond)
		if r.read(comIrq)&0x20 == 0 || c.Executed() != 1 || int(r.read(level)) > 20 {
			t.Errorf("a shorter frame was not sent: %d bytes came", r.read(level))
		}
	})
	in(t, "the level while a frame is sent", func(t *testing.T) {
		r, _, _ := session(t, cardtest.NTAG424(), 0x70)
		r.start(long(60), 0, 0)
		time.Sleep(2 * time.Millisecond) // 23 bytes or so
		if n := r.read(level); n < 30 || n > 40 {
			t.Errorf("%d bytes", n)
		}
	})
}

// TestAnswerDelays: the timer runs from the end of the frame on and is stopped by the
// first bits of the answer.
func TestAnswerDelays(t *testing.T) {
	in(t, "a timer that is too short for the card", func(t *testing.T) {
		r, _, e := session(t, cardtest.NTAG424(), 0x50)
		e.delay = 30 * time.Millisecond
		r.start([]byte{0x02, 0x01}, 0, 0)
		time.Sleep(28 * time.Millisecond) // it is set to 25 ms
		r.want("TimerIRq and no RxIRq", comIrq, 0x45)
		r.write(level, 0x80)
		r.write(command, idle) // a reader that gives up
		time.Sleep(10 * time.Millisecond)
		r.want("nothing is heard any more", level, 0)
	})
	in(t, "a timer that is long enough", func(t *testing.T) {
		r, c, e := session(t, cardtest.NTAG424(), 0x50)
		r.write(tReloadH, 0x07) // 50 ms
		r.write(tReloadL, 0xD0)
		e.delay = 30 * time.Millisecond
		start := time.Now()
		r.start([]byte{0x02, 0x01}, 0, 0)
		time.Sleep(29 * time.Millisecond)
		r.want("waiting", status2, 4)
		for r.read(comIrq)&0x20 == 0 {
			time.Sleep(100 * time.Microsecond)
		}
		r.want("no TimerIRq", comIrq, 0x64)
		if took := time.Since(start); took < 30*time.Millisecond || took > 32*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		if got := r.drain(); !bytes.Equal(got, []byte{0x02, 0x01, 0x90, 0x00}) || len(c.Violations()) != 0 {
			t.Errorf("% X, %q", got, c.Violations())
		}
	})
	in(t, "prescaler 7FF: ticks of 302 µs", func(t *testing.T) {
		r, _, _ := session(t, cardtest.NTAG424(), 0x50)
		r.write(tMode, 0x87)
		r.write(tPrescaler, 0xFF)
		r.write(tReloadH, 0x03)
		r.write(tReloadL, 0xE8)
		r.start([]byte{0xF0, 0x00}, 0, 0)  // the card is silent
		time.Sleep(302 * time.Millisecond) // 1001 ticks are 302.3 ms, after 0.5 ms of sending
		r.want("not yet", comIrq, 0x44)
		time.Sleep(2 * time.Millisecond)
		r.want("TimerIRq", comIrq, 0x45)
	})
	in(t, "the card is taken away while it computes", func(t *testing.T) {
		r, c, e := session(t, cardtest.NTAG424(), 0x50)
		e.delay = 20 * time.Millisecond
		r.start([]byte{0x02, 0x01}, 0, 0)
		time.Sleep(5 * time.Millisecond)
		r.want("waiting", status2, 4)
		r.field.Remove(c)
		time.Sleep(30 * time.Millisecond)
		r.want("TimerIRq and no RxIRq", comIrq, 0x45)
	})
	in(t, "the card is taken away while it answers", func(t *testing.T) {
		r, c, _ := session(t, cardtest.NTAG424(), 0x50)
		r.start(bytes.Repeat([]byte{0x02}, 60), 0, 0)
		time.Sleep(8 * time.Millisecond)
		r.want("receiving", status2, 6)
		r.field.Remove(c)
		time.Sleep(10 * time.Millisecond)
		if e := r.read(errorReg); e&0x06 == 0 {
			t.Errorf("errors %02X", e)
		}
	})
	in(t, "another card arrives in the session", func(t *testing.T) {
		r, c, _ := session(t, cardtest.NTAG424(), 0x50)
		r.put("04A1B2C3D4E5F6", card.ISO14443_4)
		if got := r.exchange([]byte{0x02, 0x01}, 0, 0); !bytes.Equal(got, []byte{0x02, 0x01, 0x90, 0x00}) {
			t.Errorf("% X", got)
		}
		if v := strings.Join(c.Violations(), ""); v != "" {
			t.Error(v)
		}
	})
}
