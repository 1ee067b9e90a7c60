package recap

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
	"time"

	"presence/gatewayd/internal/presence"
)

//go:embed sheet.html
var page string

// HTML writes the sheet for people. It prints on A4.
func (s Sheet) HTML(w io.Writer, lang Language) error {
	t := &indonesian
	if lang == English {
		t = &english
	}
	v := view{Sheet: s, T: t, from: s.From, to: s.To}
	if s.Month { // a time of day alone does not say when
		v.to = v.from
	}
	tmpl, err := template.New("sheet").Parse(page)
	if err != nil {
		return fmt.Errorf("read recap page: %w", err)
	}
	if err := tmpl.Execute(w, v); err != nil {
		return fmt.Errorf("write recap: %w", err)
	}
	return nil
}

// view is what the page is made of.
type view struct {
	Sheet
	T        *texts
	from, to time.Time // a time within says the time of day only
}

// Title is what the sheet is.
func (v view) Title() string {
	if v.Month {
		return v.T.MonthTitle
	}
	return v.T.Title
}

// Scope is whether it is of a day or of a month.
func (v view) Scope() string {
	if v.Month {
		return v.T.Month
	}
	return v.T.Day
}

// Say fills the day or month into a sentence.
func (v view) Say(sentence string) string {
	if v.Month {
		return fmt.Sprintf(sentence, v.T.thisMonth)
	}
	return fmt.Sprintf(sentence, v.T.thisDay)
}

// Begin says from when on a gateway's record is there.
func (v view) Begin(b Begin) string { return fmt.Sprintf(v.T.Begins, b.Gateway, v.Time(b.At)) }

// SeveralGateways reports whether each line has to say which gateway it is about.
func (v view) SeveralGateways() bool { return len(v.Gateways) > 1 }

// GatewayNames are the gateways that the sheet is of.
func (v view) GatewayNames() string { return strings.Join(v.Gateways, ", ") }

// OnlyBadges are the badges, that the sheet is about, "" if it is about all.
func (v view) OnlyBadges() string { return strings.Join(v.Only, ", ") }

// Day is the date of a badge's line.
func (v view) Day(b Badge) string { return b.Day.Format(time.DateOnly) }

// TimeOf is an instant of a badge's line.
func (v view) TimeOf(b Badge, t presence.Timing) string {
	v.from, v.to = b.Day, b.Day.AddDate(0, 0, 1)
	return v.Time(t)
}

// Date is the day or month in words.
func (v view) Date() string {
	y, m, d := v.From.Date()
	if v.Month {
		return fmt.Sprintf("%s %d", v.T.months[m-1], y)
	}
	return fmt.Sprintf("%d %s %d", d, v.T.months[m-1], y)
}

// Time is an instant of the day with how well it is known.
func (v view) Time(t presence.Timing) string {
	switch {
	case t.Quality == presence.QualityBounded:
		return fmt.Sprintf(v.T.Between, v.clock(t.Min), v.clock(t.Max))
	case t.Time.IsZero():
		return v.T.Unknown
	}
	text := v.clock(t.Time)
	if t.Error > 0 {
		text += " ±" + precision(t.Error)
	}
	if word, ok := v.T.qualities[t.Quality]; ok {
		text += " (" + word + ")"
	}
	return text
}

// Span is when an uncertain tap may have been.
func (v view) Span(t Tap) string {
	from, to := v.T.Unknown, v.T.Unknown
	if !t.Earliest.IsZero() {
		from = v.clock(t.Earliest)
	}
	if !t.Latest.IsZero() {
		to = v.clock(t.Latest)
	}
	return fmt.Sprintf(v.T.Between, from, to)
}

// clock is the time of day, with the date where that is another day's.
func (v view) clock(t time.Time) string {
	t = t.In(v.Origin.Location)
	if t.Before(v.from) || !t.Before(v.to) {
		return t.Format("2006-01-02 15:04:05")
	}
	return t.Format("15:04:05")
}

// precision is an error in the unit that a person reads best, rounded up.
func precision(d time.Duration) string {
	switch {
	case d <= time.Second:
		return strconv.FormatInt((d+time.Millisecond-1).Milliseconds(), 10) + " ms"
	case d <= 2*time.Minute:
		return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10) + " s"
	}
	return strconv.FormatInt(int64((d+time.Minute-1)/time.Minute), 10) + " min"
}

// Failure is an outage in words.
func (v view) Failure(o Outage) string {
	text, en := o.What.Texts()
	if v.T.Lang == English {
		text = en
	}
	if o.Times > 1 {
		text += " (" + fmt.Sprintf(v.T.Flapping, o.Times, precision(o.Down)) + ")"
	}
	return text
}

// End is when an outage ended.
func (v view) End(o Outage) string {
	if o.Open {
		return v.T.GoesOn
	}
	return v.Time(o.To)
}

// Reason is why something was lost.
func (v view) Reason(g Gap) string { return v.T.reason(g.Reason) }

// Count is how much was lost.
func (v view) Count(g Gap) string {
	if len(g.Kinds) == 0 {
		return v.T.Unknown
	}
	return lost(g)
}

// ID is the id of an event.
func (v view) ID(e presence.EventID) string { return eventID(e) }
