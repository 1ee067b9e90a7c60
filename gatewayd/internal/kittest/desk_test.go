package kittest_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"presence/gatewayd/internal/kittest"
	"presence/scripts/brokertest"
	"presence/scripts/deb/debtest"
)

// desk is gatewayd-city on the city's machine.
type desk struct {
	t    *testing.T
	city *kittest.City
	lib  string
	path string // folders of programs before all others, each with a colon
}

// newDesk makes the folder of a city in that of its authority, with a list of offices, and
// names the broker in it.
func newDesk(t *testing.T, c *kittest.City, b *brokertest.Broker, offices string) *desk {
	t.Helper()
	d := &desk{t: t, city: c, lib: theDelivery(t).lib}
	debtest.Write(t, filepath.Join(c.CA, "city.conf"), fmt.Sprintf("# this city\nbroker = 127.0.0.1:%d # here\noffices = offices.csv\n", b.Port), 0o600)
	debtest.Write(t, filepath.Join(c.CA, "offices.csv"), offices, 0o600)
	debtest.Write(t, filepath.Join(c.CA, "badge.key"), kittest.BadgeKey+"\n", 0o600)
	return d
}

// run runs a job, in the language of a locale.
func (d *desk) run(locale string, args ...string) (said string, status int) {
	d.t.Helper()
	cmd := exec.Command("bash", append([]string{filepath.Join(d.lib, "gatewayd-city")}, args...)...)
	cmd.Dir = d.t.TempDir()
	cmd.Env = append(os.Environ(), "LC_ALL=", "LC_MESSAGES="+locale, "GATEWAYD_CITY="+d.city.CA, "CA_PASSPHRASE="+kittest.Passphrase, "PATH="+d.path+os.Getenv("PATH"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run()
	return out.String(), cmd.ProcessState.ExitCode()
}

// says runs a job and holds what it says, and how it ends.
func (d *desk) says(status int, want []string, locale string, args ...string) {
	d.t.Helper()
	said, got := d.run(locale, args...)
	if got != status {
		d.t.Errorf("gatewayd-city %s: exit %d, want %d\n%s", strings.Join(args, " "), got, status, said)
	}
	for _, w := range want {
		if !strings.Contains(said, w) {
			d.t.Errorf("gatewayd-city %s does not say %q but\n%s", strings.Join(args, " "), w, said)
		}
	}
}
