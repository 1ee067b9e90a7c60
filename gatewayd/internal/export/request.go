package export

import (
	"fmt"
	"time"

	"presence/config"
)

// Request says which events are wanted and how.
type Request struct {
	Since, Until time.Time // zero: no bound
	Day          time.Time // an instant of the day whose recap is wanted; zero: events are
	Format       string    // "jsonl" or "csv"; of a recap "csv" or "html"
	Lang         string    // of a recap in html: "id" or "en"
}

// ParseInstant reads a bound of a request in the forms that a person types: a date, a
// time of day on a date, both in the given zone, RFC 3339, or how long ago. "" is no
// bound.
func ParseInstant(s string, now time.Time, loc *time.Location) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if ago, err := config.ParseDuration(s); err == nil {
		return now.Add(-ago), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, loc); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q: want 2026-11-23, 2026-11-23T07:00, RFC 3339 or how long ago (24h, 7d, 1d12h)", s)
}
