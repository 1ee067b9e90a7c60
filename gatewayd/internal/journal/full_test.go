package journal_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// lone is a tag that is heard once.
func lone(c *clock, n int) presence.Draft {
	d := tag(c, n)
	d.Tag.Tag = fmt.Sprintf("kenwood:200-%05d", n)
	return d
}

// person is what is said of somebody.
func person(c *clock, n int) presence.Draft {
	return presence.Draft{
		Kind: presence.KindPresence, At: c.now(),
		Person: &presence.Person{Badge: fmt.Sprintf("h:%032x", n), Tag: fmt.Sprintf("kenwood:200-%05d", n), State: presence.OnSite},
	}
}

// ledger is what is in a journal, and what its gaps say is not, by kind.
type ledger struct{ there, lost map[string]int }

func ledgerOf(t *testing.T, j *journal.Journal) ledger {
	t.Helper()
	l := ledger{make(map[string]int), make(map[string]int)}
	for _, e := range all(t, j, 0) {
		l.there[e.Kind.String()]++
		if e.Gap != nil {
			for kind, n := range e.Gap.Kinds {
				l.lost[kind] += n
			}
		}
	}
	return l
}

func (l ledger) accountsFor(t *testing.T, kind string, n int) {
	t.Helper()
	if l.there[kind]+l.lost[kind] != n {
		t.Errorf("of %d %s events %d are there, and %d named as lost", n, kind, l.there[kind], l.lost[kind])
	}
}

// killed is the journal as a process leaves it that is killed now.
func killed(t *testing.T, o journal.Options) journal.Options {
	t.Helper()
	b, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	o.Path = filepath.Join(fastDir(t), "journal.db")
	if err := os.WriteFile(o.Path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return o
}

// TestWhatWaitsWithoutRoomIsNamed: a journal that is full of tags of which none
// can be thinned takes no more of them. Those that wait in memory then are named
// after a stop as after a kill.
func TestWhatWaitsWithoutRoomIsNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const frames = 9_000
		c := newClock()
		o := options(newPath(t), c)
		o.MaxBytes = 1 << 20
		j := open(t, o)
		for i := range frames {
			enqueue(t, j, lone(c, i))
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if s := j.Stats(); !s.Full || s.Waiting < 1000 {
			t.Fatalf("there is no full journal with tags that wait: %+v", s)
		}
		afterKill := killed(t, o)
		closed(t, j)
		for name, o := range map[string]journal.Options{"kill": afterKill, "stop": o} {
			j := open(t, o)
			l := ledgerOf(t, j)
			l.accountsFor(t, "tag", frames)
			if l.lost["tag"] < 1000 {
				t.Errorf("after a %s %d tags are named as lost", name, l.lost["tag"])
			}
			closed(t, j)
			j = open(t, o) // and only once
			ledgerOf(t, j).accountsFor(t, "tag", frames)
			closed(t, j)
			whole(t, o.Path)
		}
	})
}

// TestWhatFindsRoomAfterAllIsNotLost: what was on the count of losses while it
// waited is off it when it is stored.
func TestWhatFindsRoomAfterAllIsNotLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const frames = 4_500
		c := newClock()
		o := options(newPath(t), c)
		o.MaxBytes = 1 << 20
		j := open(t, o)
		for i := range frames {
			enqueue(t, j, lone(c, i))
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		before := ledgerOf(t, j)
		if before.there["tag"] >= frames {
			t.Fatal("all of them fit")
		}
		j.Ack(j.End()) // delivered, they make room for the rest
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if s := j.Stats(); s.Full || s.Waiting > 0 {
			t.Errorf("%d tags wait although there is room", s.Waiting)
		}
		for _, o := range []journal.Options{killed(t, o), o} {
			closed(t, j)
			j = open(t, o)
			if l := ledgerOf(t, j); len(l.lost) > 0 {
				t.Errorf("named as lost: %v", l.lost)
			}
		}
	})
}

// fillUp appends taps until one is refused.
func fillUp(t *testing.T, j *journal.Journal, c *clock) (green int) {
	t.Helper()
	large := badge(c, 1)
	large.Badge.Card = strings.Repeat("x", 1000)
	for {
		if _, err := j.Append(t.Context(), large); errors.Is(err, journal.ErrFull) {
			return green
		} else if err != nil {
			t.Fatal(err)
		}
		green++
	}
}

// TestARedTapIsCountedBeforeItIsRed: a kill right after the lamp finds the count
// on the disk, that of a disk without any room as well.
func TestARedTapIsCountedBeforeItIsRed(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	o.MaxBytes = 1 << 20
	j := open(t, o)
	green := fillUp(t, j, c)
	for i := range 3 {
		dead := killed(t, o)
		if _, err := j.Append(t.Context(), badge(c, i)); !errors.Is(err, journal.ErrFull) {
			t.Fatal(err)
		}
		after := open(t, dead)
		ledgerOf(t, after).accountsFor(t, "badge", green+1+i)
	}
	closed(t, j)
	ledgerOf(t, open(t, o)).accountsFor(t, "badge", green+4)
}

// TestTagsGoBeforeTaps: tags that are heard once each, and what is said of
// persons, go for taps as well, although nothing of them can be thinned.
func TestTagsGoBeforeTaps(t *testing.T) {
	for name, mixed := range map[string]bool{"tags first": false, "in turn": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			o := options(newPath(t), c)
			o.MaxBytes = 512 << 10
			j := open(t, o)
			const tags, persons, taps = 2_000, 500, 400
			refused := 0
			tap := func(n int) {
				c.pass(time.Second)
				if _, err := j.Append(t.Context(), badge(c, n)); err != nil {
					refused++
				}
			}
			for i := range tags {
				enqueue(t, j, lone(c, i))
				if i%4 == 0 {
					enqueue(t, j, person(c, i))
				}
				if mixed && i < taps {
					tap(i)
				}
			}
			for i := range taps {
				if !mixed {
					tap(i)
				}
			}
			if refused > 0 {
				t.Errorf("%d taps were refused though there were tags", refused)
			}
			closed(t, j)
			j = open(t, o)
			l := ledgerOf(t, j)
			l.accountsFor(t, "tag", tags)
			l.accountsFor(t, "presence", persons)
			l.accountsFor(t, "badge", taps)
			green := fillUp(t, j, c)
			l = ledgerOf(t, j)
			if l.there["tag"]+l.there["presence"] > 0 {
				t.Errorf("a tap was refused while there were %d tags and %d persons", l.there["tag"], l.there["presence"])
			}
			closed(t, j)
			j = open(t, o)
			l = ledgerOf(t, j)
			l.accountsFor(t, "tag", tags)
			l.accountsFor(t, "presence", persons)
			l.accountsFor(t, "badge", taps+green+1)
			t.Logf("%v", l)
			closed(t, j)
			whole(t, o.Path)
		})
	}
}

// TestRoomIsNoticed: a journal that refused a tap takes taps again, and says so,
// as soon as there is room, whether anybody comes or not.
func TestRoomIsNoticed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		o := options(newPath(t), c)
		o.MaxBytes = 1 << 20
		j := open(t, o)
		fillUp(t, j, c)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if s := j.Stats(); !s.Full || !j.Refusing() || s.FreeBytes != 0 {
			t.Errorf("after a refused tap: %+v", s)
		}
		j.Ack(j.End() / 2)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if s := j.Stats(); s.Full || j.Refusing() || s.FreeBytes == 0 {
			t.Errorf("after there is room: %+v", s)
		}
		if l := ledgerOf(t, j); l.lost["badge"] != 1 {
			t.Errorf("named as lost: %v", l.lost)
		}
		closed(t, j)
		whole(t, o.Path)
	})
}

// TestAFullJournalSaysSoFromItsStart: whether a tap would be refused is known
// before anybody taps, after a kill as after a stop, and nothing that waits is
// given up for the question.
func TestAFullJournalSaysSoFromItsStart(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(newPath(t), c)
	o.MaxBytes = 1 << 20
	j := open(t, o)
	large := badge(c, 0) // a journal of few records is soon opened
	large.Badge.Card = strings.Repeat("x", 2000)
	for j.Stats().FreeBytes > 24<<10 {
		appended(t, j, large)
	}
	// Where it is almost full, each copy is as near to that as the one before it
	// and a tap.
	refused := 0
	for n := 0; refused < 3; n++ {
		_, err := j.Append(t.Context(), badge(c, n))
		if errors.Is(err, journal.ErrFull) {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
		if j.Stats().FreeBytes > 8<<10 {
			continue
		}
		after := open(t, killed(t, o))
		says := after.Refusing()
		if s := after.Stats(); s.Refusing != says || s.Full != says || says && s.FreeBytes != 0 {
			t.Errorf("after %d taps: refusing %v, and %+v", n, says, s)
		}
		if refused > 0 && !says {
			t.Errorf("taps were refused, and after a kill they are not")
		}
		if _, err := after.Append(t.Context(), badge(c, n)); says != errors.Is(err, journal.ErrFull) {
			t.Errorf("after %d taps a journal refuses taps from its start: %v; and then a tap: %v", n, says, err)
		}
		closed(t, after)
	}
	closed(t, j)
	j = open(t, o)
	if !j.Refusing() {
		t.Error("taps were refused, and after a stop they are not")
	}
	j.Ack(j.End())
	closed(t, j)
	if j = open(t, o); j.Refusing() || j.Stats().Full {
		t.Error("all is delivered, and taps are refused")
	}
}

// TestTheStartGivesUpNoTags: a journal that is full of tags takes taps, which is
// no reason to give tags up before one comes.
func TestTheStartGivesUpNoTags(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		o := options(newPath(t), c)
		o.MaxBytes = 1 << 20
		j := open(t, o)
		for i := range 9_000 {
			enqueue(t, j, lone(c, i))
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		before := ledgerOf(t, j)
		for range 5 {
			o = killed(t, o)
			j := open(t, o)
			if s := j.Stats(); s.Refusing {
				t.Errorf("taps are refused though there are tags: %+v", s)
			}
			if now := ledgerOf(t, j); now.there["tag"] < before.there["tag"] {
				t.Fatalf("%d tags were given up at the start", before.there["tag"]-now.there["tag"])
			}
			closed(t, j)
		}
		j = open(t, o)
		if _, err := j.Append(t.Context(), badge(c, 1)); err != nil {
			t.Error(err)
		}
	})
}

// TestTagsThatYieldAreKnownForAnHour: when waiting tags last went for want of room
// is known, after a kill and a reboot as well, and it passes.
func TestTagsThatYieldAreKnownForAnHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		o := options(newPath(t), c)
		o.MaxBytes = 1 << 20
		j := open(t, o)
		if _, ever := j.Yielded(); ever {
			t.Error("tags went from an empty journal")
		}
		n := 0
		for ; !j.Stats().Full; n++ {
			enqueue(t, j, lone(c, n))
		}
		// From here on what still waits in memory may go at any time.
		for {
			if _, err := j.Append(t.Context(), badge(c, 1)); err != nil {
				t.Fatalf("a tap was refused, and no tag went: %v", err)
			}
			if _, ever := j.Yielded(); ever {
				break
			}
		}
		within := func(j *journal.Journal, least, most time.Duration) {
			t.Helper()
			if ago, ever := j.Yielded(); !ever || ago < least || ago > most {
				t.Errorf("tags went %v ago, %v; want %v to %v", ago, ever, least, most)
			}
		}
		within(j, 0, time.Minute)
		c.pass(10 * time.Minute)
		within(j, 10*time.Minute, 11*time.Minute)
		after := open(t, killed(t, o))
		within(after, 0, 11*time.Minute) // what waited in memory was lost with the process
		closed(t, after)
		// What waits in memory without room goes as well.
		for range 5_000 {
			enqueue(t, j, lone(c, n))
			n++
		}
		within(j, 0, time.Minute)
		j.Ack(j.End())
		time.Sleep(5 * time.Second)
		synctest.Wait()
		closed(t, j)
		c.pass(time.Hour)
		j = open(t, o)
		within(j, time.Hour, 2*time.Hour)
		closed(t, j)
		// Of the boot before nothing is known but that it was before this one.
		c.reboot()
		o.Age = func(presence.Reading) (least, most time.Duration) { return 0, math.MaxInt64 }
		j = open(t, o)
		within(j, 0, 30*time.Minute)
		c.pass(time.Hour)
		within(j, time.Hour, 2*time.Hour)
	})
}
