package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"presence/gatewayd/internal/kittest"
	"presence/scripts/brokertest"
)

// TestTheCityAsksAGateway with scripts/city/ask, over the delivered broker and with the
// certificate that is meant for it: what a command needs is made, the reply is printed,
// and where none comes it says why.
func TestTheCityAsksAGateway(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "ask")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "../scripts/city/ask")
	build.Env = append(build.Environ(), "CGO_ENABLED=0") // as other tests build, so that all is compiled once
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	c := kittest.New(t, "..", "admin", "monitor", "city")
	cert, key := c.Issue("dinkes-01")
	b := c.Broker()
	seen := b.Subscribe("presence/v1/#", c.AsProgram(b, "city"))
	g := newGateway(t, "tls://"+b.Address(), fmt.Sprintf("ca_file = %q\ncert_file = %q\nkey_file = %q\n", filepath.Join(c.CA, "ca.pem"), cert, key))
	g.start()
	g.await("the line", func() bool { return g.health().MQTT.Connected })
	ask := func(as string, words ...string) (out, errs string, status int) {
		t.Helper()
		cmd := exec.Command(program, append([]string{
			"-broker", "tls://" + b.Address(), "-ca", filepath.Join(c.CA, "ca.pem"),
			"-cert", c.Own(as + ".pem"), "-key", c.Own(as + ".key"),
		}, words...)...)
		var o, e bytes.Buffer
		cmd.Stdout, cmd.Stderr = &o, &e
		if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
			t.Fatal(err)
		}
		return o.String(), e.String(), cmd.ProcessState.ExitCode()
	}
	for _, tc := range []struct {
		as       string
		words    []string
		out, err string
		status   int
	}{
		{"admin", []string{"dinkes/dinkes-01", "ping"}, `"pong": true`, "", 0},
		{"admin", []string{"dinkes/dinkes-01", "report"}, `"interval_s": 60`, "", 0},
		{"admin", []string{"dinkes/dinkes-01", "dance"}, "", "the gateway refuses: ", 1},
		{"admin", []string{"dinkes/dinkes-01", "resync", `{"stream":"no"}`}, "", "the gateway refuses: ", 1},
		{"admin", []string{"dinkes/dinkes-09", "ping", "-wait", "1s"}, "", "has never heard of it", 1},
		{"admin", []string{"dishub/dinkes-01", "ping", "-wait", "1s"}, "", "has never heard of it", 1},
		{"monitor", []string{"dinkes/dinkes-01", "ping", "-wait", "2s"}, "", "ask: ", 1},
		{"admin", []string{"dinkes-01", "ping"}, "", "want department and gateway", 2},
		{"admin", []string{"dinkes/+", "ping"}, "", "want department and gateway", 2},
		{"admin", []string{"dinkes/dinkes-01", "cmd/ping"}, "", "is no command", 2},
		{"admin", []string{"dinkes/dinkes-01", "resync", "[]"}, "", "want a JSON object", 2},
		{"admin", []string{"dinkes/dinkes-01", "ping", "-wait", "2h"}, "", "want 1s to 1h", 2},
		{"nobody", []string{"dinkes/dinkes-01", "ping"}, "", "read certificate and key", 2},
	} {
		out, errs, status := ask(tc.as, tc.words...)
		if status != tc.status || !strings.Contains(out, tc.out) || !strings.Contains(errs, tc.err) || (tc.status == 0) != (errs == "") || tc.status != 0 && out != "" {
			t.Errorf("%s asks %q: exit %d, %s%s", tc.as, tc.words, status, out, errs)
		}
	}
	g.stop()
	if _, errs, status := ask("admin", "dinkes/dinkes-01", "ping", "-wait", "1s"); status != 1 || !strings.Contains(errs, "it is offline (stop) since 20") {
		t.Errorf("of a gateway that is stopped: exit %d, %s", status, errs)
	}
	commands := 0
	for _, m := range seen.Await("the commands", brokertest.Came(prefix+"cmd/dance")) {
		if strings.Contains(m.Topic, "/cmd/") {
			commands++
			if err := validator(t).Validate(m.Topic, m.Payload); err != nil && !strings.HasSuffix(m.Topic, "/dance") {
				t.Error(err)
			}
		}
	}
	if commands < 4 {
		t.Errorf("only %d commands", commands)
	}
}
