package journal_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// told is what the notes say up to some point.
type told struct {
	asked   map[string]bool
	known   []knownEvent       // that were green, or sent
	byID    map[eventID]string // whose number is what event
	acked   uint64
	opening bool // the journal is being opened
	damaged bool // it may be found damaged: somebody has torn it
	gaps    int  // the most numbers that gaps have named
	seals   int  // the most seals that were there

	ofSomebody int    // events about that person that holds has found last
	rest       string // of a line: the kernel cuts what is written at its pages
}

type knownEvent struct {
	eventID
	number string
	pos    uint64
	green  bool
}

// eventID is the id under which the city knows an event.
type eventID struct {
	stream presence.ID
	seq    uint64
}

func (e eventID) String() string { return fmt.Sprintf("%s-%d", e.stream, e.seq) }

func newTold() *told {
	return &told{asked: make(map[string]bool), byID: make(map[eventID]string)}
}

func (w *told) listen(t testing.TB, data []byte) {
	t.Helper()
	w.rest += string(data)
	for {
		line, rest, whole := strings.Cut(w.rest, "\n")
		if !whole {
			return
		}
		w.rest = rest
		f := strings.Fields(line)
		number := func(i int) uint64 {
			n, err := strconv.ParseUint(f[i], 10, 64)
			if err != nil {
				t.Fatalf("note %q: %v", line, err)
			}
			return n
		}
		switch f[0] {
		case "open", "opened":
			w.opening = f[0] == "open"
		case "ask":
			w.asked[f[1]] = true
		case "ack":
			w.acked = max(w.acked, number(1))
		case "green", "sent":
			stream, err := presence.ParseID(f[2])
			if err != nil {
				t.Fatalf("note %q: %v", line, err)
			}
			e := knownEvent{eventID: eventID{stream, number(3)}, number: f[1], pos: number(4), green: f[0] == "green"}
			if n, ok := w.byID[e.eventID]; ok && n != e.number {
				t.Fatalf("seq %s is of event %s and of event %s", e.eventID, n, e.number)
			}
			w.byID[e.eventID] = e.number
			w.known = append(w.known, e)
		}
	}
}

// found is what is in a journal.
type found struct {
	there   map[eventID]uint64 // where
	numbers map[string]bool    // of events, as the process under test counts them
	named   map[eventID]bool   // by gaps
	seals   int
	last    presence.Entry
}

// meets checks the next event of a journal against those before it and what was told.
func (w *told) meets(f *found, e presence.Entry, running presence.ID) error {
	id, n := eventID{e.Stream, e.Seq}, numberOf(e)
	switch {
	case e.Pos <= f.last.Pos:
		return fmt.Errorf("position %d after %d", e.Pos, f.last.Pos)
	case e.Stream == f.last.Stream && e.Seq <= f.last.Seq:
		return fmt.Errorf("seq %d after %d", e.Seq, f.last.Seq)
	case n != "0" && f.numbers[n]:
		return fmt.Errorf("event %s is there twice", n)
	case n != "0" && !w.asked[n]:
		return fmt.Errorf("event %s was never recorded", n)
	}
	if known, ok := w.byID[id]; ok && (known != n || e.Stream == running) {
		return fmt.Errorf("seq %s was event %s and is event %s", id, known, n)
	}
	if e.Gap != nil {
		for _, r := range e.Gap.Ranges {
			for seq := r.From; seq <= r.To; seq++ {
				f.named[eventID{r.Stream, seq}] = true
			}
		}
	}
	if e.Seal != nil {
		f.seals++
		if err := sealHolds(e, f.last, newTestKey(1).public()); err != nil {
			return err
		}
	}
	f.numbers[n], f.there[id], f.last = true, e.Pos, e
	return nil
}

// misses checks that everything that was told is there, was acknowledged, or is named by
// a gap, which no green tap is.
func (w *told) misses(f found) error {
	for _, k := range w.known {
		if pos, ok := f.there[k.eventID]; ok {
			if pos != k.pos {
				return fmt.Errorf("event %s was at %d and is at %d", k.number, k.pos, pos)
			}
			continue
		}
		if k.pos > w.acked && (k.green || !f.named[k.eventID]) {
			return fmt.Errorf("event %s (green %t, seq %s, position %d) is missing", k.number, k.green, k.eventID, k.pos)
		}
	}
	return nil
}

// holds opens a journal as it was found and checks it against what was told.
// Thoroughly, it is closed and verified as well.
func (w *told) holds(o journal.Options, thoroughly bool) error {
	j, err := journal.Open(o)
	if err != nil {
		return fmt.Errorf("it does not open: %w", err)
	}
	defer j.Close()
	if d := j.Damage(); d != nil && !w.damaged {
		return fmt.Errorf("a power cut is no damage: %+v", *d)
	}
	if c := j.Cursor(); c > w.acked {
		return fmt.Errorf("cursor %d, but only %d was acknowledged", c, w.acked)
	}
	f := found{there: make(map[eventID]uint64), numbers: make(map[string]bool), named: make(map[eventID]bool)}
	w.ofSomebody = 0
	var entries []presence.Entry
	err = j.Scan(context.Background(), func(e presence.Entry) error {
		if ofSomebody(&e.Record) {
			w.ofSomebody++
		}
		entries = append(entries, e)
		return w.meets(&f, e, j.Stream())
	})
	if err == nil {
		err = w.misses(f)
	}
	if err == nil {
		err = closes(o.Origin, entries)
	}
	if err != nil {
		return err
	}
	w.gaps = max(w.gaps, len(f.named))
	w.seals = max(w.seals, f.seals)
	if !thoroughly {
		return nil
	}
	if err := j.Close(); err != nil {
		return err
	}
	_, err = checkWhole(o.Path)
	return err
}
