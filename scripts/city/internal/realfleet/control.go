package realfleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"
)

// controlClient speaks to the control socket in a state folder.
func controlClient(stateDir string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(stateDir, "control.sock"))
		},
		DisableKeepAlives: true, // the process may be another one next time
	}}
}

// Health is what matters here of the health document.
type Health struct {
	Journal struct {
		Pending int64 `json:"pending"` // events that nobody has confirmed
		Events  int64 `json:"events"`  // in the journal
	} `json:"journal"`
	MQTT struct {
		Connected  bool  `json:"connected"`
		Reconnects int64 `json:"reconnects"`
		Acked      int64 `json:"acked"`
	} `json:"mqtt"`
	Receivers []struct {
		Frames int64 `json:"frames"`
	} `json:"receivers"`
}

// Health asks the gateway how it is.
func (g *Gateway) Health(ctx context.Context) (Health, error) {
	var h Health
	body, err := g.ask(ctx, http.MethodGet, "/status", nil)
	if err != nil {
		return h, err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(&h); err != nil {
		return h, fmt.Errorf("read health of %s: %w", g.opt.Gateway, err)
	}
	return h, nil
}

// Result is the answer to one card, as the person at the door sees it.
type Result struct {
	UID     string `json:"uid"`
	Outcome string `json:"outcome"` // "accepted": the lamp is green, and the tap durable
	Stream  string `json:"stream"`
	Seq     uint64 `json:"seq"`
	Reason  string `json:"reason"`
	Error   string `json:"error"` // why the answers end early
}

// Tap holds a card to the reader, or count cards one after the other, whose UIDs count up
// from the first. It returns the answers until the last, also where an error ends them
// early. The gateway may be killed meanwhile.
func (g *Gateway) Tap(ctx context.Context, uid string, count int) ([]Result, error) {
	request := struct {
		Reader string   `json:"reader"`
		UIDs   []string `json:"uids"`
		Card   string   `json:"card"`
		Count  int      `json:"count"`
	}{"door", []string{uid}, "mifare-classic-1k", count}
	body, err := g.ask(ctx, http.MethodPost, "/sim/tap", request)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var all []Result
	for decoder := json.NewDecoder(body); ; {
		var r Result
		err := decoder.Decode(&r)
		switch {
		case errors.Is(err, io.EOF) && len(all) == count:
			return all, nil
		case err != nil:
			return all, fmt.Errorf("read answer to a tap at %s: %w", g.opt.Gateway, err)
		case r.Error != "":
			return all, fmt.Errorf("tap at %s: %s", g.opt.Gateway, r.Error)
		}
		all = append(all, r)
	}
}

// SetClock sets a simulated clock (Options.Clock "sim"): whether it is synchronised, and
// by how much it is shifted.
func (g *Gateway) SetClock(ctx context.Context, synced bool, offset time.Duration) error {
	body, err := g.ask(ctx, http.MethodPost, "/sim/clock", struct {
		Synced bool          `json:"synced"`
		Offset time.Duration `json:"offset"`
	}{synced, offset})
	if err != nil {
		return err
	}
	return body.Close()
}

// ask sends a request, with a body as JSON unless that is nil, and returns the answer's
// body, which the caller closes.
func (g *Gateway) ask(ctx context.Context, method, path string, body any) (io.ReadCloser, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://gatewayd"+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	resp, err := g.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", g.opt.Gateway, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // what there is of it
		return nil, fmt.Errorf("%s says: %s", g.opt.Gateway, bytes.TrimSpace(why))
	}
	return resp.Body, nil
}
