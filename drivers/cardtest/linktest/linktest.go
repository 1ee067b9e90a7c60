// Package linktest is a card.Link that follows a script.
//
// It exists so that what a driver says to a card can be held against a transcript, command
// by command and byte by byte, before there is any card.
package linktest

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// Unhex reads hex digits, between which there may be spaces.
func Unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Script is a card that expects one command after the other, and answers each as written
// down. It implements card.Link.
type Script struct {
	// Err ends the link where a command has no answer.
	Err error

	t     testing.TB
	steps []step
	sent  int // commands so far
}

// step is a command and its answer in hex digits.
type step struct{ command, answer string }

// Play makes a card of lines "> command" and "< answer".
func Play(t testing.TB, transcript string) *Script {
	t.Helper()
	s := &Script{t: t}
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

// ATS implements card.Link.
func (*Script) ATS() []byte { return nil }

// Exchange implements card.Link.
func (s *Script) Exchange(_ context.Context, command []byte) ([]byte, error) {
	if s.sent == len(s.steps) {
		s.t.Errorf("unexpected command % X", command)
		return nil, fmt.Errorf("script is over")
	}
	step := s.steps[s.sent]
	s.sent++
	if want := Unhex(s.t, step.command); string(want) != string(command) {
		s.t.Errorf("command %d:\n got %X\nwant %X", s.sent, command, want)
	}
	if step.answer == "" {
		return nil, s.Err
	}
	return Unhex(s.t, step.answer), nil
}

// Over checks that the whole script was played.
func (s *Script) Over() {
	s.t.Helper()
	if s.sent != len(s.steps) {
		s.t.Errorf("%d commands of %d were sent", s.sent, len(s.steps))
	}
}
