package scripts_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"presence/scripts/deb/debtest"
	"presence/scripts/postgrestest"
)

// newcomer is a machine that has what `make test` installs and no PostgreSQL. Its go runs
// no tests but notes what it is called with, and its apt-get installs nothing.
type newcomer struct {
	t     *testing.T
	calls string // the file with a line for each call
	env   []string
}

func newNewcomer(t *testing.T) *newcomer {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	n := &newcomer{t: t, calls: filepath.Join(dir, "calls")}
	for _, name := range []string{"awk", "cat", "date", "env", "git", "grep", "id", "make", "mktemp", "paste", "rm", "sed", "sh", "sort", "tr"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	// What the script looks for is there: it is not called.
	wanted := regexp.MustCompile(`(?m)^command -v (\S+) `).FindAllStringSubmatch(debtest.Read(t, "install-test-deps.sh"), -1)
	for _, m := range wanted {
		if path := filepath.Join(bin, m[1]); !exists(path) {
			debtest.Write(t, path, "#!/bin/sh\n", 0o755)
		}
	}
	debtest.Write(t, filepath.Join(bin, "apt-get"), fmt.Sprintf("#!/bin/sh\necho \"apt-get $*\" >>%s\n", n.calls), 0o755)
	debtest.Write(t, filepath.Join(bin, "go"), fmt.Sprintf(`#!/bin/sh
echo "go $*" >>%[1]s
case "$*" in
list*) printf '%%s\n' presence/config presence/scripts/city presence/scripts/city/ask presence/scripts/citymap ;;
*--version) ;;
*" presence/gatewayd "*) [ -z "$NEWCOMER_TEST" ] || exec %[2]s -test.run '^TestOfANewcomer$' -test.v ;;
esac
`, n.calls, os.Args[0]), 0o755)
	debtest.Write(t, n.calls, "", 0o644)
	n.env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { // also what a make around us has told us
		return regexp.MustCompile(`^(MAKE|MFLAGS|CI=|LEFT_OUT=|WITHOUT_POSTGRESQL=)`).MatchString(v)
	}), "PATH="+bin, "POSTGRESQL="+filepath.Join(dir, "postgresql"))
	return n
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}

// makeTest runs make test, and returns the last line of what it says, and its calls of go
// and apt-get.
func (n *newcomer) makeTest(env ...string) (last, calls string, ok bool) {
	n.t.Helper()
	cmd := exec.Command("make", "-C", "..", "test")
	cmd.Env = slices.Concat(n.env, env)
	cmd.Path = filepath.Join(strings.TrimPrefix(n.env[len(n.env)-2], "PATH="), "make")
	out, err := cmd.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "make: ") })
	n.t.Logf("%v: %s", env, out)
	return lines[len(lines)-1], debtest.Read(n.t, n.calls), err == nil
}

// TestOfANewcomer is the test that a newcomer's go runs.
func TestOfANewcomer(t *testing.T) {
	if os.Getenv("NEWCOMER_TEST") == "" {
		t.Skip("it is for TestMakeTestNamesWhatItLeavesOut")
	}
	postgrestest.Start(t)
}

// TestMakeTestNamesWhatItLeavesOut: on a newcomer's machine make test installs no
// PostgreSQL, and says in one line at its end which tests it left out for that.
func TestMakeTestNamesWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	last, calls, ok := newNewcomer(t).makeTest("NEWCOMER_TEST=1")
	if want := "left out: tests that need PostgreSQL (make city-test)"; !ok || last != want {
		t.Errorf("make test ends with %q, want %q", last, want)
	}
	if strings.Contains(calls, "apt-get") || strings.Contains(calls, "./scripts/city/...") || !strings.Contains(calls, " presence/scripts/city ") {
		t.Errorf("make test calls:\n%s", calls)
	}
	if !regexp.MustCompile(`-run \^\(.*\|TestYear\)\$ .*\./gatewayd/internal/gateway`).MatchString(calls) {
		t.Errorf("make test does not run what the race detector is too slow for:\n%s", calls)
	}
	if last, _, _ := newNewcomer(t).makeTest(); strings.Contains(last, "left out") {
		t.Errorf("where nothing is left out: %q", last)
	}
}

// TestNothingIsLeftOutInCI: under CI=true make test installs PostgreSQL, and runs what
// needs it and what needs a Telegraf, the city's programs once; without a PostgreSQL it
// fails.
func TestNothingIsLeftOutInCI(t *testing.T) {
	t.Parallel()
	_, calls, ok := newNewcomer(t).makeTest("CI=true")
	for _, want := range []string{`(?m)^apt-get install .*postgresql`, `(?m) -race \./scripts/city/\.\.\.$`, `Test\(Telegraf\|Grafana\)`, `(?m) presence/config.*\spresence/scripts/citymap$`} {
		if found := regexp.MustCompile(want).FindAllString(calls, -1); len(found) == 0 || !ok {
			t.Errorf("make test does not call %s", want)
		}
	}
	if strings.Contains(calls, " presence/scripts/city ") || strings.Contains(calls, "presence/scripts/city/ask") {
		t.Error("the city's programs are tested twice")
	}
	if last, _, ok := newNewcomer(t).makeTest("CI=true", "NEWCOMER_TEST=1"); ok || strings.Contains(last, "left out") {
		t.Errorf("with a test that has no PostgreSQL: ok=%t, %s", ok, last)
	}
}
