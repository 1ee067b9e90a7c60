// Package skiptest leaves out tests that a machine cannot run: those that become other
// users, mount something, or need a program.
//
// It exists because a test that is skipped in silence shows nothing: whoever reads that
// all tests pass must be able to rely on it.
package skiptest

import (
	"os"
	"testing"
)

// Skip skips a test for a reason, or fails it under CI=true, where everything has to be
// tested.
func Skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// Root skips a test that is not run by root. Why says what root is needed for: "to
// become other users".
func Root(t testing.TB, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		Skip(t, "it takes root "+why+": run the tests as root")
	}
}
