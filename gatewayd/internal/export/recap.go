package export

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/outage"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/recap"
)

// recap writes the recap of a day or month.
func (s Source) recap(ctx context.Context, w io.Writer, x Request) error {
	sheet, err := s.Sheet(ctx, x)
	if err != nil {
		return err
	}
	return WriteSheet(w, sheet, x)
}

// Sheet makes the recap of a day or month.
func (s Source) Sheet(ctx context.Context, x Request) (recap.Sheet, error) {
	span := recap.New(s.Origin, x.Day, s.Times)
	if !x.Month.IsZero() {
		span = recap.NewMonth(s.Origin, x.Month, s.Times)
	}
	span.Only(x.Badges)
	since, until := span.Span()
	err := s.each(ctx, since, until, func(e presence.Entry, t presence.Timing) error {
		span.Entry(e, t)
		return nil
	})
	if err != nil {
		return recap.Sheet{}, fmt.Errorf("write recap: %w", err)
	}
	for _, o := range s.Outages {
		span.Outage(o)
	}
	if s.Off != nil {
		span.Outage(outage.Outage{What: alerts.Outage{Failure: s.Off.Failure}, From: s.Off.Since, Times: 1})
	}
	if s.Damaged {
		span.Damaged()
	}
	if s.Now != nil {
		span.Now(s.Now())
	}
	return span.Sheet(), nil
}

// WriteSheet writes a recap in the format that is wanted.
func WriteSheet(w io.Writer, sheet recap.Sheet, x Request) (err error) {
	buffered := bufio.NewWriterSize(w, 64<<10)
	switch {
	case x.Format == HTML:
		err = sheet.HTML(buffered, recap.Language(x.Lang))
	case x.Format == SheetJSON:
		err = json.NewEncoder(buffered).Encode(sheet)
	case x.isTable():
		err = sheet.CSV(buffered, x.dialect())
	default:
		err = fmt.Errorf("write recap: it is not written as %q", x.Format)
	}
	return errors.Join(err, buffered.Flush())
}
