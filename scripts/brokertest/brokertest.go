// Package brokertest runs a real mosquitto for a test, and a city that listens
// to it.
//
// It exists because what matters about a broker is what real ones do: refuse,
// restart, forget, drop.
package brokertest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/sys/unix"

	"presence/scripts/childtest"
	"presence/scripts/city/unpack"
	"presence/scripts/skiptest"
)

// Wait is how long helpers wait for what must come.
const Wait = 30 * time.Second

// Broker is a mosquitto of a test. It is stopped when the test ends.
type Broker struct {
	Port int

	t      testing.TB
	binary string
	config string
	log    bytes.Buffer
	cmd    *exec.Cmd
	done   chan struct{}
}

// Start runs a broker on a free port of 127.0.0.1 with the given lines added to
// its configuration; without any it lets everybody in. Where mosquitto is not
// installed the test is skipped, or fails under CI=true.
func Start(t testing.TB, extra ...string) *Broker {
	t.Helper()
	binary := skiptest.Program(t, "mosquitto")
	b := &Broker{t: t, binary: binary, config: filepath.Join(t.TempDir(), "mosquitto.conf")}
	t.Cleanup(func() {
		b.Stop()
		if t.Failed() {
			t.Logf("mosquitto said:\n%s", tail(b.log.String(), 4000))
		}
	})
	if len(extra) == 0 {
		extra = []string{"allow_anonymous true"}
	}
	// Between finding a free port and using it somebody else may take it.
	var problem error
	for range 5 {
		b.Port = FreePort(t)
		b.configure(extra)
		if problem = b.run(); problem == nil {
			return b
		}
	}
	t.Fatal(problem)
	return nil
}

// At is a broker that somebody else runs, for its subscribers.
func At(t testing.TB, port int) *Broker { return &Broker{Port: port, t: t} }

// Nobody is the place of a broker that is not there: nobody listens at its port, and until
// the test ends nobody can, as one that was stopped would let another test have its port.
func Nobody(t testing.TB) *Broker {
	t.Helper()
	held, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(held) })
	if err := unix.Bind(held, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(held)
	if err != nil {
		t.Fatal(err)
	}
	return At(t, at.(*unix.SockaddrInet4).Port)
}

// FreePort is a port of 127.0.0.1 that nobody uses as yet.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().(*net.TCPAddr).Port
}

// configure writes the configuration. What comes later in it wins.
func (b *Broker) configure(extra []string) {
	b.t.Helper()
	lines := []string{
		fmt.Sprintf("listener %d 127.0.0.1", b.Port),
		"persistence false",
		// Under root it would drop its rights and not read the test's files;
		// under anybody else this does nothing.
		"user root",
		// A test's city must get everything, however far it is behind.
		"max_queued_messages 0", "max_inflight_messages 0", "max_queued_bytes 0",
		"set_tcp_nodelay true",
	}
	text := strings.Join(append(lines, extra...), "\n") + "\n"
	if err := os.WriteFile(b.config, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// Address is the broker's host and port.
func (b *Broker) Address() string { return fmt.Sprintf("127.0.0.1:%d", b.Port) }

// URL is the broker's address for a configuration.
func (b *Broker) URL() string { return "tcp://" + b.Address() }

// Reconfigure changes what was added to the configuration, for the next Restart.
func (b *Broker) Reconfigure(extra ...string) {
	b.t.Helper()
	b.configure(extra)
}

// Restart runs the broker again on the same port, after Stop or Kill. Meanwhile somebody
// else's connection may have been given that port: then it is tried again for a while.
func (b *Broker) Restart() {
	b.t.Helper()
	err := b.run()
	for deadline := time.Now().Add(Wait); err != nil && time.Now().Before(deadline); err = b.run() {
		<-time.After(100 * time.Millisecond)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// run starts mosquitto and waits until it listens.
func (b *Broker) run() error {
	cmd := exec.Command(b.binary, "-c", b.config)
	cmd.Stdout, cmd.Stderr = &b.log, &b.log
	if err := childtest.Start(cmd); err != nil {
		return fmt.Errorf("start mosquitto: %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // Stop and Kill end it with a signal, which is an error
	}()
	b.cmd, b.done = cmd, done
	deadline := time.Now().Add(Wait)
	for {
		select {
		case <-done:
			b.cmd = nil
			return fmt.Errorf("mosquitto ended at once:\n%s", tail(b.log.String(), 4000))
		case <-time.After(10 * time.Millisecond):
		}
		conn, err := net.Dial("tcp", b.Address())
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			b.Kill() // its log is complete once it has ended
			return fmt.Errorf("mosquitto does not listen:\n%s", tail(b.log.String(), 4000))
		}
	}
}

// Reload lets the broker read its certificates and its ACL again, as systemctl
// reload does.
func (b *Broker) Reload() {
	b.t.Helper()
	if err := b.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		b.t.Fatal(err)
	}
}

// PID is the process id of a broker that runs.
func (b *Broker) PID() int { return b.cmd.Process.Pid }

// Stop ends the broker as systemd would.
func (b *Broker) Stop() { b.end(syscall.SIGTERM) }

// Kill ends the broker at once.
func (b *Broker) Kill() { b.end(syscall.SIGKILL) }

func (b *Broker) end(sig syscall.Signal) {
	if b.cmd == nil {
		return
	}
	// A mosquitto that has only just begun to listen ignores the signal, so it is sent
	// again until mosquitto ends.
	for again := time.NewTicker(time.Second); ; {
		_ = b.cmd.Process.Signal(sig)
		select {
		case <-b.done:
			again.Stop()
			b.cmd = nil
			return
		case <-again.C:
		}
	}
}

// Message is a message that reached the city.
type Message struct {
	Topic    string
	Payload  []byte
	Retained bool
	Batch    int // the number of the batch in which it came, from 1 on; 0: it came alone
}

// City is a subscriber that keeps all messages that it gets. It unpacks batches: each
// event in one is kept as if it had come on its own topic.
type City struct {
	t      testing.TB
	client mqtt.Client
	reader *unpack.Reader

	mu       sync.Mutex
	messages []Message
	batches  []Message
	changed  chan struct{}
}

// Subscribe connects a city to the broker, and returns once it is subscribed. It
// reconnects by itself, and the end of the test disconnects it.
func (b *Broker) Subscribe(filter string, configure ...func(*mqtt.ClientOptions)) *City {
	b.t.Helper()
	reader, err := unpack.NewReader()
	if err != nil {
		b.t.Fatal(err)
	}
	c := &City{t: b.t, reader: reader, changed: make(chan struct{})}
	ready := make(chan struct{}, 16)
	o := mqtt.NewClientOptions().AddBroker(b.URL()).
		SetClientID(fmt.Sprintf("city-%d-%d", os.Getpid(), time.Now().UnixNano())).
		SetCleanSession(true).SetAutoReconnect(true).SetMaxReconnectInterval(200 * time.Millisecond).
		SetConnectRetry(true).SetConnectRetryInterval(50 * time.Millisecond).
		SetOrderMatters(true)
	o.SetOnConnectHandler(func(client mqtt.Client) {
		token := client.Subscribe(filter, 1, func(_ mqtt.Client, m mqtt.Message) {
			c.keep(Message{Topic: m.Topic(), Payload: bytes.Clone(m.Payload()), Retained: m.Retained()})
		})
		go func() {
			if token.WaitTimeout(Wait) && token.Error() == nil {
				select {
				case ready <- struct{}{}:
				default:
				}
			}
		}()
	})
	for _, f := range configure {
		f(o)
	}
	c.client = mqtt.NewClient(o)
	c.client.Connect()
	select {
	case <-ready:
	case <-time.After(Wait):
		b.t.Fatal("the city cannot subscribe")
	}
	b.t.Cleanup(func() { c.client.Disconnect(100) })
	return c
}

// keep keeps a message, or the events of a batch.
func (c *City) keep(m Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	prefix, isBatch := strings.CutSuffix(m.Topic, "/batch")
	if !isBatch {
		c.messages = append(c.messages, m)
	} else {
		c.batches = append(c.batches, m)
		events, err := c.reader.Events(m.Payload)
		if err != nil || m.Retained {
			c.t.Errorf("a batch on %s (retained: %v): %v", m.Topic, m.Retained, err)
		}
		for _, e := range events {
			kind, err := unpack.Kind(e)
			if err != nil {
				c.t.Errorf("in a batch on %s: %v", m.Topic, err)
			}
			c.messages = append(c.messages, Message{Topic: prefix + "/" + kind, Payload: e, Batch: len(c.batches)})
		}
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// Batches is the batches that came so far, as they came.
func (c *City) Batches() []Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Message(nil), c.batches...)
}

// Disconnect ends the city's connection for good.
func (c *City) Disconnect() { c.client.Disconnect(100) }

// Publish sends a message at QoS 1 and waits for its PUBACK.
func (c *City) Publish(topic string, retained bool, payload []byte) {
	c.t.Helper()
	token := c.client.Publish(topic, 1, retained, payload)
	if !token.WaitTimeout(Wait) || token.Error() != nil {
		c.t.Fatalf("publish %s: %v", topic, token.Error())
	}
}

// Messages is what came so far.
func (c *City) Messages() []Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Message(nil), c.messages...)
}

// Came is for Await: whether a message on a topic has come. A message that is to be the
// last is not, where the gateway goes on to publish.
func Came(topic string) func([]Message) bool {
	return func(messages []Message) bool {
		return slices.ContainsFunc(messages, func(m Message) bool { return m.Topic == topic })
	}
}

// Await returns all messages as soon as enough is true of them, and fails the test if
// that takes longer than Wait.
func (c *City) Await(what string, enough func([]Message) bool) []Message {
	c.t.Helper()
	return c.AwaitFor(Wait, what, enough)
}

// AwaitFor is Await with a bound of its own.
func (c *City) AwaitFor(bound time.Duration, what string, enough func([]Message) bool) []Message {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	for {
		c.mu.Lock()
		messages, changed := c.messages, c.changed
		c.mu.Unlock()
		if enough(messages) {
			return messages
		}
		select {
		case <-changed:
		case <-ctx.Done():
			c.t.Fatalf("waited %v in vain for %s; %d messages came", bound, what, len(messages))
		}
	}
}
