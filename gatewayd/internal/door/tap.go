package door

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"presence/drivers/card"
	"presence/gatewayd/internal/presence"
)

// tap answers a card that came into the field and was seen at a reading, and has this
// identity. While it lies there, it extends its visit, unless it was refused.
func (d *Door) tap(ctx context.Context, reader string, c card.Card, id presence.Identity, seen presence.Reading, came time.Time, f *field) {
	if d.opt.Claims != nil && !card.Assurance(id.Assurance).Authenticated() {
		id.Claims = append(id.Claims[:len(id.Claims):len(id.Claims)], d.opt.Claims(c.UID)...)
	}
	a := presence.Answer{
		Reader: reader, UID: c.UID.String(), Card: string(c.Technology()),
		Badge: d.opt.Badges.Identity(id.Bytes), Assurance: id.Assurance,
	}
	if reason := refusal(id, d.demands(id)); reason != "" {
		a.Outcome, a.Reason, a.Detail = presence.Refused, reason, id.Detail
		d.refused(a)
	} else {
		d.accept(ctx, seen, id, &a)
	}
	d.opt.Lamp.Show(a.Outcome)
	a.Took = time.Since(came)
	if a.Outcome != presence.Refused {
		f.badges[c.UID] = a.Badge
	}
	d.count(a)
	if d.opt.Observe != nil {
		d.opt.Observe(a)
	}
}

// accept finds out whether the tap of a card that is let through is a repeat, and records
// it otherwise.
func (d *Door) accept(ctx context.Context, seen presence.Reading, id presence.Identity, a *presence.Answer) {
	before, repeat := d.claim(a.Badge, seen)
	if repeat {
		a.Outcome, a.Stream, a.Seq = presence.Repeat, before.stream, before.seq
		return
	}
	defer d.release(a, seen)
	body := &presence.Badge{Reader: a.Reader, Badge: a.Badge, Card: a.Card, Assurance: a.Assurance, Proof: id.Proof}
	if d.opt.Check != nil {
		body.Check = d.opt.Check(a.Badge, seen)
	}
	e, err := d.record(ctx, presence.Draft{Kind: presence.KindBadge, At: seen, Simulated: d.opt.Simulated, Badge: body})
	if err != nil {
		a.Outcome, a.Reason = presence.Refused, reason(err)
		d.opt.Log.Error("a tap was refused", "reader", a.Reader, "reason", a.Reason, "error", err)
		return
	}
	a.Outcome, a.Stream, a.Seq = presence.Accepted, e.Stream, e.Seq
}

// grace is how long a tap may still take to be recorded when the gateway stops.
const grace = 2 * time.Second

// record appends a draft. Once begun it is brought to its end although the gateway
// stops: if it were given up, it would not be known whether the tap is recorded.
func (d *Door) record(ctx context.Context, draft presence.Draft) (presence.Entry, error) {
	patient, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	return d.opt.Journal.Append(patient, draft)
}

// reason is the word for why a tap could not be recorded.
func reason(err error) string {
	var r interface{ Reason() string }
	switch {
	case errors.As(err, &r):
		return r.Reason()
	case errors.Is(err, context.Canceled):
		return "stopping"
	}
	return "write-failed"
}

// count counts an answer in the health of its reader and of the badges.
func (d *Door) count(a presence.Answer) {
	d.health(a.Reader, func(h *presence.ReaderHealth) {
		switch a.Outcome {
		case presence.Accepted:
			h.Taps++
		case presence.Repeat:
			h.Repeats++
		case presence.Refused:
			h.Refused++
		}
	})
	if a.Outcome != presence.Accepted {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch card.Assurance(a.Assurance) {
	case card.AssurancePIV:
		d.proven.AuthenticatedPIV++
	case card.AssuranceDESFire:
		d.proven.AuthenticatedDESFire++
	}
}

// BadgesHealth says what came of proofs at the door: the fields that count taps. The others
// are not the door's.
func (d *Door) BadgesHealth() presence.BadgesHealth {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.proven
	h.Refused = maps.Clone(h.Refused)
	return h
}

// warnEvery is how often it is logged at most that a reader refuses badges for the same
// reason: somebody may try a copy all day.
const warnEvery = time.Minute

// warning is when a refusal was logged last, and how many were not since.
type warning struct {
	logged time.Time
	silent int
}

// refused counts a card that was not let through, and logs it. Who took a badge away too
// early does it again: that is nobody's business but theirs.
func (d *Door) refused(a presence.Answer) {
	d.mu.Lock()
	d.proven.Refused[a.Reason]++
	what := a.Reader + " " + a.Reason
	w := d.warnings[what]
	quiet := !w.logged.IsZero() && time.Since(w.logged) < warnEvery
	if quiet {
		w.silent++
		d.warnings[what] = w
	} else {
		d.warnings[what] = warning{logged: time.Now()}
	}
	d.mu.Unlock()
	if quiet || a.Reason == presence.ReasonHoldLonger {
		return
	}
	args := []any{"reader", a.Reader, "reason", a.Reason, "card", a.Card}
	if a.Detail != "" {
		args = append(args, "detail", a.Detail)
	}
	if short, ok := brief(a.Badge); ok {
		args = append(args, "badge", short)
	}
	if w.silent > 0 {
		args = append(args, "not_logged", w.silent)
	}
	d.opt.Log.Warn("a badge was refused", args...)
}

// brief is as much of a badge's identity as finds it in an export, and tells nobody more.
// Nothing of a UID is shown.
func brief(badge string) (short string, ok bool) {
	const digits = 8
	if !strings.HasPrefix(badge, "h:") || len(badge) < 2+digits {
		return "", false
	}
	return badge[:2+digits], true
}
