package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"presence/scripts/city/database"
	"presence/scripts/city/internal/resync"
)

// Check returns a database.VersionError where the database's schema is not the one of
// this program.
func (c *Config) Check(ctx context.Context) error {
	conn, err := c.connect(ctx, map[string]string{"application_name": "recorder check"})
	if err != nil {
		return err
	}
	defer closeConn(context.WithoutCancel(ctx), conn)
	return database.Check(ctx, conn)
}

// Migrate brings the database's schema to the version of this program, and returns the
// versions before and after.
func (c *Config) Migrate(ctx context.Context) (before, after int32, err error) {
	conn, err := c.connect(ctx, map[string]string{"application_name": "recorder migrate"})
	if err != nil {
		return 0, 0, err
	}
	defer closeConn(context.WithoutCancel(ctx), conn)
	return database.Migrate(ctx, conn)
}

// Holes returns the numbers that have been missing in streams for so long, in order.
func (c *Config) Holes(ctx context.Context, since time.Duration) ([]resync.Hole, error) {
	conn, err := c.connect(ctx, map[string]string{"application_name": "recorder holes"})
	if err != nil {
		return nil, err
	}
	defer closeConn(context.WithoutCancel(ctx), conn)
	rows, err := conn.Query(ctx, `select dinas, gateway, stream, "from", "to" from presence.holes_to_ask($1)`, since)
	if err != nil {
		return nil, fmt.Errorf("look for holes: %w", err)
	}
	holes, err := pgx.CollectRows(rows, pgx.RowToStructByPos[resync.Hole])
	if err != nil {
		return nil, fmt.Errorf("look for holes: %w", err)
	}
	return holes, nil
}

// MakeDays makes the partitions for the days to come, and drops those that are older than
// the database's owner wants them kept.
func (c *Config) MakeDays(ctx context.Context) error {
	conn, err := c.connect(ctx, map[string]string{"application_name": "recorder days"})
	if err != nil {
		return err
	}
	defer closeConn(context.WithoutCancel(ctx), conn)
	if _, err := conn.Exec(ctx, `select presence.make_days()`); err != nil {
		return fmt.Errorf("make partitions: %w", err)
	}
	if _, err := conn.Exec(ctx, `select presence.drop_old_days()`); err != nil {
		return fmt.Errorf("drop old partitions: %w", err)
	}
	return nil
}
