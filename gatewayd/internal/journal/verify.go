package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/durable"
	"presence/gatewayd/internal/language"
	"presence/gatewayd/internal/presence"
)

// Reader is a journal opened for reading while no daemon runs. It reads
// damaged files too, as far as they go. It serves one goroutine at a time.
type Reader struct {
	file      *os.File
	size      int64
	codec     codec
	revisions *revisionIndex // nil until it is asked for
}

// OpenReadOnly opens a journal that no daemon holds.
func OpenReadOnly(path string) (*Reader, error) {
	f, err := durable.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	info, err := f.Stat()
	if err == nil {
		err = lock(f, unix.LOCK_SH)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open journal %s: %w", path, err), f.Close())
	}
	return &Reader{file: f, size: info.Size(), codec: newCodec()}, nil
}

// Close lets go of the file.
func (r *Reader) Close() error { return r.file.Close() }

// Scan passes all records in order and leaves damaged ones out.
func (r *Reader) Scan(ctx context.Context, fn func(presence.Entry) error) error {
	var failed error
	s := survey{codec: r.codec, problem: func(error) {}, record: func(key, value []byte) bool {
		var e presence.Entry
		if r.codec.decode(key, value, &e) != nil {
			return true
		}
		if failed = ctx.Err(); failed == nil {
			failed = fn(e)
		}
		return failed == nil
	}}
	s.all(r.file, r.size)
	if failed != nil {
		return fmt.Errorf("read journal: %w", failed)
	}
	return nil
}

// Report is what a check of every record found.
type Report struct {
	Events    int64
	Kinds     map[string]int64
	Delivered int64
	Streams   int
	Gaps      []language.Text // in the ledger: what was lost before and is accounted for
	Damage    []language.Text // what is wrong with this file
	more      int             // further damage that is not listed
}

// maxListed bounds the lists of a report.
const maxListed = 100

// Whole reports whether nothing is wrong.
func (r Report) Whole() bool { return len(r.Damage) == 0 }

// String is the report in English.
func (r Report) String() string { return r.In(language.English) }

// In is the report for a person, one line for each thing that was found.
func (r Report) In(l language.Language) string {
	var b strings.Builder
	line := func(en, id string, args ...any) { b.WriteString(language.Say(en, id, args...).In(l) + "\n") }
	line("events: %d in %d streams, %d delivered, %d waiting", "data: %d dalam %d aliran, %d terkirim, %d menunggu",
		r.Events, r.Streams, r.Delivered, r.Events-r.Delivered)
	for _, kind := range []presence.Kind{presence.KindStart, presence.KindBadge, presence.KindTag, presence.KindPresence, presence.KindGap} {
		if n := r.Kinds[kind.String()]; n > 0 {
			line("  %s: %d", "  %s: %d", kind, n)
		}
	}
	for _, g := range r.Gaps {
		line("gap: %s", "data hilang: %s", g)
	}
	for _, d := range r.Damage {
		line("damage: %s", "kerusakan: %s", d)
	}
	if r.more > 0 {
		line("damage: and %d more", "kerusakan: dan %d lagi", r.more)
	}
	if r.Whole() {
		line("journal: ok", "jurnal: baik")
	} else {
		line("journal: damaged", "jurnal: rusak")
	}
	return b.String()
}

func (r *Report) damage(en, id string, args ...any) {
	if len(r.Damage) == maxListed {
		r.more++
		return
	}
	r.Damage = append(r.Damage, language.Say(en, id, args...))
}

// Verify checks every record of the running journal.
func (j *Journal) Verify(ctx context.Context) (Report, error) {
	p := j.snapshot()
	a := newAudit(p.cursor)
	if err := j.Refused(); err != nil {
		a.report.damage("there is no journal: %v", "jurnal tidak ada: %v", err)
	}
	for after, more := uint64(0), true; more; {
		if err := ctx.Err(); err != nil {
			return Report{}, fmt.Errorf("verify journal: %w", err)
		}
		more = false
		looked := 0
		err := j.view(func(tx *bolt.Tx) error {
			return walk(tx, after+1, p.end, func(k, v []byte) (bool, error) {
				a.record(j.codec, k, v)
				after = binary.BigEndian.Uint64(k)
				looked++
				more = looked == maxPage
				return !more, nil
			})
		})
		if err != nil {
			a.report.damage("%v", "%v", err)
		}
	}
	return a.finish(), nil
}

// Verify checks every record, and every page, of a journal that no daemon
// holds.
func Verify(ctx context.Context, path string) (Report, error) {
	r, err := OpenReadOnly(path)
	if err != nil {
		return Report{}, err
	}
	defer r.Close()
	a := newAudit(0)
	s := survey{
		codec:   r.codec,
		problem: func(err error) { a.report.damage("%v", "%v", err) },
		state:   func(s state) { a.cursor = s.Cursor },
		record: func(k, v []byte) bool {
			a.record(r.codec, k, v)
			return ctx.Err() == nil
		},
	}
	s.all(r.file, r.size)
	if err := ctx.Err(); err != nil {
		return Report{}, fmt.Errorf("verify journal: %w", err)
	}
	return a.finish(), nil
}

// audit looks at all records in order.
type audit struct {
	report  Report
	cursor  uint64
	last    presence.Entry
	missing []presence.Range
	named   map[presence.ID]spans // numbers that gaps account for
}

func newAudit(cursor uint64) *audit {
	return &audit{
		report: Report{Kinds: make(map[string]int64)},
		cursor: cursor, named: make(map[presence.ID]spans),
	}
}

func (a *audit) record(c codec, key, value []byte) {
	var e presence.Entry
	if err := c.decode(key, value, &e); err != nil {
		a.report.damage("position %x: %v", "posisi %x: %v", key, err)
		return
	}
	r := &a.report
	r.Events++
	r.Kinds[e.Kind.String()]++
	if e.Pos <= a.cursor {
		r.Delivered++
	}
	if e.Gap != nil {
		if len(r.Gaps) < maxListed {
			r.Gaps = append(r.Gaps, describeGap(e.Gap))
		}
		for _, g := range e.Gap.Ranges {
			if numbers, ok := numbersOf(g); ok {
				a.named[g.Stream] = a.named[g.Stream].Add(numbers)
			}
		}
	}
	if e.Stream != a.last.Stream {
		r.Streams++
	}
	switch {
	case a.last.Pos == 0: // what was before it is forgotten on purpose
	case e.Pos <= a.last.Pos:
		r.damage("position %d comes after %d", "posisi %d berada sesudah %d", e.Pos, a.last.Pos)
	case e.Stream == a.last.Stream && e.Seq <= a.last.Seq:
		r.damage("stream %s: seq %d comes after %d", "aliran %s: nomor %d berada sesudah %d", e.Stream, e.Seq, a.last.Seq)
	case e.Stream == a.last.Stream && e.Seq > a.last.Seq+1:
		a.missing = append(a.missing, presence.Range{Stream: e.Stream, From: a.last.Seq + 1, To: e.Seq - 1})
	case e.Stream != a.last.Stream && e.Seq > 1:
		a.missing = append(a.missing, presence.Range{Stream: e.Stream, From: 1, To: e.Seq - 1})
	}
	a.last = e
}

// finish holds what is missing against what is accounted for.
func (a *audit) finish() Report {
	for _, m := range a.missing {
		if n := m.To - m.From + 1 - a.named[m.Stream].Count(span{From: m.From, To: m.To}); n > 0 {
			a.report.damage("stream %s: of seq %d to %d, %d are missing without a gap that names them", "aliran %s: dari nomor %d sampai %d, %d hilang tanpa keterangan", m.Stream, m.From, m.To, n)
		}
	}
	return a.report
}

func describeGap(g *presence.Gap) language.Text {
	var lost []string
	for kind, n := range g.Kinds {
		lost = append(lost, fmt.Sprintf("%d %s", n, kind))
	}
	slices.Sort(lost)
	comment := ""
	if g.Comment != "" {
		comment = " (" + g.Comment + ")"
	}
	return language.Say("%s: lost %s%s", "%s: hilang %s%s", g.Reason, strings.Join(lost, ", "), comment)
}
