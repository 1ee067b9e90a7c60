package isodep_test

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/drivers/isodep"
)

// script is a selected card that does what is written down, and finds fault with a reader
// that does not. Each line is a frame: "> " from the reader, "< " from the card, in hex
// without CRC_A, which is the chips' to check. "< -" is silence, "< !" a spoilt frame, "< x"
// a failure of the chip; "< 20ms 02 9000" an answer that begins after so long.
type script struct {
	t     *testing.T
	lines []string
	max   int

	start time.Time
	at    []time.Duration // when each frame was sent
	waits []time.Duration // how long each answer was waited for
	sent  []string
}

var errChip = errors.New("the chip has failed")

func newScript(t *testing.T, maxFrame int, transcript string) *script {
	s := &script{t: t, max: maxFrame, start: time.Now()}
	for line := range strings.Lines(transcript) {
		if line = strings.TrimSpace(line); line != "" {
			s.lines = append(s.lines, line)
		}
	}
	return s
}

func (s *script) MaxFrame() int { return s.max }

func (s *script) next(direction string) string {
	s.t.Helper()
	if len(s.lines) == 0 || !strings.HasPrefix(s.lines[0], direction) {
		s.t.Fatalf("after %d frames the script has %q, where %q was due", len(s.at), s.lines, direction)
	}
	line := strings.TrimSpace(s.lines[0][len(direction):])
	s.lines = s.lines[1:]
	return line
}

func (s *script) Transceive(ctx context.Context, frame []byte, wait time.Duration) ([]byte, error) {
	s.t.Helper()
	if wait <= 0 {
		s.t.Errorf("%X is waited for for %v", frame, wait)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.at, s.waits = append(s.at, time.Since(s.start)), append(s.waits, wait)
	s.sent = append(s.sent, hexOf(frame))
	if len(s.lines) == 0 && hexOf(frame) == "C2" {
		return frame, nil // leaving is not written down everywhere
	}
	if want := strings.ToUpper(strings.ReplaceAll(s.next(">"), " ", "")); want != hexOf(frame) {
		s.t.Fatalf("frame %d is %s, want %s", len(s.at), hexOf(frame), want)
	}
	answer := s.next("<")
	if first, rest, _ := strings.Cut(answer, " "); strings.HasSuffix(first, "s") {
		after, err := time.ParseDuration(first)
		if err != nil {
			s.t.Fatal(err)
		}
		if after > wait {
			time.Sleep(wait)
			return nil, card.ErrNoAnswer
		}
		time.Sleep(after)
		answer = rest
	}
	switch answer {
	case "-":
		time.Sleep(wait)
		return nil, card.ErrNoAnswer
	case "!":
		return nil, card.ErrBadFrame
	case "x":
		return nil, errChip
	}
	return unhex(s.t, answer), nil
}

func hexOf(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Answers to select of real cards: NTAG 424 DNA, and DESFire EV1.
const (
	ntag424 = "067777710280"
	desfire = "067577810280"
)

// atsOf is the beginning of a transcript with a chip whose frames have 64 bytes.
func atsOf(ats string) string { return "> E050\n< " + ats + "\n" }

// exchanges runs a link over a script, within virtual time, in which each command gets
// the response beside it.
func exchanges(t *testing.T, maxFrame int, transcript string, commandsAndResponses ...string) (s *script) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s = newScript(t, maxFrame, transcript)
		err := isodep.Run(t.Context(), s, isodep.Options{}, func(l *isodep.Link) error {
			for i := 0; i < len(commandsAndResponses); i += 2 {
				response, err := l.Exchange(t.Context(), unhex(t, commandsAndResponses[i]))
				if err != nil {
					return err
				}
				if want := unhex(t, commandsAndResponses[i+1]); hexOf(response) != hexOf(want) {
					t.Errorf("response %X, want %X", response, want)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		s.done()
	})
	return s
}

// fails is the same with a single command that must fail in this way.
func fails(t *testing.T, transcript string, want error) (s *script) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s = newScript(t, 64, transcript)
		err := isodep.Run(t.Context(), s, isodep.Options{}, func(l *isodep.Link) error {
			response, err := l.Exchange(t.Context(), unhex(t, apdu))
			if response != nil {
				t.Errorf("response %X", response)
			}
			if _, again := l.Exchange(t.Context(), unhex(t, apdu)); !errors.Is(again, err) {
				t.Errorf("%v, and then %v", err, again)
			}
			if again := l.Present(t.Context()); !errors.Is(again, err) {
				t.Errorf("%v, and then %v", err, again)
			}
			return err
		})
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		s.done()
	})
	return s
}

// done wants everything of the script to have happened.
func (s *script) done() {
	s.t.Helper()
	if len(s.lines) != 0 {
		s.t.Errorf("the script goes on with %q", s.lines)
	}
}

// apdu is any command, and ok its response in a block.
const (
	apdu = "905A00000301000000"
	sent = "> 02 " + apdu + "\n"
	ok   = "< 02 9100\n"
)

// run is a link over a script, within virtual time.
func run(t *testing.T, transcript string, use func(*testing.T, *isodep.Link) error, want error) (s *script) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s = newScript(t, 64, transcript)
		err := isodep.Run(t.Context(), s, isodep.Options{}, func(l *isodep.Link) error { return use(t, l) })
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		s.done()
	})
	return s
}
