package main_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"presence/scripts/brokertest"
)

// TestTapsArriveOverWebSocketThroughTheOfficesProxy: where only the web gets out, and
// whatever the environment says of other proxies. While the proxy is away taps wait, and
// the gateway says that it is the proxy.
func TestTapsArriveOverWebSocketThroughTheOfficesProxy(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	cert, key := ca.Issue("dinkes-01", time.Now().Add(time.Hour))
	b, address := brokertest.StartWebSocket(t, ca)
	city := b.Subscribe("presence/v1/#")
	proxy := brokertest.StartProxy(t)
	g := newGateway(t, "wss://"+address+"/mqtt", fmt.Sprintf("proxy = \"http://%s\"\nca_file = %q\ncert_file = %q\nkey_file = %q\n", proxy.Address, ca.File, cert, key))
	const nobody = "http://user:do-not-repeat@127.0.0.1:1"
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		g.env = append(g.env, name+"="+nobody, strings.ToLower(name)+"="+nobody)
	}
	g.start()
	g.await("the line", func() bool { return g.health().MQTT.Connected })
	g.must("sim", "tap", "--reader", "door", "--uid", ownUID)
	taps := func(n int) func([]brokertest.Message) bool {
		return func(m []brokertest.Message) bool {
			got := 0
			for _, m := range m {
				if strings.HasSuffix(m.Topic, "/event/badge") {
					got++
				}
			}
			return got >= n
		}
	}
	city.Await("the tap", taps(1))
	if d, levels := g.doctor(); levels["broker"] != "ok" {
		t.Errorf("while it runs: %+v", d)
	}

	proxy.Kill()
	g.await("the loss", func() bool {
		return strings.Contains(g.health().MQTT.LastError, "the proxy "+proxy.Address+" cannot be reached")
	})
	g.must("sim", "tap", "--reader", "door", "--uid", "04A1B2C3D4E5F7")
	d, _ := g.doctor()
	if !slices.ContainsFunc(d.Checks, func(c struct{ Code, Level, ID, EN, Mend string }) bool {
		return c.Code == "broker" && c.Level == "fail" && strings.Contains(c.EN, "the proxy "+proxy.Address) && strings.Contains(c.ID, "proksi")
	}) {
		t.Errorf("without the proxy: %+v", d)
	}
	proxy.Restart()
	for _, m := range city.Await("the other tap", taps(2)) {
		if err := validator(t).Validate(m.Topic, m.Payload); err != nil {
			t.Error(err)
		}
	}
	g.stop()
	if strings.Contains(g.log.String(), "do-not-repeat") {
		t.Error("the log repeats what the environment holds")
	}
	for _, to := range proxy.Tunnels() {
		if to != address {
			t.Errorf("the proxy was asked for %s", to)
		}
	}
}

// TestWhatIsWrongWithTheWayToTheBrokerIsNamedWithoutSecrets: people put passwords into
// addresses.
func TestWhatIsWrongWithTheWayToTheBrokerIsNamedWithoutSecrets(t *testing.T) {
	t.Parallel()
	for lines, says := range map[string]string{
		"broker = \"wss://u:do-not-repeat@b/mqtt\"":                                          "mqtt.broker: holds a user name",
		"broker = \"wss://b/mqtt?token=do-not-repeat\"":                                      "mqtt.broker: has a path with characters",
		"broker = \"tls://b\"\nproxy = \"http://u:do-not-repeat@10.0.0.1:3128\"":             "mqtt.proxy: holds a user name",
		"broker = \"ws://192.0.2.1/mqtt\"":                                                   "mqtt.broker: goes over the network without encryption: write wss://",
		"broker = \"ws://127.0.0.1/mqtt\"\nproxy = \"http://10.0.0.1:3128\"":                 "mqtt.broker: goes over the network without encryption: write wss://",
		"broker = \"wss://127.0.0.1:1/mqtt\"\nproxy = \"https://127.0.0.1:1/do-not-repeat\"": "mqtt.proxy: has the scheme \"https\": only http:// is possible",
	} {
		g := newGateway(t, "tcp://127.0.0.1:1", "")
		g.configure(strings.Replace(g.text(), "broker = \"tcp://127.0.0.1:1\"", lines, 1))
		commands := []string{"check"}
		if strings.Contains(lines, "proxy = \"http://u:") {
			commands = append(commands, "doctor")
		}
		for _, command := range commands {
			out, code := g.try(command)
			if code == 0 || !strings.Contains(out, says) || strings.Contains(out, "do-not-repeat") {
				t.Errorf("%s: %s says, exit %d:\n%s", lines, command, code, out)
			}
		}
	}
}

// TestAProxyThatHangsDoesNotHoldUpTheStop, although a connection has 10 s.
func TestAProxyThatHangsDoesNotHoldUpTheStop(t *testing.T) {
	t.Parallel()
	hung, err := net.Listen("tcp", "127.0.0.1:0") // it accepts, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close()
	g := newGateway(t, "tls://mqtt.example.go.id", fmt.Sprintf("proxy = \"http://%s\"\n", hung.Addr()))
	g.start()
	conn, err := hung.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	g.must("sim", "tap", "--reader", "door", "--uid", ownUID)
	g.stop()
	if _, err := os.Stat(filepath.Join(g.dir, "state", "journal.db")); err != nil {
		t.Error(err)
	}
}
