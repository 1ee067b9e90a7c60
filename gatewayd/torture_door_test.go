package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/sim"
)

// tap shows one card after the other, and some again.
func (w *torture) tap(ctx context.Context, worker int) {
	r := rand.New(rand.NewPCG(w.seed, 1+uint64(worker)))
	state := filepath.Join(w.g.dir, "state")
	var recent, unanswered []string
	const rounds = 8
	for n := 0; ctx.Err() == nil; {
		d, err := control.Dial(state)
		if err != nil {
			select { // it is dead at the moment
			case <-time.After(5 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		if uid := w.again(r, &unanswered, recent); uid != "" {
			unanswered = append(unanswered, w.show(d, [][]string{{uid}})...)
			continue
		}
		several := make([][]string, rounds)
		lanes := 1 + r.IntN(3) // cards at once
		for round := range several {
			for lane := range lanes {
				several[round] = append(several[round], fmt.Sprintf("04%02X%02X%08X", worker, lane, n))
			}
			n++
		}
		unanswered = append(unanswered, w.show(d, several)...)
		recent = several[0]
	}
}

// again chooses a card that was shown before, "" for a new one: rather one whose
// holder saw no light, and comes back.
func (w *torture) again(r *rand.Rand, unanswered *[]string, recent []string) string {
	const remembered = 64
	*unanswered = (*unanswered)[max(0, len(*unanswered)-remembered):]
	uid := ""
	switch chance := r.IntN(10); {
	case chance < 5 && len(*unanswered) > 0:
		last := len(*unanswered) - 1
		uid, *unanswered = (*unanswered)[last], (*unanswered)[:last]
	case chance < 7 && len(recent) > 0:
		uid = recent[r.IntN(len(recent))]
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if c, shown := w.cards[uid]; !shown || time.Since(c.first) > tortureAgain {
		return ""
	}
	return uid
}

// show holds the cards of each round to the reader together, the next when the
// ones before are answered. It returns the cards that saw no answer.
func (w *torture) show(d *control.Client, rounds [][]string) (unanswered []string) {
	pending := w.shown(rounds[0])
	defer func() {
		unanswered = slices.Collect(maps.Keys(pending))
		w.mu.Lock()
		defer w.mu.Unlock()
		w.silent += len(pending)
	}()
	// It ends with the daemon, which is killed soon.
	body, err := control.Post(context.Background(), d, "/sim/tap",
		sim.Tap{Reader: "door", UIDs: rounds[0], Card: "mifare-classic-1k", Count: len(rounds)})
	if err != nil {
		return nil
	}
	defer body.Close()
	for dec := json.NewDecoder(body); ; {
		var l sim.Line
		if err := dec.Decode(&l); err != nil {
			return nil
		}
		if l.Error != "" || !pending[l.UID] {
			w.t.Errorf("the door answers %+v", l)
			return nil
		}
		if l.Outcome == "none" {
			continue // it stays without an answer
		}
		delete(pending, l.UID)
		w.answered(l.Result)
		if len(pending) == 0 && len(rounds) > 1 {
			rounds = rounds[1:]
			pending = w.shown(rounds[0])
		}
	}
}

// shown notes that cards come into the field.
func (w *torture) shown(uids []string) map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	pending := make(map[string]bool)
	for _, uid := range uids {
		pending[uid] = true
		if w.cards[uid] == nil {
			w.cards[uid] = &tortureCard{first: time.Now()}
		}
		w.cards[uid].taps++
	}
	return pending
}

// answered notes what the lamp said.
func (w *torture) answered(r sim.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.cards[r.UID]
	id := fmt.Sprintf("%s-%d", r.Stream, r.Seq)
	switch r.Outcome {
	case string(presence.Accepted):
		w.green++
		c.loose = c.loose || time.Since(c.first) >= tortureWindow
		if c.id != "" && !c.loose {
			w.faults.invent("%s went green as %s and again as %s", r.UID, c.id, id)
		}
		c.id = id
	case string(presence.Repeat):
		w.repeats++
		if c.taps == 1 || c.id != "" && c.id != id {
			w.faults.invent("the tap %d of %s is called a repeat of %s; it is %q", c.taps, r.UID, id, c.id)
		}
		c.id = id // of one that saw no light, but is recorded
	default:
		w.refused++
		w.t.Errorf("%s was refused: %s", r.UID, r.Reason)
	}
}
