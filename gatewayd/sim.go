package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"presence/drivers/card"
	"presence/gatewayd/internal/control"
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
		return usageError{fmt.Errorf("count %d: want at least 1", t.Count)}
	}
	body, err := postTap(ctx, file, tap)
	if err != nil {
		return err
	}
	p := tapping{console: con, good: true}
	for rest := []sim.Tap{tap}; ; {
		done, reloads, err := p.read(body)
		if err != nil {
			return err
		}
		part := rest[0]
		rest = rest[1:]
		if reloads {
			left, err := part.Rest(done)
			if err != nil {
				return err
			}
			rest = append(left, rest...)
		} else if want := part.Count * len(part.UIDs); len(done) != want {
			return fmt.Errorf("gatewayd went away after %d of %d answers", len(done), want)
		}
		if len(rest) == 0 {
			break
		}
		body, err = afterReload(ctx, func() (io.ReadCloser, error) { return postTap(ctx, file, rest[0]) })
		if err != nil {
			return err
		}
	}
	if !p.good {
		return exitStatus(exitFailed)
	}
	return nil
}

// tapping prints the answers to taps.
type tapping struct {
	console console
	good    bool // all so far were accepted or repeats
}

// read reads and prints the answers to a tap. If the gateway reloads in between, done
// are the answers that came before.
func (p *tapping) read(body io.ReadCloser) (done []sim.Result, reloads bool, err error) {
	defer body.Close()
	enc := json.NewEncoder(p.console.out)
	for dec := json.NewDecoder(body); ; {
		var line sim.Line
		switch err := dec.Decode(&line); {
		case errors.Is(err, io.EOF):
			return done, false, nil
		case err != nil:
			return done, false, fmt.Errorf("read answer: %w", err)
		case line.Error != "":
			return done, false, errors.New(line.Error)
		case line.Reload:
			return done, true, nil
		}
		done = append(done, line.Result)
		if line.Outcome != string(presence.Accepted) && line.Outcome != string(presence.Repeat) {
			p.good = false
		}
		if err := enc.Encode(line.Result); err != nil {
			return done, false, fmt.Errorf("print answer: %w", err)
		}
	}
}

// postTap asks the daemon for a tap.
func postTap(ctx context.Context, file configFile, tap sim.Tap) (io.ReadCloser, error) {
	d, err := daemonOf(file)
	if err != nil {
		return nil, err
	}
	return control.Post(ctx, d, "/sim/tap", tap)
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
