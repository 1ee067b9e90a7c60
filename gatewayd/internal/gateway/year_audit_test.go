package gateway

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"presence/gatewayd/internal/sealkey"
)

// makeSealKey makes the year's seal key, and puts its public half where auditCaptured looks
// for it.
func makeSealKey(t *testing.T, dir string) (file string) {
	t.Helper()
	file = filepath.Join(dir, "seal.key")
	key, err := sealkey.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "keys"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "keys", "year-01.pem"), []byte(key.PublicPEM()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// keepCaptured keeps all that the city gets for auditCaptured, until the test ends.
func keepCaptured(t *testing.T, dir string) io.Writer {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "city.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	t.Cleanup(func() {
		if err := w.Flush(); err != nil {
			t.Error(err)
		}
		_ = f.Close()
	})
	return w
}

// auditCaptured has the city's audit check all that the city got: power cuts, events that
// came again or with a better time, and gaps for what found no room do not look as if
// somebody had changed something.
func auditCaptured(t *testing.T, dir string) {
	t.Helper()
	program := filepath.Join(dir, "audit")
	if out, err := exec.Command("go", "build", "-o", program, "presence/scripts/city/audit").CombinedOutput(); err != nil {
		t.Fatalf("build audit: %v\n%s", err, out)
	}
	out, err := exec.Command(program, "-captured", "-keys", filepath.Join(dir, "keys"), filepath.Join(dir, "city.jsonl")).CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	t.Logf("%s, %d lines", lines[len(lines)-1], len(lines))
	if err == nil {
		return
	}
	t.Errorf("audit: %v", err)
	for i, line := range lines {
		if strings.HasPrefix(line, "FINDING") || i == len(lines)-1 {
			t.Log(line)
		}
	}
}
