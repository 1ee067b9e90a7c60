package sim

import (
	"slices"
	"time"

	"presence/drivers/card"
	"presence/gatewayd/internal/language"
)

// Tap is what `gatewayd sim tap` asks for.
type Tap struct {
	Reader string        `json:"reader"`
	UIDs   []string      `json:"uids"`
	Card   string        `json:"card"`  // a card.Technology or an applets.Kind, or "clone-of:UID"
	Hold   time.Duration `json:"hold"`  // how long the cards stay at least
	Count  int           `json:"count"` // rounds; the UIDs are counted up
	Every  time.Duration `json:"every"` // from the start of one round to the next
	// Rogue is what is wrong with a badge, a name of applets.Rogues; "" is nothing.
	Rogue string `json:"rogue,omitempty"`
	// Leave is how long after the reader has found the first of them the cards are taken
	// away, answered or not; 0 is never before they are answered, or nobody waits for that
	// any more.
	Leave time.Duration `json:"leave,omitempty"`
}

// Result is the answer to one card of one tap.
type Result struct {
	UID       string  `json:"uid"`
	Outcome   string  `json:"outcome"` // "accepted", "repeat", "refused" or "none"
	Stream    string  `json:"stream,omitempty"`
	Seq       uint64  `json:"seq,omitempty"`
	LatencyMS float64 `json:"latency_ms"`
	Reason    string  `json:"reason,omitempty"`
	// Detail says in one word what was wrong with a badge that could not prove itself.
	Detail string `json:"detail,omitempty"`
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

// Check says what is wrong with a tap before anything is put into a field. The UID in
// "clone-of:UID" becomes that of the tap.
func (t *Tap) Check() error {
	if err := t.cloned(); err != nil {
		return err
	}
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
	}
	if err := t.checkCard(); err != nil {
		return err
	}
	if t.Hold < 0 || t.Hold > time.Hour || t.Every < 0 || t.Every > time.Hour || t.Leave < 0 || t.Leave > time.Hour {
		return language.Errorf("hold and every: want 0s to 1h", "hold dan every: tulis 0s sampai 1h")
	}
	if t.Count < 0 || t.Count > 1_000_000 {
		return language.Errorf("count %d: want 1 to 1000000", "count %d: tulis 1 sampai 1000000", t.Count)
	}
	return nil
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
