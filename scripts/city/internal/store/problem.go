package store

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Problem is a kind of error of the database, by what a recorder does about it.
type Problem int

// The kinds.
const (
	// Broken is a connection that is of no use any more, or a database that is not what it
	// should be: begin again with new connections.
	Broken Problem = iota
	// BadData is the fault of an event in the batch.
	BadData
	// Odd is an error that an event may be to blame for, or the database: it is the event
	// if others of its batch are stored.
	Odd
	// Again is a transaction that came into the way of another one: try it again.
	Again
	// NoRoom is a database that cannot store anything now, for want of disk, memory or
	// connections: wait, and try the same again.
	NoRoom
	// Superseded is a recorder that another one has taken over from.
	Superseded
)

// supersededCode is the SQLSTATE of presence.lead for an epoch that has passed.
const supersededCode = "PG002"

// Classify says of which kind an error of the database is, by its SQLSTATE (PostgreSQL
// manual, appendix A).
func Classify(err error) Problem {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || len(pg.Code) != 5 {
		return Broken
	}
	if pg.Code == supersededCode {
		return Superseded
	}
	switch pg.Code[:2] {
	case "22", "23", "54": // data, constraints, and what is larger than an index can hold
		return BadData
	case "40", "55": // serialization, deadlock; what is locked or in use
		return Again
	case "0A", "21", "42", "P0", "XX": // what the functions of the schema did not foresee
		return Odd
	case "53", "58": // disk full, out of memory, too many connections; errors of files
		return NoRoom
	}
	return Broken
}

// message is what the database said, without the names of its driver.
func message(err error) string {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err.Error()
	}
	return strings.TrimSpace(pg.Message + " (SQLSTATE " + pg.Code + ")")
}
