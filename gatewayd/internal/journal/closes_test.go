package journal_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// whose is the gateway of the tests.
var whose = presence.Origin{Gateway: "dinkes-01", Dinas: "dinkes"}

// whole checks that nothing is wrong with a journal that nobody has open: neither by
// what verify finds, nor by the chain from its first record to its last.
func whole(t testing.TB, path string) journal.Report {
	t.Helper()
	r, err := checkWhole(path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func checkWhole(path string) (journal.Report, error) {
	r, err := journal.Verify(context.Background(), path, nil)
	if err != nil {
		return r, err
	}
	if !r.Whole() {
		return r, fmt.Errorf("the journal is not whole:\n%s", r)
	}
	file, err := journal.OpenReadOnly(path)
	if err != nil {
		return r, err
	}
	defer file.Close()
	var entries []presence.Entry
	err = file.Scan(context.Background(), func(e presence.Entry) error {
		entries = append(entries, e)
		return nil
	})
	return r, errors.Join(err, closes(file.Origin(), entries))
}

// closes follows the chain through all that is in a journal, in another way than verify
// does: by a list of all links that anything tells.
func closes(origin presence.Origin, entries []presence.Entry) error {
	links := make(map[presence.EventID]presence.Link)
	open := make(map[presence.ID]bool) // streams of which a gap does not say how the chain goes on
	var wrong []error
	tell := func(by string, stream presence.ID, seq uint64, link presence.Link) {
		id := presence.EventID{Stream: stream, Seq: seq}
		if other, known := links[id]; known && other != link {
			wrong = append(wrong, fmt.Errorf("%s says that %s has the link %s, and it was %s", by, id, link, other))
		}
		links[id] = link
	}
	for _, e := range entries {
		if !e.Chain.IsZero() {
			tell("the record itself", e.Stream, e.Seq, e.Chain.Link)
		}
	}
	for _, e := range entries {
		if e.Gap == nil || e.Gap.Reason == presence.GapForked {
			continue
		}
		for _, r := range e.Gap.Ranges {
			if !r.Before.IsZero() && r.From > 1 {
				tell("a gap", r.Stream, r.From-1, r.Before)
			}
			if !r.Link.IsZero() {
				tell("a gap", r.Stream, r.To, r.Link)
			} else {
				open[r.Stream] = true
			}
		}
	}
	for i, e := range entries {
		if e.Chain.IsZero() {
			continue
		}
		if len(entries) <= 256 || i%16 == 0 { // verify has computed the links of all
			core, err := origin.Core(&e.Record)
			if err != nil {
				return err
			}
			digest := sha256.Sum256(core)
			both := sha256.Sum256(append(append([]byte(nil), e.Chain.Before[:]...), digest[:]...))
			if presence.Link(both[:16]) != e.Chain.Link {
				wrong = append(wrong, fmt.Errorf("%s-%d is not what its link says", e.Stream, e.Seq))
			}
		}
		before := presence.EventID{Stream: e.Stream, Seq: e.Seq - 1}
		switch {
		case e.Start != nil && e.Start.Previous == nil:
			if i > 0 || !e.Chain.Before.IsZero() {
				wrong = append(wrong, fmt.Errorf("%s begins anew", e.Stream))
			}
			continue
		case e.Start != nil:
			before = presence.EventID{Stream: e.Start.Previous.Stream, Seq: e.Start.Previous.Seq}
			if e.Start.Previous.Link != e.Chain.Before {
				wrong = append(wrong, fmt.Errorf("the start of %s names another link than it rests on", e.Stream))
			}
		}
		link, known := links[before]
		switch {
		case known && link != e.Chain.Before:
			wrong = append(wrong, fmt.Errorf("%s-%d does not rest on %s", e.Stream, e.Seq, before))
		case !known && i > 0 && !open[before.Stream] && !e.Chain.Before.IsZero():
			wrong = append(wrong, fmt.Errorf("nothing tells on what %s-%d rests", e.Stream, e.Seq))
		}
	}
	return errors.Join(wrong...)
}

// wholeInTheEnd checks a journal that a test used when the test is over, unless it is
// gone by then.
func wholeInTheEnd(t testing.TB, path string) {
	t.Helper()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		whole(t, path)
	}
}
