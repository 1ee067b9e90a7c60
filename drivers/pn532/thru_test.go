package pn532

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/drivers/card"
)

// TestTimerCode: the chip waits at least as long as asked, and less than twice as long
// where it has such a time.
func TestTimerCode(t *testing.T) {
	for _, tt := range []struct {
		wait time.Duration
		code byte
	}{
		{0, 0x01},
		{100 * time.Microsecond, 0x01},
		{101 * time.Microsecond, 0x02},
		{8900 * time.Microsecond, 0x08},             // 12.8 ms: RATS
		{42300 * time.Microsecond, 0x0A},            // 51.2 ms: FWI 7
		{51200 * time.Microsecond, 0x0A},            // just so
		{80900 * time.Microsecond, 0x0B},            // 102.4 ms: FWI 8
		{1240 * time.Millisecond, 0x0F},             // FWI 12
		{1700 * time.Millisecond, 0x10},             // 3.28 s
		{time.Minute, 0x10},                         // as long as it can
		{timerTime(0x0D), 0x0D},                     // 410 ms, as the facts have it
		{timerTime(0x0D) + time.Microsecond, 0x0E},  // and the next
		{timerTime(timerLongest), timerLongest},     // the longest
		{timerTime(timerLongest) + 1, timerLongest}, // and beyond
	} {
		if got := timerCode(tt.wait); got != tt.code {
			t.Errorf("%v: code %02X, want %02X", tt.wait, got, tt.code)
		}
	}
}

// TestTimerIsSetWhenItChanges: once for all blocks of one waiting time, and anew for the
// longer time of one reply after S(WTX), which the next block does not have.
func TestTimerIsSetWhenItChanges(t *testing.T) {
	onAir(t, &air{rest: func(string) string { return "00 F202" }}, func(t *testing.T, s *script, r *Reader) {
		err := r.Select(t.Context(), badge, func(f card.Frames) error {
			s.commands = nil
			for _, wait := range []time.Duration{42, 42, 85, 42, 50} {
				if _, err := send(t.Context(), t, f, "B2", wait*time.Millisecond); err != nil {
					return err
				}
			}
			return nil
		})
		want := []string{"3202000B0A", "42B2", "42B2", "3202000B0B", "42B2", "3202000B0A", "42B2", "42B2", "3202000B05", "425000"}
		if err != nil || !slices.Equal(s.commands, want) {
			t.Errorf("%v, told %v, want %v", err, s.commands, want)
		}
	})
}

// TestHostWaitsLongerThanTheChip: the chip's own time-out comes first, and is no fault.
func TestHostWaitsLongerThanTheChip(t *testing.T) {
	for _, wait := range []time.Duration{time.Millisecond, 80 * time.Millisecond, 1200 * time.Millisecond} {
		a := &air{rest: func(string) string { return "01" }}
		onAir(t, a, func(t *testing.T, s *script, r *Reader) {
			_ = r.Select(t.Context(), badge, func(f card.Frames) error {
				// The longest frame is on the air for 22 ms before the chip begins to wait.
				a.takes = timerTime(timerCode(wait)) + 22*time.Millisecond
				_, err := f.Transceive(t.Context(), make([]byte, 254), wait)
				a.takes = 0
				if !errors.Is(err, card.ErrNoAnswer) || s.acks > 1 {
					t.Errorf("%v: %v, %d aborts", wait, err, s.acks)
				}
				return nil
			})
		})
	}
}

// What a frame can become, as the card's user is told.
const (
	becomesAnswer   = "an answer"
	becomesNoAnswer = "no answer"
	becomesBadFrame = "a bad frame"
	becomesDeaf     = "a reader that is deaf"
	becomesFault    = "a fault of the chip"
)

func becomes(err error) string {
	switch {
	case err == nil:
		return becomesAnswer
	case errors.Is(err, card.ErrNoAnswer):
		return becomesNoAnswer
	case errors.Is(err, card.ErrBadFrame):
		return becomesBadFrame
	case errors.Is(err, card.ErrDeaf):
		return becomesDeaf
	}
	return becomesFault
}

// TestStatus maps what the chip says of a frame.
func TestStatus(t *testing.T) {
	for want, replies := range map[string][]string{
		becomesAnswer:   {"00 A3", "80 A3", "00" + strings.Repeat("5A", 254)},
		becomesNoAnswer: {"01"},
		becomesBadFrame: {
			"02", "03", "04", "05", "06", "07", "09", "0B", "0E", "13",
			"00",    // no bytes
			"40 02", // more than a reply holds
			"00" + strings.Repeat("5A", 255),
		},
		becomesDeaf:  {"0D", "2D"},
		becomesFault: {"0A", "10", "27", "29", "3F"},
	} {
		for _, reply := range replies {
			onAir(t, &air{rest: func(string) string { return reply }}, func(t *testing.T, s *script, r *Reader) {
				_ = r.Select(t.Context(), badge, func(f card.Frames) error {
					if _, err := send(t.Context(), t, f, "B2", 40*time.Millisecond); becomes(err) != want {
						t.Errorf("%.12s: %v, want %s", reply, err, want)
					}
					return nil
				})
				if n := r.Counts().BadFrames; (n == 1) != (want == becomesBadFrame) {
					t.Errorf("%.12s: counted %d bad frames", reply, n)
				}
			})
		}
	}
}

// TestLongFrames: 254 bytes and CRC_A go to the card and come back, in the extended frames
// that the host needs for it, and what is longer is not sent.
func TestLongFrames(t *testing.T) {
	long := strings.Repeat("C3", 254)
	onAir(t, &air{rest: func(frame string) string { return "00" + frame }}, func(t *testing.T, s *script, r *Reader) {
		_ = r.Select(t.Context(), badge, func(f card.Frames) error {
			if f.MaxFrame() != 256 {
				t.Errorf("frames of %d bytes", f.MaxFrame())
			}
			for _, n := range []int{1, 250, 251, 252, 253, 254} {
				if got, err := send(t.Context(), t, f, long[:2*n], 40*time.Millisecond); err != nil || got != long[:2*n] {
					t.Errorf("%d bytes: %s, %v", n, got, err)
				}
			}
			before := len(s.commands)
			for _, n := range []int{0, 255} {
				if _, err := f.Transceive(t.Context(), make([]byte, n), time.Millisecond); err == nil || len(s.commands) != before {
					t.Errorf("%d bytes: %v", n, err)
				}
			}
			return nil
		})
	})
}

// An answer may be sent back as it is, although the chip is told something in between.
func TestAnswerIsValidUntilTheNextCall(t *testing.T) {
	onAir(t, &air{rest: func(string) string { return "00 F202" }}, func(t *testing.T, s *script, r *Reader) {
		_ = r.Select(t.Context(), badge, func(f card.Frames) error {
			answer, err := f.Transceive(t.Context(), []byte{0x02, 0x60}, 40*time.Millisecond)
			if err == nil {
				_, err = f.Transceive(t.Context(), answer, 90*time.Millisecond)
			}
			if err != nil || s.commands[len(s.commands)-1] != "42F202" {
				t.Errorf("%v, told %v", err, s.commands)
			}
			return nil
		})
	})
}

// linkFault is something that goes wrong with a frame between host and chip.
type linkFault struct {
	name   string
	break_ func(s *script, a *air)
	want   string
	sent   int // how often the card has heard the frame
}

// linkFaults are what can happen to a command whose frames the script answers with the
// frame itself.
func linkFaults() []linkFault {
	nth := func(n int, change func([]byte) []byte) func(*script, *air) {
		return func(s *script, _ *air) {
			frames := 0
			s.frameOut = func(b []byte) []byte {
				if frames++; frames == n {
					return change(b)
				}
				return b
			}
		}
	}
	drop := func([]byte) []byte { return nil }
	dcs := func(b []byte) []byte { b[len(b)-2] ^= 0x10; return b }
	start := func(b []byte) []byte { b[2] = 0xFE; return b }
	return []linkFault{
		{"nothing", func(*script, *air) {}, becomesAnswer, 1},
		{"ACK lost", nth(1, drop), becomesAnswer, 1},
		{"ACK damaged", nth(1, start), becomesAnswer, 1},
		{"ACK twice", nth(1, func(b []byte) []byte { return append(b, b...) }), becomesAnswer, 1},
		{"ACK lost, and the card is slow", func(s *script, a *air) { a.takes = 35 * time.Millisecond; nth(1, drop)(s, a) }, becomesAnswer, 1},
		{"ACK late", func(s *script, a *air) {
			a.takes, s.ackAfter = 35*time.Millisecond, 25*time.Millisecond
		}, becomesAnswer, 1},
		{"reply damaged", nth(2, dcs), becomesAnswer, 1},
		{"reply lost", nth(2, drop), becomesNoAnswer, 1},
		{"reply damaged each time", func(s *script, _ *air) {
			s.frameOut = func(b []byte) []byte {
				if len(b) > 8 {
					b[len(b)-1] ^= 0x40
				}
				return b
			}
		}, becomesBadFrame, 1},
		{"ACK lost, and the reply before comes again", func(s *script, _ *air) {
			nth(1, drop)(s, nil)
			before := append([]byte(nil), s.last...)
			inner := s.answer
			s.answer = func(code byte, p []byte) ([]byte, time.Duration, bool) {
				inner(code, p)
				return before[7 : len(before)-2], time.Millisecond, true
			}
		}, becomesBadFrame, 1},
		{"command lost", func(s *script, _ *air) { s.asleep = true }, becomesNoAnswer, 0},
		{"command damaged", func(s *script, _ *air) {
			at := s.transfers + 1
			s.tamper = func(n int, mosi, _ []byte) {
				if n == at && mosi != nil {
					mosi[6] ^= 1
				}
			}
		}, becomesNoAnswer, 0},
		{"refused", func(s *script, _ *air) {
			s.answer = func(byte, []byte) ([]byte, time.Duration, bool) { return nil, time.Millisecond, false }
		}, becomesBadFrame, 0},
		{"reply to another command", nth(2, func([]byte) []byte { return replyFrame(0x4B, 0x00) }), becomesNoAnswer, 1},
	}
}

// TestFrameIsSentOnce: whatever is lost between host and chip, a frame goes to the card
// once at most, is told as if it had been lost on the air where it is not known what has
// become of it, and the next one gets its own answer.
func TestFrameIsSentOnce(t *testing.T) {
	for _, tt := range linkFaults() {
		t.Run(tt.name, func(t *testing.T) {
			a := &air{rest: func(frame string) string { return "00" + frame }}
			onAir(t, a, func(t *testing.T, s *script, r *Reader) {
				_ = r.Select(t.Context(), badge, func(f card.Frames) error {
					if _, err := send(t.Context(), t, f, "0200", 40*time.Millisecond); err != nil {
						t.Fatal(err)
					}
					answer, noise := s.answer, r.Counts().Misreads
					tt.break_(s, a)
					start := time.Now()
					got, err := send(t.Context(), t, f, "03AA", 40*time.Millisecond)
					if becomes(err) != tt.want || err == nil && got != "03AA" {
						t.Errorf("%s, %v, want %s", got, err, tt.want)
					}
					if took := time.Since(start); took > 200*time.Millisecond {
						t.Errorf("it took %v", took)
					}
					if tt.want != becomesAnswer && r.Counts().Misreads == noise {
						t.Error("not counted")
					}
					s.answer, s.frameOut, s.tamper, s.ackAfter, a.takes = answer, nil, nil, 0, 0
					if got, err := send(t.Context(), t, f, "B2", 40*time.Millisecond); err != nil || got != "B2" {
						t.Errorf("afterwards: %s, %v", got, err)
					}
					return nil
				})
				sent := 0
				for _, frame := range a.seen {
					if frame == "03AA" {
						sent++
					}
				}
				if sent != tt.sent {
					t.Errorf("the card has heard it %d times, want %d: %v", sent, tt.sent, a.seen)
				}
			})
		})
	}
}

// TestChipThatDoesNotComeBack: what does not pass is the chip's fault and not the card's,
// is told in time, and the next scan sets the chip up anew.
func TestChipThatDoesNotComeBack(t *testing.T) {
	for name, break_ := range map[string]func(s *script){
		"silent": func(s *script) { s.deaf = true },
		"never done": func(s *script) {
			s.answer = func(byte, []byte) ([]byte, time.Duration, bool) { return nil, never, true }
		},
		"the bus fails": func(s *script) { s.fail = errors.New("EIO") },
	} {
		t.Run(name, func(t *testing.T) {
			onAir(t, &air{}, func(t *testing.T, s *script, r *Reader) {
				answer := s.answer
				start := time.Now()
				err := r.Select(t.Context(), badge, func(f card.Frames) error {
					break_(s)
					for n := 1; ; n++ {
						_, err := send(t.Context(), t, f, "B2", 40*time.Millisecond)
						if err == nil || n > 3 {
							return fmt.Errorf("after %d frames: %w", n, err)
						}
						if !errors.Is(err, card.ErrNoAnswer) && !errors.Is(err, card.ErrBadFrame) {
							return err
						}
					}
				})
				if err == nil || errors.Is(err, card.ErrNoAnswer) || (name == "the bus fails") != errors.Is(err, card.ErrBusDead) {
					t.Error(err)
				}
				if took := time.Since(start); took > time.Second {
					t.Errorf("it took %v", took)
				}
				s.answer, s.deaf, s.fail = answer, false, nil
				s.commands = nil
				inner := s.answer
				s.answer = func(code byte, p []byte) ([]byte, time.Duration, bool) {
					if code == cmdListPassiveTarget {
						return []byte{0}, 30 * time.Millisecond, true
					}
					return inner(code, p)
				}
				if _, err := r.Poll(t.Context()); err != nil || !slices.Contains(s.commands, "320100") {
					t.Errorf("%v, told %v", err, s.commands)
				}
			})
		})
	}
}

// TestSelectIsCancelled: the wait for a card ends with its context, the chip is told to
// give up, and the card is left all the same.
func TestSelectIsCancelled(t *testing.T) {
	a := &air{}
	onAir(t, a, func(t *testing.T, s *script, r *Reader) {
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
		defer cancel()
		start := time.Now()
		aborts := s.acks
		err := r.Select(ctx, badge, func(f card.Frames) error {
			a.takes = time.Second
			_, err := send(ctx, t, f, "02", 3*time.Second)
			a.takes = 0
			if took := time.Since(start); took > 70*time.Millisecond {
				t.Errorf("it took %v", took)
			}
			return err
		})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 100*time.Millisecond || s.acks != aborts+1 {
			t.Errorf("%v after %v, %d aborts", err, time.Since(start), s.acks-aborts)
		}
		if s.commands[len(s.commands)-1] != "3202000B05" {
			t.Errorf("told %v", s.commands)
		}
		if err := r.Select(ctx, badge, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a context that is over: %v", err)
		}
	})
}

// FuzzAnswered: whatever the chip says of a frame, the answer is one that fits.
func FuzzAnswered(f *testing.F) {
	for _, s := range []string{"00", "01", "0002", "4002", "0D", "FF", "00" + hex.EncodeToString(bytes.Repeat([]byte{1}, 260))} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		answer, err := answered(data)
		if (err == nil) != (len(answer) > 0) || len(answer) > maxFrame-crcSize {
			t.Errorf("% X: % X, %v", data, answer, err)
		}
	})
}
