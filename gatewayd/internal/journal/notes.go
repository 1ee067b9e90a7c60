package journal

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"strings"

	"presence/gatewayd/internal/journal/boltfile"

	bolt "go.etcd.io/bbolt"
)

// maxNote bounds a note in bytes. Notes are written whole: they are for a few
// kilobytes that change seldom.
const maxNote = 256 << 10

// notes are what rooms keep beside the events, by name.
type notes struct {
	data    map[string][]byte // a nil note is removed
	waiting []chan<- error    // buffered
	later   map[string]bool   // of data: nobody waits for these
}

// answer tells everybody who waits what became of the notes.
func (n notes) answer(err error) {
	for _, done := range n.waiting {
		done <- err
	}
}

// put takes notes in, in place of those of the same names.
func (n *notes) put(data map[string][]byte, later bool) {
	if n.data == nil {
		n.data, n.later = make(map[string][]byte), make(map[string]bool)
	}
	for name, text := range data {
		n.data[name] = bytes.Clone(text)
		delete(n.later, name)
		if later {
			n.later[name] = true
		}
	}
}

// keepNotes keeps those of notes that could not be written for which nobody
// waits: they are written later, unless there is no later.
func (j *Journal) keepNotes(failed notes) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := &j.queue.notes
	for name := range failed.later {
		if _, newer := n.data[name]; !newer && !j.closing {
			n.put(map[string][]byte{name: failed.data[name]}, true)
		}
	}
}

// fitNotes returns ErrFull where notes find no room in the reserve.
func (w *writer) fitNotes(data map[string][]byte) error {
	if len(data) == 0 {
		return nil
	}
	r, err := w.room()
	if err != nil {
		return err
	}
	pages, err := w.spare(r)
	if err != nil {
		return err
	}
	for _, text := range data {
		pages -= int64(len(text))/boltfile.PageSize + 1
	}
	if pages < removingPages {
		return ErrFull
	}
	return nil
}

// takeNotes takes over what is to be written. The caller holds the mutex.
func (q *queue) takeNotes() notes {
	n := q.notes
	q.notes = notes{}
	return n
}

// Save makes a small note durable in place of the one of the same name before.
// It goes along with the next commit, which does not wait for more. After an
// error the old note stands.
//
// Notes outlive a damaged journal where they can still be read; nothing may
// hang on them that is not said elsewhere.
func (j *Journal) Save(name string, data []byte) error {
	if data == nil {
		data = []byte{} // nil would remove it
	}
	return j.SaveAll(map[string][]byte{name: data})
}

// SaveAll is Save of several notes in one commit. Those that are nil are removed.
func (j *Journal) SaveAll(data map[string][]byte) error {
	done := make(chan error, 1)
	err := j.pushNotes(data, done)
	if err == nil {
		err = <-done
	}
	if err != nil {
		return fmt.Errorf("save notes: %w", err)
	}
	return nil
}

// SaveLater is SaveAll for what may wait: it rides along with the next commit,
// which comes within some ten minutes, and with Close. Where that fails it waits
// for the one after.
func (j *Journal) SaveLater(data map[string][]byte) error {
	if err := j.pushNotes(data, nil); err != nil {
		return fmt.Errorf("save notes: %w", err)
	}
	return nil
}

// pushNotes hands notes to the writer; without done nobody waits for them.
func (j *Journal) pushNotes(data map[string][]byte, done chan<- error) error {
	for name, text := range data {
		if len(text) > maxNote {
			return fmt.Errorf("%q: %d bytes are too many", name, len(text))
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.refusal(); err != nil {
		return err
	}
	j.queue.notes.put(data, done == nil)
	if done != nil {
		j.queue.notes.waiting = append(j.queue.notes.waiting, done)
		j.wakeWriter()
	}
	return nil
}

// Load returns the note of a name, nothing if there is none.
func (j *Journal) Load(name string) ([]byte, error) {
	var data []byte
	err := j.view(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucketNotes))
		if b == nil {
			return nil
		}
		v := b.Get([]byte(name))
		if v == nil {
			return nil
		}
		payload, err := j.codec.readNote([]byte(name), v)
		data = bytes.Clone(payload)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load note: %w", err)
	}
	return data, nil
}

// LoadAll returns the notes whose names begin so, by name. One that cannot be
// read is left out, and said once the others are read.
func (j *Journal) LoadAll(prefix string) (map[string][]byte, error) {
	found := make(map[string][]byte)
	var damaged error
	err := j.view(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucketNotes))
		if b == nil {
			return nil
		}
		c := b.Cursor()
		for k, v := c.Seek([]byte(prefix)); bytes.HasPrefix(k, []byte(prefix)); k, v = c.Next() {
			payload, err := j.codec.readNote(k, v)
			if err != nil {
				damaged = err
				continue
			}
			found[string(k)] = bytes.Clone(payload)
		}
		return nil
	})
	if err = cmp.Or(err, damaged); err != nil {
		return found, fmt.Errorf("load notes: %w", err)
	}
	return found, nil
}

// LoadAll is Journal.LoadAll of a journal that no daemon holds.
func (r *Reader) LoadAll(prefix string) (map[string][]byte, error) {
	f, err := boltfile.Open(r.file, r.size)
	if f == nil {
		return nil, fmt.Errorf("load notes: %w", err)
	}
	found, err := readNotes(f, r.codec)
	maps.DeleteFunc(found, func(name string, _ []byte) bool { return !strings.HasPrefix(name, prefix) })
	if err != nil {
		return found, fmt.Errorf("load notes: %w", err)
	}
	return found, nil
}

// Load returns the note of a name, nothing if there is none or it cannot be
// read.
func (r *Reader) Load(name string) ([]byte, error) {
	f, err := boltfile.Open(r.file, r.size)
	if f == nil {
		return nil, fmt.Errorf("load note %q: %w", name, err)
	}
	found, err := readNotes(f, r.codec)
	if err != nil && found[name] == nil {
		return nil, fmt.Errorf("load note %q: %w", name, err)
	}
	return found[name], nil
}

// readNotes reads the notes of a file of which nothing is certain, as far as
// they can be read.
func readNotes(f *boltfile.File, c codec) (map[string][]byte, error) {
	found := make(map[string][]byte)
	buckets, err := f.Buckets()
	if err != nil {
		return found, err
	}
	b, ok := buckets[bucketNotes]
	if !ok {
		return found, nil
	}
	s := survey{codec: c, note: func(name string, data []byte) { found[name] = bytes.Clone(data) }}
	return found, s.bucket(f, bucketNotes, b)
}

// putNotes writes notes within a transaction.
func (c codec) putNotes(tx *bolt.Tx, data map[string][]byte) error {
	if len(data) == 0 {
		return nil
	}
	b, err := tx.CreateBucketIfNotExists([]byte(bucketNotes))
	if err != nil {
		return err
	}
	for name, text := range data {
		if text == nil {
			if err := b.Delete([]byte(name)); err != nil {
				return err
			}
			continue
		}
		value := binary.BigEndian.AppendUint32(nil, smallChecksum([]byte(name), text))
		if err := b.Put([]byte(name), append(value, text...)); err != nil {
			return err
		}
	}
	return nil
}

// readNote reads what putNotes wrote.
func (c codec) readNote(name, value []byte) ([]byte, error) {
	if len(value) < 4 || binary.BigEndian.Uint32(value) != smallChecksum(name, value[4:]) {
		return nil, fmt.Errorf("note %q: %w", name, errDamagedRecord)
	}
	return value[4:], nil
}
