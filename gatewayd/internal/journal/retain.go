package journal

import (
	bolt "go.etcd.io/bbolt"

	"presence/gatewayd/internal/presence"
)

// pruneStep is how many old events one commit removes at most.
const pruneStep = 256

// remove takes what the change says out of the file, and delivered events that
// are old or in the way.
func (w *writer) remove(tx *bolt.Tx, c change, p *snapshot) (removed bool, err error) {
	before := p.holes // its list is not changed
	if len(c.removes) > 0 {
		// bbolt joins a page with the one before it when it is less than half as full
		// as it may become: so pages of which half is gone give room.
		tx.Bucket([]byte(bucketEvents)).FillPercent = 1
		if b := tx.Bucket([]byte(bucketRevisions)); b != nil {
			b.FillPercent = 1
		}
	}
	for _, s := range c.removes {
		for pos := s.From; pos <= s.To; pos++ {
			if err := del(tx, pos); err != nil {
				return false, err
			}
		}
	}
	p.holes = p.holes.Union(c.removes)
	pruned, err := w.prune(tx, c.prunes, p)
	if err != nil {
		return false, err
	}
	p.holes = p.holes.DropBelow(p.oldest)
	if err := putHoles(tx.Bucket([]byte(bucketHoles)), before, p.holes); err != nil {
		return false, err
	}
	return pruned || len(c.removes) > 0, nil
}

// prune removes at most n delivered events that are older than Keep, or all
// the same where the journal is crowded. The newest event stays: positions and
// numbers go on from it.
func (w *writer) prune(tx *bolt.Tx, n int, p *snapshot) (bool, error) {
	may := p.cursor
	if !w.crowded {
		if n > 0 {
			if err := w.findOld(tx, *p, n); err != nil {
				return false, err
			}
		}
		may = min(may, w.ages.old)
	}
	var gone []uint64
	streams := make(map[presence.ID]bool)
	var stays presence.ID
	err := walk(tx, p.oldest, p.end, func(key, value []byte) (bool, error) {
		s, err := unpack(key, value)
		if err != nil {
			return false, err
		}
		stays = s.stream
		p.oldest = s.pos
		if len(gone) >= n || s.pos > may || s.pos >= p.end {
			return false, nil
		}
		gone = append(gone, s.pos)
		streams[s.stream] = true
		return true, nil
	})
	if err != nil {
		return false, err
	}
	for _, pos := range gone {
		if err := del(tx, pos); err != nil {
			return false, err
		}
	}
	delete(streams, stays)
	for id := range streams {
		if began, ok := id.Began(); ok {
			p.state.GoneUpto = max(p.state.GoneUpto, began.UnixMilli())
		}
		if err := tx.Bucket([]byte(bucketStreams)).Delete(id[:]); err != nil {
			return false, err
		}
	}
	return len(gone) > 0, nil
}

// del removes a record, wherever it is.
func del(tx *bolt.Tx, pos uint64) error {
	key := posKey(pos)
	for _, name := range []string{bucketEvents, bucketTail} {
		if err := tx.Bucket([]byte(name)).Delete(key[:]); err != nil {
			return err
		}
	}
	if revisions := tx.Bucket([]byte(bucketRevisions)); revisions != nil {
		return revisions.Delete(key[:])
	}
	return nil
}
