package isodep_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"presence/drivers/card"
	"presence/drivers/isodep"
)

// periods is a time in periods of the carrier, as the standard has it; computed in floating
// point, and so by other means than the package's.
func periods(n float64) time.Duration { return time.Duration(math.Ceil(n / 13.56e6 * 1e9)) }

func TestATS(t *testing.T) {
	const wait, guard = 49152, 4096 + 384
	for name, c := range map[string]struct {
		ats  string
		want isodep.ATS
	}{
		"NTAG 424":      {ntag424, isodep.ATS{FSC: 128, FWI: 7, FWT: periods(4096<<7 + wait), SFGT: periods(guard << 1), CID: true, Historical: []byte{0x80}}},
		"DESFire EV1":   {desfire, isodep.ATS{FSC: 64, FWI: 8, FWT: periods(4096<<8 + wait), SFGT: periods(guard << 1), CID: true, Historical: []byte{0x80}}},
		"TL alone":      {"01", isodep.ATS{FSC: 32, FWI: 4, FWT: periods(4096<<4 + wait), CID: true}},
		"T0 alone":      {"0205", isodep.ATS{FSC: 64, FWI: 4, FWT: periods(4096<<4 + wait), CID: true}},
		"TA alone":      {"03 18 FF", isodep.ATS{FSC: 256, FWI: 4, FWT: periods(4096<<4 + wait), CID: true}},
		"TB alone":      {"03 20 F0", isodep.ATS{FSC: 16, FWI: 4, FWT: periods(4096<<4 + wait), CID: true}}, // FWI 15 is reserved
		"TC alone":      {"03 40 01", isodep.ATS{FSC: 16, FWI: 4, FWT: periods(4096<<4 + wait), NAD: true}},
		"no TB":         {"04 55 80 00", isodep.ATS{FSC: 64, FWI: 4, FWT: periods(4096<<4 + wait)}},
		"no TC":         {"04 35 80 E0", isodep.ATS{FSC: 64, FWI: 14, FWT: periods(4096<<14 + wait), CID: true}},
		"no TA":         {"04 65 00 03", isodep.ATS{FSC: 64, FWI: 0, FWT: periods(4096 + wait), CID: true, NAD: true}},
		"SFGI 15":       {"03 25 4F", isodep.ATS{FSC: 64, FWI: 4, FWT: periods(4096<<4 + wait), CID: true}}, // reserved
		"SFGI 14":       {"03 25 4E", isodep.ATS{FSC: 64, FWI: 4, FWT: periods(4096<<4 + wait), SFGT: periods(guard << 14), CID: true}},
		"FSCI 8":        {"02 08", isodep.ATS{FSC: 256, FWI: 4, FWT: periods(4096<<4 + wait), CID: true}},
		"FSCI 12":       {"02 0C", isodep.ATS{FSC: 256, FWI: 4, FWT: periods(4096<<4 + wait), CID: true}}, // 4096: more than is sent
		"FSCI reserved": {"02 0F", isodep.ATS{FSC: 256, FWI: 4, FWT: periods(4096<<4 + wait), CID: true}},
		"only history":  {"05 05 41 42 43", isodep.ATS{FSC: 64, FWI: 4, FWT: periods(4096<<4 + wait), CID: true, Historical: []byte("ABC")}},
	} {
		got, err := isodep.ParseATS(unhex(t, c.ats))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestBadATS(t *testing.T) {
	for name, ats := range map[string]string{
		"empty":                   "",
		"TL 0":                    "00",
		"TL too long":             "077777710280",
		"TL far too long":         "FF7777710280",
		"TL too short":            "057777710280",
		"TL alone, and more":      "0175",
		"TA announced, not there": "0210",
		"TB announced, not there": "0220",
		"TC announced, not there": "0240",
		"TC behind TA and TB":     "04708002",
	} {
		if got, err := isodep.ParseATS(unhex(t, ats)); !errors.Is(err, card.ErrProtocol) || !cmp.Equal(got, isodep.ATS{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if ats != "" {
			run(t, "> E050\n< "+ats, nil, card.ErrProtocol)
		}
	}
	// What is empty is a spoilt frame, and asked for no second time: a card answers RATS once.
	run(t, "> E050\n<", nil, card.ErrGone)
	// An ATS is no longer than FSD.
	run(t, "> E050\n< 3F 05"+strings.Repeat("41", 61), nil, card.ErrProtocol)
	run(t, "> E050\n< 3E 05"+strings.Repeat("41", 60), nothing, nil)
}

func nothing(*testing.T, *isodep.Link) error { return nil }

// A card that refuses RATS is silent, or answers with four bits. RATS is never sent twice:
// a card that had got the first one is silent ever after.
func TestRefusedRATS(t *testing.T) {
	for answer, also := range map[string]error{"-": card.ErrNoAnswer, "!": card.ErrBadFrame} {
		s := run(t, "> E050\n< "+answer, nil, card.ErrGone)
		if len(s.sent) != 2 || s.sent[1] != "C2" {
			t.Errorf("sent %s, want RATS and DESELECT", s.sent)
		}
		// Not before a card that did send an ATS hears it.
		if wait := s.at[1] - s.at[0]; wait < 10*time.Millisecond {
			t.Errorf("DESELECT %v after RATS", wait)
		}
		run(t, "> E050\n< "+answer, nil, also)
	}
}

// The first block is not sent before the start-up frame guard time is over.
func TestTheCardGetsItsGuardTime(t *testing.T) {
	for ats, guard := range map[string]time.Duration{
		"0205": 0, "03 25 40": 0, "03 25 41": periods((4096 + 384) << 1), "03 25 4A": periods((4096 + 384) << 10),
	} {
		s := exchanges(t, 64, atsOf(ats)+sent+ok, apdu, "9100")
		if wait := s.at[1] - s.at[0]; wait != guard {
			t.Errorf("ATS %s: %v until the first block, want %v", ats, wait, guard)
		}
	}
	s := run(t, atsOf("03 25 4E"), nil, card.ErrTooSlow) // 5.4 s
	if len(s.at) != 1 {
		t.Errorf("a card that cannot be ready in time was sent %s", s.sent)
	}
}

// FSDI is the largest that the chip has room for.
func TestWhatIsAnnouncedFitsTheChip(t *testing.T) {
	for limit, rats := range map[int]string{16: "E000", 23: "E000", 24: "E010", 63: "E040", 64: "E050", 127: "E060", 128: "E070", 255: "E070", 256: "E080", 4096: "E080"} {
		exchanges(t, limit, "> "+rats+"\n< 0205")
	}
}
