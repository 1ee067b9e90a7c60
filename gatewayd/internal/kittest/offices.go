package kittest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"presence/scripts/deb/debtest"
)

// List writes the city's list of offices, and what offices.sh needs beside it: the
// template of each department that is named (the delivered one, with changes as for
// Edit), the badge key, and the address of renewed certificates where there is one.
func (c *City) List(list, renewURL string, changes map[string]string, departments ...string) {
	c.t.Helper()
	files := map[string]string{"offices.csv": list, "badge.key": BadgeKey + "\n"}
	if renewURL != "" {
		files["renew-url"] = renewURL + "\n"
	}
	for _, dinas := range departments {
		files[dinas+".toml"] = c.Edit(debtest.Read(c.t, c.Path("scripts/city/dinas.toml")), changes)
	}
	for name, text := range files {
		debtest.Write(c.t, filepath.Join(c.CA, name), text, 0o600)
	}
}

// Offices runs offices.sh on the list, which has to succeed, and returns what it said.
// Program is the gatewayd that reads documents for it.
func (c *City) Offices(program string, args ...string) string {
	c.t.Helper()
	cmd := exec.Command(c.Path("scripts/city/offices.sh"), append([]string{"offices.csv"}, args...)...)
	cmd.Dir = c.CA
	cmd.Env = append(os.Environ(), "LC_ALL=C", "CA_PASSPHRASE="+Passphrase, "GATEWAYD="+program)
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("offices.sh %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Made is a path below what offices.sh made of an office.
func (c *City) Made(id string, parts ...string) string {
	return filepath.Join(append([]string{c.CA, "offices", id}, parts...)...)
}
