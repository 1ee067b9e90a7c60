package staff

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"presence/gatewayd/internal/presence"
)

// result is what came of one week.
type result struct {
	truths     []truth
	late       []string        // found later than allowed, or not at all
	accused    []string        // falsely
	latencies  []time.Duration // of all that were found
	prompt     []time.Duration // of those that were heard all the time, less two intervals
	broken     int             // the others
	takenBack  time.Duration   // the longest from a return to the end of a contradiction
	unseen     int             // person-days at the desk of which on_site was never said
	events     int
	most       int // events of one person on one day
	personDays int
	copies     int      // switched on
	unnoticed  []string // of those, what nobody was told of
	digest     string
}

// compare compares what was recorded on a day with the script.
func (res *result) compare(entries []presence.Entry, staff []*worker, day, killed time.Time) {
	byBadge := make(map[string]*worker)
	recorded := make(map[*worker][]presence.Entry)
	for _, w := range staff {
		byBadge[w.badge] = w
	}
	conflict := make(map[string]time.Time) // by tag, when it was recorded first
	for _, e := range entries {
		if e.Person != nil {
			w := byBadge[e.Person.Badge]
			recorded[w] = append(recorded[w], e)
		}
		if e.Tag != nil && e.Tag.Conflict && conflict[e.Tag.Tag].IsZero() {
			conflict[e.Tag.Tag] = e.At.WallTime()
		}
	}
	for _, w := range staff {
		res.compareCopy(w, recorded[w], conflict[w.tag], day)
	}
	for _, w := range staff {
		list := recorded[w]
		truths := w.truths(day)
		res.compareContradictions(w, list, truths)
		for _, t := range truths {
			res.measure(w, t, killed)
		}
		res.truths = append(res.truths, truths...)
		res.personDays++
		onSite := slices.ContainsFunc(list, func(e presence.Entry) bool { return e.Person.State == presence.OnSite })
		if !onSite && w.n != tagFlat && w.n != proxied && w.copyFrom.IsZero() && (w.n != tagDies || day.Weekday() == time.Monday) {
			res.unseen++
		}
		res.events += len(list)
		res.most = max(res.most, len(list))
	}
}

// compareContradictions finds the time out behind each contradiction of a worker, and
// notes in truths when it was found.
func (res *result) compareContradictions(w *worker, recorded []presence.Entry, truths []truth) {
	const looks = lookSeconds * time.Second
	for i, e := range recorded {
		at := e.At.WallTime()
		if e.Person.State != presence.Contradiction {
			continue
		}
		k := slices.IndexFunc(truths, func(t truth) bool { return !at.Before(t.from) && at.Before(t.to.Add(looks)) })
		if k < 0 {
			res.accused = append(res.accused, fmt.Sprintf("worker %d (roof %.0f m, desk %.0f m) %s", w.n, w.roof, w.desk.far(), at.In(wib).Format("Mon 15:04:05")))
			continue
		}
		if truths[k].found.IsZero() {
			truths[k].found = at
		}
		if i+1 < len(recorded) && truths[k].to.Before(recorded[i+1].At.WallTime()) {
			res.takenBack = max(res.takenBack, recorded[i+1].At.WallTime().Sub(truths[k].to))
		}
	}
}

// compareCopy compares what was recorded of a tag that was copied, or was not, with
// the script.
func (res *result) compareCopy(w *worker, said []presence.Entry, told, day time.Time) {
	name := fmt.Sprintf("worker %d on %s", w.n, day.Weekday())
	if w.copyFrom.IsZero() {
		if !told.IsZero() {
			res.unnoticed = append(res.unnoticed, name+": a copy was told of, and there is none")
		}
		return
	}
	res.copies++
	if told.IsZero() {
		res.unnoticed = append(res.unnoticed, name+": nobody was told of the copy")
		return
	}
	for _, e := range said {
		if e.Person.State == presence.OnSite && e.At.WallTime().After(told.Add(lookSeconds*time.Second)) {
			res.unnoticed = append(res.unnoticed, name+": on site by a tag that is copied")
		}
	}
}

// measure tells how soon a contradiction was found. Allowed are 5 minutes and
// two intervals or, where reports were lost or had no fix, one interval after
// the first 5 minutes without a silence. What was heard before the gateway was killed
// is held against nobody, so the 5 minutes begin again there.
func (res *result) measure(w *worker, t truth, killed time.Time) {
	from := t.from.In(wib).Format("Mon 15:04:05")
	if t.found.IsZero() {
		res.late = append(res.late, fmt.Sprintf("worker %d from %s: never", w.n, from))
		return
	}
	latency := t.found.Sub(t.from)
	res.latencies = append(res.latencies, latency)
	const looks = lookSeconds * time.Second
	interval := w.interval * 105 / 100
	limit := provenAfter + 2*interval + looks
	if whole, ok := w.heardWhole(t.from, killed); !ok || whole.Sub(t.from) > limit-interval {
		res.broken++
		limit = whole.Sub(t.from) + interval + looks
	} else {
		res.prompt = append(res.prompt, latency-2*w.interval)
	}
	if latency > limit {
		res.late = append(res.late, fmt.Sprintf("worker %d from %s: %v, allowed %v", w.n, from, latency, limit))
	}
}

func tabulate(results []result) string {
	var sum result
	truths, never := 0, 0
	for _, res := range results {
		truths += len(res.truths)
		for _, t := range res.truths {
			if t.found.IsZero() {
				never++
			}
		}
		sum.late = append(sum.late, res.late...)
		sum.accused = append(sum.accused, res.accused...)
		sum.latencies = append(sum.latencies, res.latencies...)
		sum.prompt = append(sum.prompt, res.prompt...)
		sum.copies += res.copies
		sum.unnoticed = append(sum.unnoticed, res.unnoticed...)
		sum.broken += res.broken
		sum.takenBack = max(sum.takenBack, res.takenBack)
		sum.unseen += res.unseen
		sum.events += res.events
		sum.most = max(sum.most, res.most)
		sum.personDays += res.personDays
	}
	var b strings.Builder
	row := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "%-58s %s\n", what, fmt.Sprintf(format, args...))
	}
	row("weeks, people, person-days", "%d, %d, %d", len(results), people, sum.personDays)
	row("contradictions in the script, found", "%d, %d", truths, truths-never)
	row("false positives (people accused who were there)", "%d", len(sum.accused))
	row("copied tags, not told of or believed", "%d, %d", sum.copies, len(sum.unnoticed))
	row("false negatives (never found)", "%d", never)
	row("found too late", "%d", len(sum.late)-never)
	row("from leaving to the event: median, max", "%v, %v", median(sum.latencies), longest(sum.latencies))
	row("  less two intervals, where 5 min were heard: median, max", "%v, %v (%d)", median(sum.prompt), longest(sum.prompt), len(sum.prompt))
	row("  where reports were lost or had no fix", "(%d)", sum.broken)
	row("from the return to the end of the contradiction: max", "%v", sum.takenBack)
	row("person-days at the desk without any on_site", "%d", sum.unseen)
	row("events per person and day: mean, max", "%.1f, %d", float64(sum.events)/float64(max(sum.personDays, 1)), sum.most)
	return b.String()
}

func median(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	return slices.SortedFunc(slices.Values(list), cmp.Compare)[len(list)/2].Round(time.Second)
}

func longest(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	return slices.Max(list).Round(time.Second)
}
