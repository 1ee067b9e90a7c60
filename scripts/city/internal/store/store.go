// Package store is the recorder's side of the city's database: who of several recorders
// leads, and batches of events that are committed once each.
//
// It exists because a receipt says that the database has an event. So the package says
// what was committed and never what should be, it stops a recorder that was superseded
// without knowing it, and it tells an event that PostgreSQL cannot store from a database
// that cannot store anything now.
package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"presence/scripts/city/internal/event"
)

// Upto is what the city has of a stream after a commit.
type Upto struct {
	Dinas, Gateway string
	Stream         uuid.UUID
	// Upto is the number up to which the city has every event from 1 on, or has it named
	// by a gap; 0: it lacks the first.
	Upto int64
	Link []byte // of that event; nil: it has none
}

// Sender is a stream under the gateway that sent events of it.
type Sender struct {
	Dinas, Gateway string
	Stream         uuid.UUID
}

// Revised is a correction that is stored.
type Revised struct {
	Seq int64
	Rev int32 // from 1
}

// Result is what a commit did.
type Result struct {
	Uptos   []Upto               // one for each stream that was touched
	Revised map[Sender][]Revised // corrections that are stored, unless the stream is another gateway's
	Stored  int64                // revisions of events that are new
	Doubled int64                // those that were there before
	Foreign int64                // events of a stream that belongs to another gateway, which are refused
	Refused []event.Refusal
	Commits int
}

// Store commits batches over a connection of its own. One goroutine at a time may use it.
type Store struct {
	conn  *pgx.Conn
	epoch int64
}

// Open connects to the database, to commit in a term of leadership.
func Open(ctx context.Context, c *Config, epoch int64) (*Store, error) {
	conn, err := c.connect(ctx, map[string]string{
		"application_name": "recorder events",
		// A recorder that is frozen between two statements must not hold locks on streams.
		"idle_in_transaction_session_timeout": patience,
	})
	if err != nil {
		return nil, err
	}
	// What is receipted has to survive a crash of the database.
	if _, err := conn.Exec(ctx, `select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'`); err != nil {
		_ = conn.Close(ctx)
		return nil, fmt.Errorf("prepare session: %w", err)
	}
	return &Store{conn: conn, epoch: epoch}, nil
}

// Close ends the connection.
func (s *Store) Close(ctx context.Context) { closeConn(ctx, s.conn) }

// Commit stores events and refusals, durably when it returns without an error. An event
// that PostgreSQL does not store is committed as a refusal: it is found by halving, while
// all others are stored. After an error part of a batch may be committed, which does no
// harm: the same batch can be committed again.
func (s *Store) Commit(ctx context.Context, events []event.Event, refused []event.Refusal) (Result, error) {
	var r Result
	var odd suspects
	if err := s.halve(ctx, &r, &odd, events, refused); err != nil || len(odd.refused) == 0 {
		return r, err
	}
	if r.Stored+r.Doubled+r.Foreign == 0 {
		return r, odd.why // there is no sign that the database stores anything
	}
	err := s.halve(ctx, &r, &odd, nil, odd.refused)
	return r, err
}

// suspects are events that may be to blame for an Odd error, as refusals.
type suspects struct {
	refused []event.Refusal
	why     error
}

func (s *Store) halve(ctx context.Context, r *Result, odd *suspects, events []event.Event, refused []event.Refusal) error {
	err := s.once(ctx, r, events, refused)
	if err == nil {
		r.Refused = append(r.Refused, refused...)
		return nil
	}
	problem := Classify(err)
	if len(events) == 0 || problem != BadData && problem != Odd {
		return err
	}
	if len(events) == 1 {
		e := &events[0]
		refusal := event.NewRefusal(e.Topic, e.Raw, fmt.Errorf("PostgreSQL does not store it: %s", message(err)))
		if problem == Odd {
			odd.refused, odd.why = append(odd.refused, refusal), err
		} else {
			refused = append(refused, refusal)
		}
		return s.halve(ctx, r, odd, nil, refused)
	}
	half := len(events) / 2
	if err := s.halve(ctx, r, odd, events[:half], refused); err != nil {
		return err
	}
	return s.halve(ctx, r, odd, events[half:], nil)
}

// once is one transaction.
func (s *Store) once(ctx context.Context, r *Result, events []event.Event, refused []event.Refusal) error {
	if len(events)+len(refused) == 0 {
		return nil
	}
	tx, err := s.conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after a commit it does nothing
	batch := &pgx.Batch{}
	batch.Queue(`select presence.lead($1)`, s.epoch)
	if len(refused) > 0 {
		topics, reasons, payloads := refusalColumns(refused)
		batch.Queue(`select presence.refuse($1, $2, $3)`, topics, reasons, payloads)
	}
	var done Result
	if len(events) > 0 {
		c := eventColumns(events)
		batch.Queue(`select dinas, gateway, stream, upto, link, stored, doubled, refused from presence.ingest(
			$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
			c.streams, c.seqs, c.revs, c.kinds, c.dinas, c.gateways,
			c.ats, c.qualities, c.errors, c.atMins, c.atMaxs,
			c.badges, c.tags, c.zones, c.lats, c.lons, c.links, c.mores).Query(done.read)
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("store events: %w", err)
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	r.add(done)
	for i := range events {
		if e := &events[i]; e.Rev > 0 {
			if r.Revised == nil {
				r.Revised = make(map[Sender][]Revised)
			}
			from := Sender{e.Dinas, e.Gateway, e.Stream}
			r.Revised[from] = append(r.Revised[from], Revised{e.Seq, e.Rev})
		}
	}
	return nil
}

func (r *Result) add(done Result) {
	r.Uptos = append(r.Uptos, done.Uptos...)
	r.Stored += done.Stored
	r.Doubled += done.Doubled
	r.Foreign += done.Foreign
	r.Commits++
}

// read reads the rows that presence.ingest returns.
func (r *Result) read(rows pgx.Rows) error {
	for rows.Next() {
		var u Upto
		var stored, doubled, foreign int64
		if err := rows.Scan(&u.Dinas, &u.Gateway, &u.Stream, &u.Upto, &u.Link, &stored, &doubled, &foreign); err != nil {
			return fmt.Errorf("read row: %w", err)
		}
		r.Uptos = append(r.Uptos, u)
		r.Stored += stored
		r.Doubled += doubled
		r.Foreign += foreign
	}
	return rows.Err()
}
