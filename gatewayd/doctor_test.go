package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/creack/pty"

	"presence/scripts/brokertest"
)

// diagnosis is what the tests look at of `gatewayd doctor --json`.
type diagnosis struct {
	V       int
	Gateway string
	Level   string
	Checks  []struct{ Code, Level, ID, EN, Mend string }
}

func (g *gateway) doctor() (d diagnosis, levels map[string]string) {
	g.t.Helper()
	out, code := g.try("doctor", "--json")
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		g.t.Fatalf("doctor says %s", out)
	}
	if (code == 1) != (d.Level == "fail") || code > 1 {
		g.t.Errorf("exit %d at level %s", code, d.Level)
	}
	levels = make(map[string]string)
	for _, c := range d.Checks {
		if levels[c.Code] != "fail" { // the worst of each kind
			levels[c.Code] = c.Level
		}
	}
	return d, levels
}

// giveKey gives the badge key to the user that the doctor judges by, where this
// machine has one, and returns what the doctor should find then.
func (g *gateway) giveKey() (level string) {
	g.t.Helper()
	account, err := user.Lookup("gatewayd")
	if err != nil {
		return "ok" // it judges by whoever runs the test
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		g.t.Fatal(err)
	}
	switch err := os.Chown(filepath.Join(g.dir, "badge.key"), uid, -1); {
	case errors.Is(err, fs.ErrPermission):
		return "fail" // the test's own user is not that one
	case err != nil:
		g.t.Fatal(err)
	}
	return "ok"
}

func TestDoctorAsksTheGatewayThatRuns(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	g := newGateway(t, b.URL(), "")
	key := g.giveKey()
	d, levels := g.doctor()
	if d.V != 1 || d.Gateway != "dinkes-01" || levels["config"] != "ok" || levels["running"] != "warn" ||
		levels["broker"] != "ok" || levels["topics"] != "ok" || levels["clock"] != "ok" || levels["badge-key"] != key {
		t.Errorf("before the start: %+v", d)
	}
	g.start()
	g.await("the line", func() bool { return g.health().MQTT.Connected })
	d, levels = g.doctor()
	if levels["running"] != "ok" || levels["broker"] != "ok" || levels["reader"] != "ok" {
		t.Errorf("while it runs: %+v", d)
	}
	if h := g.health(); !h.MQTT.Connected || h.MQTT.Reconnects != 0 {
		t.Errorf("the doctor threw the gateway off the broker: %+v", h.MQTT)
	}
	g.must("sim", "reader", "--reader", "door", "--fault", "deaf")
	g.await("the fault", func() bool { return g.health().Readers[0].State == "deaf" })
	if d, levels = g.doctor(); levels["reader"] != "fail" {
		t.Errorf("with a deaf reader: %+v", d)
	}
}

func TestDoctorSpeaksTheTechniciansLanguage(t *testing.T) {
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	for _, tc := range []struct{ all, messages, lang, says string }{
		{"", "", "id_ID.UTF-8", "tidak menjawab"},
		{"", "", "id_ID", "tidak menjawab"},
		{"", "", "", "does not answer"},
		{"", "", "en_GB.UTF-8", "does not answer"},
		{"C", "", "id_ID.UTF-8", "does not answer"},
		{"", "id_ID.UTF-8", "en_US.UTF-8", "tidak menjawab"},
	} {
		t.Setenv("LC_ALL", tc.all)
		t.Setenv("LC_MESSAGES", tc.messages)
		t.Setenv("LANG", tc.lang)
		out, code := g.try("doctor")
		if code != 1 || !strings.Contains(out, tc.says) || !strings.Contains(out, ": nc -vz -w 5 127.0.0.1 1\n") || !strings.Contains(out, " fail\n") {
			t.Errorf("%+v: exit %d\n%s", tc, code, out)
		}
	}
	g.configure("[gateway]\nid = 3\n")
	if out, code := g.try("doctor"); code != 1 || !strings.Contains(out, g.config+":2: gateway.id") {
		t.Errorf("with a wrong configuration: exit %d\n%s", code, out)
	}
	t.Setenv("LC_ALL", "id_ID.UTF-8")
	if out, code := g.try("doctor"); code != 1 || !strings.Contains(out, g.config+":2: gateway.id: adalah bilangan bulat 3: tulis teks") {
		t.Errorf("with a wrong configuration, in Indonesian: exit %d\n%s", code, out)
	}
}

// The gain can only be tried out, and badges be examined, while nobody else uses the
// reader, and of one that is there.
func TestDoctorLeavesTheReaderToTheGateway(t *testing.T) {
	g := newGateway(t, "tcp://127.0.0.1:1", "")
	for _, flag := range []string{"--gain", "--badge"} {
		if out, code := g.try("doctor", flag); code != 2 || !strings.Contains(out, `reader "door" is mocked`) {
			t.Errorf("%s of a mocked reader: exit %d\n%s", flag, code, out)
		}
	}
	g.start()
	for _, flag := range []string{"--gain", "--badge"} {
		if out, code := g.try("doctor", flag); code != 1 || !strings.Contains(out, "sudo systemctl stop gatewayd") {
			t.Errorf("%s while it runs: exit %d\n%s", flag, code, out)
		}
	}
}

// TestDoctorKnowsTheGatewayByItsProcess, whatever the program is called: it may hold
// its own port.
func TestDoctorKnowsTheGatewayByItsProcess(t *testing.T) {
	radio, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer radio.Close()
	g := newGateway(t, "tcp://127.0.0.1:1", fmt.Sprintf("[[receiver]]\nname = \"yard\"\nprotocol = \"kenwood\"\nport = %q\n[hours]\nalways = true\n", tty.Name()))
	g.start()
	g.await("the port to be open", func() bool { return g.health().Receivers[0].State == "silent" })
	if err := tty.Close(); err != nil { // else this test holds it too
		t.Fatal(err)
	}
	d, _ := g.doctor()
	for _, c := range d.Checks {
		if strings.Contains(c.Mend, "kill") {
			t.Errorf("it advises %+v", c)
		}
	}
}
