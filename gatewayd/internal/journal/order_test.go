package journal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// snapshot copies a journal's file as it is at this moment.
func snapshot(t testing.TB, path string) string {
	t.Helper()
	from, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.Create(filepath.Join(fastDir(t), "snapshot.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return to.Name()
}

// TestPromise1GreenMeansDurable: at the moment in which Append returns, the
// file holds the tap, and a journal that opens it has it in its place. (That it
// is synced as well, and not only written, is for TestEveryCut.)
func TestPromise1GreenMeansDurable(t *testing.T) {
	c := newClock()
	o := options(newPath(t), c)
	j := open(t, o)
	for i := range 20 {
		for n := range 3 { // tags ride along, in front of nothing
			enqueue(t, j, tag(c, n))
		}
		e := appended(t, j, badge(c, i))
		file := snapshot(t, o.Path)
		copied := open(t, options(file, c))
		pos, ok := copied.Find(e.Stream, e.Seq)
		if !ok || pos != e.Pos {
			t.Fatalf("tap %d was green and is not in the file (position %d, found %t at %d)", i, e.Pos, ok, pos)
		}
		got := all(t, copied, e.Pos-1)
		if got[0].Badge == nil || got[0].Badge.Badge != e.Badge.Badge {
			t.Fatalf("tap %d: the file has %+v in its place", i, got[0].Record)
		}
	}
}

// TestPromise1TapsNeverWaitForTags: however many tags wait, a tap is in the
// very next commit, and only a few of them go with it.
func TestPromise1TapsNeverWaitForTags(t *testing.T) {
	c := newClock()
	o := options(newPath(t), c)
	o.CommitInterval = time.Hour
	j := open(t, o)
	for i := range 1000 {
		enqueue(t, j, tag(c, i))
	}
	before := j.Stats()
	e := appended(t, j, badge(c, 1))
	after := j.Stats()
	if n := after.Commits - before.Commits; n != 1 {
		t.Errorf("the tap took %d commits", n)
	}
	if e.Seq != 2 {
		t.Errorf("the tap came behind %d tags", e.Seq-2)
	}
	if after.Waiting < 500 {
		t.Errorf("the tap took %d tags along", before.Waiting-after.Waiting)
	}
}

// TestPromise3NumbersWithoutHoles: whatever comes from wherever, the numbers of
// a stream are dense, and positions go on over streams.
func TestPromise3NumbersWithoutHoles(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	var pos uint64
	streams := make(map[presence.ID]bool)
	for range 3 {
		j := open(t, o)
		var w sync.WaitGroup
		for p := range 4 {
			w.Go(func() {
				for i := range 50 {
					var err error
					if p%2 == 0 {
						_, err = j.Append(context.Background(), badge(c, p*100+i))
					} else {
						err = j.Enqueue(context.Background(), tag(c, i))
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		w.Wait()
		flushed(t, j)
		if streams[j.Stream()] {
			t.Fatal("a stream was used twice")
		}
		streams[j.Stream()] = true
		got := all(t, j, pos)
		if len(got) != 201 {
			t.Fatalf("%d events, want 201", len(got))
		}
		for i, e := range got {
			pos++
			if e.Pos != pos || e.Seq != uint64(i)+1 || e.Stream != j.Stream() {
				t.Fatalf("entry %d has position %d, seq %d", i, e.Pos, e.Seq)
			}
		}
		closed(t, j)
	}
	if r := whole(t, o.Path); r.Events != 603 || r.Streams != 3 {
		t.Errorf("verify finds %d events in %d streams", r.Events, r.Streams)
	}
}

func TestOneProducerStaysInOrder(t *testing.T) {
	t.Parallel()
	c := newClock()
	j := open(t, options(newPath(t), c))
	const n = 10_000 // more than fit in memory, so that Enqueue has to wait
	for i := range n {
		d := tag(c, 0)
		d.Tag.FixTime = int64(i)
		enqueue(t, j, d)
	}
	flushed(t, j)
	for i, e := range all(t, j, 1) {
		if e.Tag.FixTime != int64(i) {
			t.Fatalf("at place %d is tag %d", i, e.Tag.FixTime)
		}
	}
	if got := j.End(); got != n+1 {
		t.Errorf("%d events, want %d", got, n+1)
	}
}

// TestPromise4DeliveredMeansDelivered: what was acknowledged does not come
// again after a restart, what was not does.
func TestPromise4DeliveredMeansDelivered(t *testing.T) {
	c := newClock()
	o := options(newPath(t), c)
	j := open(t, o)
	for i := range 10 {
		appended(t, j, badge(c, i))
	}
	j.Ack(5)
	j.Ack(3)    // late, and no step back
	j.Ack(1000) // of events that do not exist
	if got := j.Cursor(); got != 11 {
		t.Fatalf("cursor %d, want the end", got)
	}
	closed(t, j)
	j = open(t, o)
	if got := j.Cursor(); got != 11 {
		t.Errorf("cursor %d after a restart, want 11", got)
	}
	if got := all(t, j, j.Cursor()); len(got) != 1 || got[0].Kind != presence.KindStart {
		t.Errorf("%d events wait, want the start event alone", len(got))
	}
}

func TestAcknowledgementsRide(t *testing.T) {
	c := newClock()
	o := options(newPath(t), c)
	j := open(t, o)
	a, b := appended(t, j, badge(c, 1)), appended(t, j, badge(c, 2))
	commits := j.Stats().Commits
	j.Ack(a.Pos)
	if got := open(t, options(snapshot(t, o.Path), c)).Cursor(); got != 0 {
		t.Errorf("the acknowledgement went to the disk at once: cursor %d", got)
	}
	appended(t, j, badge(c, 3))
	if got := j.Stats().Commits - commits; got != 1 {
		t.Errorf("%d commits for one tap and an acknowledgement", got)
	}
	if got := open(t, options(snapshot(t, o.Path), c)).Cursor(); got != a.Pos {
		t.Errorf("cursor %d on disk, want %d", got, a.Pos)
	}
	j.Ack(b.Pos)
	closed(t, j)
	if got := open(t, o).Cursor(); got != b.Pos {
		t.Errorf("cursor %d after the end, want %d", got, b.Pos)
	}
}

// TestWhatWaitsIsWritten: a patient event after CommitInterval, an
// acknowledgement after a minute, and nothing in between.
func TestWhatWaitsIsWritten(t *testing.T) {
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		o := options(path, c)
		o.CommitInterval = time.Second
		j, err := journal.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		commits := func() int64 { return j.Stats().Commits }
		before := commits()
		for i := range 100 {
			enqueue(t, j, tag(c, i))
		}
		time.Sleep(999 * time.Millisecond)
		synctest.Wait()
		if j.End() != 1 {
			t.Error("patient events were written early")
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if j.End() != 101 || commits() != before+1 {
			t.Errorf("after CommitInterval the end is %d, %d commits", j.End(), commits()-before)
		}
		j.Ack(50)
		time.Sleep(59 * time.Second)
		j.Ack(60)
		synctest.Wait()
		if commits() != before+1 {
			t.Error("an acknowledgement did not wait for company")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if commits() != before+2 {
			t.Error("an acknowledgement was not written alone after a minute")
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if commits() != before+2 {
			t.Errorf("an idle journal made %d commits", commits()-before-2)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestStartNamesThePreviousStream(t *testing.T) {
	c := newClock()
	o := options(newPath(t), c)
	start := func(j *journal.Journal) *presence.Start {
		t.Helper()
		return all(t, j, j.End()-1)[0].Start
	}
	j := open(t, o)
	if got := start(j).Previous; got != nil {
		t.Errorf("the first stream has a previous one: %+v", got)
	}
	appended(t, j, badge(c, 1))
	first, link := j.Stream(), all(t, j, 1)[0].Chain.Link
	crashed := snapshot(t, o.Path)
	closed(t, j)

	j = open(t, o)
	if got := start(j).Previous; got == nil || *got != (presence.Previous{Stream: first, Seq: 2, Clean: true, Link: link}) {
		t.Errorf("after a clean end: %+v", got)
	}
	if s := j.Stats(); s.Boots != 1 || s.UncleanBoots != 0 {
		t.Errorf("after a clean end: %+v", s)
	}
	c.reboot()
	j = open(t, options(crashed, c))
	if got := start(j).Previous; got == nil || *got != (presence.Previous{Stream: first, Seq: 2, Clean: false, Link: link}) {
		t.Errorf("after a crash: %+v", got)
	}
	if s := j.Stats(); s.Boots != 2 || s.UncleanBoots != 1 {
		t.Errorf("after a crash: %+v", s)
	}
}

func TestFindKnowsEveryStream(t *testing.T) {
	c := newClock()
	o := options(newPath(t), c)
	type place struct {
		stream presence.ID
		seq    uint64
	}
	want := make(map[place]uint64)
	for range 3 {
		j := open(t, o)
		for i := range 20 {
			e := appended(t, j, badge(c, i))
			want[place{e.Stream, e.Seq}] = e.Pos
		}
		closed(t, j)
	}
	j := open(t, o)
	for p, pos := range want {
		if got, ok := j.Find(p.stream, p.seq); !ok || got != pos {
			t.Errorf("%v is at %d, found %t at %d", p, pos, ok, got)
		}
	}
	for _, p := range []place{{j.Stream(), 0}, {j.Stream(), 2}, {presence.ID{7}, 1}} {
		if _, ok := j.Find(p.stream, p.seq); ok {
			t.Errorf("found %v, which is nowhere", p)
		}
	}
	for p := range want {
		if _, ok := j.Find(p.stream, 22); ok { // the next stream's position
			t.Errorf("found number 22 of a stream with 21")
		}
	}
}

func TestTailIsNewestFirst(t *testing.T) {
	c := newClock()
	j := open(t, options(newPath(t), c))
	for i := range 1500 {
		enqueue(t, j, tag(c, i))
	}
	flushed(t, j)
	next := uint64(1501)
	err := j.Tail(func(e presence.Entry) bool {
		if e.Pos != next {
			t.Fatalf("position %d, want %d", e.Pos, next)
		}
		next--
		return next > 100
	})
	if err != nil || next != 100 {
		t.Errorf("ended at %d: %v", next, err)
	}
	if err := j.Tail(func(presence.Entry) bool { next++; return true }); err != nil || next != 1601 {
		t.Errorf("the whole tail has %d events: %v", next-100, err)
	}
}

func TestRangeReadsWhileOthersWrite(t *testing.T) {
	c := newClock()
	j := open(t, options(newPath(t), c))
	for i := range 2000 {
		enqueue(t, j, tag(c, i))
	}
	flushed(t, j)
	next := uint64(1)
	err := j.Scan(t.Context(), func(e presence.Entry) error {
		if e.Pos != next {
			return fmt.Errorf("position %d, want %d", e.Pos, next)
		}
		if next++; next%100 == 0 {
			appended(t, j, badge(c, int(next))) // would wait for ever if this held a transaction
		}
		return nil
	})
	if err != nil || next != 2002 {
		t.Errorf("ended at %d: %v", next, err)
	}
	sentinel := errors.New("enough")
	if err := j.Range(t.Context(), 5, 7, func(presence.Entry) error { return sentinel }); !errors.Is(err, sentinel) {
		t.Errorf("the error of fn became %v", err)
	}
}

func TestNextWaits(t *testing.T) {
	c := newClock()
	j := open(t, options(newPath(t), c))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := j.Next(ctx, j.End(), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Next ended with %v", err)
	}
	got := make(chan []presence.Entry, 1)
	go func() {
		es, err := j.Next(context.Background(), 1, 10)
		if err != nil {
			t.Error(err)
		}
		got <- es
	}()
	e := appended(t, j, badge(c, 1))
	if es := <-got; len(es) != 1 || es[0].Pos != e.Pos {
		t.Errorf("Next returned %d entries", len(es))
	}
}

func TestAClosedJournalRefuses(t *testing.T) {
	c := newClock()
	j := open(t, options(newPath(t), c))
	waits := make(chan error, 1)
	go func() {
		_, err := j.Next(context.Background(), j.End(), 1)
		waits <- err
	}()
	closed(t, j)
	closed(t, j)
	if err := <-waits; err == nil {
		t.Error("Next returned without an error")
	}
	var refused *journal.Error
	if _, err := j.Append(t.Context(), badge(c, 1)); !errors.As(err, &refused) || refused.Reason() != "stopping" {
		t.Errorf("Append: %v", err)
	}
	if err := j.Enqueue(t.Context(), tag(c, 1)); !errors.As(err, &refused) {
		t.Errorf("Enqueue: %v", err)
	}
	if err := j.Flush(t.Context()); !errors.As(err, &refused) {
		t.Errorf("Flush: %v", err)
	}
}

func TestTwoDaemonsDoNotShareAJournal(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	j := open(t, o)
	if other, err := journal.Open(o); err == nil {
		other.Close()
		t.Fatal("opened twice")
	}
	if _, err := journal.OpenReadOnly(o.Path); err == nil {
		t.Error("opened for reading while a daemon writes")
	}
	appended(t, j, badge(c, 1))
	closed(t, j)
	r, err := journal.OpenReadOnly(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := 0
	if err := r.Scan(t.Context(), func(presence.Entry) error { n++; return nil }); err != nil || n != 2 {
		t.Errorf("%d events: %v", n, err)
	}
}
