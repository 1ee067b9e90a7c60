package gateway

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/presence"
)

// TestSheetsTellTheOutagesOfAnyLife: whatever a gateway goes through, its sheets
// say what did not work and when it was off, and nothing else.
func TestSheetsTellTheOutagesOfAnyLife(t *testing.T) {
	things := []alerts.Alert{
		alerts.ReaderDeaf.Raise(nil, "door"), alerts.ReaderDead.Raise(nil, "back"), alerts.ReceiverGone.Raise(nil, "yard"),
	}
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
			return step{
				rapid.SampledFrom([]string{"breaks", "works", "breaks", "works", "stop", "kill", "power cut", "flap", "start", "start", "start"}).Draw(rt, "does"),
				rapid.SampledFrom(things).Draw(rt, "what"),
				time.Duration(rapid.SampledFrom([]int{1, 3, 5, 6, 8, 40, 300, 700, 4000}).Draw(rt, "wait")) * time.Second,
			}
		}), 1, 25).Draw(rt, "steps")
		var wrong []string
		synctest.Test(t, func(t *testing.T) {
			o := newOffice(t)
			began := time.Now()
			o.start()
			o.pass(20*time.Second, time.Second)
			for _, s := range steps {
				if !o.take(s) {
					continue
				}
				// Every second while it is fresh, then more rarely.
				o.pass(min(s.wait, 10*time.Second), time.Second)
				o.pass(max(0, s.wait-10*time.Second), 20*time.Second)
				o.pass(2*time.Second, time.Second)
			}
			wrong = o.check(o.sheet(began, time.Now()))
			if o.d != nil {
				o.end(true)
			}
			time.Sleep(time.Second)
			wrong = append(wrong, o.check(o.sheet(began, time.Now()))...)
			if len(wrong) > 0 {
				wrong = append(wrong, fmt.Sprintf("it was broken %v\noff %v\nthe sheet says %v", o.truth.broken, o.truth.off, o.sheet(began, time.Now())))
			}
		})
		if len(wrong) > 0 {
			rt.Fatal(strings.Join(wrong, "\n"))
		}
	})
}

// step is something that happens to a gateway, or to a thing of it, and how long
// nothing else does.
type step struct {
	does string
	what alerts.Alert
	wait time.Duration
}

// take lets it happen, and reports whether it could.
func (o *office) take(s step) bool {
	is := func(a alerts.Alert) bool { return a.Code() == s.what.Code() }
	switch running := o.d != nil; s.does {
	case "breaks":
		if !slices.ContainsFunc(o.broken, is) {
			o.broken = append(o.broken, s.what)
		}
	case "works":
		o.broken = slices.DeleteFunc(o.broken, is)
	case "flap":
		for range 8 {
			o.broken = append(slices.DeleteFunc(o.broken, is), s.what)
			o.pass(8*time.Second, time.Second)
			o.broken = slices.DeleteFunc(o.broken, is)
			o.pass(8*time.Second, time.Second)
		}
	case "stop", "kill", "power cut":
		if !running {
			return false
		}
		o.end(s.does == "stop")
		if s.does == "power cut" {
			o.reboot()
		}
	case "start":
		if running {
			return false
		}
		o.start()
	}
	return true
}

// TestADeafReaderAtTheStop is the life in which sheets used to say more with
// each restart.
func TestADeafReaderAtTheStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		began := time.Now()
		o.start()
		o.pass(7*time.Second, time.Second)
		o.broken = []alerts.Alert{alerts.ReaderDeaf.Raise(nil, "door")}
		o.pass(40*time.Second, time.Second)
		o.end(true)
		time.Sleep(5 * time.Second)
		o.broken = nil
		var before []sheetLine
		for range 3 {
			o.start()
			o.pass(time.Minute, time.Second)
			sheet := o.sheet(began, time.Now())
			if wrong := o.check(sheet); len(wrong) > 0 {
				t.Fatal(strings.Join(wrong, "\n"))
			}
			reader := slices.DeleteFunc(slices.Clone(sheet), func(l sheetLine) bool { return l.what != "reader-door" })
			if len(reader) != 1 || before != nil && reader[0] != before[0] {
				t.Errorf("the reader's outage is now %v", reader)
			}
			before = reader
			o.end(false)
			time.Sleep(5 * time.Second)
		}
	})
}

// TestEndsAreKnownWhenTheClockHasForgottenTheirBoot: a clock knows its last boots
// only, and the log of outages is kept for longer. Of a machine without a clock chip
// many ends are dated by other readings of their boot: what was known of them
// stays known, and so an outage neither lasts for ever nor is kept for ever.
func TestEndsAreKnownWhenTheClockHasForgottenTheirBoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		keep := int(o.cfg.Journal.Keep.Hours() / 24)
		time.Sleep(7 * time.Hour) // the office opens
		began := time.Now()
		day := func(n int) time.Time { return began.AddDate(0, 0, n) }
		var morning []string // what failed on the first one
		// check says what is wrong at the end of a forenoon or an afternoon.
		check := func(n int, forenoon bool) string {
			if n == 0 && !forenoon {
				return "" // nobody knows the time of anything
			}
			got, first, kept := o.failed(day(n)), o.failed(day(0)), len(o.d.outages.log.All())
			switch {
			case n == 0:
				if morning = got; len(got) != 2 {
					return fmt.Sprintf("the sheet has %q", got)
				}
			// Of the first afternoon it is known only that it was before the next morning.
			case n > 1 && len(got) > 0:
				return fmt.Sprintf("the sheet has %q of days before", got)
			case n < keep && kept != 4, n > keep && !forenoon && kept > 0:
				return fmt.Sprintf("%d outages are kept", kept)
			case n < keep && (len(first) != 4 || !slices.Equal(first[:2], morning)):
				return fmt.Sprintf("the first day's sheet has %q, and had %q", first, morning)
			}
			return ""
		}
		for n := range keep + 3 {
			time.Sleep(time.Until(day(n)))
			for _, forenoon := range []bool{true, false} {
				// In the afternoon of the first day nobody tells the time at all.
				o.halfDay(n == 0, n > 0 || forenoon)
				wrong := check(n, forenoon)
				o.end(forenoon)
				if wrong != "" {
					t.Fatalf("day %d: %s", n, wrong)
				}
				time.Sleep(5 * time.Hour)
			}
		}
	})
}

// halfDay is a boot of a machine without a clock chip, in which somebody tells it the
// time or nobody does. In a bad one reader and receiver fail, and work again after
// somebody has set the clock by hand.
func (o *office) halfDay(bad, told bool) {
	o.reboot()
	o.machine.chipless = true
	o.start()
	o.pass(20*time.Second, 2*time.Second)
	o.machine.synced.Store(told)
	o.pass(20*time.Second, 2*time.Second)
	if bad {
		o.broken = []alerts.Alert{alerts.ReaderDeaf.Raise(nil, "door"), alerts.ReceiverGone.Raise(nil, "yard")}
		o.pass(time.Minute, 2*time.Second)
		o.machine.synced.Store(false)
		o.pass(time.Minute, 2*time.Second)
		o.broken = nil
		o.pass(10*time.Second, 2*time.Second)
	}
	o.pass(5*time.Minute, 20*time.Second)
}

// failed is what the sheet of a day says of reader and receiver, in order.
func (o *office) failed(day time.Time) (all []string) {
	for _, l := range o.sheet(day, day) {
		if l.what != "reader-door" && l.what != "receiver-yard" {
			continue
		}
		if l.open {
			l.to = time.Time{}
		}
		all = append(all, fmt.Sprintf("%s-%s %s", l.from.Format(time.DateTime), l.to.Format(time.DateTime), l.what))
	}
	slices.Sort(all)
	return all
}

// TestARestartAtNoon is no outage since the morning's last tap.
func TestARestartAtNoon(t *testing.T) {
	for name, clean := range map[string]bool{"stopped": true, "crashed": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOffice(t)
				began := time.Now()
				o.start()
				if _, err := o.d.journal.Append(t.Context(), presence.Draft{
					Kind: presence.KindBadge, At: o.d.time.Now(),
					Badge: &presence.Badge{Reader: "door", Badge: "h:aa", Card: "unknown", Assurance: "uid"},
				}); err != nil {
					t.Fatal(err)
				}
				o.pass(5*time.Hour, time.Second)
				o.end(clean)
				time.Sleep(5 * time.Second)
				o.start()
				sheet := o.sheet(began, time.Now())
				if len(sheet) != 1 || sheet[0].what != name || sheet[0].to.Sub(sheet[0].from) > alive || clean && sheet[0].to.Sub(sheet[0].from) > 6*time.Second {
					t.Errorf("a restart of 5 s reads %v", sheet)
				}
				o.end(true)
			})
		})
	}
}

// TestFlappingCostsLittle: at most 3 MB of writes a day, whatever flaps, the
// heartbeat and the clock's own notes among them.
func TestFlappingCostsLittle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		o.start()
		before := o.d.journal.Stats().Written
		flaps := []alerts.Alert{
			alerts.ReaderDeaf.Raise(nil, "door"), alerts.ReaderDead.Raise(nil, "back"),
			alerts.ReceiverGone.Raise(nil, "yard"), alerts.ReceiverGone.Raise(nil, "gate"), alerts.JournalFull.Raise(nil),
		}
		book := make([]byte, 6000) // of a clock that knows as many boots as it keeps
		for s := range 24 * 3600 {
			// Each has a period of its own: a loose contact every 12 s, one that
			// rests for longer than counts as flapping, and others.
			o.broken = o.broken[:0]
			for i, period := range []int{12, 1210, 60, 700, 3000} {
				if s%period < period/2 {
					o.broken = append(o.broken, flaps[i])
				}
			}
			if s%1800 == 900 {
				if err := o.d.journal.Save("clock", book); err != nil {
					t.Fatal(err)
				}
			}
			o.d.noteOutages(presence.Health{}, o.broken)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		s := o.d.journal.Stats()
		t.Logf("a day of loose contacts: %d commits, %d bytes, %d lines", s.Commits, s.Written-before, len(o.d.outages.log.All()))
		if s.Written-before > 3_000_000 {
			t.Errorf("%d bytes were written in a day", s.Written-before)
		}
		o.end(true)
	})
}
