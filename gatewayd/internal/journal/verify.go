package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/presence"
)

// Reader is a journal opened for reading while no daemon runs.
type Reader struct {
	db    *bolt.DB
	codec codec
}

// OpenReadOnly opens a journal that no daemon holds.
func OpenReadOnly(path string) (*Reader, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	db, err := bolt.Open(path, 0o640, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if errors.Is(err, bolt.ErrTimeout) {
		return nil, fmt.Errorf("open journal %s: a running gatewayd holds it", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open journal %s: %w", path, err)
	}
	r := &Reader{db: db, codec: newCodec()}
	if err := db.View(func(tx *bolt.Tx) error {
		if tx.Bucket(bucketEvents) == nil || tx.Bucket(bucketStreams) == nil || tx.Bucket(bucketMeta) == nil {
			return errors.New("this is no journal of gatewayd")
		}
		return nil
	}); err != nil {
		return nil, errors.Join(fmt.Errorf("open journal %s: %w", path, err), db.Close())
	}
	return r, nil
}

// Close lets go of the file.
func (r *Reader) Close() error { return r.db.Close() }

// Scan passes all records in order and leaves damaged ones out.
func (r *Reader) Scan(ctx context.Context, fn func(presence.Entry) error) error {
	return scan(ctx, r.db, r.codec, newest(r.db), fn, func(uint64, error) {})
}

// newest is the newest position in the file.
func newest(db *bolt.DB) (last uint64) {
	_ = db.View(func(tx *bolt.Tx) error { // cannot fail on an open file
		if k, _ := tx.Bucket(bucketEvents).Cursor().Last(); len(k) == 8 {
			last = binary.BigEndian.Uint64(k)
		}
		return nil
	})
	return last
}

// Report is what a check of every record found.
type Report struct {
	Events    int64
	Kinds     map[string]int64
	Delivered int64
	Streams   int
	Gaps      []string // in the ledger: what was lost before and is accounted for
	Damage    []string // what is wrong with this file
	more      int      // further damage that is not listed
}

// maxListed bounds the lists of a report.
const maxListed = 100

// Whole reports whether nothing is wrong.
func (r Report) Whole() bool { return len(r.Damage) == 0 }

// String is the report for a person, one line each.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "events: %d in %d streams, %d delivered, %d waiting\n", r.Events, r.Streams, r.Delivered, r.Events-r.Delivered)
	for _, kind := range []presence.Kind{presence.KindStart, presence.KindBadge, presence.KindTag, presence.KindPresence, presence.KindGap} {
		if n := r.Kinds[kind.String()]; n > 0 {
			fmt.Fprintf(&b, "  %s: %d\n", kind, n)
		}
	}
	for _, g := range r.Gaps {
		fmt.Fprintf(&b, "gap: %s\n", g)
	}
	for _, d := range r.Damage {
		fmt.Fprintf(&b, "damage: %s\n", d)
	}
	if r.more > 0 {
		fmt.Fprintf(&b, "damage: and %d more\n", r.more)
	}
	if r.Whole() {
		b.WriteString("journal: ok\n")
	} else {
		b.WriteString("journal: damaged\n")
	}
	return b.String()
}

func (r *Report) damage(format string, args ...any) {
	if len(r.Damage) == maxListed {
		r.more++
		return
	}
	r.Damage = append(r.Damage, fmt.Sprintf(format, args...))
}

// Verify checks every record of the running journal.
func (j *Journal) Verify(ctx context.Context) (Report, error) {
	return verify(ctx, j.db, j.codec, j.Cursor())
}

// Verify checks every record of a journal that no daemon holds.
func Verify(ctx context.Context, path string) (Report, error) {
	r, err := OpenReadOnly(path)
	if err != nil {
		return Report{}, err
	}
	defer r.Close()
	var cursor uint64
	if err := r.db.View(func(tx *bolt.Tx) error {
		if v := tx.Bucket(bucketMeta).Get(keyCursor); len(v) == 8 {
			cursor = binary.BigEndian.Uint64(v)
		}
		return nil
	}); err != nil {
		return Report{}, fmt.Errorf("verify journal: %w", err)
	}
	return verify(ctx, r.db, r.codec, cursor)
}

func verify(ctx context.Context, db *bolt.DB, c codec, cursor uint64) (Report, error) {
	r := Report{Kinds: make(map[string]int64)}
	var last presence.Entry
	err := scan(ctx, db, c, newest(db), func(e presence.Entry) error {
		r.Events++
		r.Kinds[e.Kind.String()]++
		if e.Pos <= cursor {
			r.Delivered++
		}
		if e.Gap != nil && len(r.Gaps) < maxListed {
			r.Gaps = append(r.Gaps, fmt.Sprintf("%s %v", e.Gap.Reason, e.Gap.Kinds))
		}
		switch {
		case e.Stream != last.Stream:
			r.Streams++
			if last.Pos != 0 && e.Seq != 1 {
				r.damage("stream %s begins with seq %d", e.Stream, e.Seq)
			}
		case e.Seq != last.Seq+1:
			r.damage("stream %s: seq %d to %d are missing", e.Stream, last.Seq+1, e.Seq-1)
		}
		if last.Pos != 0 && e.Pos != last.Pos+1 {
			r.damage("positions %d to %d are missing", last.Pos+1, e.Pos-1)
		}
		last = e
		return nil
	}, func(_ uint64, err error) { r.damage("%v", err) })
	if err != nil {
		return Report{}, fmt.Errorf("verify journal: %w", err)
	}
	return r, nil
}
