package mfrc522test_test

import (
	"bytes"
	"testing"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/mfrc522/mfrc522test"
)

// What the data sheet leaves open, in both readings.
func TestInterpretations(t *testing.T) {
	for _, stored := range []bool{false, true} {
		in(t, "writing the FIFO while an answer is awaited", func(t *testing.T) {
			var opts []mfrc522test.Option
			if stored {
				opts = append(opts, mfrc522test.StoreLateWrites())
			}
			r := ready(t, opts...)
			r.start(reqa, 7, 0)
			time.Sleep(time.Millisecond)
			r.write(fifo, 1)
			r.want("WrErr", errorReg, 0x80)
			r.want("bytes", level, map[bool]byte{true: 1}[stored])
		})
	}
	in(t, "StartSend reads back", func(t *testing.T) {
		r := ready(t)
		r.write(framing, 0x87)
		r.want("as written", framing, 0x87)
		r = ready(t, mfrc522test.StartSendReadsZero())
		r.put("C5CC358A", card.MifareClassic1K)
		r.write(framing, 0x87)
		r.want("as 0", framing, 0x07)
		if got := r.exchange(reqa, 7, 0); len(got) != 2 {
			t.Errorf("not sent: % X", got)
		}
	})
	in(t, "bits behind a collision", func(t *testing.T) {
		for _, tt := range []struct {
			opts  []mfrc522test.Option
			bytes byte
		}{{nil, 5}, {[]mfrc522test.Option{mfrc522test.EndAtCollision()}, 2}} {
			r := ready(t, tt.opts...)
			r.put("AA001122", card.MifareClassic1K)
			r.put("AA041122", card.MifareClassic1K)
			r.exchange(reqa, 7, 0)
			r.write(coll, 0)
			got := bytes.Clone(r.exchange([]byte{0x93, 0x20}, 0, 0))
			if want := []byte{0xAA, 0x04, 0, 0, 0}[:tt.bytes]; !bytes.Equal(got, want) {
				t.Errorf("% X", got)
			}
			r.want("CollErr", errorReg, 0x08)
			r.want("CollPos", coll, 11)
		}
	})
	in(t, "alerts", func(t *testing.T) {
		r := ready(t)
		r.exchange(reqa, 7, 0)
		r.want("at each byte that leaves", comIrq, 0x45)
		r = ready(t, mfrc522test.AlertOnce())
		r.exchange(reqa, 7, 0)
		r.want("the level was low all the time", comIrq, 0x41)
		r.write(command, idle)
		r.write(level, 0x80)
		r.write(comIrq, 0x7F)
		r.write(fifo, make([]byte, 9)...)
		r.want("not yet", comIrq, 0)
		_ = r.read(fifo)
		r.want("low now", comIrq, 0x04)
		r.write(comIrq, 0x7F)
		_ = r.read(fifo)
		r.want("low still", comIrq, 0)
	})
	if n := len(mfrc522test.Interpretations()); n != 64 {
		t.Errorf("%d combinations", n)
	}
}

func TestErrorsAreClearedWhenTheReceiverStarts(t *testing.T) {
	in(t, "by a second frame of one command", func(t *testing.T) {
		r := ready(t)
		c := r.put("C5CC358A", card.MifareClassic1K)
		c.SetFault(cardtest.BadParity)
		r.exchange(reqa, 7, 0)
		r.want("ParityErr", errorReg, 0x02)
		// Transceive goes on: another frame, to which nobody answers.
		r.write(framing, 0)
		r.write(fifo, 0x11, 0x22)
		r.write(framing, 0x80)
		r.want("while it is sent", errorReg, 0x02)
		time.Sleep(time.Millisecond)
		r.want("once the receiver waits", errorReg, 0)
	})
}

func TestInternalBuffer(t *testing.T) {
	in(t, "25 bytes there and back", func(t *testing.T) {
		r := newRig(t)
		in := make([]byte, 30)
		for i := range in {
			in[i] = byte(i + 1)
		}
		r.write(fifo, in...)
		r.write(command, 0x01)
		r.want("idle by itself", command, 0x00)
		r.want("25 bytes have gone", level, 5)
		r.write(level, 0x80)
		r.write(command, softReset)
		time.Sleep(10 * time.Millisecond)
		r.write(command, 0x01)
		if got := r.drain(); !bytes.Equal(got, in[:25]) {
			t.Errorf("% X", got)
		}
		r.write(command, 0x02)
		r.write(level, 0x80)
		r.write(command, 0x01)
		if got := r.drain(); len(got) != 25 || bytes.Equal(got[:10], in[:10]) || !bytes.Equal(got[10:], in[10:25]) {
			t.Errorf("a random number of 10 bytes: % X", got)
		}
	})
}

func TestSelfTest(t *testing.T) {
	selfTest := func(r *rig, clear bool) []byte {
		r.write(command, softReset)
		time.Sleep(10 * time.Millisecond)
		if clear {
			r.write(fifo, make([]byte, 25)...)
			r.write(command, 0x01)
		}
		r.write(0x36, 0x09)
		r.write(fifo, 0)
		r.write(command, calcCRC)
		time.Sleep(10 * time.Millisecond)
		r.write(command, idle)
		return r.drain()
	}
	for version, begin := range map[byte][]byte{0x91: {0x00, 0xC6, 0x37, 0xD5}, 0x92: {0x00, 0xEB, 0x66, 0xBA}} {
		in(t, "genuine", func(t *testing.T) {
			r := newRig(t, mfrc522test.Version(version))
			if got := selfTest(r, true); len(got) != 64 || !bytes.HasPrefix(got, begin) {
				t.Errorf("% X", got)
			}
			r.write(command, 0x01)
			good := bytes.Clone(selfTest(r, true))
			r.chip.SetFault(mfrc522test.FaultSelfTest)
			if got := selfTest(r, true); bytes.Equal(got, good) {
				t.Error("the fault does not show")
			}
		})
	}
	in(t, "a clone, and a buffer that is not cleared", func(t *testing.T) {
		if got := selfTest(newRig(t, mfrc522test.Version(0xB2)), true); bytes.HasPrefix(got, []byte{0x00, 0xEB}) {
			t.Errorf("% X", got)
		}
		r := newRig(t)
		r.write(command, 0x02)
		if got := selfTest(r, false); bytes.HasPrefix(got, []byte{0x00, 0xEB}) {
			t.Errorf("% X", got)
		}
	})
}
