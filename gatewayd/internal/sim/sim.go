package sim

import (
	"context"
	"slices"
	"sync"
	"time"

	"periph.io/x/conn/v3/spi"

	"presence/drivers/card"
	"presence/drivers/cardtest"
	"presence/drivers/cardtest/applets"
	"presence/gatewayd/internal/backoff"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
)

// answerWithin is how long a tap waits for the lamp.
const answerWithin = 5 * time.Second

// Chip is a reader chip in software.
type Chip interface {
	// Port opens the bus that the chip is wired to, anew at each call.
	Port() spi.PortCloser
	// Break gives the chip a fault by name ("deaf", "bus-low", "bus-high", "hang")
	// or mends it ("none").
	Break(fault string) error
}

// Reader is one mocked reader: its chip and the field before its antenna.
type Reader struct {
	Name  string
	Chip  Chip
	field *cardtest.Field
	// goneAfter is how long a card must be away for the door to have noticed, as far
	// as time tells: see Scanned.
	goneAfter time.Duration

	mu      sync.Mutex
	waiting map[string]chan<- presence.Answer // by UID
	removed map[string]removal                // when a UID last left the field
	scans   uint64                            // as told by Scanned
	scanned chan struct{}                     // closed at the next scan, and made anew
}

// removal is when a card left the field.
type removal struct {
	at    time.Time
	scans uint64 // that had been told by then
}

// A card is taken for gone once some scans in a row have missed it. On a machine that
// is busy they take longer than by the interval, but not for ever.
const (
	scansAway   = 5               // one that had begun, the three of the door, and one to spare
	scansWithin = 2 * time.Second // a reader that does not work scans nothing
)

// Hardware is all mocked readers of a daemon.
type Hardware struct {
	readers map[string]*Reader

	mu       sync.Mutex
	programs map[badge]applets.Program // of the badges that were tapped
}

// New makes hardware without readers.
func New() *Hardware {
	return &Hardware{readers: make(map[string]*Reader), programs: make(map[badge]applets.Program)}
}

// Add mocks one more reader, which is polled at the given interval, with a chip
// over the field that it makes.
func (h *Hardware) Add(name string, poll time.Duration, chip func(*cardtest.Field) Chip) *Reader {
	field := cardtest.NewField()
	r := &Reader{
		Name: name, field: field, Chip: chip(field),
		goneAfter: 6*poll + 50*time.Millisecond,
		waiting:   make(map[string]chan<- presence.Answer),
		removed:   make(map[string]removal),
		scanned:   make(chan struct{}),
	}
	h.readers[name] = r
	return r
}

// Reader finds a mocked reader by name.
func (h *Hardware) Reader(name string) (*Reader, error) {
	if r, ok := h.readers[name]; ok {
		return r, nil
	}
	return nil, language.Errorf("no reader %q with bus = \"sim\" in the configuration", "tidak ada pembaca %q dengan bus = \"sim\" dalam konfigurasi", name)
}

// Break gives the reader's chip a fault by name, or mends it; see Chip.
func (r *Reader) Break(fault string) error { return r.Chip.Break(fault) }

// Scanned is told of each scan that succeeded, whatever lay in the field. It never
// blocks. With it a card stays away until the door has seen that it is gone, also where
// that takes longer than it should; a reader that nobody tells of goes by time alone.
func (r *Reader) Scanned() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.scans++
	close(r.scanned)
	r.scanned = make(chan struct{})
}

// Observe takes the door's answers. It never blocks.
func (h *Hardware) Observe(a presence.Answer) {
	r, ok := h.readers[a.Reader]
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.waiting[a.UID]; ok {
		delete(r.waiting, a.UID)
		c <- a // has room for the answers to all cards of its tap
	}
}

// Run does the tap round by round and reports each card's result as soon as it
// is known.
func (h *Hardware) Run(ctx context.Context, t Tap, report func(Result)) error {
	if err := t.Check(); err != nil {
		return err
	}
	r, err := h.Reader(t.Reader)
	if err != nil {
		return err
	}
	uids := make([]card.UID, len(t.UIDs))
	for i, s := range t.UIDs {
		if uids[i], err = card.ParseUID(s); err != nil {
			return err
		}
	}
	for round := range max(t.Count, 1) {
		started := time.Now()
		cards := make([]*cardtest.Card, len(uids))
		for i, uid := range uids {
			if cards[i], err = h.card(t, uid); err != nil {
				return err
			}
		}
		if err := r.tap(ctx, cards, t, report); err != nil {
			return err
		}
		if round+1 < t.Count && !backoff.Sleep(ctx, t.Every-time.Since(started)) {
			return ctx.Err()
		}
		for i := range uids {
			uids[i] = countUp(uids[i])
		}
	}
	return nil
}

// tap puts the cards into the field together and takes them out again.
func (r *Reader) tap(ctx context.Context, cards []*cardtest.Card, t Tap, report func(Result)) error {
	uids := make([]card.UID, len(cards))
	for i, c := range cards {
		uids[i] = c.UID()
		if err := r.stayAway(ctx, uids[i]); err != nil {
			return err
		}
	}
	answers := make(chan presence.Answer, len(uids))
	r.mu.Lock()
	for _, uid := range uids {
		if _, busy := r.waiting[uid.String()]; busy {
			r.mu.Unlock()
			return language.Errorf("card %s is being tapped at %s already", "kartu %s sedang ditempelkan di %s", uid, r.Name)
		}
	}
	for _, uid := range uids {
		r.waiting[uid.String()] = answers
	}
	r.mu.Unlock()

	started := time.Now()
	r.field.Put(cards...)
	defer func() {
		r.takeAway(cards, uids)
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, uid := range uids {
			delete(r.waiting, uid.String())
		}
	}()
	leaving := departure{reader: r, cards: cards, after: t.Leave}
	pending := make(map[string]bool, len(uids))
	for _, uid := range uids {
		pending[uid.String()] = true
	}
	deadline := time.NewTimer(answerWithin)
	defer deadline.Stop()
	for len(pending) > 0 {
		scanned, leave := leaving.due()
		select {
		case <-scanned:
		case a := <-answers:
			delete(pending, a.UID)
			res := Result{
				UID: a.UID, Outcome: string(a.Outcome), Seq: a.Seq, Reason: a.Reason, Detail: a.Detail,
				LatencyMS: float64(time.Since(started).Microseconds()) / 1000,
			}
			if !a.Stream.IsZero() {
				res.Stream = a.Stream.String()
			}
			report(res)
		case <-deadline.C:
			for uid := range pending {
				report(Result{UID: uid, Outcome: "none", LatencyMS: float64(answerWithin.Milliseconds())})
			}
			clear(pending)
		case <-leave:
			r.takeAway(cards, uids)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if !backoff.Sleep(ctx, t.Hold-time.Since(started)) {
		return ctx.Err()
	}
	return nil
}

// departure is when the cards of a tap are taken away, answered or not: so long after the
// reader has found the first of them. Counted from when they were laid there, they could
// be gone before the reader has looked at all.
type departure struct {
	reader *Reader
	cards  []*cardtest.Card
	after  time.Duration // 0: they stay
	leave  <-chan time.Time
}

// due returns what is closed when it is to be asked again, and what tells that the cards
// leave; nil is never. A reader that has told of no scan goes by time alone.
func (d *departure) due() (scanned <-chan struct{}, leave <-chan time.Time) {
	if d.after == 0 || d.leave != nil {
		return nil, d.leave
	}
	d.reader.mu.Lock()
	told, next := d.reader.scans > 0, d.reader.scanned
	d.reader.mu.Unlock()
	if told && !slices.ContainsFunc(d.cards, spokenTo) {
		return next, nil
	}
	d.leave = time.After(d.after)
	return nil, d.leave
}

// spokenTo reports whether a reader has selected a card, or had it sleep, since it came.
func spokenTo(c *cardtest.Card) bool {
	s := c.State()
	return s != cardtest.Off && s != cardtest.Idle
}

// takeAway takes those cards out of the field that are still there.
func (r *Reader) takeAway(cards []*cardtest.Card, uids []card.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	there := r.field.Cards()
	for i, c := range cards {
		if slices.Contains(there, c) {
			r.field.Remove(c)
			r.removed[uids[i].String()] = removal{time.Now(), r.scans}
		}
	}
}

// stayAway waits until the door takes the card's next visit as a new one.
func (r *Reader) stayAway(ctx context.Context, uid card.UID) error {
	left, ok := r.left(uid)
	if !ok {
		return nil
	}
	if !backoff.Sleep(ctx, time.Until(left.at.Add(r.goneAfter))) {
		return ctx.Err()
	}
	enough := time.NewTimer(time.Until(left.at.Add(scansWithin)))
	defer enough.Stop()
	for {
		r.mu.Lock()
		missed, next := r.scans == 0 || r.scans >= left.scans+scansAway, r.scanned
		r.mu.Unlock()
		if missed {
			return nil
		}
		select {
		case <-next:
		case <-enough.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// left is when a card left the field, if it was there lately.
func (r *Reader) left(uid card.UID) (removal, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for uid, left := range r.removed {
		if time.Since(left.at) > max(r.goneAfter, scansWithin) {
			delete(r.removed, uid)
		}
	}
	left, ok := r.removed[uid.String()]
	return left, ok
}
