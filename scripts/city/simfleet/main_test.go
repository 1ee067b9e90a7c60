package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"presence/scripts/brokertest"
)

// Who calls it wrongly is told so before anything starts.
func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"-gateways", "0"},
		{"-waiting", "-1"},
		{"-speed", "0"},
		{"-nothing"},
		{"more"},
		{"-broker", "mqtt://127.0.0.1"},
		{"-broker", "tls://127.0.0.1:8883"},
		{"-real", "1", "-broker", "tls://127.0.0.1:8883"},
	} {
		if err := run(t.Context(), args, &bytes.Buffer{}); !errors.As(err, new(usageError)) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// A fleet sends what waited and what comes on a fast morning with cut lines, and the last
// line tells of it.
func TestFleet(t *testing.T) {
	broker := brokertest.Start(t)
	for _, more := range [][]string{nil, {"-batch", "-outages", "1", "-outage-for", "100ms", "-storm", "300ms"}} {
		args := append([]string{
			"-broker", broker.URL(), "-gateways", "3", "-waiting", "50",
			"-receipts=false", "-morning", "1s", "-speed", "100", "-wait", "30s",
		}, more...)
		var out bytes.Buffer
		if err := run(t.Context(), args, &out); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out.String())
		}
		if text := out.String(); !strings.Contains(text, "gateways=3 ") || !strings.Contains(text, " unconfirmed=0 ") {
			t.Errorf("%v: it says %s", args, text)
		}
	}
}

// Over TLS each gateway shows its own certificate. Where nobody confirms, the exit status
// tells.
func TestFleetOverTLS(t *testing.T) {
	ca := brokertest.NewCA(t)
	_, address := brokertest.StartTLS(t, ca, time.Now().Add(time.Hour))
	dir := t.TempDir()
	for _, name := range []string{"sim-0001", "sim-0002"} {
		cert, key := ca.Issue(name, time.Now().Add(time.Hour))
		for from, to := range map[string]string{cert: ".pem", key: ".key"} {
			if err := os.Symlink(from, filepath.Join(dir, name+to)); err != nil {
				t.Fatal(err)
			}
		}
	}
	args := []string{"-broker", "tls://" + address, "-ca", ca.File, "-certs", dir, "-gateways", "2", "-waiting", "50"}
	var out bytes.Buffer
	if err := run(t.Context(), append(args, "-receipts=false"), &out); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := run(ctx, args, &out); err == nil || errors.As(err, new(usageError)) {
		t.Errorf("without receipts: %v", err)
	}
}
