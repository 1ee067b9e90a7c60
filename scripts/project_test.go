package scripts_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"presence/scripts/deb/debtest"
)

// What go.mod and go.sum name is what is imported: neither more nor less.
func TestModuleIsTidy(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("go", "mod", "tidy", "-diff")
	cmd.Dir = ".."
	var said strings.Builder // also of what it downloads on a machine that has nothing yet
	cmd.Stderr = &said
	if out, err := cmd.Output(); err != nil || len(out) > 0 {
		t.Errorf("go mod tidy would change (%v):\n%s%s", err, out, said.String())
	}
}

// Whoever reads the README learns of each module that go.mod asks for itself.
func TestReadmeNamesEveryModule(t *testing.T) {
	t.Parallel()
	readme := debtest.Read(t, "../README.md")
	modules := regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(debtest.Read(t, "../go.mod"), -1)
	if len(modules) == 0 {
		t.Fatal("go.mod asks for nothing")
	}
	for _, m := range modules {
		name := strings.TrimSuffix(strings.TrimPrefix(m[1], "github.com/"), "/v3")
		if !strings.Contains(readme, name) {
			t.Errorf("README.md does not say what %s is for", m[1])
		}
	}
}

// TestScriptsHashKeysAlike: these scripts go to different machines and can share no
// file, but a badge key that one of them derives has to be the one of the others.
func TestScriptsHashKeysAlike(t *testing.T) {
	t.Parallel()
	first := ""
	for _, script := range []string{"provision.sh", "city/ca.sh", "city/sign.sh"} {
		hmac := regexp.MustCompile(`(?s)\nhmac\(\) \{\n.*?\n\}\n`).FindString(debtest.Read(t, script))
		if first == "" {
			first = hmac
		}
		if hmac == "" || hmac != first {
			t.Errorf("%s has another hmac than provision.sh:\n%s", script, hmac)
		}
	}
}

// Whoever calls make help sees each target that is meant to be called.
func TestHelpListsEveryTarget(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("make", "-s", "-C", "..", "help").CombinedOutput()
	if err != nil {
		t.Fatalf("make help: %v\n%s", err, out)
	}
	parts := map[string]bool{"all": true, "test-inside": true, "test-outside": true} // of other targets
	phony := regexp.MustCompile(`(?m)^\.PHONY: (.*)$`).FindStringSubmatch(debtest.Read(t, "../Makefile"))
	if phony == nil {
		t.Fatal("the Makefile names no targets")
	}
	for _, target := range strings.Fields(phony[1]) {
		if !parts[target] && !regexp.MustCompile(`(?m)^  `+target+` +\S`).Match(out) {
			t.Errorf("make help does not list %s", target)
		}
	}
}

// Whoever wonders what `make test` installs reads it at the top of the script, in full.
func TestTestDepsListsWhatItInstalls(t *testing.T) {
	t.Parallel()
	head, body, _ := strings.Cut(debtest.Read(t, "install-test-deps.sh"), "\nset -eu")
	packages := regexp.MustCompile(`missing="\$missing ([a-z0-9 -]+)"`).FindAllStringSubmatch(body, -1)
	if len(packages) == 0 {
		t.Fatal("it installs nothing")
	}
	for _, m := range packages {
		for name := range strings.FieldsSeq(m[1]) {
			if !regexp.MustCompile(`(?m)^#   ([a-z0-9:-]+ )*` + name + ` `).MatchString(head) {
				t.Errorf("its head does not list %s", name)
			}
		}
	}
}
