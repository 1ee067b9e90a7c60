package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// maxNote bounds a note in bytes. Notes are written whole: they are for a few
// kilobytes that change seldom.
const maxNote = 256 << 10

// notes are what rooms keep beside the events, by name.
type notes struct {
	data    map[string][]byte
	waiting []chan<- error // buffered
}

// answer tells everybody who waits what became of the notes.
func (n notes) answer(err error) {
	for _, done := range n.waiting {
		done <- err
	}
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
	if len(data) > maxNote {
		return fmt.Errorf("save note %q: %d bytes are too many", name, len(data))
	}
	done := make(chan error, 1)
	j.mu.Lock()
	err := j.refusal()
	if err == nil {
		q := &j.queue
		if q.notes.data == nil {
			q.notes.data = make(map[string][]byte)
		}
		q.notes.data[name] = bytes.Clone(data)
		q.notes.waiting = append(q.notes.waiting, done)
		j.wakeWriter()
	}
	j.mu.Unlock()
	if err == nil {
		err = <-done
	}
	if err != nil {
		return fmt.Errorf("save note %q: %w", name, err)
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

// Load returns the note of a name, nothing if there is none or it cannot be
// read.
func (r *Reader) Load(name string) ([]byte, error) {
	im, err := openImage(r.file, r.size)
	if im == nil {
		return nil, fmt.Errorf("load note %q: %w", name, err)
	}
	found, err := readNotes(im, r.codec)
	if err != nil && found[name] == nil {
		return nil, fmt.Errorf("load note %q: %w", name, err)
	}
	return found[name], nil
}

// readNotes reads the notes of a file of which nothing is certain, as far as
// they can be read.
func readNotes(im *image, c codec) (map[string][]byte, error) {
	found := make(map[string][]byte)
	buckets, err := im.buckets()
	if err != nil {
		return found, err
	}
	b, ok := buckets[bucketNotes]
	if !ok {
		return found, nil
	}
	s := survey{codec: c, note: func(name string, data []byte) { found[name] = bytes.Clone(data) }}
	return found, s.bucket(im, bucketNotes, b)
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
