package gateway

import (
	"context"
	"sync"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/language"
)

// waitingEvents is what was found out about the events that waited for delivery when the
// gateway started: whoever had the card meanwhile may have changed them.
type waitingEvents struct {
	mu      sync.Mutex
	altered language.Text // the first thing that is wrong; zero: nothing
}

// checkWaiting checks once, beside everything else, the events that are about to be
// delivered. They are delivered in any case: what the card holds is evidence, and only who
// reads all of it can say what it is worth.
func (g *Gateway) checkWaiting(ctx context.Context) error {
	checker := g.seal.files.Checker()
	r, err := g.journal.CheckWaiting(ctx, checker.Check)
	if err == nil && !r.Whole() && g.journal.Refused() == nil {
		g.log.Error("events that wait for delivery were changed", "problem", r.Damage[0].EN, "problems", len(r.Damage))
		g.waiting.mu.Lock()
		g.waiting.altered = r.Damage[0]
		g.waiting.mu.Unlock()
		g.monitor.Refresh()
	}
	<-ctx.Done()
	return ctx.Err()
}

// conditions is the alert about changed events, for as long as this gateway runs.
func (w *waitingEvents) conditions() []alerts.Alert {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.altered == (language.Text{}) {
		return nil
	}
	return []alerts.Alert{alerts.JournalAltered.Raise(alerts.Values{"problem": w.altered.EN})}
}
