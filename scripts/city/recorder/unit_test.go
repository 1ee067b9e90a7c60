package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"presence/scripts/skiptest"
)

const unit = "gatewayd-recorder.service"

// maxExposure is how exposed the recorder may be, in tenths (systemd-analyze(1),
// security). The gateway, which needs devices, may be at 19.
const maxExposure = 14

func TestExposureOfTheUnit(t *testing.T) {
	out, err := exec.Command(skiptest.Program(t, "systemd-analyze"), "security", "--offline=true", "--no-pager",
		fmt.Sprintf("--threshold=%d", maxExposure), unit).CombinedOutput()
	score := regexp.MustCompile(`Overall exposure level .*`).Find(out)
	if err != nil || score == nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	t.Logf("%s", score)
}

func TestUnitIsValidAndExplained(t *testing.T) {
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	// The program and its document are not installed on a machine that tests.
	there := regexp.MustCompile(`(?m)^(Exec\w+=)/usr/\S+`).ReplaceAllString(string(text), "${1}/bin/true")
	path := filepath.Join(t.TempDir(), unit)
	if err := os.WriteFile(path, []byte(there), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(skiptest.Program(t, "systemd-analyze"), "verify", "--man=no", path).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	explained := false
	for i, line := range strings.Split(string(text), "\n") {
		key, _, _ := strings.Cut(line, "=")
		switch {
		case line == "":
			explained = false
		case strings.HasPrefix(line, "#"):
			explained = true
		case strings.HasPrefix(line, "["), key == "Description", key == "Documentation", key == "Type", key == "ExecStart", key == "WantedBy":
		case !explained:
			t.Errorf("%s:%d: nothing says why it has %s", unit, i+1, line)
		}
	}
}
