package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"time"

	"presence/gatewayd/internal/backoff"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/sim"
)

// reloadPatience is how long a command waits for a gateway that reloads.
const reloadPatience = 5 * time.Second

// AfterReload asks a gateway that has announced its reload, again and again until it
// answers. The new configuration may have given it another state directory, so ask
// looks for it anew.
func AfterReload(ctx context.Context, ask func() (io.ReadCloser, error)) (io.ReadCloser, error) {
	deadline := time.Now().Add(reloadPatience)
	for {
		body, err := ask()
		var gone *url.Error // no answer, or half of one: the old gateway is ending
		away := errors.Is(err, ErrNotRunning) || errors.As(err, &gone)
		if !away || time.Now().After(deadline) || !backoff.Sleep(ctx, 100*time.Millisecond) {
			return body, err
		}
	}
}

// Taps has mocked cards held to a reader, and passes on each answer as it comes. Where
// the gateway reloads in between, the one that takes its place is asked for the rest.
func Taps(ctx context.Context, ask func(sim.Tap) (io.ReadCloser, error), tap sim.Tap, answer func(sim.Result) error) error {
	body, err := ask(tap)
	if err != nil {
		return err
	}
	for rest := []sim.Tap{tap}; ; {
		done, reloads, err := answers(body, answer)
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
			return language.Errorf("gatewayd went away after %d of %d answers", "gatewayd berhenti setelah %d dari %d jawaban", len(done), want)
		}
		if len(rest) == 0 {
			return nil
		}
		body, err = AfterReload(ctx, func() (io.ReadCloser, error) { return ask(rest[0]) })
		if err != nil {
			return err
		}
	}
}

// answers passes on the answers to one request. If the gateway reloads in between, done
// are those that came before.
func answers(body io.ReadCloser, answer func(sim.Result) error) (done []sim.Result, reloads bool, err error) {
	defer body.Close()
	for dec := json.NewDecoder(body); ; {
		var line sim.Line
		switch err := dec.Decode(&line); {
		case errors.Is(err, io.EOF):
			return done, false, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return done, false, language.Errorf("the gateway went away before it had answered: look at its log, and tap again", "gateway mati sebelum sempat menjawab: lihat log-nya, lalu tempelkan lagi")
		case err != nil:
			return done, false, language.Errorf("read answer: %v", "baca jawaban: %v", err)
		case line.Error != "":
			return done, false, &language.Error{Text: language.Text{EN: line.Error, ID: cmp.Or(line.ErrorID, line.Error)}}
		case line.Reload:
			return done, true, nil
		}
		done = append(done, line.Result)
		if err := answer(line.Result); err != nil {
			return done, false, err
		}
	}
}
