package journal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/durable"
	"presence/gatewayd/internal/presence"
)

// Damage says what was wrong with the journal that was there at the start, and
// what became of it.
type Damage struct {
	Problem    string           // in words
	Quarantine string           // where the old file is now; "" where there was none
	Salvaged   int              // events that were read out of it
	Waiting    int              // of them not delivered
	Lost       int              // events known to be lost without delivery
	Missing    []presence.Range // numbers of which nothing is left, delivered or not
	EndUnknown bool             // more may be missing at the end; Missing has open ranges then
}

const (
	// maxQuarantined is how many damaged files are kept: they are worth a look,
	// but not a full disk.
	maxQuarantined = 3

	// maxGapRanges is how many ranges one gap names, so that it fits into a
	// record: 75 bytes each at most. More ranges make more gaps.
	maxGapRanges = 80

	// maxProblem is how much of the problem a gap's comment tells.
	maxProblem = 768
)

// damagedFile is what is wrong with a file that cannot be used, and where it is.
type damagedFile struct {
	file    *os.File // nil: it is not there, or cannot be read
	problem error
	mark    mark
}

// rescue puts a sound journal where a damaged one was: the old file gets
// another name, and the new one holds every record that could be read, and the
// gaps that name the rest.
//
// The new file is whole and durable before it takes the old one's place, so
// that a power cut leaves one of the two.
func (j *Journal) rescue(l damagedFile) (*Damage, error) {
	path := j.opt.Path
	p := newProgress(j.opt)
	defer p.end()
	d := &Damage{Problem: l.problem.Error(), EndUnknown: true}
	var s salvaged
	if l.file != nil {
		info, err := l.file.Stat()
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() {
			p.of(info.Size())
			s = salvage(l.file, info.Size(), j.codec, p.read)
		}
	}
	name, err := quarantineName(path, j.opt.Now().WallTime())
	if err != nil {
		return nil, err
	}
	d.Quarantine = name
	for _, choice := range s.choices() {
		d.describe(s, choice, l.mark.Stream)
		err = j.rebuild(path+".new", choice, l, d, p)
		if !errors.Is(err, syscall.ENOSPC) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("rebuild: %w", err)
	}
	if err := quarantine(path, name); err != nil {
		return nil, err
	}
	if d.Quarantine != "" {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			d.Quarantine = "" // there was nothing
		}
	}
	if err := durable.Rename(path+".new", path); err != nil {
		return nil, err
	}
	j.tidyQuarantine(name)
	j.opt.Log.Error("the journal was damaged and is replaced",
		"problem", d.Problem, "quarantine", d.Quarantine, "salvaged", d.Salvaged, "waiting", d.Waiting, "lost", d.Lost)
	return d, nil
}

// choices are what to put into the new file, best first: everything; where the
// disk has no room for that, what waits; or nothing. The old file stays in any
// case.
func (s salvaged) choices() []salvaged {
	waiting := s
	waiting.records = slices.DeleteFunc(slices.Clone(s.records), func(p piece) bool { return p.pos <= s.state.Cursor })
	nothing := s
	nothing.records = nil
	return []salvaged{s, waiting, nothing}
}

// describe says what becomes of all when choice is what is put into the new
// file. The last stream that began, as far as is known, began with a start that
// may be missing.
func (d *Damage) describe(all, choice salvaged, began presence.ID) {
	waiting := func(s salvaged) (n int) {
		for _, p := range s.records {
			if p.pos > s.state.Cursor {
				n++
			}
		}
		return n
	}
	d.Salvaged, d.Waiting = len(choice.records), waiting(choice)
	d.Lost = all.lost + waiting(all) - d.Waiting
	d.Missing, d.EndUnknown = all.missing, !choice.endSure || len(choice.records) == 0
	if d.EndUnknown {
		d.Missing = append(slices.Clone(all.missing), choice.ends(all, began)...)
	}
}

// ends are the ends of streams that may be missing behind what is put into the
// new file; where nothing is put there, behind what was delivered. The stream
// that began last may be known by its name alone.
func (s salvaged) ends(all salvaged, began presence.ID) []presence.Range {
	after := all.state.Cursor
	if n := len(s.records); n > 0 {
		after = s.records[n-1].pos
	}
	firsts := make(map[presence.ID]uint64) // stream -> position of its number 1
	for id, info := range all.streams {
		firsts[id] = info.First
	}
	for _, p := range all.records {
		firsts[p.stream] = p.pos - p.seq + 1
	}
	streams := slices.SortedFunc(maps.Keys(firsts), func(a, b presence.ID) int {
		return cmp.Or(cmp.Compare(firsts[a], firsts[b]), bytes.Compare(a[:], b[:]))
	})
	var ends []presence.Range
	for i, id := range streams {
		first := firsts[id]
		r := presence.Range{Stream: id, From: max(after+1, first) - first + 1}
		if i+1 < len(streams) {
			// The next stream began where this one ended.
			if r.To = firsts[streams[i+1]] - first; r.From > r.To {
				continue
			}
		}
		ends = append(ends, all.links.around(r, first))
	}
	if _, known := firsts[began]; !known && !began.IsZero() {
		ends = append(ends, presence.Range{Stream: began, From: 1})
	}
	return ends
}

// gaps are the drafts that name what is gone.
func (j *Journal) gaps(d *Damage, l damagedFile, s salvaged) []presence.Draft {
	comment := d.Problem[:min(len(d.Problem), maxProblem)]
	if d.EndUnknown {
		comment += "; what was newest may be missing beyond what is known"
	}
	if s.nameless > 0 {
		comment += fmt.Sprintf("; %d events of streams of which nothing is left are missing too", s.nameless)
	}
	if d.Quarantine != "" {
		comment += "; the damaged file is kept as " + filepath.Base(d.Quarantine)
	}
	kinds := map[string]int{}
	if d.Lost > 0 {
		kinds["unknown"] = d.Lost // nobody knows what they were
	}
	return j.gapDrafts(presence.Gap{
		Reason: presence.GapJournalDamaged, Kinds: kinds, Ranges: d.Missing, Comment: strings.ToValidUTF8(comment, "?"),
	})
}

// gapDrafts are the events that make up a gap, which may name more ranges than
// fit into one.
func (j *Journal) gapDrafts(g presence.Gap) []presence.Draft {
	at := j.opt.Now()
	var drafts []presence.Draft
	for ranges := g.Ranges; ; {
		part := g
		n := min(len(ranges), maxGapRanges)
		part.Ranges = ranges[:n]
		drafts = append(drafts, presence.Draft{Kind: presence.KindGap, At: at, Simulated: j.opt.Simulated, Gap: &part})
		if ranges = ranges[n:]; len(ranges) == 0 {
			return drafts
		}
		g.Kinds, g.Comment = map[string]int{}, "continued"
	}
}

// rebuild writes a new journal file.
func (j *Journal) rebuild(path string, s salvaged, l damagedFile, d *Damage, p *progress) error {
	if err := createAt(path, j.codec); err != nil {
		return err
	}
	db, err := bolt.Open(path, fileMode, &bolt.Options{
		Timeout: lockTimeout, FreelistType: bolt.FreelistMapType, OpenFile: durable.OpenFile,
		NoSync:          true, // it is synced as a whole
		InitialMmapSize: int(min(j.opt.MaxBytes, math.MaxInt32/2)),
	})
	if err != nil {
		return err
	}
	var used int64
	err = guard(func() error {
		if err := j.copyRecords(db, s, l.file, p); err != nil {
			return err
		}
		if err := j.copyRevisions(db, s.revisions); err != nil {
			return err
		}
		if err := db.Update(func(tx *bolt.Tx) error { return j.putOrder(tx, s, j.gaps(d, l, s)) }); err != nil {
			return err
		}
		return db.View(func(tx *bolt.Tx) error {
			used = tx.Size()
			return nil
		})
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	return cutTo(path, used)
}

// cutTo durably cuts off what bbolt took from the disk ahead of what it used.
func cutTo(path string, size int64) error {
	f, err := durable.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("cut: %w", err)
	}
	err = f.Truncate(size)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("cut: %w", err)
	}
	return nil
}

// copyRecords copies records as they are, some thousand to a transaction.
func (j *Journal) copyRecords(db *bolt.DB, s salvaged, from *os.File, p *progress) error {
	const step = 4096
	for records := s.records; len(records) > 0; {
		n := min(len(records), step)
		err := db.Update(func(tx *bolt.Tx) error {
			events := tx.Bucket([]byte(bucketEvents))
			events.FillPercent = 1
			for _, p := range records[:n] {
				key, value, err := p.read(from, make([]byte, p.size))
				if err != nil {
					return fmt.Errorf("read a record once more: %w", err)
				}
				if err := events.Put(key, value); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		records = records[n:]
		p.copied(len(s.records)-len(records), len(s.records))
	}
	return nil
}

// copyRevisions copies the revisions of the records that are copied.
func (j *Journal) copyRevisions(db *bolt.DB, all revisions) error {
	for part := range slices.Chunk(slices.Sorted(maps.Keys(all)), copyStep) {
		some := make(revisions, len(part))
		for _, pos := range part {
			some[pos] = all[pos]
		}
		if err := db.Update(func(tx *bolt.Tx) error { return j.codec.putRevisions(tx, some) }); err != nil {
			return err
		}
	}
	return nil
}

// putOrder writes what is neither a record nor a revision of one.
func (j *Journal) putOrder(tx *bolt.Tx, s salvaged, gaps []presence.Draft) error {
	streams := tx.Bucket([]byte(bucketStreams))
	for _, p := range s.records {
		info := streamInfo{First: p.pos - p.seq + 1, Clean: s.streams[p.stream].Clean}
		if streams.Get(p.stream[:]) != nil {
			continue
		}
		if err := j.codec.putChecked(streams, p.stream[:], info); err != nil {
			return err
		}
	}
	if len(s.records) > 0 {
		if err := putHoles(tx.Bucket([]byte(bucketHoles)), nil, s.holes()); err != nil {
			return err
		}
	}
	meta := tx.Bucket([]byte(bucketMeta))
	if err := j.codec.putChecked(meta, []byte(keyGaps), gaps); err != nil {
		return err
	}
	if err := j.codec.putLost(meta, s.unnamed); err != nil {
		return err
	}
	if err := j.codec.putOrigin(meta, s.origin); err != nil {
		return err
	}
	if err := j.codec.putNotes(tx, s.notes); err != nil {
		return err
	}
	// The file says nothing of positions that it has not: they will be used.
	kept := s.state
	kept.Cursor, kept.Oldest, kept.FinalUpto, kept.Sent, kept.Unanswered = 0, 0, 0, 0, 0
	if n := len(s.records); n > 0 {
		last := s.records[n-1].pos
		kept.Cursor, kept.Oldest, kept.FinalUpto = min(s.state.Cursor, last), s.records[0].pos, min(s.state.FinalUpto, last)
		kept.Sent, kept.Unanswered = min(s.state.Sent, last), min(s.state.Unanswered, last)
	}
	return j.codec.putChecked(meta, []byte(keyState), kept)
}

// quarantineName is a name beside the journal that is not taken.
func quarantineName(path string, now time.Time) (string, error) {
	base := path + ".damaged-" + now.UTC().Format("20060102-150405")
	name := base
	for n := 2; ; n++ {
		_, err := os.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return name, nil
		}
		if err != nil {
			return "", fmt.Errorf("quarantine: %w", err)
		}
		name = fmt.Sprintf("%s-%d", base, n)
	}
}

// quarantine gives the damaged file another name as well. Where the file system
// has no second names, the file has none at its place for a moment.
func quarantine(path, name string) error {
	err := os.Link(path, name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.Rename(path, name); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	return nil
}

// quarantined are the damaged files that are kept, oldest first: the names sort
// by date.
func (j *Journal) quarantined() []string {
	entries, err := os.ReadDir(filepath.Dir(j.opt.Path))
	if err != nil {
		j.opt.Log.Warn("the directory of the journal cannot be read", "error", err)
	}
	var names []string
	for _, e := range entries {
		name := filepath.Join(filepath.Dir(j.opt.Path), e.Name())
		if strings.HasPrefix(name, j.opt.Path+".damaged-") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// closeQuarantined takes the damaged files that are kept away from everybody but their
// owner, as the journal itself.
func (j *Journal) closeQuarantined() {
	for _, name := range j.quarantined() {
		f, err := durable.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			continue // a reason to leave it, and none to record nothing
		}
		if info, err := f.Stat(); err == nil {
			closeToOthers(f, info)
		}
		_ = f.Close() // nothing was written
	}
}

// tidyQuarantine removes the oldest damaged files, but never the newest.
func (j *Journal) tidyQuarantine(newest string) {
	names := slices.DeleteFunc(j.quarantined(), func(name string) bool { return name == newest })
	for len(names) >= maxQuarantined {
		if err := os.RemoveAll(names[0]); err != nil {
			j.opt.Log.Warn("a damaged journal cannot be removed", "file", names[0], "error", err)
		}
		names = names[1:]
	}
}
