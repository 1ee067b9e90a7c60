// Package telegraftest builds a Telegraf for tests, out of its module and with only those
// plugins that a test uses.
//
// It exists because Debian has no Telegraf, and because one that is built whole takes
// many times as long.
package telegraftest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Module is the program's import path, with the version that the tests are written for.
const Module = "github.com/influxdata/telegraf/cmd/telegraf@v1.37.2"

// Build builds a Telegraf with some plugins, such as "inputs.mqtt_consumer" or
// "parsers.json", and returns its path. That takes minutes the first time, so the tests
// that call it are run only where they are asked for.
func Build(t testing.TB, plugins ...string) (program string) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("go", "install", "-tags", "custom,"+strings.Join(plugins, ","), Module)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go install %s: %v\n%s", Module, err, out)
	}
	return filepath.Join(dir, "telegraf")
}
