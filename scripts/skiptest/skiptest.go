// Package skiptest leaves out tests that a machine cannot run: those that become other
// users, mount something, or need a program.
//
// It exists because a test that is skipped in silence shows nothing: whoever reads that
// all tests pass must be able to rely on it. So each is noted in the file that LEFT_OUT
// names, and `make test` ends with one line of what it finds there; and under CI=true,
// where everything has to be tested, a test that cannot be run fails.
package skiptest

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// LeaveOut skips a test for want of something that not every machine has, or fails it
// under CI=true. Needs completes "tests that need ...", command is what runs them
// nevertheless, and why is told in the test's own output.
func LeaveOut(t testing.TB, needs, command, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s (%s)", why, command)
	}
	Elsewhere(t, needs, command, why)
}

// Elsewhere skips a test that another command runs. Its arguments are those of LeaveOut.
// Under CI=true `make test` runs that command as well, so that nothing is left out then.
func Elsewhere(t testing.TB, needs, command, why string) {
	t.Helper()
	if os.Getenv("CI") != "true" {
		note(t, needs+" ("+command+")")
	}
	t.Skipf("%s (%s)", why, command)
}

// note adds a line to what is told at the end of `make test`. Several processes write to
// that file at once, each line with one write.
func note(t testing.TB, line string) {
	t.Helper()
	path := os.Getenv("LEFT_OUT")
	if path == "" {
		return
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatalf("note what is left out: %v", err)
	}
	defer file.Close()
	if _, err := fmt.Fprintln(file, line); err != nil {
		t.Fatalf("note what is left out: %v", err)
	}
}

// Skip skips a test that another machine could run, or fails it under CI=true.
func Skip(t testing.TB, why string) {
	t.Helper()
	LeaveOut(t, "another machine", why, why)
}

// Root skips a test that is not run by root. Why says what root is needed for: "to
// become other users".
func Root(t testing.TB, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		NoRoot(t, "it takes root "+why)
	}
}

// NoRoot skips a test that was refused what only root may do, such as to mount. Under
// CI=true the test fails.
func NoRoot(t testing.TB, why string) {
	t.Helper()
	LeaveOut(t, "root", "sudo make test", why)
}

// Program finds a program, also where Debian puts those of daemons. Where it is not
// installed the test is skipped, or fails under CI=true.
func Program(t testing.TB, name string) (path string) {
	t.Helper()
	for _, place := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(place); err == nil {
			return path
		}
	}
	LeaveOut(t, name, "make test-deps test", name+" is not installed")
	return ""
}

// Computation skips a test under the race detector. It is for one long calculation, or a
// simulation in virtual time, in which nothing runs at once with anything else that no
// shorter test lets run too: there is no race to be found, and looking for one makes it
// several times as long. `make test` and `make city-test` run all tests that call this once
// more without the race detector; scripts/computations.sh finds them.
func Computation(t testing.TB) {
	t.Helper()
	if raceDetector {
		t.Skip("a long calculation: make test runs it without the race detector")
	}
}
