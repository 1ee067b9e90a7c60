package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/presence"
)

// Options is what a journal needs.
type Options struct {
	Path           string
	Keep           time.Duration // delivered events stay this long
	MaxBytes       int64         // the file grows to about this size
	CommitInterval time.Duration // a patient event waits at most this long
	Now            func() presence.Reading
	Version        string // of gatewayd, for the start event
	Simulated      bool   // marks the start event
	Log            *slog.Logger
}

// Journal is an open journal. Its methods may be called from any goroutine.
type Journal struct {
	opt    Options
	db     *bolt.DB
	codec  codec
	stream presence.ID

	urgent  chan *request
	patient chan presence.Draft
	flush   chan chan error
	quit    chan struct{}
	done    chan struct{} // the writer has ended
	failed  chan struct{}

	mu        sync.Mutex
	grown     chan struct{} // closed and replaced at each commit
	first     uint64        // oldest position in the file
	last      uint64        // newest durable position
	cursor    uint64        // all up to here is delivered
	failure   error
	starts    []streamStart // of the streams in the file, oldest first
	latencies latencies
	boots     boots
	damaged   int64

	writer writer // owned by the writer goroutine
}

var (
	bucketEvents  = []byte("events")
	bucketStreams = []byte("streams")
	bucketMeta    = []byte("meta")

	keyCursor = []byte("cursor")
	keyBoots  = []byte("boots")
)

// streamStart is an entry of the bucket streams.
type streamStart struct {
	first  uint64 // position of the stream's first event
	stream presence.ID
	clean  bool // it was ended on purpose
}

func (s streamStart) value() []byte {
	v := append([]byte(nil), s.stream[:]...)
	if s.clean {
		return append(v, 1)
	}
	return append(v, 0)
}

func parseStreamStart(k, v []byte) (streamStart, bool) {
	if len(k) != 8 || len(v) != 17 {
		return streamStart{}, false
	}
	return streamStart{first: binary.BigEndian.Uint64(k), stream: presence.ID(v[:16]), clean: v[16] == 1}, true
}

// Open opens the journal, creating it where there is none, and begins a new
// stream: its start event is durable when Open returns.
func Open(opt Options) (*Journal, error) {
	if err := create(opt.Path); err != nil {
		return nil, err
	}
	db, err := bolt.Open(opt.Path, 0o640, &bolt.Options{
		Timeout:      time.Second,
		PageSize:     4096, // a Pi 5's kernel has 16K pages, which would write four times as much
		FreelistType: bolt.FreelistMapType,
		// The map is as large as the file can become, so that growing never has
		// to wait for a reader to let go of the old map.
		InitialMmapSize: int(opt.MaxBytes + opt.MaxBytes/8),
	})
	if errors.Is(err, bolt.ErrTimeout) {
		return nil, fmt.Errorf("open journal %s: another gatewayd holds it", opt.Path)
	}
	if err != nil {
		return nil, fmt.Errorf("open journal %s: %w", opt.Path, err)
	}
	db.AllocSize = 1 << 20
	id, err := uuid.NewV7()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("name stream: %w", err), db.Close())
	}
	j := &Journal{
		opt: opt, db: db, codec: newCodec(), stream: presence.ID(id),
		urgent:  make(chan *request, 64),
		patient: make(chan presence.Draft, 1024),
		flush:   make(chan chan error),
		quit:    make(chan struct{}),
		done:    make(chan struct{}),
		failed:  make(chan struct{}),
		grown:   make(chan struct{}),
	}
	if err := j.begin(); err != nil {
		return nil, errors.Join(fmt.Errorf("open journal %s: %w", opt.Path, err), db.Close())
	}
	go j.write()
	return j, nil
}

// create makes an empty journal where there is none: under another name first,
// so that a power cut leaves a whole file or none.
func create(path string) error {
	_, err := os.Stat(path)
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open journal %s: %w", path, err)
	}
	fail := func(err error) error { return fmt.Errorf("create journal %s: %w", path, err) }
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	db, err := bolt.Open(temporary, 0o640, &bolt.Options{Timeout: time.Second, PageSize: 4096, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return fail(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketEvents, bucketStreams, bucketMeta} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Sync(), db.Close()); err != nil {
		return fail(err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fail(err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fail(err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fail(err)
	}
	return nil
}

// begin reads what earlier processes left and appends this stream's start.
func (j *Journal) begin() error {
	var previous *presence.Previous
	err := j.db.View(func(tx *bolt.Tx) error {
		events, streams, meta := tx.Bucket(bucketEvents), tx.Bucket(bucketStreams), tx.Bucket(bucketMeta)
		if events == nil || streams == nil || meta == nil {
			return errors.New("this is no journal of gatewayd")
		}
		c := events.Cursor()
		if k, _ := c.Last(); len(k) == 8 {
			j.last = binary.BigEndian.Uint64(k)
		}
		if k, _ := c.First(); len(k) == 8 {
			j.first = binary.BigEndian.Uint64(k)
		}
		if v := meta.Get(keyCursor); len(v) == 8 {
			j.cursor = min(binary.BigEndian.Uint64(v), j.last)
		}
		j.boots.parse(meta.Get(keyBoots))
		return streams.ForEach(func(k, v []byte) error {
			if s, ok := parseStreamStart(k, v); ok {
				j.starts = append(j.starts, s)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	if n := len(j.starts); n > 0 {
		s := j.starts[n-1]
		previous = &presence.Previous{Stream: s.stream, Seq: j.last - s.first + 1, Clean: s.clean}
	}
	now := j.opt.Now()
	j.boots.begin(now.Boot, previous == nil || previous.Clean)
	start := streamStart{first: j.last + 1, stream: j.stream}
	j.starts = append(j.starts, start)
	j.writer = writer{j: j, stream: start, noted: j.cursor}
	return j.writer.commit([]*request{{draft: presence.Draft{
		Kind: presence.KindStart, At: now, Simulated: j.opt.Simulated,
		Start: &presence.Start{Previous: previous, Version: j.opt.Version},
	}}}, nil)
}

// Stream is the stream of this process.
func (j *Journal) Stream() presence.ID { return j.stream }

// Append records a draft at once. When it returns without an error, the record
// is durable: a power cut cannot take it back.
//
// After an error the record is not there and never will be, unless the error is
// the context's: then it may be.
func (j *Journal) Append(ctx context.Context, d presence.Draft) (presence.Entry, error) {
	r := &request{draft: d, answer: make(chan error, 1)}
	select {
	case j.urgent <- r:
	case <-j.done:
		return presence.Entry{}, j.closedError()
	case <-ctx.Done():
		return presence.Entry{}, fmt.Errorf("append record: %w", ctx.Err())
	}
	select {
	case err := <-r.answer:
		if err != nil {
			return presence.Entry{}, err
		}
		return r.entry, nil
	case <-j.done:
		select { // the last answers came just before the end
		case err := <-r.answer:
			return r.entry, err
		default:
			return presence.Entry{}, j.closedError()
		}
	case <-ctx.Done():
		return presence.Entry{}, fmt.Errorf("append record: %w", ctx.Err())
	}
}

// Enqueue hands over a draft that may wait for CommitInterval. It blocks while
// too many wait already, which is how a flood of tags is slowed down at its
// source.
func (j *Journal) Enqueue(ctx context.Context, d presence.Draft) error {
	select {
	case j.patient <- d:
		return nil
	case <-j.done:
		return j.closedError()
	case <-ctx.Done():
		return fmt.Errorf("enqueue record: %w", ctx.Err())
	}
}

// Flush returns when all that was enqueued before is durable.
func (j *Journal) Flush(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case j.flush <- answer:
	case <-j.done:
		return j.closedError()
	case <-ctx.Done():
		return fmt.Errorf("flush journal: %w", ctx.Err())
	}
	select {
	case err := <-answer:
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
	return j.last
}

// Ack notes that all up to a position is delivered. It goes to the disk with
// the next commit; until then a crash brings those events again.
func (j *Journal) Ack(pos uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cursor = max(j.cursor, min(pos, j.last))
}

// Find is the position of a stream's event, false where it is not in the
// journal.
func (j *Journal) Find(stream presence.ID, seq uint64) (uint64, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, s := range j.starts {
		if s.stream != stream {
			continue
		}
		end := j.last
		if i+1 < len(j.starts) {
			end = j.starts[i+1].first - 1
		}
		pos := s.first + seq - 1
		return pos, seq > 0 && pos >= j.first && pos <= end
	}
	return 0, false
}

// Failed is closed when the file can no longer be written through this handle:
// after a failed sync nobody knows what the disk holds. The process should
// leave and be started again.
func (j *Journal) Failed() <-chan struct{} { return j.failed }

// Err is why Failed is closed.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failure
}

// Close writes what waits and the cursor, marks the stream as ended on purpose,
// and closes the file. It may be called twice.
func (j *Journal) Close() error {
	j.mu.Lock()
	select {
	case <-j.quit:
	default:
		close(j.quit)
	}
	j.mu.Unlock()
	<-j.done
	if err := j.db.Close(); err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	return nil
}

func (j *Journal) closedError() error {
	if err := j.Err(); err != nil {
		return err
	}
	return errClosed
}

// Error is why an event could not be recorded. Its reason is a word for the
// door's answer.
type Error struct {
	reason string
	err    error
}

// Reason is a word for machines: "journal-full", "disk-full", "read-only",
// "write-failed" or "stopping".
func (e *Error) Reason() string { return e.reason }

func (e *Error) Error() string { return "record event: " + e.err.Error() }

func (e *Error) Unwrap() error { return e.err }

var (
	// ErrFull means that the journal has its largest size and nothing in it may
	// be forgotten yet.
	ErrFull = &Error{"journal-full", errors.New("the journal has its largest size (max_mb) and all of it still waits for delivery")}

	errClosed = &Error{"stopping", errors.New("the journal is closed")}
)

// passing tells errors after which the same handle goes on working: bbolt has
// rolled the transaction back, and nothing was synced halfway.
func passing(err error) (*Error, bool) {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return &Error{"disk-full", err}, true
	case errors.Is(err, syscall.EROFS):
		return &Error{"read-only", err}, true
	}
	return nil, false
}

// boots counts kernel boots and those that ended without a clean stop.
type boots struct {
	last    presence.ID
	count   uint32
	unclean uint32
}

func (b *boots) parse(v []byte) {
	if len(v) == 24 {
		*b = boots{presence.ID(v[:16]), binary.BigEndian.Uint32(v[16:]), binary.BigEndian.Uint32(v[20:])}
	}
}

func (b *boots) begin(boot presence.ID, clean bool) {
	if bytes.Equal(b.last[:], boot[:]) {
		return
	}
	if b.count > 0 && !clean {
		b.unclean++
	}
	b.last, b.count = boot, b.count+1
}

func (b *boots) value() []byte {
	v := append([]byte(nil), b.last[:]...)
	v = binary.BigEndian.AppendUint32(v, b.count)
	return binary.BigEndian.AppendUint32(v, b.unclean)
}
