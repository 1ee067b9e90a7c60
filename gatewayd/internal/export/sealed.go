package export

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
)

// A sealed export is one that can be checked by itself: a piece of the journal without
// holes. It begins with the last seal or start before the first wanted event, and ends
// with the first seal behind the last one.

// checkSealed refuses what cannot be checked.
func (x Request) checkSealed() error {
	switch {
	case !x.Sealed:
		return nil
	case x.Format != JSONLines || x.IsRecap():
		return language.Errorf("--sealed: only with --format jsonl: a table is nothing that can be checked",
			"--sealed: hanya dengan --format jsonl: tabel tidak dapat diperiksa")
	case len(x.Badges) > 0:
		return language.Errorf("--sealed: not together with --badge: each event is tied to the one before it, so that what is left out of others' events would look like something removed",
			"--sealed: tidak bersama --badge: tiap data terikat pada data sebelumnya, sehingga data orang lain yang ditinggalkan akan tampak seperti data yang dihapus")
	}
	return nil
}

// sealed writes a piece of the journal that holds the wanted events.
func (s Source) sealed(ctx context.Context, w io.Writer, x Request) error {
	from, to, err := s.piece(ctx, x)
	if err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	buffered := bufio.NewWriterSize(w, 64<<10)
	err = s.between(ctx, from, to, func(e presence.Entry, t presence.Timing) error {
		b, err := s.Origin.Event(&e.Record, t)
		if err != nil {
			return err
		}
		_, err = buffered.Write(append(b, '\n'))
		return err
	})
	if err = errors.Join(err, buffered.Flush()); err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	return nil
}

// piece finds from which position to which a sealed export goes.
func (s Source) piece(ctx context.Context, x Request) (from, to uint64, err error) {
	upto := cmp.Or(s.Upto, math.MaxUint64)
	var o outline
	err = s.each(ctx, x.Since, x.Until, func(e presence.Entry, t presence.Timing) error {
		if e.Pos <= upto {
			o.add(e.Pos, when(t, x.Since, x.Until))
		}
		if e.Seal != nil {
			o.seals = append(o.seals, e.Pos)
		}
		if e.Seal != nil || e.Start != nil {
			o.openers = append(o.openers, e.Pos)
		}
		return nil
	})
	first, last := o.wanted()
	from, to = first, upto
	for _, pos := range o.openers {
		if pos <= first {
			from = pos
		}
	}
	if len(o.openers) == 0 || o.openers[0] > first {
		from = 0 // the journal does not go back to one: from its beginning
	}
	if i, _ := slices.BinarySearch(o.seals, last); i < len(o.seals) {
		to = o.seals[i]
	}
	return from, to, err
}

// between passes entries with their revisions, which are all printed.
func (s Source) between(ctx context.Context, from, to uint64, fn func(presence.Entry, presence.Timing) error) error {
	var page []presence.Entry
	flush := func() error {
		if len(page) == 0 {
			return nil
		}
		revisions, err := s.Revisions(ctx, page)
		if err != nil {
			return err
		}
		for i, e := range page {
			if err := fn(e, revisions[i].Timing); err != nil {
				return err
			}
		}
		page = page[:0]
		return nil
	}
	err := s.Journal.Scan(ctx, func(e presence.Entry) error {
		switch {
		case e.Pos > to:
			return errEnough
		case e.Pos < from:
			return nil
		}
		if page = append(page, e); len(page) < pageSize {
			return nil
		}
		return flush()
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	return flush()
}

// place is where an event lies by its time.
type place int

const (
	undated place = iota // nobody knows
	before               // the span of time that is wanted
	within
	after
)

func when(t presence.Timing, since, until time.Time) place {
	switch {
	case t.Time.IsZero():
		return undated
	case t.Time.Before(since):
		return before
	case !until.IsZero() && !t.Time.Before(until):
		return after
	}
	return within
}

// outline is where a journal's entries lie by their time, in the order of positions.
type outline struct {
	runs           []run
	seals, openers []uint64 // positions; what a piece may begin with are seals and starts
}

// run is entries that lie at the same place.
type run struct {
	place    place
	from, to uint64 // positions of the first and the last
}

// add takes the next entry.
func (o *outline) add(pos uint64, p place) {
	if n := len(o.runs); n > 0 && o.runs[n-1].place == p {
		o.runs[n-1].to = pos
		return
	}
	o.runs = append(o.runs, run{p, pos, pos})
}

// wanted is the first and the last position of the events within the span of time. Where
// there are none, it is those between which they would be, which show that there are none.
func (o *outline) wanted() (first, last uint64) {
	found := false
	for i, r := range o.runs {
		if r.place == within || r.place == undated && o.mayBeWithin(i) {
			if !found {
				first, found = r.from, true
			}
			last = r.to
		}
	}
	if found {
		return first, last
	}
	for i, r := range o.runs {
		if r.place == before {
			first, last = r.to, r.to
			if i+1 < len(o.runs) {
				last = o.runs[i+1].from
			}
		}
	}
	return first, last
}

// mayBeWithin reports whether the events of a run, of whose time nothing is known, may have
// been within: they were recorded after the events before them, and before those behind.
func (o *outline) mayBeWithin(i int) bool {
	earlier, later := before, after
	if i > 0 {
		earlier = o.runs[i-1].place // of another place than this run, and so known
	}
	if i+1 < len(o.runs) {
		later = o.runs[i+1].place
	}
	return earlier == within || later == within || earlier == before && later == after
}

// Ends watches a sealed export, and tells what is not proven at its ends.
type Ends struct {
	lines    splitter
	out      io.Writer
	err      error
	opening  string // kind of the first event
	unsealed int    // events since the last seal
}

// NewEnds passes what is written to it on to a writer.
func NewEnds(w io.Writer) *Ends {
	e := &Ends{out: w}
	e.lines.yield = func(line []byte) bool {
		var event struct {
			Kind string `json:"kind"`
		}
		if e.err = json.Unmarshal(line, &event); e.err != nil {
			return false
		}
		if e.opening == "" {
			e.opening = event.Kind
		}
		if e.unsealed++; event.Kind == presence.KindSeal.String() {
			e.unsealed = 0
		}
		_, e.err = e.out.Write(line)
		return e.err == nil
	}
	return e
}

// Write implements io.Writer.
func (e *Ends) Write(p []byte) (int, error) {
	if n, err := e.lines.Write(p); err != nil {
		return n, cmp.Or(e.err, err)
	}
	return len(p), nil
}

// Warnings are what whoever gets the export has to know of its ends.
func (e *Ends) Warnings() (all []error) {
	if e.opening != "" && e.opening != presence.KindSeal.String() && e.opening != presence.KindStart.String() {
		all = append(all, language.Errorf("the export begins in the middle of a chain, as the journal does: what its first event says is not proven",
			"ekspor dimulai di tengah rantai, seperti jurnalnya: isi data pertamanya belum terbukti"))
	}
	if e.unsealed > 0 {
		all = append(all, language.Errorf("the last %d events are not sealed: until a gateway with its key seals the journal, nothing proves that they are all there and unchanged",
			"%d data terakhir belum disegel: sampai gateway menyegel jurnal dengan kuncinya, tidak terbukti bahwa semuanya ada dan tidak diubah", e.unsealed))
	}
	return all
}
