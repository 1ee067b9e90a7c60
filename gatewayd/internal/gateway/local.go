package gateway

import (
	"context"
	"io"
	"os"

	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/export"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/person"
	"presence/gatewayd/internal/presence"
)

// control is what the gateway answers on its control socket.
func (g *Gateway) control() control.Daemon {
	return control.Daemon{
		Health: g.monitor.Snapshot,
		Owner:  os.Geteuid(),
		Watch: func(ctx context.Context, line func(control.WatchLine) error) error {
			g.note(export.Access{Action: export.ActionWatch, UID: control.Caller(ctx)})
			return g.watch(ctx, line)
		},
		Export: func(ctx context.Context, w io.Writer, x export.Request, who int) error {
			g.note(export.AccessOf(x, who))
			source := export.Source{
				Origin: g.origin, Times: g.time.Clock, Revisions: g.exportRevisions, Estimates: export.Published(g.journal, g.time.Clock),
				Journal: g.journal, Outages: g.outages.log.All(),
				Now: func() presence.Timing { return g.time.Timing(g.time.Now()) },
			}
			if x.Sealed {
				source.Upto = g.sealForExport(ctx)
			}
			return source.Write(ctx, w, x)
		},
		Record: func(ctx context.Context, receiver string, w io.Writer) error {
			g.note(export.Access{Action: export.ActionRecord, UID: control.Caller(ctx)})
			return g.record(ctx, receiver, w)
		},
		Forget: func(ctx context.Context, p person.Person) (control.Forgotten, error) {
			g.note(export.Access{Action: export.ActionForget, UID: control.Caller(ctx)})
			f, err := g.journal.Forget(ctx, p.Names)
			if err != nil {
				return control.Forgotten{}, err
			}
			g.door.Forgotten(func(stream presence.ID, seq uint64) bool {
				_, found := g.journal.Find(stream, seq)
				return found
			})
			for _, badge := range p.Badges {
				g.badges.prover.Forget(badge)
			}
			if g.tags.staff != nil {
				g.tags.staff.Reread()
			}
			g.log.Info("a person was forgotten", "events", f.Kinds, "waiting", f.Waiting)
			return control.Forgotten{Kinds: f.Kinds, Waiting: f.Waiting}, nil
		},
		Verify: func(ctx context.Context, w io.Writer, l language.Language) (bool, error) {
			seals := g.seal.files.Checker()
			r, err := g.journal.Verify(ctx, seals.Check)
			if err != nil {
				return false, err
			}
			r.Seals = seals.Said()
			_, err = io.WriteString(w, r.In(l))
			return r.Whole(), err
		},
		Reloading: g.process.reloading.Load,
		Hardware:  g.mocks,
		Clock:     g.time.sim,
	}
}

// note records who looks at people's data or removes it, before that happens: in the
// log of exports, and through the log to the city.
func (g *Gateway) note(l export.Access) {
	l.Time = g.time.stamp()
	if err := l.Append(g.cfg.Gateway.StateDir); err != nil {
		g.log.Error("a look at people's data is not in the log of exports", "action", l.Action, "uid", l.UID, "error", err)
	}
	details := []any{"action", l.Action, "uid", l.UID}
	for _, detail := range [][2]string{{"format", l.Format}, {"day", l.Day}, {"month", l.Month}, {"since", l.Since}, {"until", l.Until}} {
		if detail[1] != "" {
			details = append(details, detail[0], detail[1])
		}
	}
	if l.Badges > 0 {
		details = append(details, "badges", l.Badges)
	}
	if l.Sealed {
		details = append(details, "sealed", true)
	}
	g.log.Warn("somebody looks at people's data, or removes it", details...)
}

// sealForExport seals what is recorded by now, and returns the position up to which that
// is. What cannot be sealed is exported all the same: that its end is not sealed shows in
// what is exported.
func (g *Gateway) sealForExport(ctx context.Context) (upto uint64) {
	if err := g.journal.Flush(ctx); err != nil {
		g.log.Warn("what waits for the disk is not exported", "error", err)
	}
	upto = g.journal.End()
	if err := g.journal.Seal(ctx); err != nil {
		g.log.Warn("an export is not sealed at its end", "error", err)
	}
	return upto
}

// exportRevisions returns the revisions of events for an export: what the city has,
// or will have. On a full disk they cannot be saved, but whoever asked gets an
// export all the same.
func (g *Gateway) exportRevisions(ctx context.Context, entries []presence.Entry) ([]presence.Revision, error) {
	all, err := g.line.RevisionsOutOfTurn(ctx, entries)
	if err == nil || ctx.Err() != nil {
		return all, err
	}
	g.log.Warn("the city may be told other times than an export", "error", err)
	return export.Published(g.journal, g.time.Clock)(ctx, entries)
}
