package store

import (
	"context"

	"presence/scripts/city/database"
)

// Check returns a database.VersionError where the database's schema is not the one of
// this program.
func (c *Config) Check(ctx context.Context) error {
	conn, err := c.connect(ctx, map[string]string{"application_name": "recorder check"})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return database.Check(ctx, conn)
}

// Migrate brings the database's schema to the version of this program, and returns the
// versions before and after.
func (c *Config) Migrate(ctx context.Context) (before, after int32, err error) {
	conn, err := c.connect(ctx, map[string]string{"application_name": "recorder migrate"})
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = conn.Close(ctx) }()
	return database.Migrate(ctx, conn)
}
