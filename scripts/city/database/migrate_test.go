package database_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"presence/scripts/city/database"
	"presence/scripts/postgrestest"
)

// version is the newest version.
func version(t *testing.T) int32 {
	t.Helper()
	v, err := database.Version()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	server, _ := newCity(t)
	for name, test := range map[string]func(*testing.T, string){
		"twice":                       testMigrateTwice,
		"two at once":                 testMigrateTwoAtOnce,
		"from each earlier version":   testMigrateFromEach,
		"the connection breaks":       testMigrateBroken,
		"a schema of a newer program": testMigrateNewer,
		"no table of versions":        testNoVersion,
		"a login that may not": func(t *testing.T, connection string) {
			testMigrateNotAllowed(t, server.Connection("visitor", "postgres"), connection)
		},
		"after a dump and its restore": func(t *testing.T, connection string) { testDumpRestore(t, server, connection) },
	} {
		t.Run(name, func(t *testing.T) {
			test(t, server.Create("city_"+strings.ReplaceAll(name, " ", "_")))
		})
	}
}

func testMigrateTwice(t *testing.T, connection string) {
	conn := postgrestest.Connect(t, connection)
	var problem database.VersionError
	if err := database.Check(t.Context(), conn); !errors.As(err, &problem) || problem.Is != 0 || !strings.Contains(err.Error(), "recorder migrate --config") {
		t.Fatalf("check of an empty database: %v", err)
	}
	for _, want := range []int32{0, version(t)} {
		before, after, err := database.Migrate(t.Context(), conn)
		if err != nil || before != want || after != version(t) {
			t.Fatalf("migrated from %d to %d, %v; want from %d to %d", before, after, err, want, version(t))
		}
		if err := database.Check(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
	}
}

func testMigrateTwoAtOnce(t *testing.T, connection string) {
	type result struct {
		before, after int32
		err           error
	}
	results := make(chan result)
	const programs = 3
	for range programs {
		conn := postgrestest.Connect(t, connection)
		go func() {
			before, after, err := database.Migrate(t.Context(), conn)
			results <- result{before, after, err}
		}()
	}
	worked := 0
	for range programs {
		r := <-results
		if r.err != nil || r.after != version(t) {
			t.Errorf("migrated to %d: %v", r.after, r.err)
		}
		if r.before == 0 {
			worked++
		}
	}
	if worked != 1 {
		t.Errorf("%d of %d migrated from nothing, want 1", worked, programs)
	}
}

// What a city has stored with an earlier version is there after.
func testMigrateFromEach(t *testing.T, connection string) {
	conn := postgrestest.Connect(t, connection)
	for v := int32(1); v < version(t); v++ {
		execute(t, conn, "drop schema if exists presence, people cascade")
		if _, _, err := database.MigrateTo(t.Context(), conn, v); err != nil {
			t.Fatalf("to %d: %v", v, err)
		}
		var problem database.VersionError
		if err := database.Check(t.Context(), conn); !errors.As(err, &problem) || problem.Is != v || !strings.Contains(err.Error(), fmt.Sprintf("is version %d, this program needs %d: run `recorder migrate --config FILE`", v, version(t))) {
			t.Fatalf("check of version %d: %v", v, err)
		}
		if v >= 2 { // it has ingest
			store(t, conn, begin(streamA, "null"), tap(streamA, 2, 0), tap(streamA, 2, 1))
		}
		before, after, err := database.Migrate(t.Context(), conn)
		if err != nil || before != v || after != version(t) {
			t.Fatalf("from %d: migrated from %d to %d, %v", v, before, after, err)
		}
		if v >= 2 {
			same(t, conn, "select seq, rev from presence.latest order by 1", "(1,0)", "(2,1)")
		}
	}
}

// A migration whose connection breaks has not happened.
func testMigrateBroken(t *testing.T, connection string) {
	conn, other := postgrestest.Connect(t, connection), postgrestest.Connect(t, connection)
	if _, _, err := database.MigrateTo(t.Context(), conn, 1); err != nil {
		t.Fatal(err)
	}
	// The next migration does all its work, and then waits for this to note its number.
	execute(t, other, "begin")
	execute(t, other, "select version from presence.schema_version for update")
	done := make(chan error)
	go func() {
		_, _, err := database.Migrate(t.Context(), conn)
		done <- err
	}()
	watcher := postgrestest.Connect(t, connection)
	for number(t, watcher, "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'") == 0 {
		select {
		case err := <-done:
			t.Fatalf("migrated past the lock: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	execute(t, watcher, "select pg_terminate_backend($1)", conn.PgConn().PID())
	if err := <-done; err == nil {
		t.Fatal("no error from a broken connection")
	}
	execute(t, other, "rollback")
	same(t, other, "select version from presence.schema_version", "(1)")
	same(t, other, "select count(*) from pg_proc where proname = 'ingest'", "(0)")
	before, after, err := database.Migrate(t.Context(), other)
	if err != nil || before != 1 || after != version(t) {
		t.Fatalf("migrated from %d to %d, %v", before, after, err)
	}
}

func testMigrateNewer(t *testing.T, connection string) {
	conn := postgrestest.Connect(t, connection)
	migrate(t, conn)
	execute(t, conn, "update presence.schema_version set version = version + 1")
	_, _, migrated := database.Migrate(t.Context(), conn)
	for _, err := range []error{migrated, database.Check(t.Context(), conn)} {
		var problem database.VersionError
		if !errors.As(err, &problem) || problem.Is != version(t)+1 || !strings.Contains(err.Error(), "newer than") || !strings.Contains(err.Error(), "recorder migrate") {
			t.Errorf("a newer schema: %v", err)
		}
	}
}

func testNoVersion(t *testing.T, connection string) {
	conn := postgrestest.Connect(t, connection)
	migrate(t, conn)
	execute(t, conn, "delete from presence.schema_version")
	var problem database.VersionError
	if err := database.Check(t.Context(), conn); !errors.As(err, &problem) || problem.Is != 0 {
		t.Errorf("no version: %v", err)
	}
}

func testMigrateNotAllowed(t *testing.T, visitor, connection string) {
	admin := postgrestest.Connect(t, connection)
	execute(t, admin, "create role visitor login")
	conn := postgrestest.Connect(t, visitor)
	if _, _, err := database.Migrate(t.Context(), conn); code(err) != "42501" {
		t.Errorf("a visitor migrates: %v", err)
	}
	if err := database.Check(t.Context(), conn); err == nil {
		t.Error("checked a database without a schema")
	}
}

// A restored dump works: nothing in it depends on how the connection was set up.
func testDumpRestore(t *testing.T, server *postgrestest.Database, connection string) {
	conn := postgrestest.Connect(t, connection)
	migrate(t, conn)
	store(t, conn, begin(streamA, "null"), tap(streamA, 3, 0), tap(streamA, 3, 1))
	copied := server.Create("restored")
	var dump bytes.Buffer
	cmd := server.Tool("pg_dump", conn.Config().Database)
	cmd.Stdout = &dump
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	server.Load("restored", &dump)
	restored := postgrestest.Connect(t, copied)
	if err := database.Check(t.Context(), restored); err != nil {
		t.Fatal(err)
	}
	same(t, restored, latest, "(1,0,start,,,unsynced)", "(3,1,badge,3,1,synced)")
	same(t, restored, holes, "(a,2,2,1)")
	same(t, restored, "select * from presence.audit()")
	if got := store(t, restored, tap(streamA, 3, 0), tap(streamA, 2, 0)); got[0].Stored != 1 || got[0].Upto != 3 {
		t.Fatalf("receipts %+v", got)
	}
}
