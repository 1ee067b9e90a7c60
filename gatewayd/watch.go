package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"presence/gatewayd/internal/control"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/terminal"
)

type watchCmd struct{}

// Run prints what happens until it is interrupted.
func (watchCmd) Run(ctx context.Context, file configFile, con console) error {
	ask := func() (io.ReadCloser, error) {
		d, err := daemonOf(file)
		if err != nil {
			return nil, err
		}
		return d.Get(ctx, "/watch")
	}
	w := watcher{con.out, con.screen()}
	body, err := ask()
	for err == nil {
		var reloads bool
		if reloads, err = w.watch(ctx, body); err == nil && reloads {
			body, err = control.AfterReload(ctx, ask)
		} else if err == nil {
			break
		}
	}
	if ctx.Err() != nil {
		return nil // whoever watched has seen enough
	}
	return err
}

// watch prints what a gateway reports until that ends. It tells whether it ended
// because the gateway reloads; then the gateway can be asked again.
func (w watcher) watch(ctx context.Context, body io.ReadCloser) (reloads bool, err error) {
	defer body.Close()
	for dec := json.NewDecoder(body); ; {
		var l control.WatchLine
		err := dec.Decode(&l)
		switch {
		case ctx.Err() != nil:
			return false, nil
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return false, language.Errorf("gatewayd has stopped", "gatewayd telah berhenti")
		case err != nil:
			return false, language.Errorf("read answer: %v", "baca jawaban: %v", err)
		case l.Reload:
			return true, nil
		}
		w.print(l)
	}
}

// watcher prints what a gateway reports.
type watcher struct {
	out    io.Writer
	screen terminal.Screen
}

// print prints one line of an answer.
func (w watcher) print(l control.WatchLine) {
	switch {
	case l.Tap != nil:
		w.line(l.Time, w.screen.Tap(l.Tap.Answer, l.Tap.TookMS))
	case l.Event != nil:
		if text := w.screen.Event(l.Event); text != "" {
			w.line(l.Time, text)
		}
	case l.Health != nil:
		w.line(l.Time, w.screen.Health(*l.Health))
	}
}

func (w watcher) line(at *string, text string) {
	fmt.Fprint(w.out, w.screen.Line(at, text))
}
