package main_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"presence/drivers/beacon/beacontest"
)

// TestWhatAReceiverHearsIsRecordedAndReplayed: through the daemon while it runs, from
// the port itself while it does not; nobody else can read the file.
func TestWhatAReceiverHearsIsRecordedAndReplayed(t *testing.T) {
	t.Parallel()
	radio, port := openTTY(t)
	g := newGateway(t, "tcp://127.0.0.1:9", everyTag+receiver(port))
	sent := beacontest.PKLDS(100, 1001, -7.9777, 112.6331, time.Now()) + "$PKLDS,noise*00\r\n"
	say := func(stop chan struct{}) {
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				_, _ = io.WriteString(radio, sent)
			}
		}
	}
	for _, running := range []bool{true, false} {
		if running {
			g.start()
		}
		stop := make(chan struct{})
		go say(stop)
		file := filepath.Join(t.TempDir(), "yard.jsonl")
		if out := g.must("record", "--receiver", "yard", "--for", "1s", file); !strings.HasPrefix(out, "recorded: "+file) {
			t.Errorf("running %v: %s", running, out)
		}
		close(stop)
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("running %v: %v %v", running, info.Mode(), err)
		}
		replayed := g.must("replay", file)
		for _, want := range []string{`"tag":"kenwood:100-1001"`, `"reject":"checksum"`, `"became":"recorded"`, `"lost_bytes":0`} {
			if !strings.Contains(replayed, want) {
				t.Errorf("running %v: no %s in\n%s", running, want, replayed)
			}
		}
		if out, code := g.try("record", "--receiver", "yard", "--for", "1s", file); code != 1 || !strings.Contains(out, "is there already") {
			t.Errorf("over a file: %d %s", code, out)
		}
		if running {
			g.stop()
		}
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"record", "--receiver", "roof", filepath.Join(g.dir, "x")}, 2, "no receiver of that name"},
		{[]string{"record", filepath.Join(g.dir, "x")}, 2, "--receiver"},
		{[]string{"replay", filepath.Join(g.dir, "none")}, 1, "no such file"},
		{[]string{"replay", g.config}, 1, "no header of a recording"},
	} {
		if out, code := g.try(c.args...); code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("%q: %d %s", c.args, code, out)
		}
	}
}
