package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"runtime/pprof"
	"slices"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/durable"
	"presence/gatewayd/internal/journal/boltfile"
	"presence/gatewayd/internal/presence"
)

// Open opens the journal, creating it where there is none, and begins a new
// stream: its start event is durable when Open returns.
//
// A journal that is damaged is no error: it is put aside, a new one takes its
// place with everything that could be read, and Damage tells what happened.
func Open(opt Options) (*Journal, error) {
	var damage *Damage
	for {
		j, err := newJournal(opt)
		if err != nil {
			return nil, fmt.Errorf("open journal %s: %w", opt.Path, err)
		}
		l, err := j.start()
		if err == nil {
			j.damage = damage
			return j, nil
		}
		if l == nil || damage != nil {
			return nil, fmt.Errorf("open journal %s: %w", opt.Path, err)
		}
		l.problem = err
		damage, err = j.rescue(*l)
		if l.file != nil {
			err = errors.Join(err, ignoreClosed(l.file.Close()))
		}
		if err != nil {
			return nil, fmt.Errorf("replace damaged journal %s (%w): %w", opt.Path, l.problem, err)
		}
	}
}

func newJournal(opt Options) (*Journal, error) {
	if opt.NoStream {
		opt.Keep = math.MaxInt64
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("name stream: %w", err)
	}
	return &Journal{
		opt: opt, codec: newCodec(), stream: presence.ID(id),
		wake:    make(chan struct{}, 1),
		done:    make(chan struct{}),
		failed:  make(chan struct{}),
		grown:   make(chan struct{}),
		queue:   queue{room: make(chan struct{})},
		unsaved: make(revisions),

		wrote: time.Now(),
	}, nil
}

// start opens the file and starts the writer. Where the file is at fault it
// returns also what there is to rescue.
func (j *Journal) start() (*damagedFile, error) {
	m, marked := readMark(j.opt.Path)
	f, err := openLocked(j.opt.Path, marked)
	if err != nil {
		if !nothingThere(err) {
			return nil, err
		}
		l := &damagedFile{mark: m}
		if readable, openErr := durable.OpenFile(j.opt.Path, os.O_RDONLY|unix.O_NONBLOCK, 0); openErr == nil {
			l.file = readable // it only cannot be written
		}
		return l, err
	}
	partial, err := j.checkFile(f, m.Suspect == "")
	if err == nil {
		err = j.use(f)
	}
	if err == nil {
		if j.silent {
			m.Suspect = "" // and the last stream that began is the one before
		} else {
			m = mark{Stream: j.stream}
		}
		if err := writeMark(j.opt.Path, m); err != nil {
			j.opt.Log.Warn("the mark beside the journal is not up to date", "error", err)
		}
		if err := os.Remove(j.opt.Path + ".new"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			j.opt.Log.Warn("a half-made journal cannot be removed", "error", err)
		}
		j.closeQuarantined()
		if partial {
			j.readers.Go(j.scrub)
		}
		return nil, nil
	}
	if !errors.Is(err, boltfile.ErrDamaged) && !errors.Is(err, errDamagedRecord) {
		return nil, errors.Join(err, ignoreClosed(f.Close()))
	}
	return &damagedFile{file: reopened(f), mark: m}, err
}

// checkFile looks through the file, all of it or what a quick look takes, and tells
// whether there is more. What cannot be read is tried once more: a disk that is
// plugged in anew, or a bus that was reset, is no damage.
func (j *Journal) checkFile(f *os.File, quick bool) (partial bool, err error) {
	var errno unix.Errno
	for range 2 {
		s := survey{codec: j.codec}
		if quick {
			s.newest = quickLook
		}
		if err = s.firstProblem(f); !errors.As(err, &errno) {
			return s.partial, err
		}
	}
	if diskUnreadable(f, errno) {
		return false, fmt.Errorf("the disk does not let it be read: %w", errno)
	}
	return false, err
}

// use hands the file to bbolt and begins the stream.
func (j *Journal) use(f *os.File) error {
	j.file = f
	var err error
	if j.db, err = j.openFile(f); err != nil {
		return err
	}
	w, err := j.begin()
	if err == nil {
		err = w.checkRoom()
	}
	if err != nil {
		return errors.Join(err, j.release())
	}
	// A profile, and the log of a task that hangs, call it by the name of its pulse.
	go pprof.Do(context.Background(), pprof.Labels("task", "journal"), func(context.Context) { w.run() })
	return nil
}

// openFile has bbolt open a file that is open.
func (j *Journal) openFile(f *os.File) (db *bolt.DB, err error) {
	cacheByPage(f)
	err = guard(func() (err error) {
		db, err = bolt.Open(f.Name(), fileMode, &bolt.Options{
			Timeout:      lockTimeout,
			FreelistType: bolt.FreelistMapType,
			// The map is as large as the file can become, so that growing never
			// waits for a reader to let go of the old map.
			InitialMmapSize: int(min(j.opt.MaxBytes, math.MaxInt32/2)),
			// The file that was looked at is the file that is used.
			OpenFile: func(string, int, os.FileMode) (*os.File, error) { return f, nil },
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	db.AllocSize = growStep
	return db, nil
}

// begin reads what earlier processes left and makes this stream's start
// durable.
func (j *Journal) begin() (*writer, error) {
	var left inheritance
	if err := j.view(func(tx *bolt.Tx) error { return j.inherit(tx, &left) }); err != nil {
		return nil, err
	}
	j.first = j.end + 1
	w := newWriter(j)
	w.link = left.link
	if j.silent = j.opt.NoStream && len(left.gaps) == 0 && left.lost.kinds == nil; j.silent {
		return w, nil
	}
	now := j.opt.Now()
	j.countBoot(now, left.previous)
	if j.oldest == 0 {
		j.oldest = j.first
	}
	j.opened = now
	heads := j.nameHeads(left.previous, now)
	notes, err := heads.asNotes(j.codec)
	if err != nil {
		return nil, err
	}
	start := &presence.Start{Previous: left.previous, Version: j.opt.Version}
	if heads.follows != nil {
		start.Previous, start.Left = heads.follows, left.previous
		w.link = heads.follows.Link
	}
	if alive := j.state.Alive; left.previous != nil && alive != (presence.Reading{}) {
		start.Alive = &alive
	}
	drafts := append([]presence.Draft{{
		Kind: presence.KindStart, At: now, Simulated: j.opt.Simulated, Start: start,
	}}, slices.Concat(left.gaps, heads.gaps)...)
	if left.lost.kinds != nil {
		drafts = append(drafts, j.lossDraft(left.lost))
	}
	items := make([]item, len(drafts))
	for i, d := range drafts {
		if items[i], err = j.codec.encode(d); err != nil {
			return nil, err
		}
	}
	if err := w.fits(items); err != nil && j.Err() == nil {
		// The start lives off the reserve: a gateway with a full disk runs, and
		// says so.
		j.opt.Log.Warn("there is no room in the journal", "error", err)
	}
	c := change{items: items, starts: true, prunes: pruneStep, notes: notes}
	if seal, ok := w.newSeal(); ok && w.fits(append(items, seal)) == nil {
		c = c.withSeal(seal)
	}
	if err := w.commit(c); err != nil {
		return w, err
	}
	j.heads = heads.note
	return w, nil
}

// inheritance is what earlier processes left for this one to put into events.
type inheritance struct {
	previous *presence.Previous // the stream before; nil: none
	link     presence.Link      // of its last event
	gaps     []presence.Draft   // of a journal that was damaged
	lost     losses             // that no gap names yet
}

// inherit reads what earlier processes left, and what they knew of the file.
func (j *Journal) inherit(tx *bolt.Tx, left *inheritance) error {
	meta := tx.Bucket([]byte(bucketMeta))
	if err := j.codec.readChecked([]byte(keyState), meta.Get([]byte(keyState)), &j.state); err != nil {
		return err
	}
	holds, err := j.codec.readOrigin(meta.Get([]byte(keyOrigin)))
	if err != nil {
		return err
	}
	if err := checkOrigin(holds, j.opt.Origin); err != nil {
		return err
	}
	if v := meta.Get([]byte(keyGaps)); v != nil {
		if err := j.codec.readChecked([]byte(keyGaps), v, &left.gaps); err != nil {
			return err
		}
	}
	if left.lost, err = j.codec.readLost(meta.Get([]byte(keyLost))); err != nil {
		return err
	}
	first, last, err := bounds(tx)
	if err != nil {
		return err
	}
	j.oldest, j.end = first.pos, last.pos
	j.cursor = min(j.state.Cursor, j.end)
	j.waited = j.cursor
	j.unconfirmed = j.cursor == 0
	if err := j.readHeads(tx); err != nil {
		return err
	}
	j.finalUpto = min(j.state.FinalUpto, j.end)
	j.yielded = j.state.Yielded
	j.formerKey = j.state.SealKey
	if left.lost.yielding() > 0 { // of the process before
		j.yielded = &left.lost.last
	}
	j.sending = sending{min(j.state.Sent, j.end), min(j.state.Unanswered, j.end)}
	if last.pos != 0 {
		var s streamInfo
		key := last.stream[:]
		if err := j.codec.readChecked(key, tx.Bucket([]byte(bucketStreams)).Get(key), &s); err != nil {
			return err
		}
		var e presence.Entry
		if err := j.codec.decodePacked(last, &e); err != nil {
			return err
		}
		if !j.opt.unchained {
			left.link = e.Chain.Link
		}
		left.previous = &presence.Previous{Stream: last.stream, Seq: last.seq, Clean: s.Clean, Link: left.link}
	}
	return tx.Bucket([]byte(bucketHoles)).ForEach(func(k, v []byte) error {
		if len(k) != 8 || len(v) != 8 {
			return boltfile.Damagedf("a hole of %d and %d bytes", len(k), len(v))
		}
		j.holes = j.holes.Add(span{From: binary.BigEndian.Uint64(k), To: binary.BigEndian.Uint64(v)})
		return nil
	})
}

// countBoot counts this start, and the machine's boot where it is the first one in it.
func (j *Journal) countBoot(now presence.Reading, previous *presence.Previous) {
	j.state.Starts++
	if j.state.Boot == now.Boot {
		return
	}
	j.state.Boots++
	if previous != nil && !previous.Clean {
		j.state.UncleanBoots++
	}
	j.state.Boot = now.Boot
}

// Close writes what waits and the cursor, marks the stream as ended on purpose,
// and closes the file. It may be called twice.
func (j *Journal) Close() error {
	j.mu.Lock()
	first := !j.closing
	j.closing = true
	j.wakeWriter()
	if first && j.refused != nil {
		close(j.done) // there is no writer to do it
	}
	j.mu.Unlock()
	<-j.done
	j.readers.Wait()
	if !first || j.refused != nil {
		return nil
	}
	if err := j.release(); err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	return nil
}

// release lets go of the file.
func (j *Journal) release() error {
	if j.Err() != nil {
		// A panic inside bbolt leaves its locks taken: db.Close would wait for
		// ever. The map stays until the process leaves, which it is about to; it
		// would keep the lock as well.
		return errors.Join(unix.Flock(int(j.file.Fd()), unix.LOCK_UN), j.file.Close())
	}
	return j.db.Close()
}
