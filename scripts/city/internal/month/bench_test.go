package month_test

import (
	"os"
	"testing"
	"time"

	"presence/scripts/city/database"
	"presence/scripts/postgrestest"
)

// TestBenchRecapOfAWholeCity prints how long a month's recap takes with 30,000 people and 1.2
// million taps: of the city, of one department, and of one person.
func TestBenchRecapOfAWholeCity(t *testing.T) {
	if os.Getenv("CITY_BENCH") == "" {
		t.Skip("it measures: make city-bench")
	}
	server := postgrestest.Start(t)
	conn := postgrestest.Connect(t, server.Create("city"))
	if _, _, err := database.Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	data, err := os.Open("bench.sql")
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	server.Load("city", data)
	for _, q := range []struct{ what, sql string }{
		{"recap of 30,000 people", "select count(*) from people.recap('2024-03-01')"},
		{"recap of one department, 1,500 people", "select count(*) from people.recap('2024-03-01', 'd3')"},
		{"month of one person", "select count(*) from people.days('2024-03-01', '2024-03-31', null, '198001010000000777')"},
		{"one day of 30,000 people", "select count(*) from people.days('2024-03-20', '2024-03-20')"},
	} {
		began := time.Now()
		var n int
		if err := conn.QueryRow(t.Context(), q.sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		t.Logf("city-bench: %s: %.1f s, %d rows", q.what, time.Since(began).Seconds(), n)
	}
}
