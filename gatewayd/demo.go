package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"presence/config"
	"presence/gatewayd/internal/demo"
	"presence/gatewayd/internal/gateway"
	"presence/gatewayd/internal/language"
)

type demoCmd struct {
	For  time.Duration `default:"30s" help:"How long the morning takes; 0 goes on with the next morning until it is interrupted."`
	Chip string        `default:"mfrc522" help:"The chip of the mocked reader: ${chips}." placeholder:"CHIP"`
	Keep string        `help:"A new folder for what the city got (events.jsonl) and the gateway's public key (keys), which the city's audit can check." placeholder:"DIR"`
}

// Run plays an office morning: mocked hardware, everything behind it real.
func (c demoCmd) Run(ctx context.Context, con console) error {
	if c.For < 0 {
		return usageError{language.Errorf("--for %s: want 0 or more", "--for %s: tulis 0 atau lebih", c.For)}
	}
	if chips := config.Chips(); !slices.Contains(chips, c.Chip) {
		return usageError{language.Errorf("--chip %s: want %s", "--chip %s: tulis %s", c.Chip, strings.Join(chips, " or "))}
	}
	gateway.LimitMemory()
	err := demo.Run(ctx, demo.Options{Length: c.For, Chip: c.Chip, Keep: c.Keep, Out: con.out, Screen: con.screen(), Exit: os.Exit})
	if errors.Is(err, demo.ErrFailed) { // the last line that it printed says how many
		return exitStatus(exitFailed)
	}
	return err
}
