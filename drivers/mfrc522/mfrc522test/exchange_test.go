package mfrc522test_test

import (
	"bytes"
	"testing"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/mfrc522/mfrc522test"
)

// TestExchange is the raw conversation that any driver has with the chip.
func TestExchange(t *testing.T) { //nolint:funlen // a list of conversations, each by itself
	in(t, "REQA to HLTA", func(t *testing.T) {
		r := ready(t)
		c := r.put("C5CC358A", card.MifareClassic1K)
		started := time.Now()
		for i, tt := range []struct {
			frame []byte
			bits  byte
			want  []byte
		}{
			{[]byte{0x26}, 7, []byte{0x04, 0x00}},
			{[]byte{0x93, 0x20}, 0, []byte{0xC5, 0xCC, 0x35, 0x8A, 0xB6}},
			{cardtest.AppendCRC([]byte{0x93, 0x70, 0xC5, 0xCC, 0x35, 0x8A, 0xB6}), 0, []byte{0x08, 0xB6, 0xDD}},
			{[]byte{0x50, 0x00, 0x57, 0xCD}, 0, nil},
		} {
			if got := r.exchange(tt.frame, tt.bits, 0); !bytes.Equal(got, tt.want) {
				t.Fatalf("frame %d: % X, want % X", i, got, tt.want)
			}
			r.want("errors", errorReg, 0)
		}
		if s := c.State(); s != cardtest.Halt {
			t.Error(s)
		}
		if time.Since(started) != 0 {
			t.Error("the bus slept")
		}
		if s := r.chip.Stats(); s.Frames != 4 || s.RFOffs != 0 || s.Transfers < 40 {
			t.Errorf("%+v", s)
		}
	})
	in(t, "an answer takes its time", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K)
		r.start([]byte{0x26}, 7, 0)
		r.want("nothing but the byte that has left the FIFO", comIrq, 0x04)
		r.want("transmitting", status2, 3)
		time.Sleep(100 * time.Microsecond) // 10 bit times have passed
		r.want("TxIRq", comIrq, 0x44)
		r.want("waiting", status2, 4)
		time.Sleep(100 * time.Microsecond) // 1172 cycles have passed
		r.want("receiving", status2, 6)
		r.want("TRunning until the fifth bit", status1, 0x21)
		time.Sleep(200 * time.Microsecond)
		r.want("RxIRq and no TimerIRq", comIrq, 0x64)
		r.want("waiting for StartSend", status2, 1)
		r.want("bytes", level, 2)
		time.Sleep(time.Second)
		r.want("the timer was stopped by the answer", comIrq, 0x64)
	})
	in(t, "silence ends with the timer", func(t *testing.T) {
		r := ready(t)
		started := r.chip.Stats().Transfers
		if got := r.exchange([]byte{0x26}, 7, 0); got != nil {
			t.Errorf("% X", got)
		}
		r.want("interrupts", comIrq, 0x45)
		// 25 ms at 16 µs a poll.
		if n := r.chip.Stats().Transfers - started; n < 1500 || n > 1700 {
			t.Errorf("%d transfers", n)
		}
	})
	in(t, "checksums by the chip", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K)
		r.exchange([]byte{0x26}, 7, 0)
		r.write(txMode, 0x80)
		r.write(rxMode, 0x80)
		if got := r.exchange([]byte{0x93, 0x70, 0xC5, 0xCC, 0x35, 0x8A, 0xB6}, 0, 0); !bytes.Equal(got, []byte{0x08}) {
			t.Errorf("SAK % X", got)
		}
		r.want("errors", errorReg, 0)
	})
	in(t, "checksums by the chip are CRC_A whatever ModeReg says", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K)
		r.write(mode, 0xBF) // MSBFirst, preset FFFF: both are CalcCRC's alone
		r.exchange([]byte{0x26}, 7, 0)
		r.write(txMode, 0x80)
		r.write(rxMode, 0x80)
		if got := r.exchange([]byte{0x93, 0x70, 0xC5, 0xCC, 0x35, 0x8A, 0xB6}, 0, 0); !bytes.Equal(got, []byte{0x08}) {
			t.Errorf("SAK % X", got)
		}
		r.want("errors", errorReg, 0)
	})
	in(t, "a wrong checksum", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K).SetFault(cardtest.BadCRC)
		r.exchange([]byte{0x26}, 7, 0)
		r.write(txMode, 0x80)
		r.write(rxMode, 0x80)
		r.exchange([]byte{0x93, 0x70, 0xC5, 0xCC, 0x35, 0x8A, 0xB6}, 0, 0)
		r.want("CRCErr", errorReg, 0x04)
		r.write(command, idle)
		r.want("a command clears the errors", errorReg, 0)
	})
	in(t, "wrong parity", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K).SetFault(cardtest.BadParity)
		r.exchange([]byte{0x26}, 7, 0)
		r.want("ParityErr", errorReg, 0x02)
	})
	in(t, "an answer of 4 bits", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K).SetFault(cardtest.RefusesHalt)
		r.exchange([]byte{0x26}, 7, 0)
		r.exchange(cardtest.AppendCRC([]byte{0x93, 0x70, 0xC5, 0xCC, 0x35, 0x8A, 0xB6}), 0, 0)
		if got := r.exchange([]byte{0x50, 0x00, 0x57, 0xCD}, 0, 0); !bytes.Equal(got, []byte{0}) {
			t.Errorf("% X", got)
		}
		r.want("RxLastBits", control, 0x14)
	})
	in(t, "writing the FIFO while an answer is awaited", func(t *testing.T) {
		r := ready(t)
		r.start([]byte{0x26}, 7, 0)
		time.Sleep(time.Millisecond)
		r.write(fifo, 1)
		r.want("WrErr", errorReg, 0x80)
		r.want("dropped", level, 0)
	})
	in(t, "Transmit and Receive", func(t *testing.T) {
		r := ready(t)
		c := r.put("C5CC358A", card.MifareClassic1K)
		r.write(comIrq, 0x7F)
		r.write(fifo, 0x26)
		r.write(framing, 7)
		r.write(command, 0x04)
		time.Sleep(time.Millisecond)
		r.want("TxIRq, IdleIRq, LoAlertIRq", comIrq, 0x54)
		r.want("idle by itself", command, 0)
		if s := c.State(); s != cardtest.Ready {
			t.Error(s)
		}
		r.write(command, 0x08)
		time.Sleep(time.Second)
		r.want("nobody speaks unasked", level, 0)
		r.write(comIrq, 0x7F)
		r.write(command, 0x0D)
		r.want("an unknown command ends at once", command, 0)
		r.want("IdleIRq", comIrq, 0x10)
	})
	in(t, "without a field the transmitter waits for it", func(t *testing.T) {
		r := ready(t)
		c := r.put("C5CC358A", card.MifareClassic1K)
		c.SetStartup(0)
		r.write(txControl, 0x80)
		r.start([]byte{0x26}, 7, 0)
		time.Sleep(time.Second)
		r.want("no interrupt at all", comIrq, 0)
		r.want("TxWait", status2, 2)
		r.want("the frame is still there", level, 1)
		r.write(txControl, 0x83)
		time.Sleep(time.Millisecond)
		r.want("TxIRq, RxIRq", comIrq, 0x64)
		r.write(txControl, 0x80)
		r.write(mode, 0x1D) // TxWaitRF off
		r.start([]byte{0x26}, 7, 0)
		time.Sleep(time.Second)
		r.want("TxIRq, TimerIRq", comIrq, 0x45)
	})
	in(t, "the card leaves in the middle", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K).LeaveAt(2)
		r.exchange([]byte{0x26}, 7, 0)
		if got := r.exchange([]byte{0x93, 0x20}, 0, 0); got != nil {
			t.Errorf("% X", got)
		}
	})
	in(t, "nothing to send", func(t *testing.T) {
		r := ready(t)
		r.start(nil, 0, 0)
		time.Sleep(time.Second)
		if f := r.chip.Stats().Frames; f != 0 {
			t.Errorf("%d frames", f)
		}
	})
}

func TestCollisionRegister(t *testing.T) {
	// The UIDs agree in their first byte and differ first in bit 11 (counted
	// from 1), and two of them again in bit 14.
	three := []string{"AA001122", "AA041122", "AA241122"}
	for _, tt := range []struct {
		name   string
		opts   []mfrc522test.Option
		second byte // CollReg in the second round, with ValuesAfterColl clear
	}{
		{"NXP's reading", nil, 14 - 8},
		{"counted from the UID", []mfrc522test.Option{mfrc522test.CollisionPosition(mfrc522test.CollPosUID)}, 14},
	} {
		in(t, tt.name, func(t *testing.T) {
			r := ready(t, tt.opts...)
			for _, uid := range three {
				r.put(uid, card.MifareClassic1K)
			}
			r.write(coll, 0)
			r.exchange([]byte{0x52}, 7, 0)
			r.want("no collision", coll, 0x20)
			if got := r.exchange([]byte{0x93, 0x20}, 0, 0); !bytes.Equal(got, []byte{0xAA, 0x04, 0, 0, 0}) {
				t.Errorf("bits after the collision: % X", got)
			}
			r.want("CollErr", errorReg, 0x08)
			r.want("interrupts", comIrq, 0x66)
			r.want("first round", coll, 11)
			// 11 bits are known: a byte and three bits.
			if got := r.exchange([]byte{0x93, 0x33, 0xAA, 0x04}, 3, 3); !bytes.Equal(got, []byte{0x20, 0, 0, 0}) {
				t.Errorf("aligned: % X", got)
			}
			r.want("second round", coll, tt.second)
			r.want("RxLastBits", control, 0x10)
			if got := r.exchange([]byte{0x93, 0x36, 0xAA, 0x24}, 6, 6); !bytes.Equal(got, []byte{0x00, 0x11, 0x22, 0x24 ^ 0xAA ^ 0x11 ^ 0x22}) {
				t.Errorf("the last: % X", got)
			}
			if v := r.read(coll); v&0x20 == 0 {
				t.Errorf("a position without a collision: %02X", v)
			}
		})
	}
	in(t, "bit 32 is written as 0", func(t *testing.T) {
		r := ready(t)
		r.put("0000007F", card.MifareClassic1K)
		r.put("000000FF", card.MifareClassic1K)
		r.write(coll, 0)
		r.exchange([]byte{0x52}, 7, 0)
		r.exchange([]byte{0x93, 0x20}, 0, 0)
		r.want("CollReg", coll, 0)
	})
	in(t, "beyond bit 32 there is no position", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K).SetFault(cardtest.BadBCC)
		r.put("C5CC358A", card.MifareClassic1K)
		r.write(coll, 0)
		r.exchange([]byte{0x52}, 7, 0)
		r.exchange([]byte{0x93, 0x20}, 0, 0)
		r.want("CollErr", errorReg, 0x08)
		r.want("CollPosNotValid", coll, 0x20)
	})
	in(t, "ValuesAfterColl keeps what came", func(t *testing.T) {
		r := ready(t, mfrc522test.CollisionBit(0))
		r.put("AA001122", card.MifareClassic1K)
		r.put("AA041122", card.MifareClassic1K)
		r.exchange([]byte{0x52}, 7, 0)
		if got := r.exchange([]byte{0x93, 0x20}, 0, 0); !bytes.Equal(got, []byte{0xAA, 0x00, 0x11, 0x22, 0x99 | 0x9D}) {
			t.Errorf("% X", got)
		}
		r.want("CollReg", coll, 0x80|11)
	})
}

// A driver that forgets a part of the set-up reads no card.
func TestCardsStaySilentWhenTheChipIsSetUpWrongly(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*rig)
		bits  byte
	}{
		{"100% ASK missing", func(r *rig) { r.write(txASK, 0) }, 7},
		{"antenna off", func(r *rig) { r.write(txControl, 0x80) }, 7},
		{"half an antenna", func(r *rig) { r.write(txControl, 0x81) }, 7},
		{"antenna on just now", func(r *rig) { r.write(txControl, 0x80); r.write(txControl, 0x83) }, 7},
		{"REQA of 8 bits", func(*rig) {}, 0},
		{"checksum on a short frame", func(r *rig) { r.write(txMode, 0x80) }, 7},
		{"sending at 212 kbit/s", func(r *rig) { r.write(txMode, 0x10) }, 7},
		{"receiving at 212 kbit/s", func(r *rig) { r.write(rxMode, 0x10) }, 7},
		{"modulation width", func(r *rig) { r.write(modWidth, 0x10) }, 7},
		{"crypto left on", func(r *rig) {
			r.write(level, 0x80)
			r.write(fifo, make([]byte, 12)...)
			r.write(command, authent)
			r.want("MFCrypto1On", status2, 0x08)
		}, 7},
	} {
		in(t, tt.name, func(t *testing.T) {
			r := ready(t)
			r.put("0582C7204CA100", card.ISO14443_4)
			tt.spoil(r)
			if got := r.exchange([]byte{0x26}, tt.bits, 0); got != nil {
				t.Errorf("answered % X", got)
			}
		})
	}
	in(t, "receiver off", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K)
		r.start([]byte{0x26}, 7, 0)
		r.write(command, 0x20|transceive)
		r.write(level, 0x80)
		r.write(fifo, 0x26)
		time.Sleep(time.Second)
		if irq := r.read(comIrq); irq&0x20 != 0 {
			t.Errorf("received: %02X", irq)
		}
	})
	in(t, "after crypto is cleared", func(t *testing.T) {
		r := ready(t)
		r.put("C5CC358A", card.MifareClassic1K)
		r.write(fifo, make([]byte, 12)...)
		r.write(command, authent)
		r.write(status2, 0)
		r.write(status2, 0x08)
		r.want("the host cannot set MFCrypto1On", status2, 0)
		if got := r.exchange([]byte{0x26}, 7, 0); len(got) != 2 {
			t.Errorf("answered % X", got)
		}
	})
}
