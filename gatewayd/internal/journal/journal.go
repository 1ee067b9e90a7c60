package journal

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/lastday"
	"presence/gatewayd/internal/presence"
)

// Options is what a journal needs. All but Origin, Age, Learned, Simulated, NoStream,
// Seals, Beat and Rescue must be set.
type Options struct {
	// Origin is whose events these are. It is kept in the file, and Open returns an
	// OtherError for a journal that holds the events of another gateway.
	Origin         presence.Origin
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
	// NoStream is for who only delivers what is there: no stream begins, nothing can be
	// recorded, no event goes for its age, and the file goes on saying when its gateway
	// was last alive. But where losses have to be named, which takes an event, a stream
	// begins as it does without NoStream.
	NoStream bool
	Seals    Seals
	Log      *slog.Logger
	// Beat is told at each step of the writer within what time the next one
	// comes: 0 before work, the length of a pause before a pause.
	Beat func(next time.Duration)
	// Rescue is told how much is done while a damaged journal is replaced: 0
	// before the work, then every second or so, and 1 after it, whatever came of
	// it. The work takes memory for every record of the file, and time to read
	// it from end to end.
	Rescue func(done float64)

	unchained bool // set by tests only, which measure what the chain costs
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
	silent bool   // no stream has begun (see Options.NoStream)

	wake   chan struct{} // has room for one: the writer has something to look at
	done   chan struct{} // the writer has ended
	failed chan struct{} // the file cannot be used through this handle any more

	mu        sync.Mutex
	queue     queue
	grown     chan struct{}     // closed and replaced at each commit
	oldest    uint64            // oldest position in the file
	end       uint64            // newest durable position
	sealed    uint64            // position of this stream's newest seal; 0: it has none
	formerKey *presence.KeyID   // of the newest seal before this stream; nil: there was none
	holes     spans             // between oldest and end
	cursor    uint64            // all up to here is delivered
	waited    uint64            // the cursor when the file was opened
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
	daily   lastday.Count // of bytes written to storage

	heads       headNote         // as on disk; what the city's heads have shown
	opened      presence.Reading // when this stream began
	unconfirmed bool             // nothing of the journal was delivered when it was opened
	gapsFound   []losing         // see findGaps; of the one goroutine that checks heads
	gapsRead    bool

	damage  *Damage        // of the journal that was here before
	copying bool           // the file is being written anew
	readers sync.WaitGroup // goroutines that Close waits for
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

// Stream is the stream of this process. With Options.NoStream it may have no events.
func (j *Journal) Stream() presence.ID { return j.stream }

// Append records a draft at once. When it returns without an error the record
// is durable: a power cut cannot take it back. The entry says where it is, and what ties
// it to the event before.
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
		return presence.Entry{Pos: o.pos, Record: presence.Record{
			Stream: j.stream, Seq: o.seq, Draft: d, Chain: o.chain,
		}}, nil
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
