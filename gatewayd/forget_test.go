package main_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"presence/scripts/brokertest"
)

// TestForgetLeavesNoTrace: after `forget` no file of the gateway holds the
// badge, with the daemon running or not, and the ledger says that something
// went.
func TestForgetLeavesNoTrace(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	b.Stop()
	g := newGateway(t, b.URL(), "")
	g.start()
	g.tap("--uid", "04A1B2C3D4E5F6", "--count", "3")
	identity := func(uid string) string {
		t.Helper()
		for line := range strings.Lines(g.must("export")) {
			if _, rest, ok := strings.Cut(line, `"badge":"`); ok {
				return rest[:34]
			}
		}
		t.Fatalf("no badge for %s", uid)
		return ""
	}
	first := identity("04A1B2C3D4E5F6")
	if out := g.must("forget", "--badge", "04:A1:B2:C3:D4:E5:F6"); !strings.Contains(out, "1 badge events; 1 of them were not delivered") {
		t.Errorf("forget said %q", out)
	}
	traces(t, g, first)
	second := identity("04A1B2C3D4E5F7")
	g.stop()
	if out := g.must("forget", "--badge", second); !strings.Contains(out, "1 badge events") {
		t.Errorf("forget said %q", out)
	}
	traces(t, g, second)
	if out := g.must("forget", "--tag", "reyax:50"); !strings.Contains(out, "nothing") {
		t.Errorf("forget said %q", out)
	}
	if out := g.must("verify"); !strings.Contains(out, "journal: ok") {
		t.Errorf("verify said %q", out)
	}

	b.Restart()
	seen := b.Subscribe("presence/v1/+/+/event/#")
	g.start()
	v := validator(t)
	g.await("what is left to arrive", func() bool { return count(seen.Messages(), "badge") == 1 && count(seen.Messages(), "gap") == 2 })
	for _, m := range seen.Messages() {
		if err := v.Validate(m.Topic, m.Payload); err != nil {
			t.Error(err)
		}
		if strings.Contains(string(m.Payload), first) || strings.Contains(string(m.Payload), second) {
			t.Errorf("a forgotten badge was sent: %s", m.Payload)
		}
	}
}

// TestForgetRefusesWhatCannotBeOne: an id that no card and no tag can have is a
// mistake in writing, and "nothing was found" would hide it.
func TestForgetRefusesWhatCannotBeOne(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.start()
	id := g.must("badge", "04:A1:B2:C3:D4:E5:F6")
	for _, running := range []bool{true, false} {
		if !running {
			g.stop()
		}
		for _, wrong := range []string{
			"", "somebody", "h:", "h:zz", "h:00112233445566778899aabbccddee", "h:00112233445566778899aabbccddeeff00", "h:00112233445566778899aabbccddeefg",
			"00112233445506778899aabbccddeeff", "04A1B2", "04A1B2C3D4", "04A1B2C3D4E5", "04A1B2C3D4E5F607", "04A1B2C3D4E5F60708090A0B", "04A1B2C", "04A1B2CG",
		} {
			if out, code := g.try("forget", "--badge", wrong); code != 2 || !strings.Contains(out, "want h: and 32 hex digits") {
				t.Errorf("forget --badge %q: exit %d, %s", wrong, code, out)
			}
		}
		for _, wrong := range []string{
			"", "50", "reyax", "reyax:", "reyax:x", "reyax:050", "reyax:65536", "reyax:-1", "reyax: 50", "lora:50",
			"mesh:1c2f13f", "mesh:1c2f13fcc", "mesh:1c2f13fg", "mesh:!1c2f13fc",
			"kenwood:", "kenwood:100-", "kenwood:-1001", "kenwood:100-1001-1", "kenwood:U", "kenwood:UU2", "kenwood:1234567890",
			"waypoint:", "waypoint: ", "waypoint:\x07", "WAYPOINT:A",
		} {
			if out, code := g.try("forget", "--tag", wrong); code != 2 || !strings.Contains(out, "want it as in the events") {
				t.Errorf("forget --tag %q: exit %d, %s", wrong, code, out)
			}
		}
		right := []string{"forget"}
		for _, b := range []string{strings.TrimSpace(id), "H:" + strings.ToUpper(strings.TrimSpace(id)[2:]), "04 A1 B2 C3", "04-a1-b2-c3-d4-e5-f6", "04A1B2C3D4E5F6070809"} {
			right = append(right, "--badge", b)
		}
		for _, tag := range []string{"reyax:0", "reyax:65535", "mesh:1C2F13FC", "kenwood:100-1001", "kenwood:U00002", "kenwood:2", "waypoint:BI4PGN-11, truck"} {
			right = append(right, "--tag", tag)
		}
		if out, code := g.try(right...); code != 0 || !strings.Contains(out, "forgotten: nothing") {
			t.Errorf("forget %q: exit %d, %s", right, code, out)
		}
	}
}

// TestForgetNeedsSomebody: without a name nobody is forgotten.
func TestForgetNeedsSomebody(t *testing.T) {
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	if out, code := g.try("forget"); code != 2 || !strings.Contains(out, "say --badge or --tag") {
		t.Errorf("exit %d, %s", code, out)
	}
}

// traces looks for a name in every file of a gateway.
func traces(t *testing.T, g *gateway, name string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(g.dir, "state"), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(name)) {
			t.Errorf("%s is in %s", name, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTapAfterForgetIsRecorded: green means that the tap is on the disk, also
// right after the one before was removed.
func TestTapAfterForgetIsRecorded(t *testing.T) {
	t.Parallel()
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	g.start()
	const uid = "04A1B2C3D4E5F6"
	g.tap("--uid", uid)
	g.must("forget", "--badge", uid)
	if out := g.must("sim", "tap", "--reader", "door", "--uid", uid); !strings.Contains(out, `"outcome":"accepted"`) {
		t.Errorf("the lamp said %s", out)
	}
	if out := g.must("export"); strings.Count(out, `"kind":"badge"`) != 1 {
		t.Errorf("the journal has\n%s", out)
	}
}
