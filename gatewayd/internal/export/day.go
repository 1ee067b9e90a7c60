package export

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/outage"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/recap"
)

// day writes the recap of a day.
func (s Source) day(ctx context.Context, w io.Writer, x Request) error {
	day := recap.New(s.Origin, x.Day, s.Times)
	since, until := day.Span()
	err := s.each(ctx, since, until, func(e presence.Entry, t presence.Timing) error {
		day.Entry(e, t)
		return nil
	})
	if err != nil {
		return fmt.Errorf("write recap: %w", err)
	}
	for _, o := range s.Outages {
		day.Outage(o)
	}
	if s.Off != nil {
		day.Outage(outage.Outage{What: alerts.Outage{Failure: s.Off.Failure}, From: s.Off.Since, Times: 1})
	}
	if s.Damaged {
		day.Damaged()
	}
	if s.Now != nil {
		day.Now(s.Now())
	}
	buffered := bufio.NewWriterSize(w, 64<<10)
	if x.Format == "html" {
		err = day.Sheet().HTML(buffered, recap.Language(x.Lang))
	} else {
		err = day.Sheet().CSV(buffered)
	}
	return errors.Join(err, buffered.Flush())
}
