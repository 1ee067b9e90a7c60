package database_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"presence/scripts/postgrestest"
)

// Of two recorders only the one that took over last can commit.
func TestLead(t *testing.T) {
	t.Parallel()
	conn := migrated(t)
	t.Run("the one before", func(t *testing.T) { testLead(t, conn) })
	t.Run("one that is frozen in a transaction", func(t *testing.T) { testFrozen(t, conn) })
}

func testLead(t *testing.T, conn *pgx.Conn) {
	first := number(t, conn, "select presence.take_over('one')")
	execute(t, conn, "select presence.lead($1)", first)
	second := number(t, conn, "select presence.take_over('two')")
	if second != first+1 {
		t.Fatalf("epochs %d and %d", first, second)
	}
	if _, err := conn.Exec(t.Context(), "select presence.lead($1)", first); code(err) != "PG002" {
		t.Fatalf("the first one still leads: %v", err)
	}
	execute(t, conn, "select presence.lead($1)", second)
}

// A recorder that is frozen after it asked whether it leads, and before it commits, holds
// up the next one until PostgreSQL ends its transaction. When it wakes nothing of that is
// there.
func testFrozen(t *testing.T, conn *pgx.Conn) {
	frozen := postgrestest.Connect(t, conn.Config().ConnString())
	epoch := number(t, frozen, "select presence.take_over('frozen')")
	execute(t, frozen, "begin")
	execute(t, frozen, "select presence.lead($1)", epoch)
	store(t, frozen, tap(streamA, 1, 0))

	began := time.Now()
	number(t, conn, "select presence.take_over('next')")
	if waited := time.Since(began); waited < 2*time.Second {
		t.Errorf("took over after %v, while the one before could still commit", waited)
	}
	if got := store(t, conn, tap(streamA, 2, 0)); got[0].Upto != 0 || got[0].Stored != 1 {
		t.Fatalf("receipts %+v", got)
	}
	if _, err := frozen.Exec(t.Context(), "commit"); err == nil {
		t.Error("the frozen one has committed")
	}
	same(t, conn, "select seq from presence.latest", "(2)")
}
