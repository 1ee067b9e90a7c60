package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"presence/scripts/city/internal/settings"
)

// call runs a command line in this process.
func call(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	status = command(context.Background(), args, &o, &e)
	return status, o.String(), e.String()
}

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	wrong := filepath.Join(dir, "wrong.toml")
	if err := os.WriteFile(wrong, []byte("[evens]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	nowhere := filepath.Join(dir, "nowhere.toml")
	text := "[database]\nconnection = \"host=/nowhere\"\n[[broker]]\nurl = \"tls://mqtt.example.go.id:8883\"\nca_file = \"/none.pem\"\n"
	if err := os.WriteFile(nowhere, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"check", "--config", wrong}, exitUsage, wrong + ":1: evens: is no key"},
		{[]string{"run", "--config", wrong}, exitUsage, wrong + ":1: evens: is no key"},
		{[]string{"run", "--config", nowhere}, exitUsage, "/none.pem"},
		{[]string{"check", "--config", "/none.toml"}, exitUsage, "/none.toml: cannot be read"},
		{[]string{"migrate", "--connection", "port=x"}, exitUsage, "--connection: not as libpq wants it"},
		{[]string{"migrate", "--connection", "host=/nowhere"}, exitFailed, "recorder: connect to the database"},
		{[]string{"frobnicate"}, exitUsage, "recorder: unexpected argument frobnicate"},
		{nil, exitUsage, "recorder: expected one of"},
	} {
		status, out, errs := call(t, c.args...)
		if status != c.status || out != "" || !strings.HasPrefix(errs, strings.TrimPrefix(c.says, "/none.pem")) || !strings.Contains(errs, c.says) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: status %d, %q, %q", c.args, status, out, errs)
		}
	}
	if status, out, _ := call(t, "config"); status != exitDone || out != string(settings.Reference()) {
		t.Errorf("config: status %d, %q", status, out)
	}
	if status, out, _ := call(t, "version"); status != exitDone || !strings.HasPrefix(out, "recorder ") {
		t.Errorf("version: status %d, %q", status, out)
	}
}

// A database without the schema, or with another version of it, is refused with the
// command that mends it.
func TestSchemaOfAnotherVersionIsRefused(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	c.db.Create("empty")
	for _, change := range []struct{ name, sql, says string }{
		{"newer", `update presence.schema_version set version = version + 1`, "newer than"},
		{"older", `update presence.schema_version set version = 1`, "recorder migrate"},
		{"none", `drop schema if exists people cascade; drop schema presence cascade`, "has no presence schema"},
	} {
		c.query(change.sql)
		status, out, errs := call(t, "run", "--config", c.configure(""))
		if status != exitFailed || out != "" || !strings.Contains(errs, change.says) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: status %d, %q, %q", change.name, status, out, errs)
		}
	}
	status, out, errs := call(t, "migrate", "--connection", c.db.Connection("postgres", "empty"))
	if status != exitDone || !strings.HasPrefix(out, "the schema was of version 0 and is of version ") || errs != "" {
		t.Errorf("migrate: status %d, %q, %q", status, out, errs)
	}
}
