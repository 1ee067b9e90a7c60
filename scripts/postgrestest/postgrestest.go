// Package postgrestest runs a real PostgreSQL for a test.
//
// It exists because the city's dashboards ask a database, and only a real one tells
// whether it understands the question.
package postgrestest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"presence/scripts/childtest"
	"presence/scripts/skiptest"
)

// wait is how long PostgreSQL may take to start, on a busy machine.
const wait = time.Minute

// superuser is the name of the role that may do everything. It has no password.
const superuser = "postgres"

// Database is a PostgreSQL of a test, which ends with it.
type Database struct {
	Socket string // the folder of its socket
	Port   int    // of 127.0.0.1, with WithTCP; 0: it listens on no port

	t          testing.TB
	bin        string
	fsync      bool
	credential *syscall.Credential
	server     *exec.Cmd // nil: it does not run
	log        childtest.Log
}

// Option changes how a PostgreSQL runs.
type Option func(*Database)

// WithTCP has it listen on a free port of 127.0.0.1 as well, for tests that put a proxy
// before it.
func WithTCP() Option {
	return func(d *Database) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			d.t.Fatal(err)
		}
		d.Port = l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			d.t.Fatal(err)
		}
	}
}

// WithFsync has it wait for the disk at each commit, as in earnest. What SIGKILL leaves
// behind is the same without: the kernel keeps what was written.
func WithFsync() Option {
	return func(d *Database) { d.fsync = true }
}

// Start runs a PostgreSQL in a folder of the test. Where none is installed the test is
// skipped, or fails under CI=true. WITHOUT_POSTGRESQL=1 leaves all such tests to make
// city-test, so that make test does the same on every machine. POSTGRESQL names the folder
// with PostgreSQL's versions where that is not Debian's.
func Start(t testing.TB, options ...Option) *Database {
	t.Helper()
	place := cmp.Or(os.Getenv("POSTGRESQL"), "/usr/lib/postgresql") // the second is Debian's
	found, err := filepath.Glob(place + "/*/bin/postgres")
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("WITHOUT_POSTGRESQL") != "" {
		skiptest.Elsewhere(t, "PostgreSQL", "make city-test", "tests without PostgreSQL were asked for")
	}
	if len(found) == 0 {
		skiptest.LeaveOut(t, "PostgreSQL", "make city-test", "PostgreSQL is not installed")
	}
	// A socket's path has at most 107 bytes, fewer than the folder of a test with a long
	// name. PostgreSQL does not run as root.
	dir, err := os.MkdirTemp("", "postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &Database{Socket: dir, t: t, bin: filepath.Dir(slices.Max(found))}
	for _, option := range options {
		option(d)
	}
	d.credential = d.account()
	initdb := exec.Command(filepath.Join(d.bin, "initdb"), "-D", d.data(), "-A", "trust", "-U", superuser, "--no-sync",
		"-E", "UTF8", "--locale=C") // whatever the locale of who runs the test: the city's is UTF-8
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: d.credential}
	initdb.Dir = dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		d.stop(syscall.SIGQUIT) // at once, whoever is connected
		if t.Failed() {
			t.Logf("PostgreSQL said:\n%s", d.Log())
		}
	})
	d.run()
	return d
}

func (d *Database) data() string { return filepath.Join(d.Socket, "data") }

// run starts the server and waits until it answers.
func (d *Database) run() {
	d.t.Helper()
	listen, fsync := "", "off"
	if d.Port != 0 {
		listen = "127.0.0.1"
	}
	if d.fsync {
		fsync = "on"
	}
	server := exec.Command(filepath.Join(d.bin, "postgres"), "-D", d.data(), "-c", "listen_addresses="+listen, "-p", strconv.Itoa(d.port()),
		"-c", "unix_socket_directories="+d.Socket, "-c", "fsync="+fsync)
	server.SysProcAttr = &syscall.SysProcAttr{Credential: d.credential, Pdeathsig: syscall.SIGQUIT}
	server.Dir = d.Socket
	server.Stdout, server.Stderr = &d.log, &d.log
	if err := childtest.Start(server); err != nil {
		d.t.Fatal(err)
	}
	d.server = server
	for deadline := time.Now().Add(wait); ; <-time.After(50 * time.Millisecond) {
		_, err := d.Query(superuser, "SELECT 1")
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("PostgreSQL does not start: %v", err)
		}
	}
}

// stop ends the server with a signal and waits for it.
func (d *Database) stop(how syscall.Signal) {
	if d.server == nil {
		return
	}
	_ = d.server.Process.Signal(how)
	_ = d.server.Wait()
	d.server = nil
}

// PID is the process id of the server's first process; 0: it does not run.
func (d *Database) PID() int {
	if d.server == nil {
		return 0
	}
	return d.server.Process.Pid
}

// Log is what the server has said so far.
func (d *Database) Log() string { return d.log.String() }

// Kill ends all processes of the server with SIGKILL, as when the machine runs out of
// memory, and returns when none is left. Restart starts it again.
func (d *Database) Kill() {
	d.t.Helper()
	pid := d.PID()
	if pid == 0 {
		return
	}
	// The first process is halted meanwhile, so that it starts no other.
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		d.t.Fatal(err)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		d.t.Fatal(err)
	}
	var alive []int
	for _, word := range strings.Fields(string(children)) {
		child, err := strconv.Atoi(word)
		if err != nil {
			d.t.Fatal(err)
		}
		_ = syscall.Kill(child, syscall.SIGKILL) // it may have ended
		alive = append(alive, child)
	}
	d.stop(syscall.SIGKILL)
	for deadline := time.Now().Add(wait); ; <-time.After(5 * time.Millisecond) {
		alive = slices.DeleteFunc(alive, func(child int) bool { return syscall.Kill(child, 0) != nil })
		if len(alive) == 0 {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("processes %v of PostgreSQL do not end", alive)
		}
	}
}

// Restart starts a server again, after Kill or while it runs, with the same socket, port
// and data. Who is connected is thrown out.
func (d *Database) Restart() {
	d.t.Helper()
	d.stop(syscall.SIGINT) // "fast": waits for no client
	d.run()
}

// account is the user that PostgreSQL runs as where root runs the test, who then owns its
// folder; nil where somebody else does.
func (d *Database) account() *syscall.Credential {
	d.t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	account, err := user.Lookup("postgres") // the package makes it
	if err != nil {
		d.t.Fatal(err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		d.t.Fatal(err)
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := errors.Join(os.Chown(d.Socket, int(uid), int(gid)), os.Chmod(d.Socket, 0o755)); err != nil {
		d.t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// Create makes an empty database, and returns how libpq is told to connect to it.
func (d *Database) Create(name string) (connection string) {
	d.t.Helper()
	if _, err := d.Query(superuser, "CREATE DATABASE "+name); err != nil {
		d.t.Fatal(err)
	}
	return d.Connection(superuser, name)
}

// Connection is how libpq is told to connect to a database through the socket.
func (d *Database) Connection(user, database string) string {
	return fmt.Sprintf("host=%s port=%d user=%s dbname=%s sslmode=disable", d.Socket, d.port(), user, database)
}

// port is in the name of the socket, also where the server listens on no port.
func (d *Database) port() int {
	if d.Port != 0 {
		return d.Port
	}
	return 5432
}

// Query runs SQL in a database, and returns the rows of its last statement: a line each,
// columns set off by tabs.
func (d *Database) Query(database, sql string) (rows string, err error) {
	return d.psql(database, strings.NewReader(sql))
}

// Load runs SQL in a database as it is read.
func (d *Database) Load(database string, sql io.Reader) {
	d.t.Helper()
	if _, err := d.psql(database, sql); err != nil {
		d.t.Fatal(err)
	}
}

// Connect opens a connection that the test's end closes.
func Connect(t testing.TB, connection string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), connection)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	})
	return conn
}

// Tool is one of the programs that come with the server, pg_dump for example, which will
// connect to it.
func (d *Database) Tool(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(d.bin, name), args...)
	cmd.Env = append(os.Environ(), "PGHOST="+d.Socket, "PGPORT="+strconv.Itoa(d.port()), "PGUSER="+superuser)
	return cmd
}

func (d *Database) psql(database string, sql io.Reader) (rows string, err error) {
	cmd := d.Tool("psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-d", database)
	cmd.Stdin = sql
	var out, problems strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, strings.TrimSpace(problems.String()))
	}
	return out.String(), nil
}
