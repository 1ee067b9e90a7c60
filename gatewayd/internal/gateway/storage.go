package gateway

import (
	"context"
	"errors"
	"math"
	"runtime/debug"
	"strconv"
	"time"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/backoff"
	"presence/gatewayd/internal/configured"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/supervise"
)

// openJournal opens the journal. Where the disk prevents it, the gateway runs all
// the same: the lamp is red, and an alert says why. Beside another gateway it fails
// instead, since the other one can record.
//
// A journal of another gateway is put aside, for its events must not go out under the name
// of this one. Beside another gateway it is a configuration that is wrong.
func (g *Gateway) openJournal(beside bool) error {
	if wrong := configured.CheckJournal(g.cfg); len(wrong) > 0 {
		if beside {
			return wrong
		}
		if err := g.setJournalAside(); err != nil {
			return errors.Join(wrong, err)
		}
	}
	opt := configured.Journal(g.cfg, g.time.Now, g.log)
	opt.Age, opt.Learned = g.time.Age, g.time.Changed
	opt.Seals.Signer, opt.Seals.Anchors = configured.Signer(g.seal.files), g.time.AnchorsAfter
	opt.Beat = g.process.systemd.Pulse("journal").Beat
	opt.Rescue = g.process.rescue()
	var err error
	var other *journal.OtherError
	if g.journal, err = journal.Open(opt); err == nil {
		g.recallForeign()
		return nil
	}
	if beside || errors.Is(err, journal.ErrHeld) || errors.As(err, &other) {
		return err
	}
	g.log.Error("nothing can be recorded until the journal can be opened", "error", err)
	g.journal, err = journal.Refuse(opt, err)
	return err
}

// rescuePatience is how long the service manager is to wait from each sign of
// progress of a rescue: one step is short, but a bad place on a card may be read
// for a long time.
const rescuePatience = 2 * time.Minute

// rescue returns a function that the journal calls as the replacement of a damaged
// file proceeds, with the part that is done: 0 at the start, 1 at the end. It asks
// the service manager to wait, and lifts the limit of the heap meanwhile: under the
// usual limit the time would be spent on collecting garbage where there is none.
func (p *process) rescue() func(done float64) {
	limit := int64(-1)
	opening := p.systemd.Pulse("opening")
	return func(done float64) {
		switch {
		case done >= 1:
			debug.SetMemoryLimit(limit)
			debug.FreeOSMemory()
			opening.Beat(openPatience) // the rest is not done yet
			return
		case done == 0:
			limit = debug.SetMemoryLimit(math.MaxInt64)
		}
		p.systemd.Extend(rescuePatience)
		opening.Beat(rescuePatience)
	}
}

// errOpens means that a journal which could not be opened can be opened by now.
var errOpens = errors.New("the journal can be opened again")

// awaitDisk waits until the journal can be opened, and then fails with errOpens, so
// that the gateway is started over and records as it should have from the start.
func (g *Gateway) awaitDisk(ctx context.Context) error {
	wait := backoff.Backoff{Min: time.Second, Max: 15 * time.Second}
	for backoff.Sleep(ctx, wait.Next()) {
		if journal.Writable(configured.JournalPath(g.cfg)) == nil {
			return supervise.Fatal(errOpens)
		}
	}
	return ctx.Err()
}

// journalHealth says what waits in the journal, and how the disk does.
func (g *Gateway) journalHealth() presence.JournalHealth {
	s := g.journal.Stats()
	h := presence.JournalHealth{
		Pending: s.Pending, Events: s.Events, Bytes: s.Bytes,
		CommitMSP50: ms(s.CommitP50), CommitMSP99: ms(s.CommitP99),
		WrittenBytesDay: s.WrittenBytesDay, FreeBytes: s.FreeBytes,
	}
	if s.Pending > 0 {
		if age, ok := g.time.Now().Since(s.OldestPending); ok && age > 0 {
			h.OldestPendingS = int64(age.Seconds())
		}
	}
	key := g.seal.files.Key()
	if key != nil {
		h.SealKey = key.KeyID().String()
	}
	if key != nil || g.cfg.Seal.KeyFile != "" {
		unsealed := g.journal.Sealing().Unsealed
		h.Unsealed = &unsealed
	}
	return h
}

// ms converts to milliseconds.
func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// journalConditions are the alerts about a journal that cannot record all.
func (g *Gateway) journalConditions() (as []alerts.Alert) {
	if w := g.journal.Damage(); w != nil {
		as = append(as, alerts.JournalDamaged.Raise(alerts.Values{
			"problem": w.Problem, "salvaged": strconv.Itoa(w.Salvaged), "lost": strconv.Itoa(w.Lost), "file": w.Quarantine,
		}))
	}
	if err := g.journal.Refused(); err != nil {
		return []alerts.Alert{alerts.JournalClosed.Raise(withError(err))}
	}
	if g.journal.Stats().Refusing {
		as = append(as, alerts.JournalFull.Raise(nil))
	}
	if ago, ever := g.journal.Yielded(); ever && ago < alerts.TagsDropped.Limit().Window {
		as = append(as, alerts.TagsDropped.Raise(nil))
	}
	return as
}
