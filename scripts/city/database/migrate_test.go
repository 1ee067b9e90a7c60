package database_test

import (
	"errors"
	"strings"
	"testing"

	"presence/scripts/city/database"
)

func TestMigrateTwice(t *testing.T) {
	t.Parallel()
	_, connection := newCity(t)
	conn := connect(t, connection)
	var problem database.VersionError
	if err := database.Check(t.Context(), conn); !errors.As(err, &problem) || problem.Is != 0 || !strings.Contains(err.Error(), "recorder migrate") {
		t.Fatalf("check of an empty database: %v", err)
	}
	version, err := database.Version()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int32{0, version} {
		before, after, err := database.Migrate(t.Context(), conn)
		if err != nil || before != want || after != version {
			t.Fatalf("migrated from %d to %d, %v; want from %d to %d", before, after, err, want, version)
		}
		if err := database.Check(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
	}
}
