package database_test

import (
	"os"
	"regexp"
	"testing"
)

// What the page for the DBA tells to type is understood.
func TestPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../DATABASE.md")
	if err != nil {
		t.Fatal(err)
	}
	conn := migrated(t)
	store(t, conn, begin(streamA, "null"))
	blocks := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) < 3 {
		t.Fatalf("only %d blocks of SQL", len(blocks))
	}
	for _, block := range blocks {
		execute(t, conn, string(block[1]))
	}
	execute(t, conn, "select * from presence.audit(); select presence.drop_days(400, 30)")
	same(t, conn, "select event_days, refused_days from presence.retention", "(400,30)")
	same(t, conn, "select count(*) from presence.event", "(1)")
}
