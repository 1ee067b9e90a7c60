package main

import (
	"context"
	"encoding/json"
	"io"

	"presence/config"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
)

type statusCmd struct {
	JSON bool `name:"json" help:"Print the health document."`
}

// Run asks the daemon and prints its health.
func (s statusCmd) Run(ctx context.Context, file configFile, con console) error {
	d, err := daemonOf(file)
	if err != nil {
		return err
	}
	ask := d.Report
	if s.JSON {
		ask = func(ctx context.Context) (io.ReadCloser, error) { return d.Get(ctx, "/status") }
	}
	body, err := ask(ctx)
	if err != nil {
		return err
	}
	defer body.Close()
	raw, err := io.ReadAll(body)
	if err != nil {
		return language.Errorf("read answer: %v", "baca jawaban: %v", err)
	}
	if s.JSON {
		_, err = con.out.Write(raw)
		return err
	}
	var h presence.Health
	if err := json.Unmarshal(raw, &h); err != nil {
		return language.Errorf("read answer: %v", "baca jawaban: %v", err)
	}
	gateway, err := config.Basics(string(file))
	if err != nil {
		return err
	}
	return con.screen().PrintHealth(con.out, h, gateway.Timezone)
}
