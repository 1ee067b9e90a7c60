package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
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
}

type simTapCmd struct {
	Reader string        `required:"" help:"The reader's name."`
	UID    []string      `required:"" name:"uid" sep:"none" help:"A card's UID in hex: 4, 7 or 10 bytes. Several: several cards at once." placeholder:"HEX"`
	Card   string        `default:"mifare-classic-1k" help:"The kind of card: ${cards}."`
	Hold   time.Duration `default:"200ms" help:"How long the cards stay in the field."`
	Count  int           `default:"1" help:"How many taps; the UID is counted up."`
	Every  time.Duration `default:"500ms" help:"From one tap to the next."`
}

// cardNames are the kinds of cards that can be mocked.
func cardNames() string {
	var names []string
	for _, t := range card.Technologies() {
		names = append(names, string(t))
	}
	return strings.Join(names, ", ")
}

// Run taps and prints one JSON line per card as soon as its answer is known.
func (t simTapCmd) Run(ctx context.Context, file configFile, con console) error {
	tap := sim.Tap{Reader: t.Reader, UIDs: t.UID, Card: t.Card, Hold: t.Hold, Count: t.Count, Every: t.Every}
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
