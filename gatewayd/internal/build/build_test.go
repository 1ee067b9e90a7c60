package build_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"presence/gatewayd/internal/build"
)

// TestMakefileSetsTheVariables builds with the Makefile, which names the variables
// of this package for the linker: a name that is wrong there is silently ignored.
func TestMakefileSetsTheVariables(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	printed, err := exec.Command("make", "-s", "-n", "-C", root, "build",
		"VERSION=v9.8.7", "COMMIT=abcdefabcdef", "BUILT=2026-11-23T07:00:00Z").Output()
	if err != nil {
		t.Fatalf("ask make what it would run: %v", err)
	}
	_, flags, _ := strings.Cut(string(printed), "-ldflags '")
	flags, _, _ = strings.Cut(flags, "'")
	// What is built with them is this test, which prints what it is.
	program := filepath.Join(t.TempDir(), "program")
	if out, err := exec.Command("go", "test", "-c", "-ldflags", flags, "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	out, err := exec.Command(program, "-test.run=^TestPrint$", "-test.v").CombinedOutput()
	if err != nil {
		t.Fatalf("run: %v\n%s", err, out)
	}
	if want := "v9.8.7 abcdefabcdef 2026-11-23T07:00:00Z"; !strings.Contains(string(out), want) {
		t.Errorf("a binary built with %q prints\n%s\nwant %s", flags, out, want)
	}
}

// TestPrint prints which build this is, for TestMakefileSetsTheVariables.
func TestPrint(t *testing.T) {
	t.Log(build.Version(), build.Commit(), build.Time().Format(time.RFC3339))
}
