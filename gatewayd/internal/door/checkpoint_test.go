package door_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"presence/drivers/card"
	"presence/gatewayd/internal/door"
	"presence/gatewayd/internal/presence"
)

// selecting is a chip that can select a card. The prover of these tests knows what the
// cards answer, so nothing goes over the air.
type selecting struct{ *chip }

func (s selecting) Select(context.Context, card.Card, func(card.Frames) error) error { return nil }

// answer is what comes of one attempt at a card.
type answer struct {
	takes time.Duration
	id    presence.Identity
	err   error
}

// judge is a prover with an answer for each attempt at a card; the last one stays.
type judge struct {
	now func() presence.Reading

	mu      sync.Mutex
	answers map[card.UID][]answer
	asked   []string // UIDs, in order
	seen    []presence.Reading
	within  []time.Duration // for how long each attempt might take
}

func (j *judge) Prove(ctx context.Context, _ card.Selector, c card.Card, seen presence.Reading) (presence.Identity, error) {
	j.mu.Lock()
	list := j.answers[c.UID]
	a := answer{id: door.Plain(c)}
	if len(list) > 0 {
		a = list[0]
	}
	if len(list) > 1 {
		j.answers[c.UID] = list[1:]
	}
	j.asked, j.seen = append(j.asked, c.UID.String()), append(j.seen, seen)
	if until, ok := ctx.Deadline(); ok {
		j.within = append(j.within, time.Until(until))
	}
	j.mu.Unlock()
	select {
	case <-time.After(a.takes):
	case <-ctx.Done():
		return door.Plain(c), ctx.Err()
	}
	return a.id, a.err
}

func (j *judge) attempts() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.asked)
}

// checkpoint is a gate whose cards can prove who they are.
type checkpoint struct {
	*gate
	judge    *judge
	chip     *chip
	log      *bytes.Buffer
	least    map[string]card.Assurance // by the hex digits of an identity
	revoked  map[string]bool
	required bool
	beats    []time.Duration
	ctx      context.Context //nolint:containedctx // of the readers, within the test's bubble
}

// proving runs a test with one reader that can select cards; set changes it beforehand.
func proving(t *testing.T, set func(*checkpoint), f func(*checkpoint)) {
	synctest.Test(t, func(t *testing.T) {
		p := &checkpoint{
			gate: &gate{t: t, journal: &ledger{}, now: clock()}, judge: &judge{answers: make(map[card.UID][]answer)}, chip: &chip{},
			log: new(bytes.Buffer), least: make(map[string]card.Assurance), revoked: make(map[string]bool),
		}
		p.judge.now = p.now
		if set != nil {
			set(p)
		}
		name := func(identity []byte) string { return fmt.Sprintf("%X", identity) }
		p.door = door.New(door.Options{
			RepeatWindow: time.Minute, Badges: presence.PlainBadges(), Journal: p.journal, Lamp: p.gate, Now: p.now, Sights: p.journal,
			Prover: p.judge, RequireAuthenticated: p.required,
			Least:   func(identity []byte) card.Assurance { return p.least[name(identity)] },
			Revoked: func(identity []byte) bool { return p.revoked[name(identity)] },
			Claims:  func(uid card.UID) [][]byte { return [][]byte{guidOf(uid)} },
			Log:     slog.New(slog.NewTextHandler(p.log, nil)),
			Observe: func(a presence.Answer) {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.answers = append(p.answers, a)
			},
			Trouble: func(on bool) {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.trouble = append(p.trouble, on)
			},
		}, "door", "gate")
		p.ctx, p.cancel = context.WithCancel(t.Context())
		defer p.close()
		p.run("door", p.chip)
		f(p)
	})
}

// run serves another reader until the test ends.
func (p *checkpoint) run(name string, c *chip) {
	open := func(ctx context.Context) (card.Reader, error) {
		if _, err := c.open(ctx); err != nil {
			return nil, err
		}
		return selecting{c}, nil
	}
	beat := func(next time.Duration) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.beats = append(p.beats, next)
	}
	p.tasks.Go(func() { _ = p.door.Run(p.ctx, door.Reader{Name: name, Poll: poll, Open: open, Beat: beat}) })
}

// smart is a card that speaks ISO/IEC 14443-4.
func smart(n uint32) card.Card {
	c := badge(n)
	c.SAK = card.SAKLayer4
	return c
}

// guidOf stands for the GUID of a PIV badge with a fixed UID.
func guidOf(uid card.UID) []byte { return append([]byte("guid of "), uid.Bytes()...) }

// signed is the identity of a card that has signed with the key of its certificate.
func signed(c card.Card) presence.Identity {
	return presence.Identity{
		Bytes: guidOf(c.UID), Assurance: string(card.AssurancePIV), Claims: [][]byte{c.UID.Bytes()},
		Proof: &presence.Proof{Random: [16]byte{1}, Signature: []byte{0x30}, Certificate: [32]byte{2}},
	}
}

// keyed is the identity of a card that has shown its symmetric key.
func keyed(c card.Card) presence.Identity {
	return presence.Identity{Bytes: c.UID.Bytes(), Assurance: string(card.AssuranceDESFire)}
}

// failing is the identity of a card that could not prove who it is.
func failing(c card.Card, detail string) presence.Identity {
	id := door.Plain(c)
	id.Detail = detail
	return id
}

// got are the answers so far.
func (p *checkpoint) got() []presence.Answer {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.answers)
}

// said are the answers so far: "accepted", or "refused downgrade".
func (p *checkpoint) said() (all []string) {
	for _, a := range p.got() {
		all = append(all, strings.TrimSpace(string(a.Outcome)+" "+a.Reason))
	}
	return all
}

func (p *checkpoint) expectAll(want ...string) {
	p.t.Helper()
	if got := p.said(); !slices.Equal(got, want) {
		p.t.Fatalf("answered %q, want %q", got, want)
	}
}

// hex is an identity as the roster of these tests has it.
func hex(identity []byte) string { return fmt.Sprintf("%X", identity) }
