package recorder_test

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"presence/scripts/brokertest"
	"presence/scripts/city/internal/recorder"
	"presence/scripts/city/internal/settings"
	"presence/scripts/postgrestest"
)

// wait is how long a test waits for what must come, on a busy machine.
const wait = time.Minute

// city is a broker, a database with the schema and a configuration for recorders.
type city struct {
	t       testing.TB
	db      *postgrestest.Database
	brokers []*brokertest.Broker
	key     ed25519.PrivateKey // with which receipts are signed
	config  string             // the file
}

// newCity starts PostgreSQL and as many brokers as there are lists of lines for their
// configurations, or one.
func newCity(t testing.TB, brokers ...*brokertest.Broker) *city {
	t.Helper()
	c := &city{t: t, db: postgrestest.Start(t), brokers: brokers}
	if len(c.brokers) == 0 {
		c.brokers = append(c.brokers, brokertest.Start(t))
	}
	c.db.Create("city")
	c.key = ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))
	der, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "city.key")
	c.write(keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	text := fmt.Sprintf("[database]\nconnection = %q\n[receipts]\nkey_file = %q\n[watch]\nlisten = \"\"\n", c.db.Connection("postgres", "city"), keyFile)
	for _, b := range c.brokers {
		text += fmt.Sprintf("[[broker]]\nurl = %q\n", b.URL())
	}
	c.config = filepath.Join(dir, "recorder.toml")
	c.write(c.config, text)
	if _, _, err := recorder.Database(c.settings()).Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *city) write(file, text string) {
	c.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *city) settings() *settings.Settings {
	c.t.Helper()
	set, err := settings.Load(c.config)
	if err != nil {
		c.t.Fatal(err)
	}
	return set
}

// record runs a recorder in this process until the test or the function that it returns
// ends it.
func (c *city) record(change ...func(*settings.Settings)) (stop func()) {
	c.t.Helper()
	set := c.settings()
	for _, f := range change {
		f(set)
	}
	r, err := recorder.New(set, slog.New(slog.NewTextHandler(c.t.Output(), nil)))
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Errorf("the recorder ended: %v", err)
		}
	})
	c.t.Cleanup(stop)
	c.await("the recorder to work", func() (string, bool) {
		return fmt.Sprintf("%+v", r.State()), r.State().Works()
	})
	return stop
}

// query is the rows of a query, a line each.
func (c *city) query(sql string) string {
	c.t.Helper()
	rows, err := c.db.Query("city", sql)
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(rows)
}

// awaitRow waits until a query has an answer.
func (c *city) awaitRow(what, sql, want string) {
	c.t.Helper()
	c.await(what, func() (string, bool) {
		got := c.query(sql)
		return got, got == want
	})
}

// await waits until something is so.
func (c *city) await(what string, so func() (string, bool)) {
	c.t.Helper()
	for deadline := time.Now().Add(wait); ; <-time.After(20 * time.Millisecond) {
		got, ok := so()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: after %s it is still %s", what, wait, got)
		}
	}
}

// stream is a stream of a gateway in a test.
type stream struct {
	dinas, gateway, id string
}

func newStream(gateway string) stream {
	return stream{"dinkes", gateway, uuid.Must(uuid.NewV7()).String()}
}

func (s stream) topic(kind string) string {
	return "presence/v1/" + s.dinas + "/" + s.gateway + "/event/" + kind
}

// event is an event of the stream; more is fields to add, with a comma before each.
func (s stream) event(kind string, seq int, more string) string {
	return `{"v":1,"id":"` + s.id + `-` + strconv.Itoa(seq) + `","gateway":"` + s.gateway + `","dinas":"` + s.dinas +
		`","stream":"` + s.id + `","seq":` + strconv.Itoa(seq) + `,"rev":0,"kind":"` + kind +
		`","boot":"4f0e6f9e-5f2f-4a51-8fdd-7fb4c9f3c9a1","time":"2026-11-29T08:15:30.123+07:00","time_quality":"synced","time_error_ms":12` + more + `}`
}

// tag is an event of a tag, as large as they usually are.
func (s stream) tag(seq int) string {
	return s.event("tag", seq, `,"receiver":"yard","tag":"mesh:1c2f13fc","lat":-7.9778,"lon":112.634,"accuracy_m":5,"fix_time":"2026-11-29T08:15:29.000+07:00","fix":"live","zone":"inside","rssi":-97,"snr":7.5`)
}

// badge is an event of a badge.
func (s stream) badge(seq int) string {
	return s.event("badge", seq, `,"reader":"door","badge":"h:0123456789abcdef0123456789abcdef","card":"iso14443-4","assurance":"uid"`)
}
