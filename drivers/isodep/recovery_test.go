package isodep_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/drivers/isodep"
)

func TestLossWithinAChainUp(t *testing.T) {
	const (
		first  = "> 12 90AF000020 0001020304050607\n"
		second = "> 13 08090A0B0C0D0E0F1011121314\n"
		third  = "> 02 15161718191A1B1C1D1E1F00\n"
	)
	ats := atsOf("067077710280")
	for name, transcript := range map[string]string{
		"the first block":            first + "< -\n> B2\n< A3\n" + first + "< A2\n" + second + "< A3\n" + third + ok,
		"the first acknowledgement":  first + "< !\n> B2\n< A2\n" + second + "< A3\n" + third + ok,
		"a block in the middle":      first + "< A2\n" + second + "< -\n> B3\n< A2\n" + second + "< A3\n" + third + ok,
		"its acknowledgement, twice": first + "< A2\n" + second + "< -\n> B3\n< !\n> B3\n< A3\n" + third + ok,
		"the last block":             first + "< A2\n" + second + "< A3\n" + third + "< -\n> B2\n< A3\n" + third + ok,
		"the response":               first + "< A2\n" + second + "< A3\n" + third + "< !\n> B2\n" + ok,
	} {
		t.Run(name, func(t *testing.T) { exchanges(t, 64, ats+transcript, counting, "9100") })
	}
}

// Within a card's chain the acknowledgement is sent again, and no R(NAK) (rule 5).
func TestLossWithinAChainDown(t *testing.T) {
	for name, transcript := range map[string]string{
		"a block":                     "< 12 01\n> A3\n< !\n> A3\n< 13 02\n> A2\n< 02 9000",
		"an acknowledgement of ours":  "< 12 01\n> A3\n< -\n> A3\n< 13 02\n> A2\n< 02 9000",
		"the last block, three times": "< 12 01\n> A3\n< 13 02\n> A2\n< -\n> A2\n< !\n> A2\n< -\n> A2\n< 02 9000",
		"the first block":             "< !\n> B2\n< 12 01\n> A3\n< 13 02\n> A2\n< 02 9000",
	} {
		t.Run(name, func(t *testing.T) { exchanges(t, 64, atsOf(ntag424)+sent+transcript, apdu, "01029000") })
	}
}

// A card that has been taken away is not asked for ever, and is gone whatever the silence
// interrupts.
func TestGone(t *testing.T) {
	const again = "< -\n> B2\n< -\n> B2\n< -\n> B2\n< -"
	for name, transcript := range map[string]string{
		"at once":                   again,
		"spoilt frames":             strings.ReplaceAll(again, "-", "!"),
		"during an extension":       "< F2 01\n> F2 01\n" + again,
		"within a chain":            "< 12 01\n> A3\n< -\n> A3\n< -\n> A3\n< -\n> A3\n< -",
		"it never gets our block":   strings.Repeat("< -\n> B2\n< A3\n"+sent, 3) + "< -\n> B2\n< A3",
		"and asks for time as well": strings.Repeat("< -\n> B2\n< F2 01\n> F2 01\n", 3) + "< -",
	} {
		t.Run(name, func(t *testing.T) {
			s := fails(t, atsOf(ntag424)+sent+transcript, card.ErrGone)
			if n := strings.Count(strings.Join(s.sent, "."), hexOf(unhex(t, "02"+apdu))); n > 4 {
				t.Errorf("the block was sent %d times", n)
			}
			if took := s.at[len(s.at)-1]; took > 400*time.Millisecond {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// What the standard does not know ends the link at once.
func TestProtocolErrors(t *testing.T) {
	for name, transcript := range map[string]string{
		"a response with the other number":        "< 03 9000",
		"R(ACK) where a response is due":          "< A2",
		"R(ACK) of the other number, unasked":     "< A3",
		"the same, after an extension":            "< F2 01\n> F2 01\n< A3",
		"the same, of a card that has our block":  "< F2 01\n> F2 01\n< -\n> B2\n< A3",
		"R(NAK)":                                  "< B2",
		"a response with a CID":                   "< 0A 00 9000",
		"a response with a NAD":                   "< 06 00 9000",
		"an acknowledgement with a CID":           "< AA 00",
		"an acknowledgement with content":         "< A2 00",
		"an extension with a CID":                 "< FA 00 01",
		"a reserved block":                        "< E2",
		"a block without its fixed bit":           "< 00 9000",
		"DESELECT unasked":                        "< C2",
		"PARAMETERS unasked":                      "< F0 01",
		"PPS":                                     "< D0",
		"no response at all":                      "< 02",
		"a response of one byte":                  "< 02 90",
		"a chain that ends with one byte":         "< 12\n> A3\n< 03 90",
		"a chain whose number repeats":            "< 12 01\n> A3\n< 12 02",
		"R(ACK) within a chain":                   "< 12 01\n> A3\n< A3",
		"R(ACK) of the other number in a chain":   "< 12 01\n> A3\n< A2",
		"more than the chip was said to take":     "< 02 " + strings.Repeat("00", 62),
		"a block of a chain that is too long":     "< 12 " + strings.Repeat("00", 62),
		"the other number after R(NAK)":           "< -\n> B2\n< 03 9000",
		"the other number after an extension":     "< F2 01\n> F2 01\n< 03 9000",
		"R(ACK) after R(NAK) with our own number": "< -\n> B2\n< A2",
	} {
		t.Run(name, func(t *testing.T) {
			s := fails(t, atsOf(ntag424)+sent+transcript, card.ErrProtocol)
			if last := s.sent[len(s.sent)-1]; last != "C2" {
				t.Errorf("%s was sent at last, want DESELECT", last)
			}
			if n := strings.Count(strings.Join(s.sent, "."), hexOf(unhex(t, "02"+apdu))); n != 1 {
				t.Errorf("the command was sent %d times", n)
			}
		})
	}
	for name, answer := range map[string]string{
		"a response to half a command": "02 9100", "an acknowledgement of half a command with content": "A2 00",
	} {
		t.Run(name, func(t *testing.T) {
			run(t, atsOf("067077710280")+"> 12 90AF000020 0001020304050607\n< "+answer, func(t *testing.T, l *isodep.Link) error {
				_, err := l.Exchange(t.Context(), unhex(t, counting))
				return err
			}, card.ErrProtocol)
		})
	}
}

// A chain that never ends is bounded, in bytes and in blocks.
func TestAResponseIsBounded(t *testing.T) {
	for name, inf := range map[string]string{"bytes": "0102030405060708", "blocks": "", "its last block": strings.Repeat("00", 60)} {
		t.Run(name, func(t *testing.T) {
			endless := sent + "< 12 " + inf + "\n" + strings.Repeat("> A3\n< 13 "+inf+"\n> A2\n< 12 "+inf+"\n", 5000)
			if name == "its last block" {
				endless = sent + "< 12 " + inf + "\n> A3\n< 03 " + inf
			}
			synctest.Test(t, func(t *testing.T) {
				s := newScript(t, 64, atsOf(ntag424)+endless)
				err := isodep.Run(t.Context(), s, isodep.Options{MaxResponse: 100}, func(l *isodep.Link) error {
					defer func() { s.lines = nil }()
					response, err := l.Exchange(t.Context(), unhex(t, apdu))
					if response != nil {
						t.Errorf("response %X", response)
					}
					return err
				})
				if !errors.Is(err, card.ErrProtocol) || len(s.sent) > 110 {
					t.Errorf("%v after %d frames", err, len(s.sent))
				}
			})
		})
	}
	// As long as allowed is all right.
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, 64, atsOf(ntag424)+sent+"< 12 "+strings.Repeat("00", 60)+"\n> A3\n< 03 "+strings.Repeat("00", 40))
		err := isodep.Run(t.Context(), s, isodep.Options{MaxResponse: 100}, func(l *isodep.Link) error {
			response, err := l.Exchange(t.Context(), unhex(t, apdu))
			if len(response) != 100 {
				t.Errorf("%d bytes", len(response))
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// The budget is over, whatever happens: with a card that is slow all the time, and with one
// that is silent but has a long waiting time.
func TestTheBudgetIsKept(t *testing.T) {
	for _, budget := range []time.Duration{0, 200 * time.Millisecond, time.Second} {
		want := budget
		if want == 0 {
			want = 1800 * time.Millisecond
		}
		for name, answer := range map[string]string{"slow": "< 39ms 02 9000", "silent": "< -"} {
			t.Run(name+" "+want.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					start := time.Now()
					transcript := atsOf("03 25 E0")
					if name == "slow" {
						transcript = atsOf(ntag424)
					}
					for n := range 100 {
						transcript += "> 0" + string(rune('2'+n%2)) + apdu + "\n" + strings.Replace(answer, "02", "0"+string(rune('2'+n%2)), 1) + "\n"
					}
					s := newScript(t, 64, transcript)
					err := isodep.Run(t.Context(), s, isodep.Options{Budget: budget}, func(l *isodep.Link) error {
						defer func() { s.lines = nil }()
						for {
							if _, err := l.Exchange(t.Context(), unhex(t, apdu)); err != nil {
								return err
							}
						}
					})
					if took := time.Since(start); !errors.Is(err, card.ErrTooSlow) || took > want || took < want-100*time.Millisecond {
						t.Errorf("%v after %v", err, took)
					}
					if last := s.sent[len(s.sent)-1]; last != "C2" {
						t.Errorf("%s was sent at last, want DESELECT", last)
					}
				})
			})
		}
	}
}

// A user who needs all the time for itself gets no more frames.
func TestTheBudgetIsOverAtTheNextFrame(t *testing.T) {
	s := run(t, atsOf(ntag424), func(t *testing.T, l *isodep.Link) error {
		time.Sleep(2 * time.Second)
		_, err := l.Exchange(t.Context(), unhex(t, apdu))
		return err
	}, card.ErrTooSlow)
	if len(s.sent) != 2 || s.sent[1] != "C2" {
		t.Errorf("sent %s", s.sent)
	}
}

// An error of the chip ends the link, is handed on, and nothing more is sent.
func TestErrorsOfTheChip(t *testing.T) {
	run(t, "> E050\n< x", nil, errChip)
	for _, transcript := range []string{"< x", "< F2 01\n> F2 01\n< x", "< 12 01\n> A3\n< x", "< -\n> B2\n< x"} {
		s := fails(t, atsOf(ntag424)+sent+transcript, errChip)
		if last := s.sent[len(s.sent)-1]; last == "C2" {
			t.Errorf("DESELECT was sent by a chip that had failed")
		}
	}
	// While the card leaves, nothing depends on it any more.
	s := run(t, atsOf(ntag424)+sent+ok+"> C2\n< x", func(t *testing.T, l *isodep.Link) error {
		_, err := l.Exchange(t.Context(), unhex(t, apdu))
		return err
	}, nil)
	if len(s.sent) != 3 {
		t.Errorf("sent %s", s.sent)
	}
}

// A context that ends does so before the next frame; the card is put to sleep all the same.
func TestCancelledLink(t *testing.T) {
	for _, when := range []string{"before", "during the guard time", "between two commands"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				s := newScript(t, 64, atsOf("03 25 8A"))
				switch when {
				case "before":
					s.lines = nil
					cancel()
				case "during the guard time":
					time.AfterFunc(time.Millisecond, cancel)
				}
				err := isodep.Run(ctx, s, isodep.Options{}, func(l *isodep.Link) error {
					if when != "between two commands" {
						t.Error("used")
					}
					cancel()
					_, err := l.Exchange(ctx, unhex(t, apdu))
					return err
				})
				if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				if last := s.sent[len(s.sent)-1]; last != "C2" {
					t.Errorf("%s was sent at last, want DESELECT", last)
				}
			})
		})
	}
}

// A link is of no use after Run, and an empty command is no command, but ends nothing.
func TestMisuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept *isodep.Link
		s := newScript(t, 64, atsOf(ntag424)+sent+ok)
		err := isodep.Run(t.Context(), s, isodep.Options{}, func(l *isodep.Link) error {
			kept = l
			if ats := l.ATS(); hexOf(ats) != ntag424 {
				t.Errorf("ATS %X", ats)
			}
			l.ATS()[0] = 0 // is a copy
			if hexOf(l.ATS()) != ntag424 || l.Parameters().FSC != 128 {
				t.Errorf("ATS %X, %+v", l.ATS(), l.Parameters())
			}
			if response, err := l.Exchange(t.Context(), nil); err == nil || response != nil {
				t.Errorf("%X, %v", response, err)
			}
			_, err := l.Exchange(t.Context(), unhex(t, apdu))
			return err
		})
		if err != nil {
			t.Error(err)
		}
		frames := len(s.sent)
		if response, err := kept.Exchange(t.Context(), unhex(t, apdu)); err == nil || response != nil {
			t.Errorf("%X, %v", response, err)
		}
		if err := kept.Present(t.Context()); err == nil || len(s.sent) != frames {
			t.Errorf("%v, sent %s", err, s.sent)
		}
	})
	// The error of use is that of Run.
	own := errors.New("of use")
	run(t, atsOf(ntag424), func(*testing.T, *isodep.Link) error { return own }, own)
}
