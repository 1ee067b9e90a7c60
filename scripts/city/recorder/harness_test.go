package main

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"presence/scripts/brokertest"
	"presence/scripts/childtest"
	"presence/scripts/city/internal/recorder"
	"presence/scripts/city/internal/store"
	"presence/scripts/postgrestest"
)

// wait is how long a test waits for what must come, on a busy machine.
const wait = time.Minute

// asProgram is set where the binary of the tests is run as the program.
const asProgram = "RECORDER_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// city is brokers, a database with the schema and the city's key.
type city struct {
	t           testing.TB
	db          *postgrestest.Database
	brokers     []*brokertest.Broker
	key         ed25519.PrivateKey // with which receipts are signed
	keyFile     string
	brokerLines func(*brokertest.Broker) string // of each [[broker]]
	more        string                          // lines that are added to each configuration
}

// newCity starts PostgreSQL and a broker, or takes the brokers that there are.
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
	c.keyFile = filepath.Join(t.TempDir(), "city.key")
	c.write(c.keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	c.brokerLines = func(b *brokertest.Broker) string { return fmt.Sprintf("url = %q\n", b.URL()) }
	owner := store.Config{Connection: c.db.Connection("postgres", "city")}
	if _, _, err := owner.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	// As RECORDER.md has it made: the recorder may do no more than it needs.
	c.query(`create user "gatewayd-recorder" in role presence_recorder`)
	return c
}

func (c *city) write(file, text string) {
	c.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// configure writes a configuration, and returns its file.
func (c *city) configure(listen string) (file string) {
	c.t.Helper()
	text := fmt.Sprintf("[database]\nconnection = %q\n[receipts]\nkey_file = %q\n[watch]\nlisten = %q\n", c.db.Connection("gatewayd-recorder", "city"), c.keyFile, listen)
	for _, b := range c.brokers {
		text += "[[broker]]\n" + c.brokerLines(b)
	}
	file = filepath.Join(c.t.TempDir(), "recorder.toml")
	c.write(file, text+c.more)
	return file
}

// program is a recorder that runs as a process of its own.
type program struct {
	c      *city
	cmd    *exec.Cmd
	listen string
	done   chan struct{}
	log    childtest.Log
}

// start runs a recorder, which the end of the test kills.
func (c *city) start() *program {
	c.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	p := &program{c: c, listen: l.Addr().String(), done: make(chan struct{})}
	if err := l.Close(); err != nil {
		c.t.Fatal(err)
	}
	p.cmd = exec.Command(os.Args[0], "run", "--config", c.configure(p.listen))
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := childtest.Start(p.cmd); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // tests end it by signals
	}()
	c.t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.done
		if c.t.Failed() {
			text := p.log.String()
			c.t.Logf("the recorder said:\n%s", text[max(0, len(text)-6000):])
		}
	})
	return p
}

// record runs a recorder and waits until it works.
func (c *city) record() *program {
	c.t.Helper()
	p := c.start()
	c.await("the recorder to work", func() (string, bool) {
		select {
		case <-p.done:
			c.t.Fatalf("the recorder has ended:\n%s", p.log.String())
		default:
		}
		return p.works()
	})
	return p
}

func (p *program) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) } // it may have ended

// kill ends it at once.
func (p *program) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// get asks its HTTP server.
func (p *program) get(path string) (status int, body string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.listen+path, http.NoBody)
	if err != nil {
		return 0, err.Error()
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

// state is what /healthz says.
func (p *program) state() (s recorder.State, status int) {
	status, body := p.get("/healthz")
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		return s, 0
	}
	return s, status
}

// works is a condition for await: it leads and all is well.
func (p *program) works() (string, bool) {
	s, status := p.state()
	return fmt.Sprintf("%d, %+v", status, s), status == http.StatusOK && s.Leading
}

// metric is the value of a metric, with its labels as they are printed; "" if it is not there.
func (p *program) metric(name string) string {
	_, body := p.get("/metrics")
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
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

// awaitRow waits until a query has an answer. The database may be away meanwhile.
func (c *city) awaitRow(what, sql, want string) {
	c.t.Helper()
	c.await(what, func() (string, bool) {
		got, err := c.db.Query("city", sql)
		if err != nil {
			return err.Error(), false
		}
		return got, strings.TrimSpace(got) == want
	})
}

// await waits until something is so.
func (c *city) await(what string, so func() (string, bool)) {
	c.t.Helper()
	c.awaitFor(wait, what, so)
}

func (c *city) awaitFor(bound time.Duration, what string, so func() (string, bool)) {
	c.t.Helper()
	for deadline := time.Now().Add(bound); ; <-time.After(20 * time.Millisecond) {
		got, ok := so()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: after %s it is still %s", what, bound, got)
		}
	}
}
