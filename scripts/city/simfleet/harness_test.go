package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"presence/scripts/brokertest"
	"presence/scripts/childtest"
	"presence/scripts/city/internal/lightfleet"
	"presence/scripts/city/internal/lightgateway"
	"presence/scripts/postgrestest"
)

// wait is how long what must come may take, on a busy machine.
const wait = time.Minute

// built builds the programs that the tests start, once for all of them, as they are
// delivered: without the race detector.
var built = sync.OnceValue(func() error {
	for _, program := range []string{"presence/gatewayd", "presence/scripts/city/recorder", "presence/scripts/city/audit"} {
		cmd := exec.Command("go", "build", "-trimpath", "-o", programs()+"/", program)
		cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", program, err, out)
		}
	}
	return nil
})

// programs is the folder for what is built.
func programs() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("simfleet-test-%d", os.Getpid()))
}

func TestMain(m *testing.M) {
	code := m.Run()
	_ = os.RemoveAll(programs()) // not there if no test needed it
	if kills := os.Getenv("CITY_KILLS"); kills != "" {
		fmt.Printf("city-torture: kills of each=%s failed=%t\n", kills, code != 0)
	}
	os.Exit(code)
}

// program is where a program lies that was built.
func program(t testing.TB, name string) string {
	t.Helper()
	if err := built(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(programs(), name)
}

// theCity is what a city runs: PostgreSQL, one or two brokers, a recorder.
type theCity struct {
	t        testing.TB
	db       *postgrestest.Database
	brokers  []*brokertest.Broker
	config   string // of the recorder
	recorder *exec.Cmd
	ended    chan error
	log      *os.File
}

// newCity starts PostgreSQL and a recorder beside brokers, or one broker where none is
// given. PostgreSQL waits for the disk at each commit, as in earnest.
func newCity(t testing.TB, brokers ...*brokertest.Broker) *theCity {
	t.Helper()
	if len(brokers) == 0 {
		brokers = append(brokers, brokertest.Start(t))
	}
	var sessions []string
	for _, b := range brokers {
		sessions = append(sessions, fmt.Sprintf("[[broker]]\nurl = %q\n", b.URL()))
	}
	return newCityWith(t, brokers, sessions...)
}

// newCityWith is newCity with the tables [[broker]] of the recorder's configuration.
func newCityWith(t testing.TB, brokers []*brokertest.Broker, sessions ...string) *theCity {
	t.Helper()
	c := &theCity{t: t, db: postgrestest.Start(t, postgrestest.WithFsync()), brokers: brokers}
	c.db.Create("city")
	dir := t.TempDir()
	text := fmt.Sprintf("[database]\nconnection = %q\n[watch]\nlisten = \"\"\n[resync]\nafter = \"10s\"\n", c.db.Connection("postgres", "city"))
	text += strings.Join(sessions, "")
	c.config = filepath.Join(dir, "recorder.toml")
	if err := os.WriteFile(c.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program(t, "recorder"), "--config", c.config, "migrate").CombinedOutput(); err != nil {
		t.Fatalf("migrate: %v\n%s", err, out)
	}
	var err error
	if c.log, err = os.Create(filepath.Join(dir, "recorder.log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.killRecorder()
		_ = c.log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(c.log.Name())
			t.Logf("the recorder said last:\n%s", text[max(0, len(text)-4000):])
		}
	})
	c.startRecorder()
	c.awaitSessions(len(sessions))
	return c
}

// sessions is how often a recorder has said that its session at a broker is up.
func (c *theCity) sessions() int {
	c.t.Helper()
	text, err := os.ReadFile(c.log.Name())
	if err != nil {
		c.t.Fatal(err)
	}
	return bytes.Count(text, []byte("the session is up"))
}

// awaitSessions waits until it has said so for the nth time.
func (c *theCity) awaitSessions(n int) {
	c.t.Helper()
	c.await("the recorder's sessions", func() (string, bool) {
		got := c.sessions()
		return fmt.Sprint(got), got >= n
	})
}

// startRecorder starts the recorder, if it does not run.
func (c *theCity) startRecorder() {
	c.t.Helper()
	if c.recorder != nil {
		return
	}
	cmd := exec.Command(program(c.t, "recorder"), "--config", c.config, "run")
	cmd.Stderr = c.log
	if err := childtest.Start(cmd); err != nil {
		c.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	c.recorder, c.ended = cmd, ended
}

// killRecorder ends the recorder with SIGKILL, if it runs.
func (c *theCity) killRecorder() {
	if c.recorder == nil {
		return
	}
	_ = c.recorder.Process.Signal(syscall.SIGKILL) // it may have ended by itself
	<-c.ended
	c.recorder = nil
}

// await waits until something is so.
func (c *theCity) await(what string, so func() (got string, ok bool)) {
	c.t.Helper()
	for deadline := time.Now().Add(wait); ; <-time.After(20 * time.Millisecond) {
		got, ok := so()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: after %v it is still %s", what, wait, got)
		}
	}
}

// number is the only value of a query's only row.
func (c *theCity) number(sql string) int64 {
	c.t.Helper()
	rows, err := c.db.Query("city", sql)
	if err != nil {
		c.t.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(rows), 10, 64)
	if err != nil {
		c.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// count is what the database holds.
type count struct {
	events      int64 // rows
	distinct    int64 // pairs of stream and number among them
	corrections int64
	holes       int64 // numbers that are neither there nor named by a gap
	refused     int64
}

// pairs is how many different pairs of id and revision there are.
func (n count) pairs() int64 { return n.distinct + n.corrections }

func (c *theCity) count() count {
	c.t.Helper()
	return count{
		events:      c.number("select count(*) from presence.event"),
		distinct:    c.number("select count(distinct (stream, seq)) from presence.event"),
		corrections: c.number("select count(*) from presence.correction"),
		holes:       c.number("select coalesce(sum(n), 0) from presence.hole"),
		refused:     c.number("select count(*) from presence.refused"),
	}
}

// addresses are the brokers' addresses.
func (c *theCity) addresses() (all []string) {
	for _, b := range c.brokers {
		all = append(all, b.Address())
	}
	return all
}

// newFleet makes light gateways whose events count as delivered at the city's receipt.
// Those with even numbers begin with the last broker.
func (c *theCity) newFleet(gateways int, change ...func(*lightfleet.Options)) *lightfleet.Fleet {
	c.t.Helper()
	opt := lightfleet.Options{Gateways: gateways, Seed: 1, Gateway: lightgateway.Options{Receipts: true, Brokers: c.addresses()}}
	turn := 0
	opt.Configure = func(o *lightgateway.Options) error {
		if turn++; turn%2 == 0 {
			last := len(o.Brokers) - 1
			o.Brokers = append([]string{o.Brokers[last]}, o.Brokers[:last]...)
		}
		return nil
	}
	for _, f := range change {
		f(&opt)
	}
	fleet, err := lightfleet.New(opt)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(fleet.Stop)
	return fleet
}

// awaitConfirmed waits until the city has confirmed all events of a fleet.
func (c *theCity) awaitConfirmed(fleet *lightfleet.Fleet, bound time.Duration) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	if !fleet.AwaitConfirmed(ctx) {
		t := fleet.Totals()
		c.t.Errorf("after %v %d of %d events of %d gateways are not confirmed (%s); the database has %+v", bound, t.Waiting(), t.Events, t.Unfinished, t.LastError, c.count())
	}
}

// prove holds the database against what a fleet has made: each pair of id and revision
// once, and nothing missing.
func (c *theCity) prove(fleet *lightfleet.Fleet) count {
	c.t.Helper()
	made, has := fleet.Totals(), c.count()
	if has.events != made.Events || has.distinct != has.events {
		c.t.Errorf("%d rows with %d different ids of %d events that were made", has.events, has.distinct, made.Events)
	}
	if has.pairs() != made.Pairs {
		c.t.Errorf("%d pairs of id and revision, of %d that were published", has.pairs(), made.Pairs)
	}
	if has.holes != 0 || has.refused != 0 {
		c.t.Errorf("%d events are missing and %d messages were refused", has.holes, has.refused)
	}
	return has
}
