package database_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"presence/scripts/postgrestest"
)

// as is a connection of a login that has one of the schema's roles.
func (c *city) as(t *testing.T, owner *pgx.Conn, role string) *pgx.Conn {
	t.Helper()
	login := "login_" + role
	execute(t, owner, "create role "+login+" login")
	if role != "nobody" {
		execute(t, owner, "grant "+role+" to "+login)
	}
	return postgrestest.Connect(t, c.server.Connection(login, owner.Config().Database))
}

const erasing = "select presence.erase('{g}', '{h:00}', '{null}', '{null}', '{null}')"

// writes are what none of the roles may do.
func writes() []string {
	return []string{
		"insert into presence.event (received, seq, stream, rev, kind, quality) values (now(), 9, '" + streamA + "', 0, 'badge', 'synced')",
		"update presence.event set badge = 'h:00'",
		"delete from presence.event",
		"truncate presence.event",
		"insert into presence.event_default (received, seq, stream, rev, kind, quality) values ('2001-01-01', 9, '" + streamA + "', 0, 'badge', 'synced')",
		"update presence.correction set rev = 7",
		"delete from presence.correction",
		"update presence.stream set have = '{[1,100)}'",
		"insert into presence.stream (stream, dinas, gateway) values ('" + streamB + "', 'x', 'y')",
		"delete from presence.named",
		"delete from presence.refused",
		"update presence.leader set epoch = 99",
		"update presence.retention set event_days = 1",
		"delete from presence.office",
		"update presence.schema_version set version = 1",
		"create table presence.mine (n int)",
		"create function presence.mine() returns int language sql as 'select 1'",
		"alter table presence.event add column x int",
		"drop table presence.event_default",
		"drop view presence.hole",
		"select presence.drop_days(1, 1)",
		"set session_replication_role = replica",
		erasing,
	}
}

// Each role can do its work, and nothing of what the others do.
func TestRoles(t *testing.T) {
	t.Parallel()
	c := newSchema(t)
	owner := c.fresh(t)
	store(t, owner, begin(streamA, "null"), tap(streamA, 2, 0), tap(streamA, 2, 1), tap(streamA, 4, 0), gap(streamA, 5, lost(streamA, "3", "3")))
	execute(t, owner, "insert into presence.office (dinas, gateway) values ('dinkes', 'dinkes-01')")

	const (
		readStates = "select * from presence.hole; select * from presence.loss; select * from presence.gateway_state; select * from presence.office; select * from presence.fork"
		readSent   = "select presence.sent('dinkes', 'dinkes-01')"
		readEvents = "select count(badge) from presence.latest"
	)
	for role, can := range map[string]struct{ may, mayNot []string }{
		"presence_recorder": {
			may: []string{
				readStates, "select * from presence.leader", "select version from presence.schema_version",
				"select presence.refuse('{a}', '{b}', array['c'::bytea])", "select presence.make_days()", "select presence.drop_old_days()",
				"select * from presence.holes_to_ask('1 hour')",
			},
			mayNot: []string{
				readEvents, "select * from presence.event", "select * from presence.event_default", "select * from presence.correction",
				"select * from presence.refused", "select * from presence.stream", "select * from presence.audit()", readSent, "select * from presence.erased_event", "select presence.enter_claims('{}', '{}', '{}', '{}', '{}')",
			},
		},
		"presence_auditor": {
			may: []string{readStates, readSent},
			mayNot: []string{
				readEvents, "select * from presence.refused", "select * from presence.event", "select * from presence.erased_event", "select * from presence.stream",
				"select presence.make_days()", "select presence.take_over('me')",
			},
		},
		"presence_analyst": {
			may:    []string{readStates, readEvents, readSent},
			mayNot: []string{"select * from presence.refused", "select * from presence.event", "select presence.make_days()", "select presence.take_over('me')"},
		},
		"presence_personnel": {
			may:    []string{readStates, readEvents},
			mayNot: []string{readSent, "select * from presence.refused", "select * from presence.event", "select presence.make_days()", "select presence.take_over('me')"},
		},
		"presence_grafana": {
			may:    []string{readStates},
			mayNot: []string{readEvents, readSent, "select * from presence.refused", "select * from presence.event", "select presence.take_over('me')"},
		},
		"nobody": {
			mayNot: []string{readStates, readEvents, readSent, "select version from presence.schema_version", "select presence.last_known('{}', 1)", "select presence.take_over('me')"},
		},
	} {
		t.Run(role, func(t *testing.T) {
			conn := c.as(t, owner, role)
			for _, sql := range can.may {
				execute(t, conn, sql)
			}
			for _, sql := range append(can.mayNot, writes()...) {
				if _, err := conn.Exec(t.Context(), sql); code(err) != "42501" { // insufficient_privilege
					t.Errorf("%s: %v, want it denied", sql, err)
				}
			}
			testIngestAs(t, conn, role == "presence_recorder")
		})
	}
	same(t, owner, "select count(*), count(badge) from presence.event where kind = 'badge'", "(3,3)")
}

// testIngestAs stores an event, if the role may.
func testIngestAs(t *testing.T, conn *pgx.Conn, may bool) {
	t.Helper()
	_, err := conn.Exec(t.Context(), ingest, columns([]event{tap(streamA, 6, 0)})...)
	if may && err != nil || !may && code(err) != "42501" {
		t.Errorf("ingest: %v", err)
	}
	epoch := int64(0)
	err = conn.QueryRow(t.Context(), "select presence.take_over('me')").Scan(&epoch)
	if may && err != nil || !may && code(err) != "42501" {
		t.Errorf("take_over: %v", err)
	}
	if may {
		execute(t, conn, "select presence.lead($1)", epoch)
	}
}

// PostgreSQL lets everybody call a new function, and one that runs as its owner must not
// be fooled by tables of the caller. New functions of both schemas are held to that too.
func TestFunctionsAreSafe(t *testing.T) {
	t.Parallel()
	conn := migrated(t)
	same(t, conn, `select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
		where n.nspname in ('presence', 'people') and has_function_privilege('public', p.oid, 'execute') order by 1`)
	same(t, conn, `select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
		where n.nspname in ('presence', 'people') and p.prosecdef
		and not exists (select from unnest(p.proconfig) s where s ~ '^search_path=.*pg_temp$') order by 1`)
	same(t, conn, `select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where n.nspname in ('presence', 'people') and c.relkind in ('r', 'p', 'v', 'm', 'S')
		and (c.relkind <> 'S' and has_table_privilege('public', c.oid, 'select, insert, update, delete, truncate, references, trigger')
			or c.relkind = 'S' and has_sequence_privilege('public', c.oid, 'usage, select, update')) order by 1`)
}

// A table of the caller with the name of one of ours does not come between.
func TestIngestIsNotFooled(t *testing.T) {
	t.Parallel()
	c := newSchema(t)
	owner := c.fresh(t)
	conn := c.as(t, owner, "presence_recorder")
	for _, table := range strings.Fields("stream event correction refused named leader") {
		execute(t, conn, "create temp table "+table+" (seq bigint)")
	}
	execute(t, conn, "set search_path = pg_temp, presence")
	if got := store(t, conn, tap(streamA, 1, 0), tap(streamA, 1, 1)); got[0].Stored != 2 {
		t.Fatalf("receipts %+v", got)
	}
	same(t, owner, "select seq, rev from presence.latest", "(1,1)")
}
