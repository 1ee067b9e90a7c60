package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"presence/scripts/city/internal/realfleet"
)

// runReal starts real gateways, has people tap at all of them, watches what they take, and
// stops them.
func (o *options) runReal(ctx context.Context, out io.Writer) (err error) {
	if strings.Contains(o.brokers, ",") || !strings.HasPrefix(o.brokers, "tcp://") {
		return usageError{errors.New("-real wants one broker, with tcp://")}
	}
	binary, err := filepath.Abs(o.gatewayd)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "simfleet-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	fleet, err := realfleet.NewFleet(realfleet.Options{
		Binary: binary, Dir: dir, Dinas: "sim-real", Broker: o.brokers, Receipts: o.receipts, MQTT: "insecure = true",
	}, "sim-real", o.daemons)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fleet.Close()) }()
	if err := fleet.Start(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "simfleet: %d real gateways run\n", len(fleet))
	began := time.Now()
	if o.waiting > 0 {
		err := fleet.Each(func(g *realfleet.Gateway) error {
			_, err := g.Tap(ctx, "04A1B2C3000001", o.waiting)
			return err
		})
		if err != nil {
			return err
		}
	}
	waiting, cancel := context.WithTimeout(ctx, o.wait)
	defer cancel()
	events, err := fleet.AwaitConfirmed(waiting)
	if err != nil {
		return err
	}
	took := time.Since(began)
	before, err := fleet.Cost()
	if err != nil {
		return err
	}
	select {
	case <-time.After(o.idle):
	case <-ctx.Done():
		return ctx.Err()
	}
	after, err := fleet.Cost()
	if err != nil {
		return err
	}
	if err := fleet.Stop(); err != nil {
		return err
	}
	n := float64(len(fleet))
	fmt.Fprintf(out, "simfleet: real=%d made=%d confirmed=%d seconds=%.1f memory_each_mb=%.1f memory_most_mb=%.1f idle_each_percent=%.2f\n",
		len(fleet), events, events, took.Seconds(), float64(after.Memory)/n/1e6, float64(after.Most)/1e6,
		100*(after.Processor-before.Processor).Seconds()/o.idle.Seconds()/n)
	return nil
}
