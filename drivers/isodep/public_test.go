package isodep_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"presence/drivers/isodep"
)

// What public implementations get wrong, each by name. What they get wrong in the chip is
// tested with the drivers: the CRC's modes, the timer's registers.

// MFRC522Extended (Arduino): the bits of T0 for TA and TC are taken for one another.
func TestPublicFaultT0TakesTAForTC(t *testing.T) {
	// TA alone is there, and TC alone.
	onlyTA, err := isodep.ParseATS(unhex(t, "03 15 02"))
	if err != nil || onlyTA.NAD || !onlyTA.CID {
		t.Errorf("with TA only: %+v, %v", onlyTA, err)
	}
	onlyTC, err := isodep.ParseATS(unhex(t, "03 45 01"))
	if err != nil || !onlyTC.NAD || onlyTC.CID {
		t.Errorf("with TC only: %+v, %v", onlyTC, err)
	}
	if a, err := isodep.ParseATS(unhex(t, "04 35 77 81")); err != nil || a.FWI != 8 {
		t.Errorf("TB behind TA: %+v, %v", a, err)
	}
}

// MFRC522Extended: FWI is 0 where TB is missing, which is 302 µs instead of 4.83 ms.
func TestPublicFaultFWIIsZeroWithoutTB(t *testing.T) {
	s := exchanges(t, 64, atsOf("0205")+sent+"< 8ms 02 9100", apdu, "9100")
	if want := periods(4096<<4 + 49152); s.waits[1] != want {
		t.Errorf("waits for %v, want %v", s.waits[1], want)
	}
}

// MFRC522Extended: the timer stays at 25 to 36 ms, whatever FWI is ("time-outs with bank
// cards, Java cards").
func TestPublicFaultTimerIgnoresFWI(t *testing.T) {
	for fwi := range 12 {
		s := exchanges(t, 64, atsOf("03 25 "+hexOf([]byte{byte(fwi) << 4}))+sent+ok, apdu, "9100")
		if want := periods(4096*math.Exp2(float64(fwi)) + 49152); s.waits[1] != want {
			t.Errorf("FWI %d: waits for %v, want %v", fwi, s.waits[1], want)
		}
	}
}

// MFRC522Extended: it goes to 212 kbit/s by itself, which cheap antennas do not carry.
func TestPublicFaultPPSUnasked(t *testing.T) {
	// An ATS that offers all rates.
	s := exchanges(t, 64, atsOf("03 15 77")+sent+ok, apdu, "9100")
	for _, frame := range s.sent {
		if strings.HasPrefix(frame, "D") {
			t.Errorf("sent %s", frame)
		}
	}
}

// Flipper, libnfc and many apps: no WTX at all, so that the first slow command dies.
// nfcpy: only as the very first answer to a command, and not within a chain.
func TestPublicFaultNoWTX(t *testing.T) {
	exchanges(t, 64, atsOf(ntag424)+sent+"< F2 01\n> F2 01\n"+ok, apdu, "9100")
}

func TestPublicFaultWTXOnlyAsTheFirstAnswer(t *testing.T) {
	exchanges(t, 64, atsOf(ntag424)+sent+`
		< 12 0102
		> A3
		< F2 01
		> F2 01
		< 13 0304
		> A2
		< F2 05
		> F2 05
		< F2 01
		> F2 01
		< 02 9000`, apdu, "010203049000")
}

// nfcpy: long writes to NTAG 424 time out.
func TestPublicFaultLongWritesTimeOut(t *testing.T) {
	data := strings.Repeat("A5", 200)
	exchanges(t, 64, atsOf(ntag424)+`
		> 12 `+data[:122]+`
		< 38ms A2
		> 13 `+data[:122]+`
		< F2 02
		> F2 02
		< 80ms A3
		> 12 `+data[:122]+`
		< A2
		> 03 `+data[:34]+`
		< F2 04
		> F2 04
		< 150ms 03 9100`, data, "9100")
}

// proxmark3: the multiplier is added to the exponent, instead of multiplying the time.
func TestPublicFaultWTXScalesTheExponent(t *testing.T) {
	s := exchanges(t, 64, atsOf(ntag424)+sent+"< F2 03\n> F2 03\n< 100ms 02 9100", apdu, "9100")
	if want := periods(3*(4096<<7) + 49152); s.waits[2] != want {
		t.Errorf("waits for %v, want %v", s.waits[2], want)
	}
}

// proxmark3: Java cards ask five times in a row.
func TestPublicFaultWTXFiveTimesInARow(t *testing.T) {
	exchanges(t, 64, atsOf(ntag424)+sent+strings.Repeat("< 30ms F2 01\n> F2 01\n", 5)+ok, apdu, "9100")
}

// HomeKey-ESP32: what is sent is bounded by FSD instead of FSC, or the other way round.
func TestPublicFaultFSCTakenForFSD(t *testing.T) {
	long := strings.Repeat("5A", 100)
	// The card takes 32 bytes and sends 64.
	exchanges(t, 64, atsOf("0202")+`
		> 12 `+long[:58]+`
		< A2
		> 13 `+long[:58]+`
		< A3
		> 12 `+long[:58]+`
		< A2
		> 03 `+long[:26]+`
		< 03 `+long[:118]+`9000`, long, long[:118]+"9000")
	// The card takes 256 bytes, the chip sends 64.
	exchanges(t, 64, atsOf("0208")+`
		> 12 `+long[:122]+`
		< A2
		> 03 `+long[:78]+`
		< 03 9000`, long, "9000")
	// The card takes 128, the chip has room for 256, and the card sends as much.
	exchanges(t, 256, "> E080\n< 0207\n> 02 "+long+"\n< 02 "+long+long+"9000", long, long+long+"9000")
}

// No frame is sent while the card may still answer, and all is over in no time where it
// does so at once.
func TestAnAnswerIsNotWaitedForLonger(t *testing.T) {
	s := exchanges(t, 64, atsOf("03 25 80")+strings.Repeat(sent+"< 2ms 02 9100\n> 03 "+apdu+"\n< 2ms 03 9100\n", 5),
		apdu, "9100", apdu, "9100", apdu, "9100", apdu, "9100", apdu, "9100", apdu, "9100", apdu, "9100", apdu, "9100", apdu, "9100", apdu, "9100")
	if took := s.at[len(s.at)-1]; took != 20*time.Millisecond {
		t.Errorf("ten exchanges of 2 ms took %v", took)
	}
}
