package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// lockKey is the advisory lock that the recorder holds which leads.
	lockKey = 7305808869231650411
	// pollInterval is how often a recorder that does not lead tries to.
	pollInterval = 500 * time.Millisecond
	// beatInterval is how often one that leads says so.
	beatInterval = 500 * time.Millisecond
	// beatWait is how long the answer may take. By then PostgreSQL would soon have given
	// the lock to another one.
	beatWait = 2500 * time.Millisecond
)

// Lease is leadership among the recorders of a database: the advisory lock of a session,
// which PostgreSQL ends when its recorder does not speak for some seconds, and an epoch,
// which is counted up by each recorder that takes over. While the lease may be lost
// without the recorder knowing it, its epoch keeps it from committing anything.
type Lease struct {
	Epoch int64

	mu   sync.Mutex // guards conn, which two goroutines may ask
	conn *pgx.Conn
}

// Lead waits until this recorder leads. Who is what others read about it. It calls waiting
// when another recorder leads.
func Lead(ctx context.Context, c *Config, who string, waiting func()) (*Lease, error) {
	conn, err := c.connect(ctx, map[string]string{
		"application_name":     "recorder leader",
		"idle_session_timeout": patience,
	})
	if err != nil {
		return nil, err
	}
	l := &Lease{conn: conn}
	if err := l.take(ctx, who, waiting); err != nil {
		l.Release(ctx)
		return nil, err
	}
	return l, nil
}

func (l *Lease) take(ctx context.Context, who string, waiting func()) error {
	again := time.NewTicker(pollInterval)
	defer again.Stop()
	for said := false; ; said = true {
		var mine bool
		if err := l.conn.QueryRow(ctx, `select pg_try_advisory_lock($1)`, int64(lockKey)).Scan(&mine); err != nil {
			return fmt.Errorf("ask for the lead: %w", err)
		}
		if mine {
			break
		}
		if !said {
			waiting()
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := l.conn.QueryRow(ctx, `select presence.take_over($1)`, who).Scan(&l.Epoch); err != nil {
		return fmt.Errorf("take the lead: %w", err)
	}
	return nil
}

// Hold keeps the lease until the context ends, or returns why it is lost.
func (l *Lease) Hold(ctx context.Context) error {
	beat := time.NewTicker(beatInterval)
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
			if err := l.Confirm(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Confirm returns nil if this recorder led at an instant since the call began.
func (l *Lease) Confirm(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, beatWait)
	defer cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	var epoch int64
	if err := l.conn.QueryRow(ctx, `select epoch from presence.leader`).Scan(&epoch); err != nil {
		return fmt.Errorf("confirm the lead: %w", err)
	}
	if epoch != l.Epoch {
		return errors.New("another recorder has taken the lead")
	}
	return nil
}

// Release gives the lease up.
func (l *Lease) Release(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	closeConn(ctx, l.conn)
}
