// Package roottest is for tests that only root can run: those that become other users, or
// make something of theirs.
//
// It exists because a test that is skipped in silence shows nothing: whoever reads that
// all tests pass must be able to rely on it.
package roottest

import (
	"os"
	"testing"
)

// Need skips a test that is not run by root, or fails it under CI=true, where everything
// has to be tested. Why says what root is needed for: "to become other users".
func Need(t testing.TB, why string) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("it takes root %s: run the tests as root", why)
	}
	t.Skipf("it takes root %s", why)
}
