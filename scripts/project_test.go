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
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("go mod tidy would change (%v):\n%s", err, out)
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
