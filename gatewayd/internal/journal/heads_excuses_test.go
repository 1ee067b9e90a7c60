package journal_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// TestHeadsOfTheJournalAreNoContradiction: of no event that it has or had.
func TestHeadsOfTheJournalAreNoContradiction(t *testing.T) {
	t.Parallel()
	c := wallClock()
	o := options(newPath(t), c)
	tapped(t, o, c, 3)
	heads := tapped(t, o, c, 3)
	j := open(t, o)
	accepts(t, "an event that is there", j, heads...)
	accepts(t, "an event of the present stream", j, headsOf(t, j)...)
	next := presence.Head{Stream: j.Stream(), Seq: 99, Link: presence.Link{1}}
	accepts(t, "an event that is yet to come", j, next)
	for _, h := range []presence.Head{
		{},
		{Stream: presence.ID{7}, Seq: 1, Link: presence.Link{1}},
		{Stream: presence.ID(uuid.New()), Seq: 1, Link: presence.Link{1}},
		{Stream: heads[0].Stream, Link: presence.Link{1}},
		{Stream: heads[0].Stream, Seq: 1 << 63, Link: presence.Link{1}},
	} {
		accepts(t, "what no gateway has sent", j, h)
	}
	if got := headGaps(t, j); len(got) > 0 {
		t.Errorf("gaps: %+v", got)
	}
}

// TestACityThatKnowsNoSealsAccusesNobody: such a city says of a seal the link that it was
// sent with, which is that of the event before it. Any other link is another seal's.
func TestACityThatKnowsNoSealsAccusesNobody(t *testing.T) {
	t.Parallel()
	c := wallClock()
	o := sealed(options(newPath(t), c))
	tapped(t, o, c, 3)
	j := open(t, o)
	seals := 0
	for _, e := range all(t, j, 0) {
		if e.Seal == nil {
			continue
		}
		seals++
		accepts(t, "a seal's own link", j, presence.Head{Stream: e.Stream, Seq: e.Seq, Link: e.Chain.Link})
		accepts(t, "the link that the seal was sent with", j, presence.Head{Stream: e.Stream, Seq: e.Seq, Link: e.Seal.Link})
		if _, contradicts, err := j.CheckHead(presence.Head{Stream: e.Stream, Seq: e.Seq, Link: presence.Link{1}}); err != nil || !contradicts {
			t.Errorf("another link of a seal: %t, %v", contradicts, err)
		}
	}
	if seals == 0 {
		t.Fatal("nothing was sealed")
	}
}

// TestWhatCanBeExplainedAccusesNobody: of each of these the city may rightly have more
// than the journal.
func TestWhatCanBeExplainedAccusesNobody(t *testing.T) {
	t.Parallel()
	t.Run("streams whose time was over", func(t *testing.T) {
		c := wallClock()
		o := options(newPath(t), c)
		heads := tapped(t, o, c, 3)
		tapped(t, o, c, 3)
		c.pass(40 * day)
		tapped(t, o, c, 3)
		c.pass(time.Hour)
		tapped(t, o, c, 3)
		j := open(t, o)
		if oldest(t, j) < 6 {
			t.Fatal("nothing was removed")
		}
		accepts(t, "gone", j, heads...)
		j2 := heads[0]
		j2.Seq, j2.Link = 99, presence.Link{1} // of a stream that nobody knows any more
		accepts(t, "gone", j, j2)
	})
	t.Run("what an old card still had", func(t *testing.T) {
		c := wallClock()
		old, o := options(newPath(t), c), options(newPath(t), c)
		heads := tapped(t, old, c, 5)
		tapped(t, o, c, 3) // and the city has confirmed them
		j := open(t, o)
		accepts(t, "delivered afterwards", j, heads...)
	})
	t.Run("events without links", func(t *testing.T) {
		for _, v := range oldJournals() {
			c := wallClock()
			o := options(newPath(t), c)
			v.put(t, o.Path)
			j := open(t, o)
			for _, e := range all(t, j, 0) {
				if e.Chain.IsZero() {
					accepts(t, v.name, j, presence.Head{Stream: e.Stream, Seq: e.Seq, Link: presence.Link{1}})
				}
			}
		}
	})
	t.Run("a journal that cannot be opened", func(t *testing.T) {
		c := wallClock()
		o := options(newPath(t), c)
		heads := tapped(t, o, c, 3)
		j, err := journal.Refuse(o, errors.New("no disk"))
		if err != nil {
			t.Fatal(err)
		}
		accepts(t, "refused", j, heads...)
	})
	t.Run("a person who was forgotten", func(t *testing.T) {
		c := wallClock()
		o := options(newPath(t), c)
		heads := tapped(t, o, c, 3)
		j := open(t, o)
		if _, err := j.Forget(t.Context(), func(r *presence.Record) bool { return r.Badge != nil }); err != nil {
			t.Fatal(err)
		}
		accepts(t, "forgotten", j, heads...)
		closed(t, j)
		accepts(t, "forgotten before", open(t, o), heads...)
	})
}

// TestWhatADamagedJournalLostAccusesNobody, whatever of it is left, and also once it was
// damaged twice.
func TestWhatADamagedJournalLostAccusesNobody(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(file []byte) []byte{
		"everything":            func(file []byte) []byte { return bytes.Repeat([]byte{0xA5}, len(file)) },
		"nothing left":          func([]byte) []byte { return nil },
		"the order of things":   func(file []byte) []byte { clear(file[:2*pageSize]); return file },
		"all but the beginning": func(file []byte) []byte { return file[:20*pageSize] },
	} {
		t.Run(name, func(t *testing.T) {
			c := wallClock()
			o := options(newPath(t), c)
			var heads []presence.Head
			for i := range 4 {
				heads = tapped(t, o, c, 150)
				c.pass(time.Duration(i) * time.Minute)
			}
			for range 2 {
				d := folderOf(t, o)
				d.file = spoil(bytes.Clone(d.file))
				d.put(t, o)
				j := open(t, o)
				if j.Damage() == nil {
					t.Fatal("it was not damaged")
				}
				accepts(t, name, j, heads...)
				heads = append(heads, headsOf(t, j)...)
				closed(t, j)
				j = open(t, o)
				accepts(t, "at the next start", j, heads...)
				closed(t, j)
			}
		})
	}
}

// TestAnImageFromAfterTheDamageIsFoundOut: damage explains what was lost with it, and
// nothing that came later.
func TestAnImageFromAfterTheDamageIsFoundOut(t *testing.T) {
	t.Parallel()
	c := wallClock()
	o := options(newPath(t), c)
	tapped(t, o, c, 3)
	c.at.Wall = time.Now().Add(-time.Hour).UnixNano() // the streams after it begin later
	d := folderOf(t, o)
	clear(d.file)
	d.put(t, o)
	tapped(t, o, c, 3)
	d = folderOf(t, o)
	heads := tapped(t, o, c, 3)
	d.put(t, o)
	contradicted(t, open(t, o), heads[len(heads)-1])
}

// TestMoreOfALostStreamIsNamedAndAccusesNobodyAgain: what the city hears of it later, from
// an old card for example.
func TestMoreOfALostStreamIsNamedAndAccusesNobodyAgain(t *testing.T) {
	t.Parallel()
	c := wallClock()
	old, o := options(newPath(t), c), options(newPath(t), c)
	heads := tapped(t, old, c, 9)
	tapped(t, o, c, 0)
	// As if nothing had been confirmed yet: the disk is new to the city.
	j := open(t, options(newPath(t), c))
	contradicted(t, j, heads[4])
	more := contradicted(t, j, heads[8])
	if !more.More || more.From != 6 || more.Before != heads[4].Link {
		t.Errorf("found %+v", more)
	}
	if cs := j.Contradictions(); len(cs) != 1 || cs[0].Head != heads[8] {
		t.Errorf("it remembers %+v", cs)
	}
}

// TestSalvageKeepsWhatAForkNames: the gap names an event that the journal has.
func TestSalvageKeepsWhatAForkNames(t *testing.T) {
	t.Parallel()
	c := wallClock()
	o := options(newPath(t), c)
	heads := tapped(t, o, c, 3)
	forked := heads[2]
	forked.Link[0] ^= 1
	j := open(t, o)
	contradicted(t, j, forked)
	closed(t, j)
	j = open(t, o)
	appended(t, j, badge(c, 5))
	d := folderOf(t, o)
	closed(t, j)
	clear(d.file[:2*pageSize])
	d.put(t, o)
	j = open(t, o)
	if j.Damage() == nil {
		t.Fatal("it was not damaged")
	}
	if link, there := j.LinkOf(forked.Stream, forked.Seq); !there || link != heads[2].Link {
		t.Error("salvage has left out the event that the gap of the fork names")
	}
	accepts(t, "named before the damage", j, forked)
}
