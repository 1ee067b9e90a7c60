package journal

import (
	"context"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/presence"
)

// page is how many records one read transaction looks at, so that a long
// reader never keeps old pages from being used again.
const page = 512

// Next returns up to max durable records behind a position, in order. It blocks
// until there is at least one. A record that is damaged is left out and
// counted.
func (j *Journal) Next(ctx context.Context, after uint64, max int) ([]presence.Entry, error) {
	for {
		j.mu.Lock()
		last, grown := j.last, j.grown
		j.mu.Unlock()
		for after < last {
			entries, end, err := readPage(j.db, j.codec, after, last, max, j.noteDamage)
			if err != nil {
				return nil, err
			}
			if len(entries) > 0 {
				return entries, nil
			}
			after = end
		}
		select {
		case <-grown:
		case <-j.done:
			return nil, j.closedError()
		case <-ctx.Done():
			return nil, fmt.Errorf("read journal: %w", ctx.Err())
		}
	}
}

// noteDamage counts a record that cannot be read.
func (j *Journal) noteDamage(pos uint64, err error) {
	j.mu.Lock()
	j.damaged++
	j.mu.Unlock()
	j.opt.Log.Error("a record in the journal is damaged and left out", "position", pos, "error", err)
}

// readPage reads records behind after, up to last. It returns also the position
// up to which it looked.
func readPage(db *bolt.DB, c codec, after, last uint64, max int, damaged func(uint64, error)) (entries []presence.Entry, end uint64, err error) {
	max = min(max, page)
	end = last
	err = db.View(func(tx *bolt.Tx) error {
		cursor := tx.Bucket(bucketEvents).Cursor()
		for k, v := cursor.Seek(key(after + 1)); k != nil; k, v = cursor.Next() {
			if len(k) == 8 && binary.BigEndian.Uint64(k) > last {
				return nil
			}
			e, err := c.decode(k, v)
			if err != nil {
				damaged(e.Pos, err)
				continue
			}
			if entries == nil {
				entries = make([]presence.Entry, 0, min(max, int(last-after)))
			}
			if entries = append(entries, e); len(entries) == max {
				end = e.Pos
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read journal: %w", err)
	}
	return entries, end, nil
}

// Tail passes the records newest first until fn has seen enough and returns
// false.
func (j *Journal) Tail(fn func(presence.Entry) bool) error {
	err := j.db.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketEvents).Cursor()
		for k, v := c.Last(); k != nil; k, v = c.Prev() {
			e, err := j.codec.decode(k, v)
			if err != nil {
				j.noteDamage(e.Pos, err)
				continue
			}
			if !fn(e) {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	return nil
}

// Scan passes all records in order, as of when it was called.
func (j *Journal) Scan(ctx context.Context, fn func(presence.Entry) error) error {
	return scan(ctx, j.db, j.codec, j.End(), fn, j.noteDamage)
}

func scan(ctx context.Context, db *bolt.DB, c codec, last uint64, fn func(presence.Entry) error, damaged func(uint64, error)) error {
	for after := uint64(0); after < last; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read journal: %w", err)
		}
		entries, end, err := readPage(db, c, after, last, page, damaged)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := fn(e); err != nil {
				return err
			}
		}
		after = end
	}
	return nil
}
