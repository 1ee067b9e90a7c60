package pn532

import (
	"errors"
	"testing"

	"presence/drivers/card"
)

func TestTargetsOfTypeA(t *testing.T) {
	for _, tt := range []struct {
		name, data string
		uid        string
		atqa       [2]byte
		sak        byte
		err        error
	}{
		{"4 bytes", "0004 08 04 4A8D694F", "4A8D694F", [2]byte{0x04, 0x00}, 0x08, nil},
		{"7 bytes", "0044 00 07 04C63A63110189", "04C63A63110189", [2]byte{0x44, 0x00}, 0x00, nil},
		{"10 bytes", "0084 18 0A 0102030405060708090A", "0102030405060708090A", [2]byte{0x84, 0x00}, 0x18, nil},
		{"layer 4 without ATS", "0344 20 07 044F8532A93780", "044F8532A93780", [2]byte{0x44, 0x03}, 0x20, nil},
		{"layer 4 with ATS", "0344 20 07 044F8532A93780 067577810280", "044F8532A93780", [2]byte{0x44, 0x03}, 0x20, errParameters},
		{"UID that leads with 88, of a clone", "0004 08 04 88112233", "88112233", [2]byte{0x04, 0x00}, 0x08, nil},
		{"beginning of a longer UID", "0044 08 04 88112233", "", [2]byte{}, 0, errTarget},
		{"the same of ten bytes", "0084 08 04 88112233", "", [2]byte{}, 0, errTarget},
		{"size that is reserved", "00C4 08 04 88112233", "88112233", [2]byte{0xC4, 0x00}, 0x08, nil},
		{"UID is not complete", "0044 04 04 88112233", "", [2]byte{}, 0, errTarget},
		{"5 bytes", "0004 08 05 0102030405", "", [2]byte{}, 0, errTarget},
		{"no UID", "0004 08 00", "", [2]byte{}, 0, errTarget},
		{"UID cut off", "0004 08 04 010203", "", [2]byte{}, 0, errTarget},
		{"head cut off", "0004 08", "", [2]byte{}, 0, errTarget},
		{"bytes behind it", "0004 08 04 01020304 00", "", [2]byte{}, 0, errTarget},
		{"an ATS without layer 4", "0004 08 04 01020304 0100", "", [2]byte{}, 0, errTarget},
		{"ATS cut off", "0344 20 07 044F8532A93780 0675778102", "", [2]byte{}, 0, errTarget},
	} {
		c, err := parseA(unhex(t, tt.data))
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
		}
		if tt.uid != "" && (c.UID.String() != tt.uid || c.ATQA != tt.atqa || c.SAK != tt.sak) {
			t.Errorf("%s: %+v", tt.name, c)
		}
		if tt.uid == "" && c != (card.Card{}) {
			t.Errorf("%s: %+v", tt.name, c)
		}
	}
}

func TestTargetsOfTypeB(t *testing.T) {
	const atqb = "50 E80C4D0E 00000000 008171"
	for name, tt := range map[string]struct {
		data, pupi string
	}{
		"with an answer to ATTRIB": {atqb + "01 00", "E80C4D0E"},
		"without one":              {atqb + "00", "E80C4D0E"},
		"answer cut off":           {atqb + "02 00", ""},
		"bytes behind it":          {atqb + "01 00 00", ""},
		"no length":                {atqb, ""},
		"no ATQB":                  {"51 E80C4D0E 00000000 008171 00", ""},
		"nothing":                  {"", ""},
	} {
		pupi, err := parseB(unhex(t, tt.data))
		if (err == nil) != (tt.pupi != "") || pupi.String() != tt.pupi {
			t.Errorf("%s: %v, %v", name, pupi, err)
		}
	}
}

func TestOneTarget(t *testing.T) {
	for data, want := range map[string]struct {
		bytes int // -1: none
		ok    bool
	}{
		"00": {-1, true}, "0101": {0, true}, "0101AA": {1, true},
		"": {-1, false}, "01": {-1, false}, "02": {-1, false}, "0102AA": {-1, false}, "0201AA": {-1, false}, "0000": {-1, false},
	} {
		target, err := oneTarget(unhex(t, data))
		if (err == nil) != want.ok || (target == nil) != (want.bytes < 0) || len(target) != max(want.bytes, 0) {
			t.Errorf("%q: % X, %v", data, target, err)
		}
	}
}
