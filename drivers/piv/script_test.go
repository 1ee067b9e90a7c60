package piv

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// unhex reads hex digits, between which there may be spaces.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// script is a card that expects one command after the other, and answers each as written
// down. An answer of "" is the end of the link, by err.
type script struct {
	t     testing.TB
	steps []step
	err   error
	sent  int // commands so far
}

// step is a command and its answer in hex digits.
type step struct{ command, answer string }

func (s *script) ATS() []byte { return nil }

func (s *script) Exchange(_ context.Context, command []byte) ([]byte, error) {
	if s.sent == len(s.steps) {
		s.t.Errorf("unexpected command % X", command)
		return nil, fmt.Errorf("script is over")
	}
	step := s.steps[s.sent]
	s.sent++
	if want := unhex(s.t, step.command); string(want) != string(command) {
		s.t.Errorf("command %d:\n got %X\nwant %X", s.sent, command, want)
	}
	if step.answer == "" {
		return nil, s.err
	}
	return unhex(s.t, step.answer), nil
}

// play makes a card of lines "> command" and "< answer".
func play(t testing.TB, transcript string) *script {
	t.Helper()
	s := &script{t: t}
	for line := range strings.Lines(transcript) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, ">"):
			s.steps = append(s.steps, step{command: line[1:]})
		case strings.HasPrefix(line, "<"):
			s.steps[len(s.steps)-1].answer = line[1:]
		}
	}
	return s
}

// over checks that the whole script was played.
func (s *script) over() {
	s.t.Helper()
	if s.sent != len(s.steps) {
		s.t.Errorf("%d commands of %d were sent", s.sent, len(s.steps))
	}
}
