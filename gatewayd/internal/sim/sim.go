package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"periph.io/x/conn/v3/spi"

	"presence/drivers/card"
	"presence/drivers/cardtest"
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
}

// New makes hardware without readers.
func New() *Hardware { return &Hardware{readers: make(map[string]*Reader)} }

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

// Tap is what `gatewayd sim tap` asks for.
type Tap struct {
	Reader string        `json:"reader"`
	UIDs   []string      `json:"uids"`
	Card   string        `json:"card"`
	Hold   time.Duration `json:"hold"`  // how long the cards stay at least
	Count  int           `json:"count"` // rounds; the UIDs are counted up
	Every  time.Duration `json:"every"` // from the start of one round to the next
}

// Result is the answer to one card of one tap.
type Result struct {
	UID       string  `json:"uid"`
	Outcome   string  `json:"outcome"` // "accepted", "repeat", "refused" or "none"
	Stream    string  `json:"stream,omitempty"`
	Seq       uint64  `json:"seq,omitempty"`
	LatencyMS float64 `json:"latency_ms"`
	Reason    string  `json:"reason,omitempty"`
}

// Line is one line of the answer to a Tap: a result, or at last why it ended
// early.
type Line struct {
	Result
	Error   string `json:"error,omitempty"`
	ErrorID string `json:"error_id,omitempty"` // in Indonesian
	// Reload says that the gateway starts over with another configuration, and
	// will do what is left of the tap if it is asked again.
	Reload bool `json:"reload,omitempty"`
}

// Rest is what is left to do of a tap after these results, in the order in which
// it is to be asked for: the cards of the round that has begun, then the rounds
// after it.
func (t Tap) Rest(done []Result) ([]Tap, error) {
	perRound := len(t.UIDs)
	rounds := len(done) / perRound
	answered := make(map[string]bool)
	for _, r := range done[rounds*perRound:] {
		answered[r.UID] = true
	}
	current, next := make([]string, perRound), make([]string, perRound)
	for i, s := range t.UIDs {
		uid, err := card.ParseUID(s)
		if err != nil {
			return nil, err
		}
		for range rounds {
			uid = countUp(uid)
		}
		current[i], next[i] = uid.String(), countUp(uid).String()
	}
	left := max(t.Count, 1) - rounds
	if left <= 0 {
		return nil, nil
	}
	if len(answered) == 0 {
		rest := t
		rest.UIDs, rest.Count = current, left
		return []Tap{rest}, nil
	}
	begun := t
	begun.UIDs, begun.Count = slices.DeleteFunc(current, func(uid string) bool { return answered[uid] }), 1
	if left == 1 {
		return []Tap{begun}, nil
	}
	rest := t
	rest.UIDs, rest.Count = next, left-1
	return []Tap{begun, rest}, nil
}

// ReaderFault is what `gatewayd sim reader` asks for.
type ReaderFault struct {
	Reader string `json:"reader"`
	Fault  string `json:"fault"`
}

// ClockState is what `gatewayd sim clock` asks for.
type ClockState struct {
	Synced bool          `json:"synced"`
	Offset time.Duration `json:"offset"`
}

// Check says what is wrong with a tap before anything is put into a field.
func (t *Tap) Check() error {
	if len(t.UIDs) == 0 {
		return language.Errorf("no uid given", "tidak ada UID yang disebutkan")
	}
	if len(t.UIDs) > 16 {
		return language.Errorf("%d cards at once: want at most 16", "%d kartu sekaligus: paling banyak 16", len(t.UIDs))
	}
	seen := make(map[string]bool)
	for _, s := range t.UIDs {
		uid, err := card.ParseUID(s)
		if err != nil {
			return err
		}
		if seen[uid.String()] {
			return language.Errorf("uid %s given twice", "UID %s disebutkan dua kali", uid)
		}
		seen[uid.String()] = true
		if _, err := cardtest.New(uid, card.Technology(t.Card)); err != nil {
			return language.Errorf("card %.40q: want one of %s", "kartu %.40q: tulis salah satu dari %s", t.Card, strings.Trim(fmt.Sprint(card.Technologies()), "[]"))
		}
	}
	if t.Hold < 0 || t.Hold > time.Hour || t.Every < 0 || t.Every > time.Hour {
		return language.Errorf("hold and every: want 0s to 1h", "hold dan every: tulis 0s sampai 1h")
	}
	if t.Count < 0 || t.Count > 1_000_000 {
		return language.Errorf("count %d: want 1 to 1000000", "count %d: tulis 1 sampai 1000000", t.Count)
	}
	return nil
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
		if err := r.tap(ctx, uids, card.Technology(t.Card), t.Hold, report); err != nil {
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
func (r *Reader) tap(ctx context.Context, uids []card.UID, tech card.Technology, hold time.Duration, report func(Result)) error {
	cards := make([]*cardtest.Card, len(uids))
	for i, uid := range uids {
		c, err := cardtest.New(uid, tech)
		if err != nil {
			return err
		}
		cards[i] = c
		if err := r.stayAway(ctx, uid); err != nil {
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
	for _, c := range cards {
		r.field.Put(c)
	}
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for i, uid := range uids {
			r.field.Remove(cards[i])
			delete(r.waiting, uid.String())
			r.removed[uid.String()] = removal{time.Now(), r.scans}
		}
	}()

	pending := make(map[string]bool, len(uids))
	for _, uid := range uids {
		pending[uid.String()] = true
	}
	deadline := time.NewTimer(answerWithin)
	defer deadline.Stop()
	for len(pending) > 0 {
		select {
		case a := <-answers:
			delete(pending, a.UID)
			res := Result{
				UID: a.UID, Outcome: string(a.Outcome), Seq: a.Seq, Reason: a.Reason,
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
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if !backoff.Sleep(ctx, hold-time.Since(started)) {
		return ctx.Err()
	}
	return nil
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

// countUp is the next identifier of the same size, as of a big-endian number.
func countUp(uid card.UID) card.UID {
	b := uid.Bytes()
	for i := len(b) - 1; i >= 0; i-- {
		b[i]++
		if b[i] != 0 {
			break
		}
	}
	next, err := card.NewUID(b)
	if err != nil {
		panic("count up " + uid.String() + ": " + err.Error()) // same length as before
	}
	return next
}
