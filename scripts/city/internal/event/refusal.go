package event

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// problem is why something is refused.
type problem struct {
	cause Cause
	text  string
}

func (p problem) Error() string { return p.text }

// because is an error of a cause.
func because(cause Cause, format string, args ...any) error {
	return problem{cause, fmt.Sprintf(format, args...)}
}

// NewRefusal makes a refusal in which nothing can hurt a database or a terminal. What is
// not refused by this package the database has refused.
func NewRefusal(topic string, payload []byte, why error) Refusal {
	cause := CauseDatabase
	var known problem
	if errors.As(why, &known) {
		cause = known.cause
	}
	return Refusal{
		Topic:   printable(topic, maxTopic),
		Cause:   cause,
		Reason:  printable(why.Error(), maxReason),
		Payload: bytes.Clone(payload[:min(len(payload), MaxKept)]),
	}
}

// printable is a text without control characters and broken UTF-8, cut at a bound in
// bytes.
func printable(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	return s
}
