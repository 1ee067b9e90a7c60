package export

import (
	"slices"
	"time"

	"presence/config"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
	"presence/gatewayd/internal/spreadsheet"
)

// The formats.
const (
	JSONLines     = "jsonl"  // events, one JSON object a line
	CSV           = "csv"    // RFC 4180
	CSVIndonesian = "csv-id" // for Excel under Indonesian settings
	HTML          = "html"   // a recap to print
	// SheetJSON is a recap as the program itself passes it on, to merge several.
	SheetJSON = "sheet"
)

// monthLayout is how a month is written.
const monthLayout = "2006-01"

// Request says which events are wanted and how.
type Request struct {
	Since, Until time.Time // zero: no bound
	Day          time.Time // an instant of the day whose recap is wanted; zero: none
	Month        time.Time // an instant of the month whose recap is wanted; zero: none
	Badges       []string  // only what names one of these badges; none: everything
	Format       string    // of events JSONLines or one of the CSV; of a recap one of the others
	Lang         string    // of a recap in HTML: "id" or "en"
	Sealed       bool      // a piece of the journal that can be checked, with a seal at its end
}

// IsRecap reports whether the recap of a day or month is wanted, and not events.
func (x Request) IsRecap() bool { return !x.Day.IsZero() || !x.Month.IsZero() }

// CheckFormat returns an error where what is wanted is not written in its format.
func (x Request) CheckFormat() error {
	if err := x.checkSealed(); err != nil {
		return err
	}
	other := JSONLines
	if x.IsRecap() {
		other = HTML
	}
	if x.isTable() || x.Format == other || x.IsRecap() && x.Format == SheetJSON {
		return nil
	}
	return language.Errorf("format: want %s, %s or %s", "format: tulis %s, %s atau %s", CSVIndonesian, CSV, other)
}

func (x Request) isTable() bool { return x.Format == CSV || x.Format == CSVIndonesian }

func (x Request) dialect() spreadsheet.Dialect {
	if x.Format == CSVIndonesian {
		return spreadsheet.Indonesian
	}
	return spreadsheet.Plain
}

// names reports whether a record names one of the wanted badges.
func (x Request) names(r *presence.Record) bool {
	switch {
	case len(x.Badges) == 0:
		return true
	case r.Badge != nil:
		return slices.Contains(x.Badges, r.Badge.Badge)
	case r.Person != nil:
		return slices.Contains(x.Badges, r.Person.Badge)
	}
	return false
}

// Flags are a request as somebody types it. Badges are ids already.
type Flags struct {
	Since, Until, Day, Month, Format, Lang string
	Badges                                 []string
	Sealed                                 bool
}

// Request reads the flags: dates and times of day in the zone. Its errors name the flag.
func (f Flags) Request(now time.Time, zone *time.Location) (x Request, err error) {
	x.Format, x.Lang, x.Badges, x.Sealed = f.Format, f.Lang, f.Badges, f.Sealed
	if err = x.checkSealed(); err != nil {
		return x, err
	}
	if x.Since, err = ParseInstant(f.Since, now, zone); err != nil {
		return x, language.Errorf("--since: %v", "--since: %v", err)
	}
	if x.Until, err = ParseInstant(f.Until, now, zone); err != nil {
		return x, language.Errorf("--until: %v", "--until: %v", err)
	}
	if !x.Since.IsZero() && !x.Until.IsZero() && !x.Since.Before(x.Until) {
		return x, language.Errorf("--since %s is not before --until %s: nothing can lie between", "--since %s tidak sebelum --until %s: tidak mungkin ada data di antaranya", f.Since, f.Until)
	}
	spanned := f.Since != "" || f.Until != ""
	switch {
	case f.Day == "" && f.Month == "":
		if f.Format == HTML {
			return x, language.Errorf("--format html: only the recap of a day or month is printed so; say --day 2026-11-23 or --month 2026-11", "--format html: hanya rekap harian atau bulanan yang dicetak begitu; sebutkan --day 2026-11-23 atau --month 2026-11")
		}
		return x, nil
	case f.Day != "" && f.Month != "":
		return x, language.Errorf("--day: not together with --month", "--day: tidak bersama --month")
	case f.Day != "" && spanned:
		return x, language.Errorf("--day: not together with --since or --until", "--day: tidak bersama --since atau --until")
	case spanned:
		return x, language.Errorf("--month: not together with --since or --until", "--month: tidak bersama --since atau --until")
	case f.Day != "":
		if x.Day, err = time.ParseInLocation(time.DateOnly, f.Day, zone); err != nil {
			return x, language.Errorf("--day: %q: want 2026-11-23", "--day: %q: tulis seperti 2026-11-23", f.Day)
		}
	default:
		if x.Month, err = time.ParseInLocation(monthLayout, f.Month, zone); err != nil {
			return x, language.Errorf("--month: %q: want 2026-11", "--month: %q: tulis seperti 2026-11", f.Month)
		}
	}
	return x.events(), nil
}

// events turns the request for a recap as JSON lines, which is the day's or month's
// events, into one for those.
func (x Request) events() Request {
	if x.Format != JSONLines {
		return x
	}
	if !x.Day.IsZero() {
		x.Since, x.Until = x.Day, x.Day.AddDate(0, 0, 1)
	} else {
		x.Since, x.Until = x.Month, x.Month.AddDate(0, 1, 0)
	}
	x.Day, x.Month = time.Time{}, time.Time{}
	return x
}

// ParseInstant reads a bound of a request in the forms that a person types: a date, a
// time of day on a date, both in the given zone, RFC 3339, or how long ago. "" is no
// bound.
func ParseInstant(s string, now time.Time, loc *time.Location) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if ago, err := config.ParseDuration(s); err == nil {
		return now.Add(-ago), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, loc); err == nil {
			return t, nil
		}
	}
	return time.Time{}, language.Errorf("%q: want 2026-11-23, 2026-11-23T07:00, RFC 3339 or how long ago (24h, 7d, 1d12h)", "%q: tulis 2026-11-23, 2026-11-23T07:00, RFC 3339, atau berapa lama yang lalu (24h, 7d, 1d12h)", s)
}
