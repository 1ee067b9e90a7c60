package desfire

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"presence/drivers/card"
	"presence/drivers/cardtest/linktest"
)

// TestSelect plays both selections, and what cards of other kinds answer to them.
func TestSelect(t *testing.T) {
	aid, err := ParseAID("F54230")
	if err != nil || aid.String() != "F54230" || aid.wire() != [3]byte{0x30, 0x42, 0xF5} {
		t.Fatalf("AID %v, %v", aid, err)
	}
	for _, s := range []string{"", "F542", "F5423000", "F5423G"} {
		if _, err := ParseAID(s); err == nil {
			t.Errorf("AID %q was taken", s)
		}
	}
	const application, ntag = "> 90 5A 00 00 03 3042F5 00\n<", "> 00 A4 04 00 07 D2760000850101 00\n<"
	for _, tc := range []struct {
		transcript string
		want       error
	}{
		{application + "9100", nil},
		{application + "00 9100", ErrMalformed},
		{application + "91A0", ErrAbsent},
		{application + "6D00", ErrAbsent},
		{application + "6E00", ErrAbsent},
		{application + "91AF", ErrMalformed},
		{application + "9000", ErrMalformed},
		{application, card.ErrGone},
		{ntag + "9000", nil},
		{ntag + "6F08 8407D2760000850101 A500 9000", nil}, // some cards describe the file
		{ntag + "6A82", ErrAbsent},
		{ntag + "6D00", ErrAbsent},
		{ntag + "917E", ErrAbsent},
		{ntag, card.ErrGone},
	} {
		s := linktest.Play(t, tc.transcript)
		s.Err = card.ErrGone
		if strings.HasPrefix(tc.transcript, application) {
			err = SelectApplication(t.Context(), s, aid)
		} else {
			err = SelectNTAG424(t.Context(), s)
		}
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: error is %v, want %v", tc.transcript, err, tc.want)
		}
		s.Over()
	}
}

// TestReadNumber plays the reading of a badge's number, in one frame and in three.
func TestReadNumber(t *testing.T) {
	const read = "> 90 AD 00 00 07 01 000000 100000 00\n<"
	const more = "> 90 AF 00 00 00\n<"
	for _, tc := range []struct {
		transcript string
		want       error
	}{
		{read + "A0A1A2A3A4A5A6A7A8A9AAABACADAEAF 9100", nil},
		{read + "A0A1A2A3A4 91AF\n" + more + "A5A6A7A8A9AAABACADAE 91AF\n" + more + "AF 9100", nil},
		{read + "91F0", ErrAbsent},
		{read + "919D", ErrDenied},
		{read + "91AE", ErrDenied},
		{read + "91BE", ErrMalformed},
		{read + "A0A1A2 9100", ErrMalformed},
		{read + "A0A1A2A3A4A5A6A7A8A9AAABACADAEAFB0 9100", ErrMalformed},
		{read + "91AF", ErrMalformed},                                  // and nothing with it
		{read + "A0A1A2A3A4A5A6A7A8A9AAABACADAEAF 91AF", ErrMalformed}, // and yet more
		{read + "A0 91AF\n" + more + "A1 91AF\n" + more, card.ErrGone}, // taken away
		{read + "A0A1 91AF\n" + more + "919D", ErrDenied},              // while it reads
		{read + "A0A1 91AF\n" + more + "A2A3A4 9100", ErrMalformed},    // too few in all
		{read + "A0A1 91AF\n" + more + "91AF", ErrMalformed},           // without progress
		{read + "A0A1A2A3A4A5A6A7A8A9AAABACADAEAF 9000", ErrMalformed}, // in another framing
		{read + "A0A1A2A3A4A5A6A7A8A9AAABACADAEAF", ErrMalformed},      // no status
		{read + "A0A1 91AF\n" + more + "00", ErrMalformed},             // no whole status
		{read + "A0A1 91AF\n" + more + "A2 6D00", ErrAbsent},           // another kind of card
		{read + strings.Repeat("00", 300) + "91AF", ErrMalformed},      // more than was asked for
		{read + strings.Repeat("00", 300) + "9100", ErrMalformed},      // the same, at once
		{read + "00 91AF\n" + more + strings.Repeat("00", 300) + "9100", ErrMalformed},
	} {
		s := linktest.Play(t, tc.transcript)
		s.Err = card.ErrGone
		number, err := ReadNumber(t.Context(), s)
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: error is %v, want %v", tc.transcript, err, tc.want)
		}
		if tc.want == nil && !bytes.Equal(number[:], linktest.Unhex(t, "A0A1A2A3A4A5A6A7A8A9AAABACADAEAF")) {
			t.Errorf("%s: number %X", tc.transcript, number)
		}
		s.Over()
	}
}

// TestReadData sends offset and length least significant byte first, and refuses what a
// command cannot ask for.
func TestReadData(t *testing.T) {
	s := linktest.Play(t, "> 90 AD 00 00 07 1F 563412 000100 00\n<"+strings.Repeat("5A", 256)+"9100")
	b, err := ReadData(t.Context(), s, 0x1F, 0x123456, 256)
	if err != nil || !bytes.Equal(b, bytes.Repeat([]byte{0x5A}, 256)) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	s.Over()
	for _, tc := range [][2]int{{-1, 1}, {1 << 24, 1}, {0, 0}, {0, -1}, {0, 257}} {
		if _, err := ReadData(t.Context(), answering(t), 1, tc[0], tc[1]); err == nil {
			t.Errorf("%d bytes at %d were read", tc[1], tc[0])
		}
	}
}

// TestReadDataEnds: a card that goes on and on is asked no more often than there are bytes.
func TestReadDataEnds(t *testing.T) {
	asked := 0
	_, err := ReadData(t.Context(), linkFunc(func([]byte) []byte {
		asked++
		if asked > 1000 {
			return nil // so that the test ends as well
		}
		return []byte{0, 0x91, 0xAF}
	}), 1, 0, 256)
	if !errors.Is(err, ErrMalformed) || asked != 256 {
		t.Errorf("error %v after %d commands", err, asked)
	}
}

// TestGetVersion plays what cards say of themselves. The hardware's bytes are those of the
// families' data sheets.
func TestGetVersion(t *testing.T) {
	const software = "04 0101 0100 16 05"
	const production = "04DE5F1EACC040 A1A2A3A4A5 42 25"
	for _, tc := range []struct{ hardware, production, family, uid string }{
		{"04 04 08 30 00 11 05", production, "NTAG 424 DNA", "04DE5F1EACC040"},
		{"04 04 08 30 00 11 05", production + "01", "NTAG 424 DNA", "04DE5F1EACC040"},
		{"04 01 01 01 00 18 05", production, "MIFARE DESFire EV1", "04DE5F1EACC040"},
		{"04 01 01 12 00 18 05", production, "MIFARE DESFire EV2", "04DE5F1EACC040"},
		{"04 01 01 22 00 18 05", production, "MIFARE DESFire EV2", "04DE5F1EACC040"},
		{"04 01 01 33 00 18 05", "00000000000000 A1A2A3A4A5 42 25", "MIFARE DESFire EV3", ""},
		{"04 08 01 30 00 13 05", production, "MIFARE DESFire Light", "04DE5F1EACC040"},
		{"04 01 01 A0 00 18 05", production, "MIFARE DUOX", "04DE5F1EACC040"},
		{"04 02 01 11 00 18 05", production, "MIFARE Plus", "04DE5F1EACC040"},
		{"04 FF 01 77 00 18 05", production, "", "04DE5F1EACC040"},
	} {
		s := linktest.Play(t, fmt.Sprintf("> 9060000000\n< %s 91AF\n> 90AF000000\n< %s 91AF\n> 90AF000000\n< %s 9100",
			tc.hardware, software, tc.production))
		v, err := GetVersion(t.Context(), s)
		if err != nil || v.Family() != tc.family || v.UID.String() != tc.uid {
			t.Errorf("%s: %+v, %v", tc.hardware, v, err)
		}
		if v.Software.Storage != 0x16 || v.Batch[0] != 0xA1 || v.Week != 0x42 || v.Year != 0x25 {
			t.Errorf("%s: %+v", tc.hardware, v)
		}
		s.Over()
	}
}

// TestGetVersionRefused cuts, stretches and ends the answer at each part.
func TestGetVersionRefused(t *testing.T) {
	good := []string{"04040830001105 91AF", "04010101001605 91AF", "04DE5F1EACC040A1A2A3A4A54225 9100"}
	for i := range good {
		for change, want := range map[string]error{
			good[i][2:]:              ErrMalformed, // a byte too few
			"0000" + good[i]:         ErrMalformed, // two too many
			"91AE":                   ErrDenied,
			"911C":                   ErrAbsent,
			"6D00":                   ErrAbsent,
			"91CA":                   ErrMalformed,
			"":                       ErrMalformed,
			good[i][:14] + "9000":    ErrMalformed,
			strings.Repeat("00", 70): ErrMalformed,
		} {
			list := append(append([]string(nil), good[:i]...), change)
			list = append(list, good[i+1:]...)
			if _, err := GetVersion(t.Context(), answering(t, list...)); !errors.Is(err, want) {
				t.Errorf("part %d %s: error is %v, want %v", i, change, err, want)
			}
		}
	}
	ends := append(append([]string(nil), good[:2]...), strings.Replace(good[2], "9100", "91AF", 1))
	if _, err := GetVersion(t.Context(), answering(t, ends...)); !errors.Is(err, ErrMalformed) {
		t.Errorf("an answer that does not end: %v", err)
	}
	early := []string{strings.Replace(good[0], "91AF", "9100", 1), good[1], good[2]}
	if _, err := GetVersion(t.Context(), answering(t, early...)); !errors.Is(err, ErrMalformed) {
		t.Errorf("an answer that ends early: %v", err)
	}
}

// TestStatusError names the command, the meaning and the status.
func TestStatusError(t *testing.T) {
	err := SelectApplication(t.Context(), answering(t, "91A0"), AID{})
	var status *StatusError
	if !errors.As(err, &status) || status.SW != 0x91A0 || status.Command != "SelectApplication" {
		t.Errorf("error is %#v", err)
	}
	if got := err.Error(); got != "SelectApplication: not on the card (status 91A0)" {
		t.Errorf("error reads %q", got)
	}
}
