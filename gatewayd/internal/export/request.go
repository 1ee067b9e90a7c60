package export

import "time"

// Request says which events are wanted and how.
type Request struct {
	Since, Until time.Time // zero: no bound
	Day          time.Time // an instant of the day whose recap is wanted; zero: events are
	Format       string    // "jsonl" or "csv"; of a recap "csv" or "html"
	Lang         string    // of a recap in html: "id" or "en"
}
