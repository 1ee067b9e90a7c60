// Package database is the city's PostgreSQL schema: what the recorder writes events
// into, and what the city's questions are asked of.
//
// The schema lies in migrations/, numbered files of SQL that are run once each, in order,
// and never changed once a city has run them. What the tables mean, and who may do what,
// is said there and in DATABASE.md.
package database

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/tern/v2/migrate"
)

//go:embed migrations/*.sql
var files embed.FS

// versionTable holds one row: the number of the last migration that was run.
const versionTable = "presence.schema_version"

// migrationLock is the advisory lock under which one program migrates at a time. It has
// nothing to do with the recorders' lock.
const migrationLock = 5_207_114_905_138_870_513

// SQLSTATEs that the schema's functions raise.
const (
	// CodeNotLeading says that another recorder took over: presence.lead raises it.
	CodeNotLeading = "PG002"
)

// migrations is the files, by their own names.
func migrations() (fs.FS, error) {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		return nil, fmt.Errorf("open migrations: %w", err)
	}
	return sub, nil
}

// Version is the version of the schema that this program works with: how many migrations
// it has.
func Version() (int32, error) {
	dir, err := migrations()
	if err != nil {
		return 0, err
	}
	names, err := migrate.FindMigrations(dir)
	if err != nil {
		return 0, fmt.Errorf("list migrations: %w", err)
	}
	return int32(len(names)), nil
}

// Migrate brings a database to Version. Each migration is a transaction, so one that
// fails, or whose connection breaks, leaves the database at the version before. Two that
// migrate at once wait for each other. It returns the versions before and after, and
// refuses a database that a newer program has migrated.
//
// The caller must be able to create schemas and roles; he owns what is made.
func Migrate(ctx context.Context, conn *pgx.Conn) (before, after int32, err error) {
	version, err := Version()
	if err != nil {
		return 0, 0, err
	}
	return migrateTo(ctx, conn, version)
}

// migrateTo is Migrate up to an earlier version.
func migrateTo(ctx context.Context, conn *pgx.Conn, version int32) (before, after int32, err error) {
	if _, err := conn.Exec(ctx, "select pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return 0, 0, fmt.Errorf("lock schema: %w", err)
	}
	defer func() { // a connection that broke has lost its lock
		if _, failed := conn.Exec(context.WithoutCancel(ctx), "select pg_advisory_unlock($1)", int64(migrationLock)); failed != nil && err == nil {
			err = fmt.Errorf("unlock schema: %w", failed)
		}
	}()
	// The table of versions lies in the schema that it is about.
	if _, err := conn.Exec(ctx, "create schema if not exists presence"); err != nil {
		return 0, 0, fmt.Errorf("create schema: %w", err)
	}
	m, err := migrate.NewMigrator(ctx, conn, versionTable)
	if err != nil {
		return 0, 0, fmt.Errorf("read schema version: %w", err)
	}
	dir, err := migrations()
	if err != nil {
		return 0, 0, err
	}
	if err := m.LoadMigrations(dir); err != nil {
		return 0, 0, fmt.Errorf("load migrations: %w", err)
	}
	before, err = m.GetCurrentVersion(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("read schema version: %w", err)
	}
	if before > version {
		return before, before, VersionError{Is: before, Want: version}
	}
	if err := m.MigrateTo(ctx, version); err != nil {
		return before, before, fmt.Errorf("migrate schema: %w", err)
	}
	return before, version, nil
}

// VersionError says that a database's schema is not the one that this program works with.
type VersionError struct {
	Is, Want int32 // Is 0: there is no schema
}

func (e VersionError) Error() string {
	switch {
	case e.Is == 0:
		return "database has no presence schema: run `recorder migrate --config FILE`"
	case e.Is < e.Want:
		return fmt.Sprintf("database schema is version %d, this program needs %d: run `recorder migrate --config FILE`", e.Is, e.Want)
	default:
		return fmt.Sprintf("database schema is version %d, newer than the %d of this program: install the version of the program that migrated it, and run `recorder migrate --config FILE` with that", e.Is, e.Want)
	}
}

// Check returns a VersionError if the database has a schema of another version, older or
// newer.
func Check(ctx context.Context, conn *pgx.Conn) error {
	want, err := Version()
	if err != nil {
		return err
	}
	var is int32
	err = conn.QueryRow(ctx, "select version from "+versionTable).Scan(&is)
	var problem *pgconn.PgError
	switch {
	case errors.As(err, &problem) && (problem.Code == "42P01" || problem.Code == "3F000"): // no such table, no such schema
		is = 0
	case errors.Is(err, pgx.ErrNoRows):
		is = 0
	case err != nil:
		return fmt.Errorf("read schema version: %w", err)
	}
	if is != want {
		return VersionError{Is: is, Want: want}
	}
	return nil
}
