package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"presence/drivers/card"
	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/sim"
)

type simCmd struct {
	Tap    simTapCmd    `cmd:"" help:"Put cards into the field of a mocked reader and print the lamp's answer to each."`
	Reader simReaderCmd `cmd:"" help:"Break a mocked reader, or mend it."`
	Clock  simClockCmd  `cmd:"" help:"Set the mocked clock ([clock] source = \"sim\")."`

	BadgeCA simBadgeCACmd `cmd:"" name:"badge-ca" help:"Print the authority (PEM) of mocked PIV badges, for ca_file of a gateway with mocked readers. It needs no gateway that runs."`
}

type simTapCmd struct {
	Reader string         `required:"" help:"The reader's name."`
	UID    []string       `name:"uid" sep:"none" help:"A card's UID in hex: 4, 7 or 10 bytes. Several: several cards at once. A clone has the UID of its original." placeholder:"HEX"`
	Card   string         `default:"mifare-classic-1k" help:"The kind of card: ${cards}. A clone shows somebody's UID and proves nothing."`
	Rogue  string         `help:"What is wrong, or unusual, with a card that proves who it is: ${rogues}." placeholder:"NAME"`
	Hold   *time.Duration `help:"How long the cards stay in the field; 200ms if not given, and at least until they are answered. With it a card that proves who it is will be taken away so long after the reader has found it, answered or not." placeholder:"200ms"`
	Count  int            `default:"1" help:"How many taps; the UID is counted up."`
	Every  time.Duration  `default:"500ms" help:"From one tap to the next."`
}

// tap is what the gateway is asked for.
func (t simTapCmd) tap() sim.Tap {
	tap := sim.Tap{Reader: t.Reader, UIDs: t.UID, Card: t.Card, Rogue: t.Rogue, Hold: 200 * time.Millisecond, Count: t.Count, Every: t.Every}
	if t.Hold != nil {
		tap.Hold = *t.Hold
		if sim.Badge(t.Card) {
			tap.Leave = max(*t.Hold, time.Millisecond) // 0 would be never
		}
	}
	return tap
}

// Run taps and prints one JSON line per card as soon as its answer is known.
func (t simTapCmd) Run(ctx context.Context, file configFile, con console) error {
	tap := t.tap()
	if err := tap.Check(); err != nil {
		return usageError{err}
	}
	if t.Count < 1 {
		return usageError{language.Errorf("count %d: want at least 1", "count %d: tulis paling sedikit 1", t.Count)}
	}
	ask := func(tap sim.Tap) (io.ReadCloser, error) {
		d, err := daemonOf(file)
		if err != nil {
			return nil, err
		}
		return control.Post(ctx, d, "/sim/tap", tap)
	}
	enc, good := json.NewEncoder(con.out), true
	err := control.Taps(ctx, ask, tap, func(r sim.Result) error {
		if r.Outcome != string(presence.Accepted) && r.Outcome != string(presence.Repeat) {
			good = false
		}
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("print answer: %w", err)
		}
		return nil
	})
	if err == nil && !good {
		err = exitStatus(exitFailed)
	}
	return err
}

type simBadgeCACmd struct {
	UID []string `name:"uid" sep:"none" help:"Print the certificate of the mocked PIV badge with this UID instead, after a line with its GUID." placeholder:"HEX"`
}

// Run prints the authority, or certificates.
func (b simBadgeCACmd) Run(con console) error {
	if len(b.UID) == 0 {
		_, err := con.out.Write(sim.BadgeCA())
		return err
	}
	for _, s := range b.UID {
		uid, err := card.ParseUID(s)
		if err != nil {
			return usageError{err}
		}
		guid, pem, err := sim.BadgeCertificate(uid, time.Now())
		if err != nil {
			return err
		}
		fmt.Fprintf(con.out, "uid %s guid %X\n%s", uid, guid, pem)
	}
	return nil
}

type simReaderCmd struct {
	Reader string `required:"" help:"The reader's name."`
	Fault  string `required:"" enum:"deaf,bus-low,bus-high,hang,none" help:"What is wrong with it: ${enum}."`
}

// Run breaks or mends the reader.
func (r simReaderCmd) Run(ctx context.Context, file configFile) error {
	return tell(ctx, file, "/sim/reader", sim.ReaderFault{Reader: r.Reader, Fault: r.Fault})
}

type simClockCmd struct {
	Synced bool          `required:"" help:"Whether somebody disciplines the clock: true or false."`
	Offset time.Duration `help:"How far the wall clock that the gateway sees is ahead."`
}

// Run sets the clock.
func (s simClockCmd) Run(ctx context.Context, file configFile) error {
	return tell(ctx, file, "/sim/clock", sim.ClockState{Synced: s.Synced, Offset: s.Offset})
}

// tell posts a request whose answer has no body.
func tell[T any](ctx context.Context, file configFile, path string, request T) error {
	d, err := daemonOf(file)
	if err != nil {
		return err
	}
	body, err := control.Post(ctx, d, path, request)
	if err != nil {
		return err
	}
	return body.Close()
}
