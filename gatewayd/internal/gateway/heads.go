package gateway

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"presence/gatewayd/internal/alerts"
	"presence/gatewayd/internal/backoff"
	"presence/gatewayd/internal/journal"
	"presence/gatewayd/internal/presence"
)

// heads holds what the city says are its newest events against the journal. Where the two
// contradict each other, the journal was put back to an earlier state, or somebody else
// speaks in this gateway's name. That is made durable first; then an alert says so, and
// another gateway takes this one's place as at a reload, whose stream begins with a gap.
type heads struct {
	journal *journal.Journal
	log     *slog.Logger
	found   func() // is called once a contradiction is durable

	waiting chan presence.Head // to be checked
	anew    chan struct{}      // closed when a new stream is to begin

	once sync.Once // closes anew

	mu      sync.Mutex
	checked []presence.Head // the latest about which nothing is left to be done
}

const (
	// headRoom is how many heads wait to be checked. The city repeats those that are left
	// out: at the next start, or because their receipt did not count.
	headRoom = 16
	// headsRemembered is how many are remembered that were checked.
	headsRemembered = 64
	// headRetry is how long it is waited after a contradiction could not be made durable.
	headRetry = 10 * time.Second
	// headAlert is how long the alert stands at least, also over restarts.
	headAlert = 24 * time.Hour
)

func newHeads(j *journal.Journal, log *slog.Logger, found func()) *heads {
	return &heads{journal: j, log: log, found: found, waiting: make(chan presence.Head, headRoom), anew: make(chan struct{})}
}

// errUnchecked means that a receipt counts only after what it contradicts is durable: the
// city does not say it again once the gateway has taken notice.
var errUnchecked = errors.New("contradicts the journal, and that is not noted yet")

// Hear gets a head of the city. It returns up to which number the journal has what the city
// says it has: less than the head's where that goes further. It fails with errUnchecked
// where the journal contradicts the head and that is not durable yet.
func (h *heads) Hear(head presence.Head) (upto uint64, err error) {
	upto, reason := head.Seq, presence.GapForked
	same, there := h.journal.Agrees(head)
	if same {
		return upto, nil
	}
	if !there {
		reason = presence.GapRolledBack
		if last, known := h.journal.LastOf(head.Stream); known && last < upto {
			upto = last
		} else if known {
			return upto, nil // it is gone, as its time was over
		}
	}
	if h.journal.HeadKnown(head, reason) || h.isChecked(head) {
		return upto, nil
	}
	select {
	case h.waiting <- head:
	default:
	}
	return upto, errUnchecked
}

func (h *heads) isChecked(head presence.Head) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.checked, head)
}

// Run checks the heads that the city tells, until the context ends, and says when a new
// stream is to begin.
func (h *heads) Run(ctx context.Context) error {
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		due.Stop()
		in, waits := h.journal.HeadDue()
		if waits {
			due.Reset(in)
		}
		select {
		case head := <-h.waiting:
			if err := h.check(ctx, head); err != nil {
				return err
			}
		case <-due.C:
			if in > 0 {
				continue // it is looked again what the clock says
			}
			h.once.Do(func() { close(h.anew) })
			<-ctx.Done() // the next gateway goes on
			return ctx.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// check finds out whether the journal contradicts a head, and makes that durable.
func (h *heads) check(ctx context.Context, head presence.Head) error {
	c, contradicts, err := h.journal.CheckHead(head)
	if err != nil {
		return err
	}
	if contradicts {
		if err := h.note(ctx, c); err != nil {
			return err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checked = append(h.checked, head)
	h.checked = h.checked[max(len(h.checked)-headsRemembered, 0):]
	return nil
}

// note makes a contradiction durable, as soon as the disk takes it.
func (h *heads) note(ctx context.Context, c journal.Contradiction) error {
	for {
		err := h.journal.NoteHead(c)
		switch {
		case errors.Is(err, journal.ErrCrowded):
			return nil // the alert stands, and gaps will name as many as are of use
		case err == nil && c.More:
			return nil
		case err == nil:
			h.log.Error("the city confirms an event that the journal does not have like that",
				"reason", string(c.Reason), "event", c.Head.String(), "link", c.Head.Link.String())
			h.found()
			return nil
		}
		h.log.Error("what the city's receipt shows of the journal cannot be noted", "event", c.Head.String(), "error", err)
		if !backoff.Sleep(ctx, headRetry) {
			return ctx.Err()
		}
	}
}

// conditions are the alerts about contradictions: as long as the gateway that found or
// named one runs, and for a day at least.
func (h *heads) conditions(age func(presence.Reading) (least, most time.Duration)) (as []alerts.Alert) {
	latest := make(map[presence.GapReason]journal.Contradiction)
	for _, c := range h.journal.Contradictions() {
		if least, _ := age(c.Found); c.Here || least < headAlert {
			latest[c.Reason] = c
		}
	}
	for reason, kind := range map[presence.GapReason]alerts.Kind{
		presence.GapRolledBack: alerts.JournalRolledBack, presence.GapForked: alerts.JournalForked,
	} {
		if c, stands := latest[reason]; stands {
			as = append(as, kind.Raise(alerts.Values{"event": c.Head.String()}))
		}
	}
	return as
}
