package pn532

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/drivers/cardtest"
)

// badge is the card that the scripts of these tests play.
var badge = card.Card{UID: mustUID("044F8532A93780"), ATQA: [2]byte{0x44, 0x03}, SAK: 0x20}

func mustUID(s string) card.UID {
	u, err := card.ParseUID(s)
	if err != nil {
		panic(err)
	}
	return u
}

// air answers raw frames of a script. What wakes, selects and halts the badge is
// answered as the badge does; all else by the rest. takes is how long that is at work.
type air struct {
	rest  func(frame string) string // in hex, status first
	takes time.Duration
	seen  []string // frames that came, but those that wake and select
	busy  bool     // nobody answers WUPA
}

func (a *air) answer(code byte, params []byte) ([]byte, time.Duration, bool) {
	if code != cmdCommunicateThru {
		return nil, time.Millisecond, false
	}
	reply := func(s string) ([]byte, time.Duration, bool) {
		b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			panic(err)
		}
		return b, time.Millisecond, true
	}
	switch frame := strings.ToUpper(hex.EncodeToString(params)); {
	case frame == "52" && a.busy:
		return reply("01")
	case frame == "52":
		return reply("00 4403")
	case frame == "937088044F8546":
		return reply("00 04")
	case frame == "957032A937802C":
		return reply("00 20")
	case frame == "5000":
		return reply("01")
	default:
		a.seen = append(a.seen, frame)
		data, _, ok := reply(a.rest(frame))
		return data, max(a.takes, time.Millisecond), ok
	}
}

// desfire answers as the card of the transcripts does.
func desfire(frame string) string {
	switch frame {
	case "E050", "E080":
		return "00 067777710280"
	case "02905A00000301000000":
		return "00 029100"
	case "039071000002000000":
		return "00 03B9FC6CCAE153125C7C17E6906433C0F491AF"
	case "B2", "B3":
		return "00 A3"
	case "C2":
		return "00 C2"
	}
	return "01"
}

// onAir runs a test with a driver over a script whose only card is the badge.
func onAir(t *testing.T, a *air, test func(t *testing.T, s *script, r *Reader)) {
	t.Helper()
	if a.rest == nil {
		a.rest = desfire
	}
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, sound(a.answer))
		r := open(t, s)
		s.commands = nil
		test(t, s, r)
	})
}

// send exchanges a frame in hex and returns the answer in hex.
func send(ctx context.Context, t *testing.T, f card.Frames, frame string, wait time.Duration) (string, error) {
	t.Helper()
	answer, err := f.Transceive(ctx, unhex(t, frame), wait)
	return strings.ToUpper(hex.EncodeToString(answer)), err
}

// TestSelect is a whole visit to a card, command by command: it is woken and selected by
// its UID without the field going off, its frames go through with the time that each has,
// and it is halted.
func TestSelect(t *testing.T) {
	onAir(t, &air{}, func(t *testing.T, s *script, r *Reader) {
		err := r.Select(t.Context(), badge, func(f card.Frames) error {
			for _, step := range []struct {
				frame, answer string
				wait          time.Duration
			}{
				{"E080", "067777710280", 8900 * time.Microsecond},
				{"02905A00000301000000", "029100", 42 * time.Millisecond},
				{"039071000002000000", "03B9FC6CCAE153125C7C17E6906433C0F491AF", 42 * time.Millisecond},
				{"C2", "C2", 8900 * time.Microsecond},
			} {
				if got, err := send(t.Context(), t, f, step.frame, step.wait); err != nil || got != step.answer {
					t.Errorf("%s: %s, %v", step.frame, got, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		want := []string{
			"08630200630300633D07", "4252", // 7 bits, no CRC: WUPA
			"08630280630380633D00", "42937088044F8546", "42957032A937802C", // with CRC: SELECT
			"3202000B08", "42E080", // 12.8 ms: RATS
			"3202000B0A", "4202905A00000301000000", "42039071000002000000", // 51.2 ms
			"3202000B08", "42C2", // DESELECT
			"3202000B05", "425000", // 1.6 ms: HLTA
		}
		if !slices.Equal(s.commands, want) {
			t.Errorf("told\n%v, want\n%v", s.commands, want)
		}
	})
}

// What use returns is what Select returns, and its frames are of no use afterwards.
func TestSelectReturnsWhatItsUserDoes(t *testing.T) {
	onAir(t, &air{}, func(t *testing.T, s *script, r *Reader) {
		want := errors.New("not this one")
		var kept card.Frames
		if err := r.Select(t.Context(), badge, func(f card.Frames) error { kept = f; return want }); !errors.Is(err, want) {
			t.Error(err)
		}
		before := len(s.commands)
		if _, err := send(t.Context(), t, kept, "B2", time.Millisecond); err == nil || len(s.commands) != before {
			t.Errorf("afterwards: %v, told %v", err, s.commands[before:])
		}
	})
}

// A card that is not there is gone, and one that does not answer the first call is not.
func TestSelectOfACardThatIsNotThere(t *testing.T) {
	a := &air{busy: true}
	onAir(t, a, func(t *testing.T, s *script, r *Reader) {
		start := time.Now()
		err := r.Select(t.Context(), badge, func(card.Frames) error { t.Error("used"); return nil })
		if !errors.Is(err, card.ErrGone) || time.Since(start) > 50*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		calls := 0
		for _, c := range s.commands {
			if c == "4252" {
				calls++
			}
		}
		if calls != 4 {
			t.Errorf("called %d times", calls)
		}
		inner := s.answer
		s.answer = func(code byte, params []byte) ([]byte, time.Duration, bool) {
			data, after, ok := inner(code, params)
			if code == cmdCommunicateThru {
				a.busy = false
			}
			return data, after, ok
		}
		if err := r.Select(t.Context(), badge, func(card.Frames) error { return nil }); err != nil {
			t.Error(err)
		}
	})
}

// What cannot be selected is said so, by an error that a door can tell from a fault.
func TestSelectThatIsNotSupported(t *testing.T) {
	t.Run("type B", func(t *testing.T) {
		onAir(t, &air{}, func(t *testing.T, s *script, r *Reader) {
			err := r.Select(t.Context(), card.Card{UID: mustUID("01020304"), TypeB: true}, nil)
			if !errors.Is(err, errors.ErrUnsupported) || len(s.commands) != 0 {
				t.Errorf("%v, told %v", err, s.commands)
			}
		})
	})
	t.Run("no raw frames", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFirmware(newCard(t, "044F8532A93780", card.ISO14443_4))
			f.noRaw = true
			var log bytes.Buffer
			s := newScript(t, f.answer)
			r, err := New(s, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			for range 3 {
				err := r.Select(t.Context(), badge, nil)
				if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "no raw frames") {
					t.Error(err)
				}
			}
			if n := strings.Count(log.String(), "no raw frames"); n != 1 {
				t.Errorf("logged %d times:\n%s", n, &log)
			}
			if seen, err := r.Poll(t.Context()); err != nil || len(seen) != 1 {
				t.Errorf("saw %v, %v", seen, err)
			}
		})
	})
	t.Run("closed", func(t *testing.T) {
		onAir(t, &air{}, func(t *testing.T, _ *script, r *Reader) {
			_ = r.Close()
			if err := r.Select(t.Context(), badge, nil); err == nil {
				t.Error("no error")
			}
		})
	})
}

// Each card of several is selected alone, none of them is missed before or after, and the
// field stays on, so that a random UID stays too.
func TestSelectAmongOthers(t *testing.T) {
	phone, err := cardtest.NewRandom(card.ISO14443_4, 7)
	if err != nil {
		t.Fatal(err)
	}
	uids := []string{"DEADBEEF", "044F8532A93780", "0102030405060708090A"}
	for n := range len(uids) + 1 {
		t.Run(fmt.Sprintf("phone and %d cards", n), func(t *testing.T) {
			f := newFirmware(phone)
			for _, uid := range uids[:n] {
				f.field.Put(newCard(t, uid, card.ISO14443_4))
			}
			onBench(t, f, func(t *testing.T, b *bench) {
				b.sees(1, append([]string{phone.UID().String()}, uids[:n]...)...)
				all := append([]string{phone.UID().String()}, uids[:n]...)
				for _, c := range slices.Clone(b.reader.last) {
					err := b.reader.Select(t.Context(), c.Card, func(card.Frames) error {
						b.activeIs(c.UID)
						return nil
					})
					if err != nil {
						t.Errorf("%s: %v", c.UID, err)
					}
					b.activeIs(card.UID{})
					b.sees(3, all...)
				}
				if c := b.reader.Counts(); b.rfOff != 0 || c.Misses != 0 || c.BadFrames != 0 || c.Mends != 0 {
					t.Errorf("the field was switched off %d times, counted %+v", b.rfOff, c)
				}
			})
		})
	}
}

// activeIs fails the test unless that card alone is ACTIVE; the zero UID is none.
func (b *bench) activeIs(want card.UID) {
	b.Helper()
	for _, c := range b.field.Cards() {
		if active := c.State() == cardtest.Active || c.State() == cardtest.ActiveStar; active != (c.UID() == want) {
			b.Errorf("%s is ACTIVE: %v, while %s is selected", c.UID(), active, want)
		}
	}
}

// A card that still speaks ISO/IEC 14443-4 when it is left takes no request and no HLTA.
// Its power is taken away at the next scan, once, whoever else is there.
func TestPowerIsTakenFromACardThatDoesNotListen(t *testing.T) {
	for name, frames := range map[string][]string{"not answered": {"E050", "BA00"}, "answered": {"E050"}} {
		t.Run(name, func(t *testing.T) {
			stubborn := newCard(t, "044F8532A93780", card.ISO14443_4)
			f := newFirmware(stubborn, newCard(t, "DEADBEEF", card.MifareClassic1K))
			onBench(t, f, func(t *testing.T, b *bench) {
				b.sees(2, "044F8532A93780", "DEADBEEF")
				err := b.reader.Select(t.Context(), stubborn.Info(), func(f card.Frames) error {
					for _, frame := range frames {
						_, _ = send(t.Context(), t, f, frame, time.Millisecond)
					}
					return nil
				})
				if err != nil || b.rfOff != 0 || stubborn.State() != cardtest.Protocol {
					t.Fatalf("%v, the field was off %d times, the card is %s", err, b.rfOff, stubborn.State())
				}
				b.sees(3, "044F8532A93780", "DEADBEEF")
				if b.rfOff != 1 {
					t.Errorf("the field was off %d times", b.rfOff)
				}
				b.field.Remove(stubborn)
				b.sees(5, "DEADBEEF")
				if b.rfOff != 1 {
					t.Errorf("the field was off %d times", b.rfOff)
				}
			})
		})
	}
}
