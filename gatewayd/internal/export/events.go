package export

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/spreadsheet"
)

// events writes the wanted events. One whose time is unknown is always wanted: it
// may have happened in the span asked for.
func (s Source) events(ctx context.Context, w io.Writer, x Request) error {
	if x.Format != JSONLines && !x.isTable() {
		return fmt.Errorf("write export: events are not written as %q", x.Format)
	}
	buffered := bufio.NewWriterSize(w, 64<<10)
	write := func(e presence.Entry, t presence.Timing) error {
		b, err := s.Origin.Event(&e.Record, t)
		if err != nil {
			return err
		}
		_, err = buffered.Write(append(b, '\n'))
		return err
	}
	if x.Format != JSONLines {
		table := spreadsheet.NewTable(buffered, x.dialect(), csvHeader, csvKinds())
		write = func(e presence.Entry, t presence.Timing) error {
			return errors.Join(table.Row(csvRow(s.Origin, &e.Record, t)), table.Flush())
		}
		if err := table.Flush(); err != nil {
			return fmt.Errorf("write export: %w", err)
		}
	}
	err := s.each(ctx, x.Since, x.Until, func(e presence.Entry, t presence.Timing) error {
		if at := t.Time; !at.IsZero() && (at.Before(x.Since) || !x.Until.IsZero() && !at.Before(x.Until)) {
			return nil
		}
		if !x.names(&e.Record) {
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
