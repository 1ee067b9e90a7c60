// Package postgrestest runs a real PostgreSQL for a test.
//
// It exists because the city's dashboards ask a database, and only a real one tells
// whether it understands the question.
package postgrestest

import (
	"cmp"
	"errors"
	"fmt"
	"io"
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

	"presence/scripts/childtest"
	"presence/scripts/skiptest"
)

// wait is how long PostgreSQL may take to start, on a busy machine.
const wait = time.Minute

// superuser is the name of the role that may do everything. It has no password.
const superuser = "postgres"

// Database is a PostgreSQL of a test, which ends with it.
type Database struct {
	Socket string // the folder of its socket; it listens on no port

	t   testing.TB
	bin string
}

// Start runs a PostgreSQL in a folder of the test. Where none is installed the test is
// skipped, or fails under CI=true. WITHOUT_POSTGRESQL=1 leaves all such tests to make
// city-test, so that make test does the same on every machine. POSTGRESQL names the folder
// with PostgreSQL's versions where that is not Debian's.
func Start(t testing.TB) *Database {
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
	credential := d.credential()
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(d.bin, "initdb"), "-D", data, "-A", "trust", "-U", superuser, "--no-sync")
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	initdb.Dir = dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	server := exec.Command(filepath.Join(d.bin, "postgres"), "-D", data, "-c", "listen_addresses=", "-c", "unix_socket_directories="+dir, "-c", "fsync=off")
	server.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Pdeathsig: syscall.SIGQUIT}
	server.Dir = dir
	var log strings.Builder
	server.Stdout, server.Stderr = &log, &log
	if err := childtest.Start(server); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGQUIT) // at once, whoever is connected
		_ = server.Wait()
		if t.Failed() {
			t.Logf("PostgreSQL said:\n%s", log.String())
		}
	})
	for deadline := time.Now().Add(wait); ; <-time.After(50 * time.Millisecond) {
		_, err := d.Query(superuser, "SELECT 1")
		if err == nil {
			return d
		}
		if time.Now().After(deadline) {
			t.Fatalf("PostgreSQL does not start: %v", err)
		}
	}
}

// credential is the user that PostgreSQL runs as where root runs the test, who then owns
// its folder; nil where somebody else does.
func (d *Database) credential() *syscall.Credential {
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
	return fmt.Sprintf("host=%s user=%s dbname=%s sslmode=disable", d.Socket, superuser, name)
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

func (d *Database) psql(database string, sql io.Reader) (rows string, err error) {
	cmd := exec.Command(filepath.Join(d.bin, "psql"), "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1",
		"-h", d.Socket, "-U", superuser, "-d", database)
	cmd.Stdin = sql
	var out, problems strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, strings.TrimSpace(problems.String()))
	}
	return out.String(), nil
}
