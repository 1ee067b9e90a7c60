package export

import (
	"bufio"
	"context"
	"encoding/csv"
	"fmt"
	"io"

	"presence/gatewayd/internal/presence"
)

// events writes the wanted events. One whose time is unknown is always wanted: it
// may have happened in the span asked for.
func (s Source) events(ctx context.Context, w io.Writer, x Request) error {
	buffered := bufio.NewWriterSize(w, 64<<10)
	write := func(e presence.Entry, t presence.Timing) error {
		b, err := s.Origin.Event(&e.Record, t)
		if err != nil {
			return err
		}
		_, err = buffered.Write(append(b, '\n'))
		return err
	}
	if x.Format == "csv" {
		table := csv.NewWriter(buffered)
		if err := table.Write(csvHeader); err != nil {
			return fmt.Errorf("write export: %w", err)
		}
		write = func(e presence.Entry, t presence.Timing) error {
			if err := table.Write(csvRow(s.Origin, &e.Record, t)); err != nil {
				return err
			}
			table.Flush()
			return table.Error()
		}
		table.Flush()
	}
	err := s.each(ctx, x.Since, x.Until, func(e presence.Entry, t presence.Timing) error {
		if at := t.Time; !at.IsZero() && (at.Before(x.Since) || !x.Until.IsZero() && !at.Before(x.Until)) {
			return nil
		}
		return write(e, t)
	})
	if err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	return nil
}
