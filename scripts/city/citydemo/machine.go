package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"presence/scripts/childtest"
)

// process is a program that the demo runs beside itself. It ends with the demo, whatever
// becomes of that.
type process struct {
	name string
	args []string
	dir  string              // for its log
	as   *syscall.Credential // nil: as who runs the demo
	stop syscall.Signal      // that ends it properly

	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	why  error         // as what
}

func (p *process) logFile() string { return filepath.Join(p.dir, p.name+".log") }

func (p *process) start() error {
	log, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	cmd := exec.Command(p.args[0], p.args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as, Pdeathsig: p.stop}
	if err := childtest.Start(cmd); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.why = cmd.Wait()
	}()
	p.cmd, p.done = cmd, done
	return nil
}

// end ends the process with a signal, if it runs, and waits until it has ended.
func (p *process) end(how syscall.Signal) {
	if p == nil || p.cmd == nil {
		return
	}
	for again := time.NewTicker(2 * time.Second); ; { // one that has only just begun may not hear the first
		_ = p.cmd.Process.Signal(how) // it may have ended by itself
		select {
		case <-p.done:
			again.Stop()
			p.cmd = nil
			return
		case <-again.C:
		}
	}
}

// says is the end of its log, for an error.
func (p *process) says() string {
	text, err := os.ReadFile(p.logFile())
	if err != nil {
		return err.Error()
	}
	const enough = 1500
	return strings.TrimSpace(string(text[max(0, len(text)-enough):]))
}

// machine is what a city runs, all in one folder.
type machine struct {
	dir        string
	port       int // of the broker on 127.0.0.1
	database   *process
	broker     *process
	recorder   *process
	connection string // to the database, for libpq
}

// freePort is a port of 127.0.0.1 on which nobody listens.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// startDatabase makes a PostgreSQL in a folder of its own and starts it. As root it runs
// as the user postgres, since it does not run as root.
func (m *machine) startDatabase(ctx context.Context) error {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // where Debian puts it
	if err != nil || len(found) == 0 {
		return errors.Join(errors.New("no PostgreSQL in /usr/lib/postgresql: run make city-demo, which installs it"), err)
	}
	bin := filepath.Dir(slices.Max(found))
	home := filepath.Join(m.dir, "postgresql")
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	account, err := databaseAccount(home)
	if err != nil {
		return err
	}
	data := filepath.Join(home, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-A", "trust", "-U", "postgres", "--no-sync")
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: account}
	initdb.Dir = home
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	m.database = &process{
		name: "postgresql-server", dir: m.dir, as: account, stop: syscall.SIGINT,
		args: []string{filepath.Join(bin, "postgres"), "-D", data, "-c", "listen_addresses=", "-c", "unix_socket_directories=" + home},
	}
	if err := m.database.start(); err != nil {
		return err
	}
	m.connection = fmt.Sprintf("host=%s user=postgres dbname=postgres sslmode=disable", home)
	return m.database.await(ctx, func() error {
		conn, err := pgx.Connect(ctx, m.connection)
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
}

// databaseAccount is the user that PostgreSQL runs as where root runs the demo, who then
// owns its folder.
func databaseAccount(home string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	account, err := user.Lookup("postgres") // its package makes it
	if err != nil {
		return nil, err
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(account.Gid)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(home, uid, gid)
}

// await waits until the process is ready.
func (p *process) await(ctx context.Context, ready func() error) error {
	for deadline := time.Now().Add(time.Minute); ; {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended at once: %w\n%s", p.name, errors.Join(p.why), p.says())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not get ready: %w\n%s", p.name, err, p.says())
		}
	}
}

// startBroker starts mosquitto. Its sessions outlive a restart, as in the city's kit.
func (m *machine) startBroker(ctx context.Context) error {
	binary, err := exec.LookPath("mosquitto")
	if err != nil {
		binary = "/usr/sbin/mosquitto" // where Debian puts it
	}
	if m.port, err = freePort(); err != nil {
		return err
	}
	config := filepath.Join(m.dir, "mosquitto.conf")
	text := fmt.Sprintf(`listener %d 127.0.0.1
allow_anonymous true
user root
persistence true
persistence_location %s/
autosave_interval 60
max_queued_messages 0
max_queued_bytes 0
max_inflight_messages 0
set_tcp_nodelay true
`, m.port, m.dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	m.broker = &process{name: "mosquitto", dir: m.dir, stop: syscall.SIGTERM, args: []string{binary, "-c", config}}
	return m.restartBroker(ctx)
}

// restartBroker starts the broker and waits until it listens.
func (m *machine) restartBroker(ctx context.Context) error {
	if err := m.broker.start(); err != nil {
		return err
	}
	return m.broker.await(ctx, func() error {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", m.port))
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// startRecorder brings the database to the recorder's schema and starts the recorder.
func (m *machine) startRecorder(ctx context.Context, binary string) error {
	config := filepath.Join(m.dir, "recorder.toml")
	text := fmt.Sprintf("[database]\nconnection = %q\n[[broker]]\nurl = %q\n[watch]\nlisten = \"\"\n", m.connection, m.url())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, binary, "--config", config, "migrate").CombinedOutput(); err != nil {
		return fmt.Errorf("recorder migrate: %w\n%s", err, out)
	}
	m.recorder = &process{name: "recorder", dir: m.dir, stop: syscall.SIGTERM, args: []string{binary, "--config", config, "run"}}
	if err := m.recorder.start(); err != nil {
		return err
	}
	return m.recorder.await(ctx, func() error {
		if text, err := os.ReadFile(m.recorder.logFile()); err != nil || !strings.Contains(string(text), "the session is up") {
			return errors.Join(errors.New("it has no session at the broker yet"), err)
		}
		return nil
	})
}

func (m *machine) url() string { return fmt.Sprintf("tcp://127.0.0.1:%d", m.port) }

// stop ends everything.
func (m *machine) stop() {
	for _, p := range []*process{m.recorder, m.broker, m.database} {
		if p != nil {
			p.end(p.stop)
		}
	}
}
