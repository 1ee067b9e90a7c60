package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/journal/boltfile"
	"presence/gatewayd/internal/presence"
)

// One read transaction looks at no more than this, so that a long reader never
// keeps old pages from being used again.
const (
	maxPage      = 512
	maxPageBytes = 256 << 10
)

// walk calls fn for the records from..to in order, until it wants no more. What
// it is given holds only until it returns.
func walk(tx *bolt.Tx, from, to uint64, fn func(key, value []byte) (more bool, err error)) error {
	start := posKey(from)
	for _, name := range []string{bucketEvents, bucketTail} {
		c := tx.Bucket([]byte(name)).Cursor()
		for k, v := c.Seek(start[:]); k != nil; k, v = c.Next() {
			if len(k) != 8 {
				return boltfile.Damagedf("a key of %d bytes", len(k))
			}
			if binary.BigEndian.Uint64(k) > to {
				return nil
			}
			if more, err := fn(k, v); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

// walkBack is walk from the newest record on.
func walkBack(tx *bolt.Tx, from uint64, fn func(key, value []byte) (more bool, err error)) error {
	start := posKey(from)
	for _, name := range []string{bucketTail, bucketEvents} {
		c := tx.Bucket([]byte(name)).Cursor()
		k, v := c.Seek(start[:])
		if k == nil {
			k, v = c.Last()
		}
		for ; k != nil; k, v = c.Prev() {
			if len(k) != 8 {
				return boltfile.Damagedf("a key of %d bytes", len(k))
			}
			if binary.BigEndian.Uint64(k) > from {
				continue
			}
			if more, err := fn(k, v); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

// get is the record at a position.
func get(tx *bolt.Tx, pos uint64) (packed, bool) {
	key := posKey(pos)
	for _, name := range []string{bucketTail, bucketEvents} {
		if v := tx.Bucket([]byte(name)).Get(key[:]); v != nil {
			s, err := unpack(key[:], v)
			return s, err == nil
		}
	}
	return packed{}, false
}

// bounds are the oldest and the newest record; zero where there is none.
func bounds(tx *bolt.Tx) (first, last packed, err error) {
	err = walk(tx, 0, ^uint64(0), func(k, v []byte) (bool, error) {
		first, err = unpack(k, v)
		return false, err
	})
	if err != nil {
		return first, last, err
	}
	err = walkBack(tx, ^uint64(0), func(k, v []byte) (bool, error) {
		last, err = unpack(k, v)
		return false, err
	})
	return first, last, err
}

// Next returns up to limit durable records behind a position, in order. It blocks
// until there is at least one.
func (j *Journal) Next(ctx context.Context, after uint64, limit int) ([]presence.Entry, error) {
	for {
		j.mu.Lock()
		end, grown := j.end, j.grown
		j.mu.Unlock()
		if after < end {
			entries, err := j.page(after, end, limit)
			if err != nil {
				return nil, err
			}
			if len(entries) > 0 {
				return entries, nil
			}
			after = end // only holes
			continue
		}
		select {
		case <-grown:
		case <-j.done:
			return nil, j.closedError()
		case <-j.failed:
			return nil, j.closedError()
		case <-ctx.Done():
			return nil, fmt.Errorf("read journal: %w", ctx.Err())
		}
	}
}

// page reads records behind a position. A record that is damaged makes the
// journal fail: it must not be passed over in silence, and at the next start it
// is found, and accounted for.
func (j *Journal) page(after, to uint64, limit int) ([]presence.Entry, error) {
	limit = min(limit, maxPage)
	entries := make([]presence.Entry, 0, min(uint64(limit), to-after))
	bytes := 0
	err := j.view(func(tx *bolt.Tx) error {
		return walk(tx, after+1, to, func(k, v []byte) (bool, error) {
			entries = append(entries, presence.Entry{})
			if err := j.codec.decode(k, v, &entries[len(entries)-1]); err != nil {
				return false, fmt.Errorf("position %d: %w", binary.BigEndian.Uint64(k), err)
			}
			bytes += len(v)
			return len(entries) < limit && bytes < maxPageBytes, nil
		})
	})
	if err != nil {
		return nil, j.unreadable(err)
	}
	return entries, nil
}

// unreadable is what becomes of an error while reading.
func (j *Journal) unreadable(err error) error {
	err = fmt.Errorf("read journal: %w", err)
	if errors.Is(err, boltfile.ErrDamaged) || errors.Is(err, errDamagedRecord) {
		j.fail(&Error{reasonDamaged, err})
	}
	return err
}

func (j *Journal) closedError() error {
	if err := j.Err(); err != nil {
		return err
	}
	return errClosed
}

// Tail passes the records newest first until fn has seen enough and returns
// false.
func (j *Journal) Tail(fn func(presence.Entry) bool) error {
	from := j.End()
	for more := true; more && from > 0; {
		var entries []presence.Entry
		err := j.view(func(tx *bolt.Tx) error {
			return walkBack(tx, from, func(k, v []byte) (bool, error) {
				var e presence.Entry
				if err := j.codec.decode(k, v, &e); err != nil {
					return false, fmt.Errorf("position %d: %w", binary.BigEndian.Uint64(k), err)
				}
				entries = append(entries, e)
				return len(entries) < maxPage, nil
			})
		})
		if err != nil {
			return j.unreadable(err)
		}
		for _, e := range entries {
			if more = fn(e); !more {
				break
			}
		}
		if len(entries) < maxPage {
			return nil
		}
		from = entries[len(entries)-1].Pos - 1
	}
	return nil
}

// Scan passes all records in order, as of when it was called.
func (j *Journal) Scan(ctx context.Context, fn func(presence.Entry) error) error {
	return j.Range(ctx, 0, j.End(), fn)
}

// Range passes the records from..to in order. It reads page by page, so it may
// take as long as it likes.
func (j *Journal) Range(ctx context.Context, from, to uint64, fn func(presence.Entry) error) error {
	after := max(from, 1) - 1
	for after < to {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read journal: %w", err)
		}
		entries, err := j.page(after, to, maxPage)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return nil
		}
		for _, e := range entries {
			if err := fn(e); err != nil {
				return err
			}
		}
		after = entries[len(entries)-1].Pos
	}
	return nil
}

const (
	scrubStep  = 4 * maxPage           // records looked at in one go
	scrubPause = 50 * time.Millisecond // between two goes
)

// scrub looks at every record of a journal that was too large to be looked at
// before it was used.
func (j *Journal) scrub() {
	end := j.End()
	pause := time.NewTicker(scrubPause)
	defer pause.Stop()
	for after := uint64(0); after < end; {
		select {
		case <-j.done:
			return
		case <-j.failed:
			return
		case <-pause.C:
		}
		looked := 0
		err := j.view(func(tx *bolt.Tx) error {
			return walk(tx, after+1, end, func(k, v []byte) (bool, error) {
				s, err := unpack(k, v)
				if err != nil {
					return false, fmt.Errorf("position %x: %w", k, err)
				}
				after = s.pos
				looked++
				return looked < scrubStep, nil
			})
		})
		if err != nil {
			_ = j.unreadable(err) // makes the journal fail
			return
		}
		if looked == 0 {
			return
		}
	}
}
