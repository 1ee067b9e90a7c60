package systemd_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"presence/scripts/skiptest"
)

// tool finds a program of systemd. Where it is missing the test is skipped, or
// fails under CI=true.
func tool(t *testing.T, name string) string {
	t.Helper()
	return skiptest.Program(t, name)
}

// files are the files of a kind in this folder.
func files(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	return found
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestUnitsAreValid(t *testing.T) {
	analyze := tool(t, "systemd-analyze")
	dir := t.TempDir()
	args := []string{"verify", "--man=no"}
	for _, name := range slices.Concat(files(t, "*.service"), files(t, "*.timer")) {
		// The programs are not installed on a machine that tests.
		text := regexp.MustCompile(`(?m)^(Exec\w+=[-+]*)/usr/\S+`).ReplaceAllString(read(t, name), "${1}/bin/true")
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	out, err := exec.Command(analyze, args...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// maxExposure is how exposed the gateway may be, in tenths (systemd-analyze(1),
// security).
const maxExposure = 19

func TestExposure(t *testing.T) {
	out, err := exec.Command(tool(t, "systemd-analyze"), "security", "--offline=true", "--no-pager",
		fmt.Sprintf("--threshold=%d", maxExposure), "gatewayd.service").CombinedOutput()
	score := regexp.MustCompile(`Overall exposure level .*`).Find(out)
	if err != nil || score == nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	t.Logf("%s", score)
	fmt.Printf("%s\n", score) // also without -v
}

func TestEachDirectiveIsExplained(t *testing.T) {
	for _, name := range slices.Concat(files(t, "*.service"), files(t, "*.timer")) {
		explained, section := false, ""
		for i, line := range strings.Split(read(t, name), "\n") {
			key, _, _ := strings.Cut(line, "=")
			switch {
			case line == "":
				explained = false
			case strings.HasPrefix(line, "["):
				section = line
			case strings.HasPrefix(line, "#"):
				explained = true
			case slices.Contains([]string{"Description", "Documentation", "Type", "ExecStart", "WantedBy"}, key):
			case !explained:
				t.Errorf("%s:%d: nothing says why %s has %s", name, i+1, section, line)
			}
		}
	}
}

// directive is the values of a key of a unit.
func directive(t *testing.T, unit, key string) (values []string) {
	t.Helper()
	for line := range strings.Lines(read(t, unit)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && k == key {
			values = append(values, strings.Fields(v)...)
		}
	}
	return values
}

func TestUserAndGroupsOfTheUnitAreMade(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	conf, err := filepath.Abs("sysusers.conf")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool(t, "systemd-sysusers"), "--root="+root, conf).CombinedOutput(); err != nil {
		t.Fatalf("systemd-sysusers: %v\n%s", err, out)
	}
	for _, user := range directive(t, "gatewayd.service", "User") {
		if !strings.Contains(read(t, filepath.Join(root, "etc/passwd")), user+":") {
			t.Errorf("there is no user %s", user)
		}
	}
	groups := "\n" + read(t, filepath.Join(root, "etc/group"))
	for _, group := range append(directive(t, "gatewayd.service", "SupplementaryGroups"), directive(t, "gatewayd.service", "Group")...) {
		if !strings.Contains(groups, "\n"+group+":") {
			t.Errorf("there is no group %s", group)
		}
	}
}

// A device class that the unit opens must have its group in the rules, and a
// driver that is not part of every kernel must be loaded before.
func TestDevicesOfTheUnitAreGivenToItsGroups(t *testing.T) {
	rules, modules := read(t, "udev.rules"), read(t, "modules-load.conf")
	for class, want := range map[string]struct{ rule, module string }{
		"char-spi":      {`SUBSYSTEM=="spidev", GROUP="spi"`, "spidev"},
		"char-gpiochip": {`KERNEL=="gpiochip[0-9]*", GROUP="gpio"`, ""},
		"char-ttyAMA":   {"ttyAMA[0-9]*|", ""},
		"char-ttyS":     {"ttyS[0-9]*|", ""},
		"char-ttyUSB":   {"ttyUSB[0-9]*|", "ftdi_sio"},
		"char-ttyACM":   {`ttyACM[0-9]*", GROUP="dialout"`, "cdc_acm"},
	} {
		if !slices.Contains(directive(t, "gatewayd.service", "DeviceAllow"), class) {
			t.Errorf("the unit does not open %s", class)
		}
		if !strings.Contains(rules, want.rule) {
			t.Errorf("no rule has %s", want.rule)
		}
		if !strings.Contains(modules, want.module+"\n") {
			t.Errorf("the module %s is not loaded", want.module)
		}
	}
	if !slices.Contains(directive(t, "gatewayd.service", "After"), "systemd-modules-load.service") {
		t.Error("the unit does not wait for the modules")
	}
}

// What udev cannot read it passes over (udev(7)).
func TestRulesAreWellFormed(t *testing.T) {
	part := regexp.MustCompile(`^[A-Z]+(\{[A-Za-z_]+\})?(==|!=|=|\+=|-=|:=)"[^"]*"$`)
	for i, line := range strings.Split(read(t, "udev.rules"), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		for _, p := range strings.Split(line, ", ") {
			if !part.MatchString(p) {
				t.Errorf("udev.rules:%d: %s", i+1, p)
			}
		}
	}
}

// A gateway that takes too much memory is ended and started again, before the
// kernel ends something else.
func TestMemoryOfTheUnitIsBounded(t *testing.T) {
	var high, most int
	for key, to := range map[string]*int{"MemoryHigh": &high, "MemoryMax": &most} {
		values := directive(t, "gatewayd.service", key)
		if len(values) != 1 {
			t.Fatalf("%s is %v", key, values)
		}
		if _, err := fmt.Sscanf(values[0], "%d%%", to); err != nil {
			t.Fatalf("%s=%s: %v", key, values[0], err)
		}
	}
	// A Zero has 512 MB, of which the firmware leaves about 430, and other things to
	// do. Saving a damaged journal of 256 MB takes 290.
	const zero, others, damaged = 430, 100, 290
	if high >= most || zero*high/100 < damaged || zero*most/100 > zero-others {
		t.Errorf("MemoryHigh=%d%%, MemoryMax=%d%%", high, most)
	}
	if !slices.Equal(directive(t, "gatewayd.service", "Restart"), []string{"always"}) {
		t.Error("it is not started again")
	}
}
