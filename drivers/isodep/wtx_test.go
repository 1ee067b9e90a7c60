package isodep_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/drivers/isodep"
)

// Multipliers 0 and 60 to 63 are reserved: to answer one would be to wait for nobody knows
// how long.
func TestReservedMultipliersAreErrors(t *testing.T) {
	for _, inf := range []string{"00", "3C", "3D", "3E", "3F", "C0", "FC"} {
		s := fails(t, atsOf(ntag424)+sent+"< F2 "+inf, card.ErrProtocol)
		if last := s.sent[len(s.sent)-1]; last != "C2" {
			t.Errorf("WTXM %s: %s was sent, want DESELECT", inf, last)
		}
	}
	for _, inf := range []string{"", "01 01"} {
		fails(t, atsOf(ntag424)+sent+"< F2 "+inf, card.ErrProtocol)
	}
	exchanges(t, 64, atsOf(ntag424)+sent+"< F2 3B\n> F2 3B\n"+ok, apdu, "9100")
}

// The upper two bits tell how much power the card gets. In the reader's answer they are 0.
func TestPowerLevelIsNotSentBack(t *testing.T) {
	for _, power := range []byte{0x40, 0x80, 0xC0} {
		exchanges(t, 64, atsOf(ntag424)+sent+fmt.Sprintf("< F2 %02X\n> F2 02\n", power|2)+ok, apdu, "9100")
	}
}

// The longer time holds for the one answer that follows.
func TestAnExtensionHoldsForOneAnswer(t *testing.T) {
	fwt := periods(4096<<7 + 49152)
	s := exchanges(t, 64, atsOf(ntag424)+sent+`
		< F2 0A
		> F2 0A
		< 380ms 12 6100
		> A3
		< F2 02
		> F2 02
		< !
		> A3
		< 03 9000
		> 02 `+apdu+`
		< 02 9100`, apdu, "61009000", apdu, "9100")
	want := []time.Duration{fwt, periods(4096<<7*10 + 49152), fwt, periods(4096<<7*2 + 49152), fwt, fwt}
	for i, w := range want {
		if got := s.waits[i+1]; got != w {
			t.Errorf("frame %s is waited for for %v, want %v", s.sent[i+1], got, w)
		}
	}
}

func TestWTXAfterRNAK(t *testing.T) {
	exchanges(t, 64, atsOf(ntag424)+sent+`
		< -
		> B2
		< F2 01
		> F2 01
		`+ok, apdu, "9100")
	// Also where the card never got our block, and needs time to say so (7.5.5, rule 9).
	exchanges(t, 64, atsOf(ntag424)+sent+`
		< -
		> B2
		< F2 01
		> F2 01
		< A3
		`+sent+ok, apdu, "9100")
}

// Between two blocks of a chain of ours, too.
func TestWTXInsteadOfAnAcknowledgement(t *testing.T) {
	exchanges(t, 64, atsOf("0670777102 80")+`
		> 12 90AF000020 0001020304050607
		< F2 03
		> F2 03
		< A2
		> 13 08090A0B0C0D0E0F1011121314
		< F2 01
		> F2 01
		< !
		> B3
		< F2 01
		> F2 01
		< A3
		> 02 15161718191A1B1C1D1E1F00
		< 02 9100`, counting, "9100")
}

// A card cannot hold the door by asking for more time for ever: neither by long
// extensions nor by many short ones.
func TestExtensionsAreCapped(t *testing.T) {
	s := fails(t, atsOf(ntag424)+sent+strings.Repeat("< F2 01\n> F2 01\n", 256)+"< F2 01", card.ErrTooSlow)
	if n := len(s.sent); n != 1+1+256+1 {
		t.Errorf("%d frames", n)
	}
	// 59 times 39 ms each: within the budget there is no time for a second one.
	s = fails(t, atsOf(ntag424)+sent+"< F2 3B\n> F2 3B\n< 1700ms F2 3B\n> F2 3B\n< -", card.ErrTooSlow)
	if took := s.at[len(s.at)-1]; took > 1800*time.Millisecond {
		t.Errorf("the link took %v", took)
	}
	// The longest time is 4.95 s, however often it is multiplied.
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, 64, atsOf("03 25 E0")+sent+"< F2 3B\n> F2 3B\n< 4s 02 9000")
		err := isodep.Run(t.Context(), s, isodep.Options{Budget: time.Minute}, func(l *isodep.Link) error {
			_, err := l.Exchange(t.Context(), unhex(t, apdu))
			return err
		})
		if want := periods(4096<<14 + 49152); err != nil || s.waits[2] != want {
			t.Errorf("%v, waits for %v, want %v", err, s.waits[2], want)
		}
	})
	// Nor is there more than the budget.
	s = fails(t, atsOf("03 25 E0")+sent+"< F2 3B\n> F2 3B\n< -", card.ErrTooSlow)
	if took := s.at[len(s.at)-1]; took > 1800*time.Millisecond {
		t.Errorf("the link took %v", took)
	}
}
