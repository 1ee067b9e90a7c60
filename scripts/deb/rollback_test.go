package deb_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"presence/scripts/deb/debtest"
)

// pi is a scratch root with an installed gatewayd and a systemctl that only
// writes down what it was told.
type pi struct {
	t    *testing.T
	root string
}

func newPi(t *testing.T) pi {
	t.Helper()
	p := pi{t, t.TempDir()}
	for _, dir := range []string{"usr/bin", "var/lib/gatewayd-rollback", "bin"} {
		if err := os.MkdirAll(filepath.Join(p.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	debtest.Write(t, filepath.Join(p.root, "bin/systemctl"), `#!/bin/sh
echo "$*" >>"$GATEWAYD_ROOT/told"
[ "$1" = is-active ] || exit 0
cat "$GATEWAYD_ROOT/state"
[ "$(cat "$GATEWAYD_ROOT/state")" = active ]
`, 0o755)
	p.state("active")
	return p
}

// state is what systemctl says of the gateway.
func (p pi) state(s string) {
	p.t.Helper()
	debtest.Write(p.t, filepath.Join(p.root, "state"), s+"\n", 0o644)
}

// do runs the script.
func (p pi) do(what string) string {
	p.t.Helper()
	cmd := exec.Command("./rollback", what)
	cmd.Env = append(os.Environ(), "GATEWAYD_ROOT="+p.root, "PATH="+filepath.Join(p.root, "bin")+":"+os.Getenv("PATH"),
		"GATEWAYD_EXE="+filepath.Join(p.root, "usr/bin/gatewayd"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("rollback %s: %v\n%s", what, err, out)
	}
	return string(out)
}

// unpack is dpkg: the new version's files take the old one's place.
func (p pi) unpack(version string) {
	p.t.Helper()
	path := filepath.Join(p.root, "usr/bin/gatewayd")
	debtest.Write(p.t, path+".dpkg-new", fmt.Sprintf("#!/bin/sh\necho gatewayd %s\n", version), 0o755)
	if err := os.Rename(path+".dpkg-new", path); err != nil {
		p.t.Fatal(err)
	}
}

// upgrade is what the package's scripts do.
func (p pi) upgrade(version string) {
	p.t.Helper()
	p.do("keep")
	p.unpack(version)
	p.do("trial")
}

// runs reports which version is installed.
func (p pi) runs() string {
	p.t.Helper()
	out, err := exec.Command(filepath.Join(p.root, "usr/bin/gatewayd"), "version").Output()
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "gatewayd ")
}

// told is what systemctl was told since it was last asked.
func (p pi) told() string {
	p.t.Helper()
	path := filepath.Join(p.root, "told")
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return ""
	}
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

func (p pi) onTrial() bool {
	_, err := os.Stat(filepath.Join(p.root, "var/lib/gatewayd-rollback/trial"))
	return err == nil
}

func TestVersionThatIsNotReadyIsRolledBack(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"activating", "failed", "deactivating"} {
		p := newPi(t)
		p.unpack("1")
		p.do("ready")
		p.upgrade("2")
		if told := p.told(); !strings.Contains(told, "restart gatewayd-rollback.timer") {
			t.Errorf("%s: nobody counts three minutes: %q", state, told)
		}
		p.state(state)
		out := p.do("judge")
		if p.runs() != "1" || !strings.Contains(p.told(), "restart --no-block gatewayd") {
			t.Errorf("%s: version %s is there", state, p.runs())
		}
		if !strings.Contains(out, `"gatewayd 2" was not ready`) || !strings.Contains(out, `"gatewayd 1" is back`) {
			t.Errorf("%s: it says %q", state, out)
		}
		if p.onTrial() {
			t.Errorf("%s: what was put back is on trial", state)
		}
	}
}

// rolledBack is what is left for gatewayd to tell of a rollback, without the digest.
func rolledBack(root string) string {
	text, err := os.ReadFile(filepath.Join(root, rollbackFile))
	if err != nil {
		return ""
	}
	lines := strings.Split(string(text), "\n")
	return strings.Join(lines[:len(lines)-2], "|")
}

const rollbackFile = "var/lib/gatewayd-rollback/rolled-back"

// A rollback is told until a version that works is in its place.
func TestRollbackIsToldUntilAnotherVersionWorks(t *testing.T) {
	t.Parallel()
	p := newPi(t)
	p.unpack("1")
	p.do("ready")
	if r := rolledBack(p.root); r != "" {
		t.Fatalf("before: %s", r)
	}
	p.upgrade("2")
	p.state("activating")
	p.do("judge")
	const want = "gatewayd 2|gatewayd 1|" // and no dpkg
	p.do("ready")                         // version 1 again
	p.do("unpacked")                      // dpkg-reconfigure
	if r := rolledBack(p.root); r != want {
		t.Errorf("after the rollback: %s", r)
	}
	info, err := os.Stat(filepath.Join(p.root, rollbackFile))
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("the gateway's own user cannot read it: %v %v", info, err)
	}
	p.unpack("2")
	p.do("unpacked")
	if r := rolledBack(p.root); r != "" {
		t.Errorf("dpkg has put version 2 in place: %s", r)
	}
	p.do("trial")
	p.do("judge")
	p.unpack("mine") // by hand
	if rolledBack(p.root) != want {
		t.Error("nobody knows yet whether this one works")
	}
	p.do("ready")
	if r := rolledBack(p.root); r != "" {
		t.Errorf("another version works: %s", r)
	}
}

func TestVersionThatIsReadyStays(t *testing.T) {
	t.Parallel()
	p := newPi(t)
	p.unpack("1")
	p.do("ready")
	p.upgrade("2")
	p.do("ready")
	p.told()
	// It fails afterwards, for another reason.
	p.state("failed")
	p.do("judge")
	if p.runs() != "2" || p.onTrial() || p.told() != "" {
		t.Errorf("version %s is there", p.runs())
	}
}

func TestTwoBrokenVersionsDoNotTakeTurns(t *testing.T) {
	t.Parallel()
	p := newPi(t)
	p.unpack("1")
	p.do("ready")
	p.upgrade("2")
	p.state("activating")
	p.upgrade("3") // before 2 was judged
	p.do("judge")
	if p.runs() != "1" {
		t.Fatalf("version %s is there, which never worked", p.runs())
	}
	p.told()
	// Even if 1 does not start any more: nothing is on trial, so nothing happens.
	for range 3 {
		p.do("judge")
	}
	if p.runs() != "1" || p.told() != "" {
		t.Errorf("version %s is there", p.runs())
	}
	// A version after that has its trial again.
	p.state("active")
	p.do("ready")
	p.upgrade("4")
	p.state("failed")
	p.do("judge")
	if p.runs() != "1" {
		t.Errorf("version %s is there", p.runs())
	}
}

func TestNoTrialWithoutAWayBack(t *testing.T) {
	t.Parallel()
	p := newPi(t)
	p.unpack("1") // installed, and never ready
	if out := p.do("keep"); !strings.Contains(out, "never ready") {
		t.Errorf("it says %q", out)
	}
	p.unpack("2")
	p.do("trial")
	if p.onTrial() {
		t.Error("there is a trial")
	}
	p.state("failed")
	p.do("judge")
	if p.runs() != "2" {
		t.Errorf("version %s is there", p.runs())
	}
}

func TestSameVersionAgainIsNoTrial(t *testing.T) {
	t.Parallel()
	p := newPi(t)
	p.unpack("1")
	p.do("ready")
	p.upgrade("1")
	if p.onTrial() {
		t.Error("there is a trial")
	}
}

func TestGatewayThatSomebodyStoppedIsNotRolledBack(t *testing.T) {
	t.Parallel()
	p := newPi(t)
	p.unpack("1")
	p.do("ready")
	p.upgrade("2")
	p.state("inactive")
	p.do("judge")
	if p.runs() != "2" || !p.onTrial() {
		t.Errorf("version %s is there, on trial: %v", p.runs(), p.onTrial())
	}
	p.do("ready") // at its next start
	if p.onTrial() {
		t.Error("it is still on trial")
	}
}

func TestBinaryPutThereByHandEndsTheTrial(t *testing.T) {
	t.Parallel()
	p := newPi(t)
	p.unpack("1")
	p.do("ready")
	p.upgrade("2")
	p.unpack("mine")
	p.state("failed")
	p.do("judge")
	if p.runs() != "mine" || p.onTrial() {
		t.Errorf("version %s is there", p.runs())
	}
}
