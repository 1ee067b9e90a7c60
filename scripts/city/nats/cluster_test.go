package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"presence/scripts/natstest"
)

// refusedFilter is the code of a SUBACK for a subscription that is not granted
// (MQTT 3.1.1, 3.9.3).
const refusedFilter = 0x80

// client is a client of a cluster, such as a gateway.
type client struct {
	mqtt.Client
	came chan string // topic and payload of each message
}

// connect connects to a node with the certificate of a name, under a client id.
func connect(t *testing.T, c *natstest.Cluster, node int, name, id string, clean bool) (*client, error) {
	t.Helper()
	all := &client{came: make(chan string, 10_000)}
	o := mqtt.NewClientOptions().AddBroker("tls://" + c.Nodes[node].Address()).SetTLSConfig(c.TLS(name)).SetClientID(id).
		SetCleanSession(clean).SetAutoReconnect(false).SetConnectTimeout(20 * time.Second).SetOrderMatters(true).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { all.came <- m.Topic() + " " + string(m.Payload()) })
	all.Client = mqtt.NewClient(o)
	token := all.Connect()
	if !token.WaitTimeout(30 * time.Second) {
		return nil, fmt.Errorf("no answer")
	}
	if token.Error() == nil {
		t.Cleanup(func() { all.Disconnect(100) })
	}
	return all, token.Error()
}

func mustConnect(t *testing.T, c *natstest.Cluster, node int, name, id string, clean bool) *client {
	t.Helper()
	all, err := connect(t, c, node, name, id, clean)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return all
}

// granted reports whether the broker grants a subscription.
func (c *client) granted(t *testing.T, filter string, qos byte) bool {
	t.Helper()
	token := c.Subscribe(filter, qos, nil).(*mqtt.SubscribeToken)
	return token.WaitTimeout(30*time.Second) && token.Error() == nil && token.Result()[filter] != refusedFilter
}

func (c *client) publish(t *testing.T, topic string, retained bool, payload string) {
	t.Helper()
	if token := c.Publish(topic, 1, retained, payload); !token.WaitTimeout(30*time.Second) || token.Error() != nil {
		t.Errorf("publish on %s: %v", topic, token.Error())
	}
}

// await waits for a message, and returns what came before it.
func (c *client) await(t *testing.T, want string) (before []string) {
	t.Helper()
	for timeout := time.After(60 * time.Second); ; {
		select {
		case got := <-c.came:
			if got == want {
				return before
			}
			before = append(before, got)
		case <-timeout:
			t.Fatalf("%q does not come, but %q", want, before)
		}
	}
}

const own = "presence/v1/dinkes/dinkes-01/"

// TestCluster starts the three nodes as the kit configures them.
func TestCluster(t *testing.T) {
	c := natstest.StartCluster(t, "dinkes-01", "dinkes-02")
	t.Run("says to each gateway only what is its own", func(t *testing.T) { eachItsOwn(t, c) })
	t.Run("keeps what comes for a session that was there before", func(t *testing.T) { sessionKeeps(t, c) })
	t.Run("replicates everything three times", func(t *testing.T) { replicates(t, c) })
	t.Run("waits for an office on a slow line", func(t *testing.T) { waitsForHandshake(t, c) })
	t.Run("lets nobody into the cluster with another key", func(t *testing.T) { closedCluster(t, c) })
	t.Run("takes up what the authority does", func(t *testing.T) { followsAuthority(t, c) })
}

func eachItsOwn(t *testing.T, c *natstest.Cluster) {
	city := mustConnect(t, c, 0, "city", "city", true)
	if !city.granted(t, "presence/v1/#", 1) { // takes in the topic presence/v1 itself
		t.Fatal("city may not read")
	}
	one, two := mustConnect(t, c, 1, "dinkes-01", "dinkes-01", true), mustConnect(t, c, 2, "dinkes-02", "dinkes-02", true)
	for filter, want := range map[string]bool{
		own + "cmd/+": true, own + "receipt": true, own + "status": true, own + "alert/+": true, own + "roster": true,
		own + "policy/hours": true, own + "event/batch": true, own + "time/reply": true,
		"presence/v1/dinkes/dinkes-02/roster": false, "presence/v1/+/+/status": false, "#": false, own + "event/badge": false, "$MQTT/#": false,
	} {
		if got := one.granted(t, filter, 0); got != want {
			t.Errorf("dinkes-01 may read %s: %v", filter, got)
		}
	}
	// What is not allowed may end the connection, so each has one of its own, and a client
	// id of its own: who comes back at once under the same one is turned away for a second.
	for i, wrong := range []string{"presence/v1/dinkes/dinkes-01/event/badge", "presence/v1/dinkes/dinkes-01/status", "presence/v1/dinkes/dinkes-02/receipt", "presence/v1/dinkes/dinkes-02/cmd/ping"} {
		forger := mustConnect(t, c, 0, "dinkes-02", fmt.Sprint("forger-", i), true)
		forger.Publish(wrong, 1, true, "forged").WaitTimeout(time.Second)
	}
	two.publish(t, "presence/v1/dinkes/dinkes-02/event/badge", false, "last")
	for _, got := range city.await(t, "presence/v1/dinkes/dinkes-02/event/badge last") {
		if strings.Contains(got, "forged") {
			t.Errorf("came: %s", got)
		}
	}
	one.publish(t, own+"health", true, "well")
	city.await(t, own+"health well")
	late := mustConnect(t, c, 2, "city", "city-2", true)
	late.granted(t, "presence/v1/+/+/health", 1)
	late.await(t, own+"health well") // retained, at another node
	if _, err := connect(t, c, 0, "broker", "broker", true); err == nil {
		t.Error("the broker's certificate lets in as a client")
	}
}

// sessionKeeps shows both: what comes before the city's session exists is acknowledged and
// gone, and what comes after that waits, though all nodes are killed.
func sessionKeeps(t *testing.T, c *natstest.Cluster) {
	gateway := mustConnect(t, c, 0, "dinkes-01", "dinkes-01", true)
	gateway.publish(t, own+"event/tag", false, "too early")
	recorder := mustConnect(t, c, 1, "recorder", "recorder-5b1f", false)
	for _, filter := range []string{"presence/v1/+/+/event/+", "presence/v1/+/+/status", "presence/v1/+/+/info", "presence/v1/+/+/health", "presence/v1/+/+/alert/+"} {
		if !recorder.granted(t, filter, 1) { // 5 times max_ack_pending
			t.Errorf("recorder may not read %s", filter)
		}
	}
	recorder.Disconnect(100)
	const n = 200
	for i := range n {
		gateway.publish(t, own+"event/badge", false, fmt.Sprint(i))
	}
	c.Kill()
	c.Start()
	c.AwaitReady()
	recorder = mustConnect(t, c, 2, "recorder", "recorder-5b1f", false)
	came := make(map[string]bool)
	for len(came) < n {
		select {
		case got := <-recorder.came:
			if strings.HasSuffix(got, "too early") {
				t.Error("NATS has learnt to keep what comes before the session: ENGINES.md says that it does not")
			}
			if strings.HasPrefix(got, own+"event/badge ") {
				came[got] = true
			}
		case <-time.After(60 * time.Second):
			t.Fatalf("%d of %d came", len(came), n)
		}
	}
}

func replicates(t *testing.T, c *natstest.Cluster) {
	for stream, replicas := range c.Replicas() {
		if replicas != 3 {
			t.Errorf("%s: %d replicas", stream, replicas)
		}
	}
	if !slices.Contains(c.Leader().Streams(), "$MQTT_sess") {
		t.Errorf("streams: %q", c.Leader().Streams())
	}
}

// waitsForHandshake: by default a server gives a client 2 s.
func waitsForHandshake(t *testing.T, c *natstest.Cluster) {
	conn, err := net.Dial("tcp", c.Nodes[0].Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	<-time.After(4 * time.Second)
	config := c.TLS("dinkes-01")
	config.ServerName = "localhost"
	if err := tls.Client(conn, config).Handshake(); err != nil {
		t.Error(err)
	}
}

// closedCluster: whoever came in there could read and write everything.
func closedCluster(t *testing.T, c *natstest.Cluster) {
	for name, want := range map[string]bool{"dinkes-01": false, "city": false, "broker": true} {
		if got := c.LetsIntoCluster(name); got != want {
			t.Errorf("%s gets into the cluster: %v", name, got)
		}
	}
}

// followsAuthority: a gateway is signed, another is taken back, and one gets another key.
func followsAuthority(t *testing.T, c *natstest.Cluster) {
	cert, key := c.Pair("dinkes-02")
	stolen, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	c.CA("revoke", "dinkes-02")
	c.Sign("dinkes-03")
	c.Configure()
	for _, s := range c.Nodes { // one after the other, so that two always work
		s.Kill()
		s.Start()
		s.AwaitReady()
	}
	mustConnect(t, c, 0, "dinkes-01", "dinkes-01", true)
	mustConnect(t, c, 1, "dinkes-03", "dinkes-03", true)
	config := c.TLS("dinkes-01")
	config.Certificates = []tls.Certificate{stolen}
	token := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tls://" + c.Nodes[0].Address()).SetTLSConfig(config).SetClientID("dinkes-02")).Connect()
	if token.WaitTimeout(30*time.Second) && token.Error() == nil {
		t.Error("a certificate that was taken back lets in")
	}
}

// TestProgramWritesWhatServersRead: the command as ENGINES.md has it, and nats-server's own
// check of what it writes.
func TestProgramWritesWhatServersRead(t *testing.T) {
	t.Parallel()
	authority := natstest.Authority(t, "dinkes-01")
	to := t.TempDir()
	args := []string{"-authority", authority, "-acl", "../gatewayd.acl", "-to", to, "n1=nats1.example.go.id", "n2=nats2.example.go.id", "n3=nats3.example.go.id"}
	if err := run(args, os.Stderr); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range [][]string{args[:8], append(args, "n4=nats4.example.go.id"), append(args[:8], "n3"), append(args[:8], "../n3=nats3.example.go.id")} {
		if err := run(wrong, os.Stderr); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
	path := filepath.Join(to, "n2", "nats.conf")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer("/etc/nats", filepath.Dir(path), "/var/lib/nats", t.TempDir()).Replace(string(text))
	if err := os.WriteFile(path, []byte(here), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(natstest.Program(t), "-t", "-c", path).CombinedOutput(); err != nil {
		t.Errorf("nats-server -t: %v\n%s", err, out)
	}
}
