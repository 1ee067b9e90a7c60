package main_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"presence/gatewayd/internal/sealkey"
)

// auditor gives gateways seal keys, keeps what the city got, and has the city's audit check
// it.
type auditor struct {
	t       testing.TB
	program string
	keys    string // folder of public keys
	file    string
	out     *os.File
	lines   *bufio.Writer
}

func newAuditor(t *testing.T) *auditor {
	t.Helper()
	dir := t.TempDir()
	a := &auditor{t: t, program: cityProgram(t, "audit"), keys: filepath.Join(dir, "keys"), file: filepath.Join(dir, "city.jsonl")}
	if err := os.Mkdir(a.keys, 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	if a.out, err = os.Create(a.file); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.out.Close() })
	a.lines = bufio.NewWriter(a.out)
	return a
}

// seal has a gateway that is called id seal its journal, with a key of its own.
func (a *auditor) seal(g *gateway, id string) {
	a.t.Helper()
	file := filepath.Join(g.dir, "seal.key")
	key, err := sealkey.Create(file)
	if err != nil {
		a.t.Fatal(err)
	}
	writeFile(a.t, filepath.Join(a.keys, id+".pem"), []byte(key.PublicPEM()), 0o644)
	g.configure(g.text() + fmt.Sprintf("\n[seal]\nkey_file = %q\n", file))
}

// add keeps an event as it came.
func (a *auditor) add(event []byte) {
	if _, err := fmt.Fprintf(a.lines, "%s\n", event); err != nil {
		a.t.Error(err)
	}
}

// captured is what the audit says of all that was kept, in the order in which it came.
func (a *auditor) captured() (verdict, findings string) {
	a.t.Helper()
	if err := a.lines.Flush(); err != nil {
		a.t.Fatal(err)
	}
	return a.check("-captured", a.file)
}

// check runs the audit, and returns its last line without "audit: ", and its findings.
func (a *auditor) check(args ...string) (verdict, findings string) {
	a.t.Helper()
	cmd := exec.Command(a.program, append([]string{"-keys", a.keys}, args...)...)
	out, err := cmd.Output()
	last := ""
	for line := range strings.Lines(string(out)) {
		last = strings.TrimSpace(line)
		if strings.HasPrefix(line, "FINDING") {
			findings += line
		}
	}
	verdict, ok := strings.CutPrefix(last, "audit: ")
	if status := cmd.ProcessState.ExitCode(); !ok || (status == 0) != (verdict == "intact") || status > 1 {
		a.t.Fatalf("audit %v: exit %d, %v\n%s", args, status, err, out)
	}
	return verdict, findings
}

// checkText is check of events that are in memory.
func (a *auditor) checkText(events string, args ...string) (verdict, findings string) {
	a.t.Helper()
	file := filepath.Join(a.t.TempDir(), "events.jsonl")
	writeFile(a.t, file, []byte(events), 0o600)
	return a.check(append(args, file)...)
}
