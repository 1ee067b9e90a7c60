package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"presence/scripts/brokertest"
)

// TestKitsBroker has the recorder work at a broker as the kit sets it up: mutual TLS, the
// name in the certificate for user and client id, and the ACL. A hole is asked for over
// it, and the gateway that is asked sends again what is missing.
func TestKitsBroker(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	until := time.Now().Add(24 * time.Hour)
	acl, err := filepath.Abs("../gatewayd.acl")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(acl)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "gatewayd.acl")
	if err := os.WriteFile(copied, text, 0o644); err != nil {
		t.Fatal(err)
	}
	brokerCert, brokerKey := ca.Issue("broker", until)
	port := brokertest.FreePort(t)
	b := brokertest.Start(t, "allow_anonymous false", "acl_file "+copied, "max_inflight_messages 10000",
		fmt.Sprintf("listener %d 127.0.0.1", port), "cafile "+ca.File, "certfile "+brokerCert, "keyfile "+brokerKey,
		"require_certificate true", "use_identity_as_username true", "use_username_as_clientid true")
	url := fmt.Sprintf("tls://127.0.0.1:%d", port)
	cert, key := ca.Issue("recorder", until)
	c := newCity(t, b)
	c.brokerLines = func(*brokertest.Broker) string {
		return fmt.Sprintf("url = %q\nca_file = %q\ncert_file = %q\nkey_file = %q\n", url, ca.File, cert, key)
	}
	c.more = "[resync]\nafter = \"10s\"\n"
	p := c.record()

	s := newStream("dinkes-01")
	line := c.tlsGateway(ca, url, s, until)
	line.publish(s.topic("badge"), s.badge(1))
	line.publish(s.topic("badge"), s.badge(4)) // 2 and 3 were lost behind the broker
	asked := line.await("cmd/resync", 2*time.Minute)
	var command struct {
		TX   string
		Args struct {
			Stream string
			Seq    int
		}
	}
	if err := json.Unmarshal(asked, &command); err != nil || command.Args.Stream != s.id || command.Args.Seq != 2 {
		t.Fatalf("asked %s (%v)", asked, err)
	}
	line.publish(strings.Replace(s.topic("x"), "event/x", "reply/resync", 1), `{"tx":"`+command.TX+`","ok":false,"result":{},"error":"not in the journal"}`)
	c.await("the refusal to be counted", func() (string, bool) {
		n := p.metric("recorder_resyncs_refused_total")
		return n, n == "1"
	})
	line.publish(s.topic("badge"), s.badge(2))
	line.publish(s.topic("badge"), s.badge(3))
	c.whole(4)
	for {
		var r receipt
		if err := json.Unmarshal(line.await("receipt", wait), &r); err != nil {
			t.Fatal(err)
		}
		if r.Upto == 4 {
			break
		}
	}
}

// tlsLine is a gateway's line to a broker that wants certificates.
type tlsLine struct {
	t      *testing.T
	client mqtt.Client
	came   chan mqtt.Message
}

func (c *city) tlsGateway(ca *brokertest.CA, url string, s stream, until time.Time) *tlsLine {
	t := c.t.(*testing.T)
	cert, key := ca.Issue(s.gateway, until)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	text, err := os.ReadFile(ca.File)
	if err != nil || !roots.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	l := &tlsLine{t: t, came: make(chan mqtt.Message, 100)}
	l.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker(url).SetClientID(s.gateway).
		SetTLSConfig(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { l.came <- m }))
	t.Cleanup(func() { l.client.Disconnect(100) })
	l.done(l.client.Connect())
	below := "presence/v1/" + s.dinas + "/" + s.gateway + "/"
	l.done(l.client.SubscribeMultiple(map[string]byte{below + "receipt": 1, below + "cmd/+": 1}, nil))
	return l
}

func (l *tlsLine) done(token mqtt.Token) {
	l.t.Helper()
	if !token.WaitTimeout(wait) || token.Error() != nil {
		l.t.Fatalf("the gateway's line: %v", token.Error())
	}
}

func (l *tlsLine) publish(topic, payload string) {
	l.t.Helper()
	l.done(l.client.Publish(topic, 1, false, payload))
}

// await waits for a message on a topic below the gateway.
func (l *tlsLine) await(topic string, within time.Duration) []byte {
	l.t.Helper()
	for late := time.After(within); ; {
		select {
		case m := <-l.came:
			if strings.HasSuffix(m.Topic(), "/"+topic) {
				return bytes.Clone(m.Payload())
			}
		case <-late:
			l.t.Fatalf("nothing came on %s", topic)
		}
	}
}

// TestBackpressure has the database stand still while more comes than memory may hold.
// The rest stays at the broker, and all of it is stored once the database goes on.
func TestBackpressure(t *testing.T) {
	t.Parallel()
	c := newCity(t)
	c.more = "[events]\nqueue_mb = 1\n"
	p := c.record()
	release := c.hold(`begin; lock table presence.event in access exclusive mode; select 'held'; select pg_sleep(12); commit`)
	sender := c.brokers[0].Subscribe("presence/v1/+/+/receipt")
	const streams, events = 5, 50 // some 5 MB
	filler := `,"x":"` + strings.Repeat("x", 20_000) + `"`
	for i := range streams {
		s := newStream(fmt.Sprintf("gw-%d", i))
		for seq := 1; seq <= events; seq++ {
			sender.Publish(s.topic("badge"), false, []byte(s.event("badge", seq, filler)))
		}
	}
	inMemory := func() float64 {
		n, err := strconv.ParseFloat(p.metric("recorder_queue_bytes"), 64)
		if err != nil {
			return -1
		}
		return n
	}
	c.await("the queue to be full", func() (string, bool) {
		n := inMemory()
		return fmt.Sprint(n), n > 900_000
	})
	if n := inMemory(); n > 1<<20 {
		t.Errorf("%.0f bytes are in memory", n)
	}
	release()
	c.whole(streams * events)
}

// hold runs SQL in a session of its own, until the function that it returns ends it.
func (c *city) hold(sql string) (release func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = c.db.Query("city", sql)
	}()
	c.await("the lock", func() (string, bool) {
		rows, err := c.db.Query("postgres", `select count(*) from pg_locks where mode = 'AccessExclusiveLock' and granted and relation is not null and database <> 0`)
		return rows, err == nil && strings.TrimSpace(rows) != "0"
	})
	return func() { <-done }
}
