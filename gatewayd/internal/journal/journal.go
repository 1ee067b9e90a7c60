package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"presence/gatewayd/internal/durable"
	"presence/gatewayd/internal/journal/boltfile"
	"presence/gatewayd/internal/presence"
)

// Options is what a journal needs. All but Age, Learned, Simulated, Beat and Rescue
// must be set.
type Options struct {
	Path           string        // .../journal.db
	Keep           time.Duration // delivered events stay this long
	MaxBytes       int64         // the file never becomes larger
	CommitInterval time.Duration // a patient event waits at most this long
	Now            func() presence.Reading
	// Age says between which bounds the age of a reading surely lies, 0 and
	// math.MaxInt64 where nothing is known. Delivered events go once they are
	// surely older than Keep. Without it ages rest on Now and the reading alone.
	Age func(presence.Reading) (least, most time.Duration)
	// Learned is closed as soon as Age may know more than before: take the channel
	// first, then ask.
	Learned   func() <-chan struct{}
	Version   string // of gatewayd, for the start event
	Simulated bool   // marks the start event
	Log       *slog.Logger
	// Beat is told at each step of the writer within what time the next one
	// comes: 0 before work, the length of a pause before a pause.
	Beat func(next time.Duration)
	// Rescue is told how much is done while a damaged journal is replaced: 0
	// before the work, then every second or so, and 1 after it, whatever came of
	// it. The work takes memory for every record of the file, and time to read
	// it from end to end.
	Rescue func(done float64)
}

// Journal is an open journal. Its methods may be called from any goroutine.
type Journal struct {
	opt     Options
	codec   codec
	refused *Error // why there is no file; nil: there is one

	using  sync.RWMutex // held for writing while db and file become others
	db     *bolt.DB     // only the writer may use it without the mutex
	file   *os.File     // what db works on
	stream presence.ID
	first  uint64 // position of the stream's number 1

	wake   chan struct{} // has room for one: the writer has something to look at
	done   chan struct{} // the writer has ended
	failed chan struct{} // the file cannot be used through this handle any more

	mu        sync.Mutex
	queue     queue
	grown     chan struct{}     // closed and replaced at each commit
	oldest    uint64            // oldest position in the file
	end       uint64            // newest durable position
	holes     spans             // between oldest and end
	cursor    uint64            // all up to here is delivered
	acked     time.Time         // when the cursor left what is on disk; zero: it did not
	finalUpto uint64            // up to here every event's latest revision is final
	sending   sending           // how far the city was told
	unsaved   revisions         // not yet on disk
	yielded   *presence.Reading // see state; never changed in place
	state     state             // as on disk
	wrote     time.Time         // when the writer last tried to write
	pulse     bool              // it is to write that the process runs
	err       error             // why failed is closed
	closing   bool

	commits latencies
	daily   dailyCount

	damage  *Damage        // of the journal that was here before
	copying bool           // the file is being written anew
	readers sync.WaitGroup // goroutines that Close waits for
}

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
func (j *Journal) start() (*loss, error) {
	m, marked := readMark(j.opt.Path)
	f, err := openLocked(j.opt.Path, marked)
	if err != nil {
		if !unusable(err) {
			return nil, err
		}
		l := &loss{mark: m}
		if readable, openErr := durable.OpenFile(j.opt.Path, os.O_RDONLY|unix.O_NONBLOCK, 0); openErr == nil {
			l.file = readable // it only cannot be written
		}
		return l, err
	}
	partial, err := j.look(f, m.Suspect == "")
	if err == nil {
		err = j.use(f)
	}
	if err == nil {
		if err := writeMark(j.opt.Path, mark{Stream: j.stream}); err != nil {
			j.opt.Log.Warn("the mark beside the journal is not up to date", "error", err)
		}
		if err := os.Remove(j.opt.Path + ".new"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			j.opt.Log.Warn("a half-made journal cannot be removed", "error", err)
		}
		if partial {
			j.readers.Go(j.scrub)
		}
		return nil, nil
	}
	if !errors.Is(err, boltfile.ErrDamaged) && !errors.Is(err, errDamagedRecord) {
		return nil, errors.Join(err, ignoreClosed(f.Close()))
	}
	return &loss{file: reopened(f), mark: m}, err
}

// look looks through the file, all of it or what a quick look takes, and tells
// whether there is more. What cannot be read is tried once more: a disk that is
// plugged in anew, or a bus that was reset, is no damage.
func (j *Journal) look(f *os.File, quick bool) (partial bool, err error) {
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
	if unread(f, errno) {
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
		err = w.judgeRoom()
	}
	if err != nil {
		return errors.Join(err, j.release())
	}
	go w.run()
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
	var previous *presence.Previous
	var gaps []presence.Draft // of a journal that was damaged
	var lost losses           // of earlier processes
	err := j.view(func(tx *bolt.Tx) error {
		meta := tx.Bucket([]byte(bucketMeta))
		if err := j.codec.readChecked([]byte(keyState), meta.Get([]byte(keyState)), &j.state); err != nil {
			return err
		}
		if v := meta.Get([]byte(keyGaps)); v != nil {
			if err := j.codec.readChecked([]byte(keyGaps), v, &gaps); err != nil {
				return err
			}
		}
		var err error
		if lost, err = j.codec.readLost(meta.Get([]byte(keyLost))); err != nil {
			return err
		}
		first, last, err := bounds(tx)
		if err != nil {
			return err
		}
		j.oldest, j.end = first.pos, last.pos
		j.cursor = min(j.state.Cursor, j.end)
		j.finalUpto = min(j.state.FinalUpto, j.end)
		j.yielded = j.state.Yielded
		if lost.yielding() > 0 { // of the process before
			j.yielded = &lost.last
		}
		j.sending = sending{min(j.state.Sent, j.end), min(j.state.Unanswered, j.end)}
		if last.pos != 0 {
			previous = &presence.Previous{Stream: last.stream, Seq: last.seq}
			var s streamInfo
			key := last.stream[:]
			if err := j.codec.readChecked(key, tx.Bucket([]byte(bucketStreams)).Get(key), &s); err != nil {
				return err
			}
			previous.Clean = s.Clean
		}
		return tx.Bucket([]byte(bucketHoles)).ForEach(func(k, v []byte) error {
			if len(k) != 8 || len(v) != 8 {
				return boltfile.Damagedf("a hole of %d and %d bytes", len(k), len(v))
			}
			j.holes = j.holes.add(span{binary.BigEndian.Uint64(k), binary.BigEndian.Uint64(v)})
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	now := j.opt.Now()
	unclean := previous != nil && !previous.Clean
	j.state.Starts++
	if j.state.Boot != now.Boot {
		j.state.Boots++
		if unclean {
			j.state.UncleanBoots++
		}
		j.state.Boot = now.Boot
	}
	j.first = j.end + 1
	if j.oldest == 0 {
		j.oldest = j.first
	}
	start := &presence.Start{Previous: previous, Version: j.opt.Version}
	if alive := j.state.Alive; previous != nil && alive != (presence.Reading{}) {
		start.Alive = &alive
	}
	drafts := append([]presence.Draft{{
		Kind: presence.KindStart, At: now, Simulated: j.opt.Simulated, Start: start,
	}}, gaps...)
	if lost.kinds != nil {
		drafts = append(drafts, j.lossDraft(lost))
	}
	items := make([]item, len(drafts))
	for i, d := range drafts {
		if items[i], err = j.codec.encode(d); err != nil {
			return nil, err
		}
	}
	w := newWriter(j)
	if err := w.fits(items); err != nil && j.Err() == nil {
		// The start lives off the reserve: a gateway with a full disk runs, and
		// says so.
		j.opt.Log.Warn("there is no room in the journal", "error", err)
	}
	err = w.commit(change{items: items, starts: true, prunes: pruneStep})
	return w, err
}

// Damage tells what was wrong with the journal that Open found, nil if nothing
// was.
func (j *Journal) Damage() *Damage { return j.damage }

// view reads within one transaction of bbolt. What a dying disk does to the
// map under it becomes an error.
func (j *Journal) view(fn func(*bolt.Tx) error) error {
	j.using.RLock()
	defer j.using.RUnlock()
	if j.db == nil {
		return nil // nothing is in a journal without a file
	}
	return guard(func() error { return j.db.View(fn) })
}

// Stream is the stream of this process.
func (j *Journal) Stream() presence.ID { return j.stream }

// Append records a draft at once. When it returns without an error the record
// is durable: a power cut cannot take it back. The entry says where it is.
//
// After an error the record is not known to be durable. It may be there all the
// same where the error is the context's or Failed is closed.
func (j *Journal) Append(ctx context.Context, d presence.Draft) (presence.Entry, error) {
	it, err := j.codec.encode(d)
	if err != nil {
		return presence.Entry{}, err
	}
	done := make(chan outcome, 1)
	it.done = done
	if err := j.pushUrgent(it); err != nil {
		return presence.Entry{}, err
	}
	select {
	case o := <-done:
		if o.err != nil {
			return presence.Entry{}, o.err
		}
		return presence.Entry{Pos: o.pos, Record: presence.Record{Stream: j.stream, Seq: o.seq, Draft: d}}, nil
	case <-ctx.Done():
		return presence.Entry{}, fmt.Errorf("append record: %w", ctx.Err())
	}
}

// Enqueue hands over a draft that may wait for CommitInterval. It blocks while
// too many wait already, which is how a flood of tags is slowed down at its
// source.
func (j *Journal) Enqueue(ctx context.Context, d presence.Draft) error {
	it, err := j.codec.encode(d)
	if err != nil {
		return err
	}
	for {
		room, err := j.pushPatient(it)
		if room == nil {
			return err
		}
		select {
		case <-room:
		case <-j.done:
		case <-ctx.Done():
			return fmt.Errorf("enqueue record: %w", ctx.Err())
		}
	}
}

// Flush returns when all that was enqueued before is durable.
func (j *Journal) Flush(ctx context.Context) error {
	done := make(chan error, 1)
	if err := j.pushFlush(done); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("flush journal: %w", ctx.Err())
	}
}

// Cursor is the position up to which everything is delivered.
func (j *Journal) Cursor() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.cursor
}

// End is the newest durable position.
func (j *Journal) End() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.end
}

// Ack notes that all up to a position is delivered. It goes to the disk with
// the next commit, or alone after a minute; until then a crash brings those
// events again.
func (j *Journal) Ack(pos uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	pos = min(pos, j.end)
	if pos <= j.cursor {
		return
	}
	j.cursor = pos
	if j.acked.IsZero() {
		j.acked = time.Now()
		j.wakeWriter()
	}
}

// Find is the position of a stream's event, false where it is not in the
// journal.
func (j *Journal) Find(stream presence.ID, seq uint64) (uint64, bool) {
	if seq == 0 {
		return 0, false
	}
	first := j.first
	if stream != j.stream {
		var s streamInfo
		err := j.view(func(tx *bolt.Tx) error {
			return j.codec.readChecked(stream[:], tx.Bucket([]byte(bucketStreams)).Get(stream[:]), &s)
		})
		if err != nil {
			return 0, false
		}
		first = s.First
	}
	pos := first + seq - 1
	found := false
	err := j.view(func(tx *bolt.Tx) error {
		r, ok := get(tx, pos)
		found = ok && pos <= j.End() && r.stream == stream && r.seq == seq
		return nil
	})
	return pos, found && err == nil
}

// Failed is closed when the file can no longer be used through this handle:
// after a failed sync nobody knows what the disk holds. The process should
// leave and be started again.
func (j *Journal) Failed() <-chan struct{} { return j.failed }

// Err is why Failed is closed.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// fail closes Failed; the first reason stays. A journal that turns out to be
// damaged is looked through as a whole at the next start.
func (j *Journal) fail(err *Error) {
	j.mu.Lock()
	first := j.err == nil
	if first {
		j.err = err
	}
	j.mu.Unlock()
	if !first {
		return
	}
	if err.reason == reasonDamaged {
		if markErr := writeMark(j.opt.Path, mark{Stream: j.stream, Suspect: err.Error()}); markErr != nil {
			j.opt.Log.Error("the mark beside the journal is not up to date", "error", markErr)
		}
	}
	close(j.failed)
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

// Error is why an event was not recorded.
type Error struct {
	reason string
	err    error
}

// Reason is a word for machines: "journal-full", "journal-closed", "disk-full",
// "read-only", "write-failed", "journal-damaged" or "stopping".
func (e *Error) Reason() string { return e.reason }

func (e *Error) Error() string { return "record event: " + e.err.Error() }

func (e *Error) Unwrap() error { return e.err }

const (
	reasonFailed  = "write-failed"
	reasonDamaged = "journal-damaged"
	reasonClosed  = "journal-closed"
)

var (
	// ErrFull means that the journal has its largest size and nothing in it may
	// be forgotten.
	ErrFull = &Error{"journal-full", errors.New("the journal has its largest size (max_mb) and all of it still waits for delivery")}

	errBusy = &Error{reasonFailed, errors.New("the disk does not keep up")}

	errClosed = &Error{"stopping", errors.New("the journal is closed")}
)
