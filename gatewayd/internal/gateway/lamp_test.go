package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpiotest"

	"presence/config"
	"presence/drivers/lamp"
)

// The configuration says which pins are inverted, and a pin that cannot be opened keeps
// none of the others dark.
func TestLampIsWiredAsConfigured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pins := make(map[string]*gpiotest.Pin)
		open := func(name string) (gpio.PinIO, error) {
			if name == "GPIO27" {
				return nil, fmt.Errorf("no pin %s", name)
			}
			pins[name] = &gpiotest.Pin{N: name}
			return pins[name], nil
		}
		l, err := openLamp(config.Feedback{Green: "GPIO17", Red: "GPIO27", Buzzer: "GPIO22", Invert: []string{"buzzer"}}, open, slog.New(slog.DiscardHandler))
		if err == nil {
			t.Error("nobody is told of the pin that cannot be opened")
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		levels := func() string {
			synctest.Wait()
			return fmt.Sprint(pins["GPIO17"].Read(), pins["GPIO22"].Read())
		}
		if got := levels(); got != "Low High" {
			t.Errorf("dark: green %s", got)
		}
		l.Show(lamp.Accepted)
		time.Sleep(time.Millisecond)
		if got := levels(); got != "High Low" {
			t.Errorf("accepted: green %s", got)
		}
		cancel()
		<-done
	})
}
