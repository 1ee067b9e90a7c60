package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

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
	Chain     ChainReport
	Seals     []language.Text // which seals a SealCheck has checked; who hands it in says so
	Damage    []language.Text // what is wrong with this file
	more      int             // further damage that is not listed
}

// ChainReport tells how far the events are chained.
type ChainReport struct {
	Events      int64            // that have links
	First, Last presence.EventID // of them
	Link        presence.Link    // of the last
	Earlier     int64            // events without links in front of the first
	Interrupted int64            // events without links behind it, of an earlier version
	Unknown     int64            // events of kinds that this version does not know
	Open        []presence.Range // what is gone where no gap tells the link behind it
	// Unchecked: nobody knows whose events these are, and so whether they were changed.
	Unchecked bool
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
	for _, kind := range []presence.Kind{
		presence.KindStart, presence.KindBadge, presence.KindTag, presence.KindPresence, presence.KindGap, presence.KindSeal,
	} {
		if n := r.Kinds[kind.String()]; n > 0 {
			line("  %s: %d", "  %s: %d", kind, n)
		}
	}
	for _, g := range r.Gaps {
		line("gap: %s", "data hilang: %s", g)
	}
	for _, found := range r.Chain.found() {
		line("chain: %s", "rantai: %s", found)
	}
	for _, s := range r.Seals {
		line("seals: %s", "segel: %s", s)
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

// found is what is to be said of the chain.
func (c ChainReport) found() (all []language.Text) {
	say := func(en, id string, args ...any) { all = append(all, language.Say(en, id, args...)) }
	if c.Events > 0 {
		say("%d events are tied to each other, from %s to %s, link %s", "%d data saling terikat, dari %s sampai %s, tautan %s", c.Events, c.First, c.Last, c.Link)
	}
	if c.Earlier > 0 {
		say("%d events have no link: an earlier version of gatewayd recorded them", "%d data tanpa tautan: dicatat oleh versi gatewayd sebelumnya", c.Earlier)
	}
	if c.Interrupted > 0 {
		say("interrupted by an earlier version of gatewayd, which recorded %d events without a link", "terputus oleh versi gatewayd sebelumnya, yang mencatat %d data tanpa tautan", c.Interrupted)
	}
	if c.Unchecked && c.Events > 0 {
		say("whose events these are is not in the file, so whether they were changed is not known", "berkas tidak menyebut data ini milik siapa, jadi tidak diketahui apakah diubah")
	}
	if c.Unknown > 0 {
		say("%d events are of kinds that this version does not know and cannot check", "%d data berjenis yang tidak dikenal versi ini dan tidak dapat diperiksa", c.Unknown)
	}
	for _, r := range c.Open[:min(len(c.Open), maxListed)] {
		say("not known to go on behind stream %s, seq %d to %d, which are gone", "tidak diketahui lanjutannya sesudah aliran %s, nomor %d sampai %d, yang hilang", r.Stream, r.From, r.To)
	}
	if n := len(c.Open); n > maxListed {
		say("not known to go on behind %d more places", "tidak diketahui lanjutannya di %d tempat lagi", n-maxListed)
	}
	return all
}

func (r *Report) damage(en, id string, args ...any) {
	if len(r.Damage) == maxListed {
		r.more++
		return
	}
	r.Damage = append(r.Damage, language.Say(en, id, args...))
}

// Verify checks every record of the running journal, and the chain that ties them
// together.
func (j *Journal) Verify(ctx context.Context, seal SealCheck) (Report, error) {
	return j.verify(ctx, seal, 0, nil)
}

// CheckWaiting is Verify of the events that waited for delivery when the journal was opened,
// and of those since. It leaves most of the time to others.
func (j *Journal) CheckWaiting(ctx context.Context, seal SealCheck) (Report, error) {
	pause := time.NewTicker(scrubPause)
	defer pause.Stop()
	return j.verify(ctx, seal, j.waited, pause.C)
}

// verify checks what comes after a position, a page at each pause; nil: without pauses.
func (j *Journal) verify(ctx context.Context, seal SealCheck, after uint64, pause <-chan time.Time) (Report, error) {
	a := newAudit(j.opt.Origin, seal)
	if err := j.Refused(); err != nil {
		a.report.damage("there is no journal: %v", "jurnal tidak ada: %v", err)
	}
	// What is removed meanwhile is named in a gap at the end, so the end is that of now.
	for more := true; more; {
		if pause != nil {
			select {
			case <-ctx.Done():
			case <-pause:
			}
		}
		if a.report.Events > 0 && j.Oldest() > after+1 {
			// What comes next was delivered meanwhile and went, without a word.
			a, after = newAudit(j.opt.Origin, seal), j.Oldest()-1
		}
		more = false
		looked := 0
		a.cursor = j.Cursor()
		err := j.view(func(tx *bolt.Tx) error {
			return walk(tx, after+1, j.End(), func(k, v []byte) (bool, error) {
				a.record(j.codec, k, v)
				after = binary.BigEndian.Uint64(k)
				looked++
				more = looked == maxPage
				return !more, nil
			})
		})
		if stopped := ctx.Err(); stopped != nil {
			return Report{}, fmt.Errorf("verify journal: %w", stopped)
		}
		if err != nil {
			a.report.damage("%v", "%v", err)
		}
	}
	return a.finish(), nil
}

// Verify checks every record, and every page, of a journal that no daemon holds, and the
// chain that ties the records together.
func Verify(ctx context.Context, path string, seal SealCheck) (Report, error) {
	r, err := OpenReadOnly(path)
	if err != nil {
		return Report{}, err
	}
	defer r.Close()
	a := newAudit(r.Origin(), seal)
	var st state
	s := survey{
		codec:   r.codec,
		problem: func(err error) { a.report.damage("%v", "%v", err) },
		state:   func(s state) { st, a.cursor = s, s.Cursor },
		record: func(k, v []byte) bool {
			a.record(r.codec, k, v)
			return ctx.Err() == nil
		},
	}
	s.all(r.file, r.size)
	if err := ctx.Err(); err != nil {
		return Report{}, fmt.Errorf("verify journal: %w", err)
	}
	a.against(st, s.streams)
	return a.finish(), nil
}

// audit looks at all records in order.
type audit struct {
	report Report
	cursor uint64
	first  presence.Entry
	chain  chainCheck
	firsts map[presence.ID]uint64 // stream -> position of its number 1
}

func newAudit(origin presence.Origin, seal SealCheck) *audit {
	a := &audit{report: Report{Kinds: make(map[string]int64)}, firsts: make(map[presence.ID]uint64)}
	a.report.Chain.Unchecked = !known(origin)
	a.chain = chainCheck{report: &a.report, origin: origin, seal: seal, ledger: newLedger()}
	return a
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
	if e.Gap != nil && len(r.Gaps) < maxListed {
		r.Gaps = append(r.Gaps, describeGap(e.Gap))
	}
	last := a.chain.last
	switch {
	case last == nil:
		a.first = e
	case e.Pos <= last.Pos:
		r.damage("position %d comes after %d", "posisi %d berada sesudah %d", e.Pos, last.Pos)
	case e.Stream == last.Stream && e.Seq <= last.Seq:
		r.damage("stream %s: seq %d comes after %d", "aliran %s: nomor %d berada sesudah %d", e.Stream, e.Seq, last.Seq)
	}
	if first := e.Pos - e.Seq + 1; a.firsts[e.Stream] == 0 {
		a.firsts[e.Stream] = first
	} else if first != a.firsts[e.Stream] {
		r.damage("stream %s: seq %d is at position %d, which is another's", "aliran %s: nomor %d ada di posisi %d, milik data lain", e.Stream, e.Seq, e.Pos)
	}
	a.chain.next(e)
}

// against holds the records against what the file says of them elsewhere.
func (a *audit) against(s state, streams map[presence.ID]streamInfo) {
	last := a.chain.last
	if last == nil {
		return
	}
	if known := max(s.Cursor, s.Sent, s.FinalUpto); known > last.Pos {
		a.report.damage("position %d is known, and the newest event is at %d", "posisi %d pernah ada, sedangkan data terbaru di %d", known, last.Pos)
	}
	for id, first := range a.firsts {
		if info, ok := streams[id]; ok && info.First != first {
			a.report.damage("stream %s: its seq 1 is at position %d, and the list of streams says %d", "aliran %s: nomor 1 di posisi %d, sedangkan daftar aliran menyebut %d", id, first, info.First)
		}
	}
}

// finish holds what is missing against what is accounted for.
func (a *audit) finish() Report {
	// What was delivered goes when its time is over, without a word; what was not, never.
	if from := max(a.firsts[a.first.Stream], a.cursor+1); a.first.Pos > from {
		a.chain.ledger.holes = append(a.chain.ledger.holes, hole{parts: []presence.Range{{
			Stream: a.first.Stream, From: from - a.firsts[a.first.Stream] + 1, To: a.first.Seq - 1,
		}}})
	}
	a.chain.finish()
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
